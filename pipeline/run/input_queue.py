"""Queues from the capture threads to the processing thread."""

from __future__ import annotations

import threading
from collections import deque

from ..core.frames import Camera, Frame
from ..core.health import CAMERAS
from ..timing.sync import Wants


class Inbox:
    """Two bounded queues behind one lock.

    lossless (files, pipes): `put` waits for room, nothing is lost.
    latest (live): `put` never waits; the oldest frame gives way and is counted in `dropped`.
    """

    def __init__(self, capacity: int, lossless: bool) -> None:
        self.dropped: dict[Camera, int] = {"visible": 0, "infrared": 0}
        self._refused: dict[Camera, int] = {"visible": 0, "infrared": 0}
        self._capacity = capacity
        self._lossless = lossless
        self._frames: dict[Camera, deque[Frame]] = {"visible": deque(), "infrared": deque()}
        self._ended: set[Camera] = set()
        self._closed = False
        self._changed = threading.Condition()

    def put(self, frame: Frame) -> bool:
        """Leave a frame. False once the inbox was closed: the capture thread should end."""
        with self._changed:
            queue = self._frames[frame.camera]
            if self._lossless:
                self._changed.wait_for(lambda: self._closed or len(queue) < self._capacity)
            elif len(queue) >= self._capacity:
                queue.popleft()
                self.dropped[frame.camera] += 1
            if self._closed:
                self._refused[frame.camera] += 1
                return False
            queue.append(frame)
            self._changed.notify_all()
            return True

    def end(self, camera: Camera) -> None:
        """Say that no more frames of this camera will come."""
        with self._changed:
            self._ended.add(camera)
            self._changed.notify_all()

    def take(self, wanted: Wants, timeout: float) -> Frame | None:
        """The next frame of the wanted camera, the older one for `either`; None after `timeout` seconds or when
        the wanted cameras have ended and their frames are taken."""
        cameras = CAMERAS if wanted == "either" else (wanted,)

        def ready() -> bool:
            return self._closed or any(self._frames[c] for c in cameras) or all(c in self._ended for c in cameras)

        with self._changed:
            self._changed.wait_for(ready, timeout)
            waiting = [self._frames[c] for c in cameras if self._frames[c]]
            if not waiting:
                return None
            frame = min(waiting, key=lambda queue: queue[0].arrival_ns).popleft()
            self._changed.notify_all()
            return frame

    def finished(self, camera: Camera) -> bool:
        """Whether the camera has ended and all its frames were taken."""
        with self._changed:
            return camera in self._ended and not self._frames[camera]

    def close(self) -> None:
        """Wake all waiting threads. Frames still inside are counted by `left`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def left(self) -> dict[Camera, int]:
        """Number of frames of each camera that were not taken, including those that came after closing."""
        with self._changed:
            return {camera: len(waiting) + self._refused[camera] for camera, waiting in self._frames.items()}
