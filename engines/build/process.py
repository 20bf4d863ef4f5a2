"""Builds engines in a separate process, which writes them to the store.

torch, conversion and comparison take some 600 MiB that a process does not give back: a run whose camera changes its
frame size, or whose engine is replaced, would hold them to its end. And a compiler cannot be interrupted, but a process
can be terminated.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ..base import BuildStopped

LIMIT_S = 600.0
"""Time limit of a build, in seconds; the slowest network takes a minute on two cores."""
POLL_S = 0.05
"""Interval in seconds at which a stop request is checked."""
BUILDER = "fusecam.engines"
"""Module that the process runs. Named by a string, since it imports the engines, which import this module."""
_stop: ContextVar[threading.Event | None] = ContextVar("stop", default=None)


@contextmanager
def stoppable(stop: threading.Event) -> Iterator[None]:
    """Context in which setting `stop`, from any thread, cancels a build with BuildStopped.

    Engines are then always built in another process, even if this one has imported torch. It holds for the calling
    thread, as others may run streams of their own; a thread that builds for it needs a copy of its context.
    """
    token = _stop.set(stop)
    try:
        yield
    finally:
        _stop.reset(token)


def build_apart(what: str, *arguments: object, always: bool = False) -> bool:
    """Build an engine in another process, which writes it to the store.

    The other process never outlives this call or this process.

    Args:
        what, *arguments: See `fusecam.engines.__main__`.
        always: Build in another process even if this one has imported torch.

    Returns:
        Whether the build succeeded. False, without building, if this process has imported torch already, as another
        process would then save no memory; not so with `always` or within `stoppable`.

    Raises:
        BuildStopped: See `stoppable`.
    """
    stop = _stop.get()
    if stop is None and "torch" in sys.modules and not always:
        return False
    if stop is not None and stop.is_set():
        raise BuildStopped
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", BUILDER, what, *(str(argument) for argument in arguments)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,  # its end of file tells the process that this one has ended
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C goes to the run only, which terminates the build
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
