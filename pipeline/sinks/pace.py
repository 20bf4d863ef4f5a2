"""Real-time pacing of recordings that are watched during processing."""

from __future__ import annotations

import time

from ..core.frames import Frame


class Pace:
    """Delays the frames of recordings to their own times (real time). Live frames need no delay."""

    def __init__(self) -> None:
        self._origin: tuple[int, float] | None = None

    def wait(self, frame: Frame) -> int:
        """Wait until it is time for the frame. Returns nanoseconds since the first one, on the frame's clock."""
        if self._origin is None:
            self._origin = frame.time_ns, time.monotonic()
        since_ns = frame.time_ns - self._origin[0]
        if frame.clock != "monotonic":
            time.sleep(max(0.0, self._origin[1] + since_ns * 1e-9 - time.monotonic()))
        return since_ns
