"""The window's process: shows frames that arrive on standard input. Run as a file by WindowSink, never imported by it.

Each frame is its height and width (little-endian uint32) and its RGB bytes. One byte on standard output says that the
window stands. The exit code is 0 at the end of input, QUIT when the person ended it.
"""

from __future__ import annotations

import os
import struct
import sys
import threading

import cv2
import numpy as np

QUIT = 3
HEADER = struct.Struct("<II")
_KEYS = {ord("q"), ord("Q"), 27}  # 27: Esc
_POLL_MS = 10


class _Newest:
    """The last frame read; a thread reads on so that the sender never waits for the screen."""

    def __init__(self) -> None:
        self.ended = False
        self._frame: tuple[int, int, bytes] | None = None
        self._lock = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def take(self) -> tuple[int, int, bytes] | None:
        """(height, width, RGB bytes), once."""
        with self._lock:
            frame, self._frame = self._frame, None
        return frame

    def _read(self) -> None:
        source = sys.stdin.buffer
        while len(header := source.read(HEADER.size)) == HEADER.size:
            height, width = HEADER.unpack(header)
            pixels = source.read(height * width * 3)
            if len(pixels) == height * width * 3:
                with self._lock:
                    self._frame = height, width, pixels
        self.ended = True


def main(title: str) -> int:
    """Show frames until there are no more (0) or the person ends it (QUIT)."""
    cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
    cv2.waitKey(1)
    sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
    newest = _Newest()
    sized = False
    while True:
        ended = newest.ended  # before the last look, so that the last frame is shown
        frame = newest.take()
        if frame is not None:
            height, width, pixels = frame
            if not sized:
                cv2.resizeWindow(title, width, height)
                sized = True
            image = np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
            cv2.imshow(title, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        elif ended:
            return 0
        key = cv2.waitKey(_POLL_MS)
        if (key >= 0 and key & 0xFF in _KEYS) or _closed(title):
            return QUIT


def _closed(title: str) -> bool:
    try:
        return cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) < 1
    except cv2.error:  # of OpenCV 5 with Qt, once its last window is gone
        return True


if __name__ == "__main__":
    os._exit(main(sys.argv[1]))  # the reading thread may hold standard input, which an orderly exit waits for
