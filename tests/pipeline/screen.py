"""Does to windows what a person does."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import shutil
import subprocess
import time
from collections.abc import Callable

import pytest

_CLIENT_MESSAGE = 33


def window_of(title: str, meanwhile: Callable[[], object] = lambda: time.sleep(0.05), patience_s: float = 10.0) -> str:
    """The number of the window of this title, once it is there; until then `meanwhile`, over and over. Skips the test
    where there is no xdotool."""
    if shutil.which("xdotool") is None:
        pytest.skip("no xdotool: nothing can be done to a window here")
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        meanwhile()
        search = ["xdotool", "search", "--onlyvisible", "--name", title]
        found = subprocess.run(search, capture_output=True, text=True, check=False).stdout.split()
        if found:
            return found[-1]
    raise AssertionError("the window never appeared")


def xdotool(*command: str) -> None:
    """Run one of its commands."""
    subprocess.run(["xdotool", *command], check=True)


def close_button(window: str) -> None:
    """What a window manager sends when somebody presses the window's x: WM_DELETE_WINDOW."""
    x11 = ctypes.CDLL(ctypes.util.find_library("X11") or "libX11.so.6")
    x11.XOpenDisplay.restype, x11.XInternAtom.restype = ctypes.c_void_p, ctypes.c_ulong
    display = ctypes.c_void_p(x11.XOpenDisplay(os.environ["DISPLAY"].encode()))
    protocols, delete = (x11.XInternAtom(display, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW"))

    class ClientMessage(ctypes.Structure):
        _fields_ = (
            ("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("sent", ctypes.c_int), ("display", ctypes.c_void_p),
            ("window", ctypes.c_ulong), ("kind", ctypes.c_ulong), ("format", ctypes.c_int), ("data", ctypes.c_long * 5),
            ("rest", ctypes.c_long * 24),
        )  # fmt: skip

    data = (ctypes.c_long * 5)(delete)
    message = ClientMessage(_CLIENT_MESSAGE, 0, 1, display, int(window), protocols, 32, data)
    assert x11.XSendEvent(display, ctypes.c_ulong(int(window)), 0, ctypes.c_long(0), ctypes.byref(message))
    x11.XCloseDisplay(display)
