"""16-bit infrared to 8-bit, with a smoothed range that avoids pumping."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ...config import ThermalConfig
from ...core.frames import Pixels
from ...errors import InputError

_SAMPLES = 20_000
_RESTART_NS = 1_000_000_000


class ThermalMapper:
    """Maps raw counts linearly onto 0..255: y = 255 (x - low) / (high - low), clipped.

    [low, high] is `config.range`, or the frame's percentiles smoothed over capture time by a first-order low-pass:
    r += (1 - exp(-dt / smoothing_s)) (p - r). The first frame sets it, and so does a jump back in time of over 1 s.
    Raises InputError naming the setting when range or percentiles are not increasing.
    """

    def __init__(self, config: ThermalConfig) -> None:
        if config.range is not None and not config.range[0] < config.range[1]:
            raise InputError(f"thermal.range: low must be below high, got {list(config.range)}")
        low, high = config.percentiles
        if not 0 <= low < high <= 100:
            raise InputError(f"thermal.percentiles: need 0 <= low < high <= 100, got {[low, high]}")
        self._fixed = config.range is not None
        self._percentiles = config.percentiles
        self._smoothing_ns = config.smoothing_s * 1e9
        self.range: tuple[float, float] | None = config.range
        """[low, high] in raw counts as used for the last frame; None before the first, unless it is fixed."""
        self._time_ns = 0

    def map(self, raw: npt.NDArray[np.generic], time_ns: int) -> Pixels:
        """raw: (H, W) of any integer or float type, NaN taken as coldest. Returns (H, W) uint8."""
        if not self._fixed:
            self._follow(raw, time_ns)
        low, high = self.range or (0.0, 1.0)
        # A frame without contrast comes out mid-grey instead of dividing by zero.
        least = 1.0 if np.issubdtype(raw.dtype, np.integer) else 1e-6 * max(abs(low), abs(high), 1.0)
        if high - low < least:
            middle = (low + high) / 2
            low, high = middle - least / 2, middle + least / 2
        scaled: npt.NDArray[np.float64] | npt.NDArray[np.float32]
        scaled = raw.astype(np.float32) if raw.dtype.itemsize <= 2 else raw.astype(np.float64)
        scaled -= low
        scaled *= 255 / (high - low)
        if not np.issubdtype(raw.dtype, np.integer):
            np.nan_to_num(scaled, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
        np.clip(scaled, 0, 255, out=scaled)
        scaled += 0.5
        return scaled.astype(np.uint8)

    def _follow(self, raw: npt.NDArray[np.generic], time_ns: int) -> None:
        now = self._measure(raw)
        if now is None:
            return
        elapsed = time_ns - self._time_ns
        if self.range is None or elapsed < -_RESTART_NS or self._smoothing_ns == 0:
            self.range = now
        else:
            gain = -math.expm1(-max(0, elapsed) / self._smoothing_ns)
            low, high = self.range
            self.range = low + gain * (now[0] - low), high + gain * (now[1] - high)
        self._time_ns = time_ns

    def _measure(self, raw: npt.NDArray[np.generic]) -> tuple[float, float] | None:
        """Percentiles over a regular grid of some 20 000 pixels; None when no pixel is finite."""
        step = max(1, math.isqrt(raw.size // _SAMPLES))
        sample = raw[step // 2 :: step, step // 2 :: step].astype(np.float64)
        sample = sample[np.isfinite(sample)]
        if sample.size == 0:
            return None
        low, high = np.percentile(sample, self._percentiles)
        return float(low), float(high)
