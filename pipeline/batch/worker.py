"""One worker of `fusecam batch --ray`: a process on some machine of the cluster that runs clips one after the other."""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from ..config import RunConfig
    from .clips import Clip, Row


class ClipWorker:
    """Made a Ray actor by `cluster`. Imports what is heavy only once its cores are its own."""

    def __init__(self, config: RunConfig, cores: int) -> None:
        """cores: how many this worker may keep busy."""
        self._claims = claim_cores(cores)
        self._config = config
        self._stop = threading.Event()
        self._tools: Any = None

    def ready(self) -> str | None:
        """Build the engine; returns fusecam's version here. Raises the expected errors."""
        import cv2

        from ..core.machine import version
        from ..run.streams import build_tools

        if self._claims:
            cv2.setNumThreads(len(self._claims))
        self._tools = build_tools(self._config.engine, self._config.detector)
        return version("fusecam")

    def run(self, clip: Clip, force: bool) -> Row:
        """Run one clip, or keep it if it is finished."""
        from ...engines.host.terminal import Terminal
        from .clips import run_clip

        return run_clip(clip, self._config, self._tools, force, self._stop, Terminal(quiet=True), clip.name)

    def stop(self) -> None:
        """End the clip that is running."""
        self._stop.set()


def claim_cores(number: int, folder: Path | None = None) -> dict[int, BinaryIO]:
    """Keep this process to `number` cores that no other worker on this machine has, as long as it lives.

    Libraries take their number of threads from that; without it every worker would start as many as the machine has.
    Returns the cores with the locked files that mark them, which the system releases when the process dies; {} where
    not enough cores are free, or the system has no such thing: then nothing is restricted.
    """
    if not hasattr(os, "sched_setaffinity"):
        return {}
    folder = folder or Path(tempfile.gettempdir()) / f"fusecam-cores-{os.getuid()}"
    claimed: dict[int, BinaryIO] = {}
    for core in sorted(os.sched_getaffinity(0)):
        file = _locked(folder / str(core))
        if file is None:
            continue
        claimed[core] = file
        if len(claimed) == number:
            for thread in Path("/proc/self/task").iterdir():  # threads to come inherit it from those that are there
                os.sched_setaffinity(int(thread.name), claimed)
            return claimed
    for file in claimed.values():
        file.close()
    return {}


def _locked(path: Path) -> BinaryIO | None:
    """The file, made and locked; None where another process has it."""
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
