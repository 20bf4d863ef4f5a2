"""Engines built in a process of their own, into the store.

Torch, the conversion and the comparison leave some 600 MiB in the process that they ran in: a camera that changes its
frame size in mid-run, or an engine that is replaced, would make a run keep them to its end. And what compiles cannot be
interrupted, but a process can be ended.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..base import BuildStopped

LIMIT_S = 600.0
"""After which a build is given up; the slowest network takes a minute on two cores."""
POLL_S = 0.05
"""How soon a stop is noticed."""
BUILDER = "fusecam.engines"
"""The module that is run there. It knows the engines; nothing here does."""
_stop: threading.Event | None = None


@contextmanager
def stoppable(stop: threading.Event) -> Iterator[None]:
    """Within the block an engine's build ends with BuildStopped, in whatever thread it is, once `stop` is set.

    It is then built apart even where this process has imported torch already.
    """
    global _stop
    before, _stop = _stop, stop
    try:
        yield
    finally:
        _stop = before


def build_apart(what: str, *arguments: object, always: bool = False) -> bool:
    """Build an engine in another process; whoever asks then finds it in the store.

    what, arguments: see `fusecam.engines.__main__`. always: also where this process has imported torch.

    Returns whether it ended well. False, and nothing done, where this process has imported torch already, unless the
    build is to be stoppable: then there is nothing to be saved. The other process ends with this call, and with this
    process, however they end. Raises BuildStopped, see `stoppable`.
    """
    stop = _stop
    if stop is None and "torch" in sys.modules and not always:
        return False
    if stop is not None and stop.is_set():
        raise BuildStopped
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", BUILDER, what, *(str(argument) for argument in arguments)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,  # whose end tells it that this process is gone
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the run, which ends this one
        )
    except OSError:
        return False
    deadline = time.monotonic() + LIMIT_S
    with process:
        try:
            while process.poll() is None and time.monotonic() < deadline:
                if stop is None:
                    time.sleep(POLL_S)
                elif stop.wait(POLL_S):
                    raise BuildStopped
        finally:
            process.kill()
    return process.returncode == 0
