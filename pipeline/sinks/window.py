"""A window on the screen."""

from __future__ import annotations

import os
import sys

import cv2

from ..errors import InputError
from ..result import Result
from .base import SinkHealth, StopRequested

_QUIT = {ord("q"), ord("Q"), 27}  # 27: Esc


class WindowSink:
    """Shows every frame in a resizable window. Write and close from one thread, the main one on macOS.

    `write` raises StopRequested when q or Esc was pressed or the window was closed.
    """

    def __init__(self, title: str = "fusecam") -> None:
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            # Qt would abort the whole process.
            raise InputError("--show: this machine has no display (DISPLAY is not set); leave --show out")
        self.health = SinkHealth()
        self._title = title
        self._shown = False

    def write(self, result: Result) -> None:
        """Show one image at once; the picture before it is replaced."""
        try:
            if not self._shown:
                height, width = result.image.shape[:2]
                cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
                cv2.resizeWindow(self._title, width, height)
                self._shown = True
            elif cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
                raise StopRequested
            cv2.imshow(self._title, cv2.cvtColor(result.image, cv2.COLOR_RGB2BGR))
            key = cv2.waitKey(1)
        except cv2.error as e:
            raise InputError(f"--show: no window can be opened: {' '.join(str(e).split())}; leave --show out") from e
        self.health.written += 1
        if key & 0xFF in _QUIT:
            raise StopRequested

    def close(self, complete: bool) -> None:
        """Take the window away."""
        if self._shown:
            self._shown = False
            cv2.destroyWindow(self._title)
            cv2.waitKey(1)
