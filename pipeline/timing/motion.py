"""Motion signatures: amount of motion over time in each cell of a grid, comparable between infrared and visible.

Levels differ between the cameras and contrast may be inverted, but edges of moving objects pass the same place at the
same time. A frame's signature is the change of local edge strength since the previous frame, per cell.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from ..core.frames import Pixels

Series = npt.NDArray[np.float32]

COLUMNS, ROWS = 16, 12
SMALL_WIDTH = 80
"""Width in pixels to which frames are downscaled for a signature: five pixels per cell."""

_SLOW_S = 0.5  # slower changes are removed: they hardly determine the lag, and may bias it
_STILL = 0.01  # change of relative edge strength per second, from rounding; sensor noise is far higher
_CONTRAST_FLOOR = 2.0  # gray levels: below it, contrast is sensor noise and is not amplified


class MotionSignature:
    """The motion of one stream over time.

    coverage: (h, w) uint8 of the small images, 255 where they are valid: cells less than half covered are left out.
    aspect: width / height of the camera's own frames, before any resizing.
    """

    def __init__(self, coverage: Pixels | None = None, aspect: float = 4 / 3) -> None:
        self.aspect = aspect
        self.valid = np.ones(COLUMNS * ROWS, bool)
        if coverage is not None:
            self.valid = cv2.resize(coverage, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA).ravel() >= 128
        self._edges: npt.NDArray[np.float32] | None = None
        self._time_ns = 0
        self._times: list[int] = []
        self._activity: list[Series] = []

    def __len__(self) -> int:
        """Number of frame differences held."""
        return len(self._times)

    @property
    def span_s(self) -> float:
        """Seconds from the first to the last difference."""
        return (self._times[-1] - self._times[0]) * 1e-9 if self._times else 0.0

    @property
    def start_ns(self) -> int:
        """Time of the first difference, the middle between its two frames; 0 without one."""
        return self._times[0] if self._times else 0

    def add(self, gray_small: Pixels, time_ns: int) -> None:
        """Add the next frame: (h, w) uint8, about SMALL_WIDTH wide, and its capture time in ns."""
        edges = _edges(gray_small)
        before, self._edges = self._edges, edges
        elapsed = time_ns - self._time_ns
        if before is not None and before.shape == edges.shape and elapsed > 0:
            change = cv2.resize(cv2.absdiff(edges, before), (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
            self._activity.append(change.ravel() / np.float32(elapsed * 1e-9))
            self._times.append(self._time_ns + elapsed // 2)
        self._time_ns = time_ns

    def sampled(self, step_s: float, smoothing_s: float) -> Series:
        """The signature at `start_ns` and every `step_s` on, as (n, ROWS * COLUMNS) float32 ready for correlation.

        Values are logarithmic, so that one strongly moving object does not dominate. Single-frame jumps of the whole
        image (key frames of the codec, flashes, gain steps) are removed. The series is smoothed by a Gaussian and
        high-pass filtered at half a second.
        """
        activity = np.stack(self._activity)
        floor = max(float(np.median(activity)), 0.1 * float(activity.mean()), _STILL)
        level = np.log1p(activity / floor)
        common = np.median(level, axis=1)
        level -= np.maximum(common - _median_of_three(common), 0)[:, None]
        times = np.array([t - self.start_ns for t in self._times]) * 1e-9
        at = np.arange(0, times[-1] + 1e-9, step_s)
        after = np.clip(np.searchsorted(times, at, side="right"), 1, len(times) - 1)
        share = ((at - times[after - 1]) / (times[after] - times[after - 1])).astype(np.float32)[:, None]
        values: Series = level[after - 1] * (1 - share) + level[after] * share
        if smoothing_s > 0:
            size = 2 * round(3 * smoothing_s / step_s) + 1
            kernel = cv2.getGaussianKernel(size, smoothing_s / step_s, cv2.CV_32F)
            values = _along_time(values, kernel)
        slow = min(2 * round(_SLOW_S / 2 / step_s) + 1, 2 * (len(values) // 2) - 1)
        values -= _along_time(values, np.full((max(slow, 1), 1), 1 / max(slow, 1), np.float32))
        values[:, ~self.valid] = 0
        return values


def _edges(gray: Pixels) -> npt.NDArray[np.float32]:
    """Edge strength relative to the image's contrast, so that gain and level do not matter."""
    level = cv2.GaussianBlur(gray.astype(np.float32), (0, 0), 1.0)
    level = level - cv2.blur(level, (9, 9))
    across, down = cv2.Sobel(level, cv2.CV_32F, 1, 0), cv2.Sobel(level, cv2.CV_32F, 0, 1)
    strength = np.asarray(cv2.magnitude(across, down), np.float32)
    strength /= float(cv2.norm(level)) / np.sqrt(level.size) + _CONTRAST_FLOOR
    return strength


def _along_time(values: Series, kernel: npt.ArrayLike) -> Series:
    one = np.ones((1, 1), np.float32)
    return np.asarray(cv2.sepFilter2D(values, cv2.CV_32F, one, np.asarray(kernel), borderType=cv2.BORDER_REFLECT))


def _median_of_three(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    padded = np.concatenate([x[:1], x, x[-1:]])
    middle: Series = np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0)
    return middle
