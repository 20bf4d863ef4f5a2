"""Ends a child process together with its parent, however the parent ends, SIGKILL included."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Make this process end with its parent. Call it first in a process of multiprocessing, or in one whose stdin is a
    pipe that the parent holds open.

    The process exits at the end of that pipe, or when multiprocessing reports that the parent has ended. On Linux the
    kernel kills it, too, since a compiler may hold the interpreter lock for a minute and block the thread that waits.
    For Linux the parent is the thread that started this process, so that thread must live as long.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_wait_for_parent, name="lifeline", daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    else:
        while os.read(0, 4096):
            pass
    os._exit(1)
