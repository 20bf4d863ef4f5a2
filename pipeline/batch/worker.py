"""Runs a clip of `fusecam batch --ray` in a Ray worker process."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ...engines.host.devices import cores

if TYPE_CHECKING:
    from ..config import RunConfig
    from .clips import Clip, Row, Work


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """Settings for all clips. cores: per clip. version: of fusecam, which all nodes must have."""

    config: RunConfig
    force: bool
    cores: int
    version: str | None


def run_remote(clip: Clip, settings: BatchSettings) -> tuple[Row, str, str, bool]:
    """Run one clip, or keep it if it is finished.

    Returns:
        The row, the Ray id and host name of this node, and whether the node can run clips at all.

    Large libraries are imported after the cores are claimed. Engines and cores are kept for the next clip.
    """
    import ray

    claims = _claims(settings.cores)
    from ...engines.host.terminal import Terminal
    from ..core.machine import version
    from ..errors import InputError, expected_errors
    from ..run.console import interruptible
    from .clips import Row, run_clip

    here, installed = (ray.get_runtime_context().get_node_id(), socket.gethostname()), version("fusecam")
    try:
        if installed != settings.version:
            raise InputError(f"{here[1]} has fusecam {installed}, not {settings.version}; install the same")
        work = _work(settings.config.model_dump_json(), settings.force, len(claims))
        work = replace(work, config=settings.config)  # which knows its file, too
    except expected_errors() as error:
        return Row(clip.name, "failed", remark=str(error)), *here, False
    with interruptible() as stop:  # Ray cancels a task by an interrupt
        row = run_clip(clip, work, stop, Terminal(quiet=True), clip.name)
    return row, *here, True


@lru_cache(maxsize=1)
def _claims(cores: int) -> dict[int, BinaryIO]:
    return claim_cores(cores)


@lru_cache(maxsize=1)
def _work(settings: str, force: bool, cores: int) -> Work:
    import cv2

    from ..config import RunConfig
    from .clips import Work

    if cores:
        cv2.setNumThreads(cores)
    return Work.prepare(RunConfig.model_validate_json(settings), force)


def claim_cores(number: int, folder: Path | None = None) -> dict[int, BinaryIO]:
    """Pin this process to `number` CPU cores that no other worker of this machine uses.

    Libraries derive their number of threads from the affinity. Returns a locked file per claimed core; the system
    releases the locks when the process ends. Returns {} and changes nothing if too few cores are free, or the system
    does not support affinity.
    """
    if not hasattr(os, "sched_setaffinity"):
        return {}
    folder = folder or Path(tempfile.gettempdir()) / f"fusecam-cores-{os.getuid()}"
    claimed: dict[int, BinaryIO] = {}
    for core in cores():
        file = _locked(folder / str(core))
        if file is None:
            continue
        claimed[core] = file
        if len(claimed) == number:
            for thread in Path("/proc/self/task").iterdir():  # new threads inherit it
                os.sched_setaffinity(int(thread.name), claimed)
            return claimed
    for file in claimed.values():
        file.close()
    return {}


def _locked(path: Path) -> BinaryIO | None:
    """Create and lock a file. None if another process holds the lock."""
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
        else:
            return file
    return None
