"""Runs a job in its own process, so that engines do not share memory, threads or caches."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .jobs import Job, environment, pack

TERMINATING = signal.SIGINT, signal.SIGTERM


class JobError(Exception):
    """A job came to nothing. One line: why."""


def run_job(job: Job, cache: Path, tell: Callable[[int, int], None] = lambda done, total: None) -> dict[str, Any]:
    """Do one job and wait for it. Raises JobError; on any exception here, Ctrl-C too, the process is killed.

    cache: where the process finds and leaves converted networks. tell: called with how much is done, and of how much.
    """
    answer: dict[str, Any] = {}
    process = None
    with tempfile.TemporaryFile() as said:
        try:
            with _signals_wait():
                process = subprocess.Popen(
                    [sys.executable, "-m", "fusecam.pipeline.bench.child"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    text=True,
                    env=environment(job) | {"XDG_CACHE_HOME": str(cache)},
                    start_new_session=True,  # Ctrl-C in the terminal comes here alone, not as a traceback of the child
                )
            assert process.stdin is not None and process.stdout is not None
            with suppress(BrokenPipeError):  # it may be gone before it was given anything
                print(json.dumps(pack(job)), file=process.stdin, flush=True)  # open from here on: its lifeline
            for text in process.stdout:
                answer = json.loads(text) if text.endswith("\n") else {}  # killed in the middle of a word
                if "done" in answer:
                    tell(answer["done"], answer["of"])
            process.wait()
        finally:
            if process is not None:
                process.kill()
                process.wait()
                assert process.stdin is not None and process.stdout is not None
                with suppress(BrokenPipeError):
                    process.stdin.close()
                process.stdout.close()
        if "result" in answer:
            return dict(answer["result"])
        said.seek(0)
        raise JobError(answer.get("error") or _last_words(said.read(), process.returncode))


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Ctrl-C and SIGTERM take effect after the block: within `Popen` they would leave an orphaned process."""
    came: list[int] = []
    before = {each: signal.signal(each, lambda number, frame: came.append(number)) for each in TERMINATING}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    for number in came:
        signal.raise_signal(number)


def _last_words(said: bytes, code: int) -> str:
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    return f"its process ended with code {code}: {lines[-1].strip()[:300] if lines else 'it said nothing'}"
