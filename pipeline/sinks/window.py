"""A window on the screen."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..core.frames import Pixels
from ..core.machine import has_display
from ..core.result import Result
from ..errors import InputError
from . import viewer
from .base import SinkHealth

_OPENING_S = 20.0
_CLOSING_S = 5.0


def check_display() -> None:
    """InputError where no window can be shown."""
    if not has_display():
        raise InputError("--show: this machine has no display (DISPLAY is not set); leave --show out")


class WindowSink:
    """Shows the newest frame in a resizable window. Once q or Esc was pressed, or the window was closed or lost, it
    has had enough.

    The window is a process of its own: it stays responsive while frames take long, any thread may write, and where Qt
    finds no display it aborts that process and not this one. `write` only leaves the frame for a thread that sends
    it; frames that come faster than the screen takes them replace each other.
    """

    def __init__(self, title: str = "fusecam") -> None:
        check_display()
        self.health = SinkHealth()
        self._viewer = subprocess.Popen(
            [sys.executable, "-P", str(Path(viewer.__file__)), title],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # Qt complains about its fonts
            start_new_session=True,  # Ctrl-C is for the run, which closes the window
        )
        assert self._viewer.stdin is not None and self._viewer.stdout is not None
        self._input, self._output = self._viewer.stdin, self._viewer.stdout
        impatience = threading.Timer(_OPENING_S, self._viewer.kill)
        impatience.start()
        stands = self._output.read(1)
        impatience.cancel()
        if not stands:
            self._reap()
            raise InputError("--show: no window can be opened on this display; check DISPLAY, or leave --show out")
        self._changed = threading.Condition()
        self._newest: Pixels | None = None
        self._closing = False
        self._sender = threading.Thread(target=self._send, name="window", daemon=True)
        self._sender.start()

    def write(self, result: Result) -> None:
        """Show the result's image."""
        self.health.written += self.show(result.image)

    def show(self, image: Pixels) -> bool:
        """Show one image, (H, W, 3) uint8 RGB. False, and nothing done, once the window is gone."""
        code = self._viewer.poll()
        if code is not None:
            if code != viewer.QUIT and not self.health.enough:
                self.health.warnings.append("--show: the window was lost; the run was ended there")
            self.health.enough = True
            return False
        with self._changed:
            self._newest = image
            self._changed.notify()
        return True

    def close(self, complete: bool) -> None:
        """Take the window away, once it has shown the last image."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._sender.join(_CLOSING_S)
        self._reap()

    def _send(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._newest is not None)
                image, self._newest = self._newest, None
            if image is None:
                break
            try:
                self._input.write(viewer.HEADER.pack(*image.shape[:2]))
                self._input.write(np.ascontiguousarray(image).data)
                self._input.flush()
            except BrokenPipeError:  # the window is gone: `write` says why
                break

    def _reap(self) -> None:
        """End the process, by its end of input if it listens."""
        with suppress(OSError):
            self._input.close()
        try:
            self._viewer.wait(_CLOSING_S)
        except subprocess.TimeoutExpired:
            self._viewer.kill()
            self._viewer.wait()
        self._output.close()
