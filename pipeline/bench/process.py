"""Runs a job in its own process, so that engines do not share memory, threads or caches."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from .jobs import Job, environment, pack


class JobError(Exception):
    """A job failed. The message is one line."""


def run_job(job: Job, cache: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> dict[str, Any]:
    """Run one job in a child process, which is killed on any exception here, including Ctrl-C. Returns its result.

    cache: cache folder of the process, for converted networks. progress: called with the number of repeats done and the
    total. Raises JobError if the job failed.
    """
    answer: dict[str, Any] = {}
    with tempfile.TemporaryFile() as errors, ExitStack() as ending:
        with _signals_delayed():
            process = subprocess.Popen(
                [sys.executable, "-m", "fusecam.pipeline.bench.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment(job) | {"XDG_CACHE_HOME": str(cache)},
                start_new_session=True,  # Ctrl-C reaches only this process, so the child prints no traceback
            )
            ending.callback(_end, process)
        assert process.stdin is not None and process.stdout is not None
        with suppress(BrokenPipeError):  # it may have ended already
            # stays open: the child ends when it is closed
            print(json.dumps(pack(job)), file=process.stdin, flush=True)
        for text in process.stdout:
            answer = json.loads(text) if text.endswith("\n") else {}  # incomplete line of a killed process
            if "done" in answer:
                progress(answer["done"], answer["of"])
        process.wait()
        if "result" in answer:
            return dict(answer["result"])
        errors.seek(0)
        raise JobError(answer.get("error") or _failure(errors.read(), process.returncode))


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    with suppress(BrokenPipeError), process:
        pass  # closes its pipes and waits


@contextmanager
def terminating(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Handle Ctrl-C and SIGTERM by `handler` in the block."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextmanager
def _signals_delayed() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM until after the block: within `Popen` they would leave an orphaned process."""
    received: list[int] = []
    with terminating(lambda number, frame: received.append(number)):
        yield
    for number in received:
        signal.raise_signal(number)


def _failure(errors: bytes, code: int) -> str:
    lines = [line for line in errors.decode("utf-8", "replace").splitlines() if line.strip()]
    return f"its process ended with code {code}: {lines[-1].strip()[:300] if lines else 'no message'}"
