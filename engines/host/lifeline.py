"""A helper process that ends with the one that started it, however that one ends, kill -9 included."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Called first thing in a process of multiprocessing, or in one that was started with a pipe as its stdin, which
    the parent holds open.

    The end of that pipe, or of multiprocessing's own, ends this process, on every system. Linux also kills it itself: a
    compiler may keep the interpreter, and with it the thread that reads, busy for a minute. To Linux the parent is the
    thread that started this process, so that thread must live as long.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_until_the_parent_ends, name="lifeline", daemon=True).start()


def _until_the_parent_ends() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    else:
        while os.read(0, 4096):
            pass
    os._exit(1)
