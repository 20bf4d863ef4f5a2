"""Whether a live camera sends the same picture again and again: infrared while it recalibrates, or a hung camera."""

from __future__ import annotations

from collections import deque

import numpy as np

from .frames import Camera, Frame, Pixels

_REMEMBERED = 65
_STOOD = 2.5  # times as long as a picture usually stands: two repetitions, and half a period for jitter
_UNKNOWN_NS = 1_000_000_000  # while it is not known how long pictures usually stand
_LEAST_NS: dict[Camera, int] = {"infrared": 0, "visible": 1_000_000_000}
_ROWS = 16  # every 16th row tells nearly all differences


class FreezeWatch:
    """Of one live camera, by exact equality of whole pictures: a sensor that works has noise.

    Cameras that send each picture several times (a 9 Hz core at 30 fps) are known by how long a picture usually stands,
    the median of the last 65. An infrared picture that stands 2.5 times as long is frozen. A visible one has to stand
    for a second as well: network cameras encode a scene without motion into equal frames.
    """

    def __init__(self, camera: Camera) -> None:
        self._least_ns = _LEAST_NS[camera]
        self._picture: Pixels | None = None
        self._since_ns = 0
        self._stood: deque[int] = deque(maxlen=_REMEMBERED)

    def frozen(self, frame: Frame) -> bool:
        """Whether this frame is one repetition too many. Every frame of the camera has to pass here, in order."""
        if self._picture is None or not _equal(self._picture, frame.pixels):
            if self._picture is not None:
                self._stood.append(frame.arrival_ns - self._since_ns)
            self._picture, self._since_ns = frame.pixels, frame.arrival_ns
            return False
        return frame.arrival_ns - self._since_ns > max(self._least_ns, self._limit_ns)

    @property
    def _limit_ns(self) -> float:
        if not self._stood:
            return _UNKNOWN_NS
        return _STOOD * sorted(self._stood)[len(self._stood) // 2]


def _equal(a: Pixels, b: Pixels) -> bool:
    return a.shape == b.shape and np.array_equal(a[::_ROWS], b[::_ROWS]) and np.array_equal(a, b)
