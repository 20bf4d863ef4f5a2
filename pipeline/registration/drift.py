"""Drift monitor: checks from edges that both cameras see whether the rig still fits. It warns; it changes no warp.

    monitor = DriftMonitor(registrar)
    monitor.update(pair)           # every pair; most are skipped at no cost
    monitor.moved, monitor.shift_px, registrar.warnings

A few times a second both frames are compared (see `agreement`), and the surfaces are averaged over about a second,
which reduces the effect of haze and noise. The displacement of their maximum is compared

- with the one recorded at calibration, if the rig file has it: this detects a rig that is wrong from the start;
- with the one in the scene's first seconds, which is more precise, since it includes the parallax of the scene;
- as a median over the last scenes, with that over the first scenes: this detects a shift later, but also if the scene
  changes often.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from ...calib.rig import EdgeRecord
from ..core.frames import FramePair, Pixels
from .agreement import HEIGHT, Agreement, Array, Peak
from .register import Registrar

_EVERY_S = 0.3  # between two comparisons
_POOL_S = 1.0  # time constant of the pooled surfaces
_SETTLE_S = 1.5  # start of a scene, over which the reference is averaged
_REFERENCE_S = 60.0  # time constant of the reference, which follows slow changes of the scene's distance
_CUT = 0.3  # correlation with the previous thumbnails, mean of both cameras; below it is a cut (118 of 119 cuts are)
_SCENES = 7  # whose median displacement is compared
_MOVED_PX = 4.0  # visible pixels at 640 columns
_BACK_PX = 2.0
_BEYOND_PX = 3.0  # beyond the spread of the calibration's pairs, which may show near and distant scenes
_COMPARISONS = 3  # in a row, for a change of state
_AGREEMENT = 0.4  # of the reference's agreement; below it (haze, night) a comparison is ignored
_LEAD = 0.2  # of the new displacement over the old one, in standard deviations; without a shift below 0.05
_THUMBNAIL = (32, 24)
_CELLS = 0.4  # least share of the cells, by weight, that agree better at the new displacement


class _Hysteresis:
    """Hysteresis: set after `_COMPARISONS` comparisons in a row with a shift, reset after as many without."""

    def __init__(self) -> None:
        self.active = False
        self._away = self._back = 0

    def update(self, away: bool, back: bool) -> bool:
        """Add the result of a comparison. Returns whether it has just set the state."""
        self._away = self._away + 1 if away else 0
        self._back = self._back + 1 if back else 0
        if self._back >= _COMPARISONS:
            self.active = False
        set_now = self._away >= _COMPARISONS and not self.active
        self.active |= set_now
        return set_now

    def skip(self) -> None:
        """Handle a comparison without a result (fog, night, a wall): it restarts the count of shifts."""
        self._away = 0


class DriftMonitor:
    """Monitors the registration of one run. `update` is called from one thread; the properties may be read from any.

    Attributes:
        shift_px: (x, y) shift of infrared in visible pixels since the calibration, or since the start if the rig file
            has no edge record; None while unknown.
        warning: the first warning, None without; also added to the registrar's warnings.
        on_warning: called with it.
    """

    def __init__(self, registrar: Registrar) -> None:
        self.shift_px: tuple[float, float] | None = None
        self.warning: str | None = None
        self.on_warning: Callable[[str], None] | None = None
        self._registrar = registrar
        self._agreement = Agreement(registrar)
        self._recorded: EdgeRecord | None = None
        self._sizes: tuple[tuple[int, int], tuple[int, int]] | None = None
        self._compared_ns: int | None = None
        self._calibrated, self._in_scene = _Hysteresis(), _Hysteresis()
        self._scenes_moved = False
        self._reset()

    @property
    def moved(self) -> bool:
        """Whether infrared is shifted by more than the tolerance."""
        return self._calibrated.active or self._in_scene.active or self._scenes_moved

    def update(self, pair: FramePair) -> None:
        """Compare the pair if a comparison is due. Folders of images may mix scenes and are not compared."""
        if pair.infrared is None or pair.visible.clock == "index":
            return
        now = pair.visible.time_ns
        elapsed = (now - self._compared_ns) * 1e-9 if self._compared_ns is not None else _EVERY_S
        if 0 <= elapsed < _EVERY_S:
            return
        sizes = pair.visible.size, pair.infrared.size
        if sizes != self._sizes or elapsed < 0:
            self._sizes = sizes
            self._reset()
        self._compared_ns = now
        if self._is_cut(pair):
            self._end_scene()
        surfaces = self._agreement.surfaces(pair.visible.pixels, pair.infrared.pixels)
        if surfaces is not None:
            self._judge(surfaces, min(elapsed, 2 * _POOL_S))

    def account(self) -> dict[str, Any]:
        """State for the report: `moved`, `shift_px` and `warning`, see there."""
        return {"moved": self.moved, "shift_px": self.shift_px, "warning": self.warning}

    def _reset(self) -> None:
        self._recorded = self._registrar.edges(*self._sizes) if self._sizes else None
        self._before: list[Array] | None = None
        self._first: list[Peak] = []
        self._last: deque[Peak] = deque(maxlen=_SCENES)
        self._new_scene()

    def _new_scene(self) -> None:
        self._pooled: Array | None = None
        self._reference: Array | None = None
        self._seen_s = 0.0
        self._scenes_moved |= self._in_scene.active  # a new scene cannot show that it has ended
        self._in_scene = _Hysteresis()
        self._calibrated.skip()

    def _is_cut(self, pair: FramePair) -> bool:
        """Whether the scene has changed since the last comparison."""
        assert pair.infrared is not None
        now = [_thumbnail(frame.pixels) for frame in (pair.visible, pair.infrared)]
        before, self._before = self._before, now
        return float(np.mean([(a * b).sum() for a, b in zip(now, before or now, strict=True)])) < _CUT

    def _end_scene(self) -> None:
        """Store the scene's displacement, and compare the median of the last scenes with that of the first ones."""
        place = None if self._reference is None else self._agreement.peak(self._reference)
        settled = self._seen_s >= _SETTLE_S
        self._new_scene()
        if place is None or not settled or place.height < HEIGHT:
            return
        if len(self._first) < _SCENES:
            self._first.append(place)
            return
        if place.agreement < _AGREEMENT * float(np.median([first.agreement for first in self._first])):
            return
        self._last.append(place)
        if len(self._last) == _SCENES:
            before, now = (np.median([peak.at for peak in peaks], axis=0) for peaks in (self._first, self._last))
            x, y = now - before
            if self._length_px(x, y) >= _MOVED_PX:
                self._scenes_moved = True
                self._warn((float(x), float(y)), "the start")
            elif self._length_px(x, y) < _BACK_PX:
                self._scenes_moved = False

    def _length_px(self, x: float, y: float) -> float:
        """Length of a shift in visible pixels, scaled to an image of 640 columns."""
        return float(np.hypot(x, y)) * 640 / (self._sizes[0][0] if self._sizes else 640)

    def _judge(self, surfaces: Array, elapsed: float) -> None:
        self._pooled = _averaged(self._pooled, surfaces, elapsed / _POOL_S)
        self._seen_s += elapsed
        if self._seen_s >= _POOL_S:
            self._compare_with_calibration(self._agreement.peak(self._pooled))
        if self._reference is None or self._seen_s < _SETTLE_S:
            self._reference = _averaged(self._reference, surfaces, elapsed / max(self._seen_s, elapsed))
            return
        now, before = self._agreement.peak(self._pooled), self._agreement.peak(self._reference)
        if min(now.height, before.height) < HEIGHT or now.agreement < _AGREEMENT * before.agreement:
            self._in_scene.skip()
            return
        shift = now.at[0] - before.at[0], now.at[1] - before.at[1]
        if self._recorded is None:
            self.shift_px = _rounded(shift)
        far = self._length_px(*shift)
        away = far >= _MOVED_PX and self._leads(now.at, before.at)
        if self._in_scene.update(away, far < _BACK_PX):
            self._warn(shift, "the start")
        if not self._in_scene.active and not away:
            self._reference = _averaged(self._reference, surfaces, elapsed / _REFERENCE_S)

    def _compare_with_calibration(self, now: Peak) -> None:
        if self._recorded is None:
            return
        if now.height < HEIGHT or now.agreement < _AGREEMENT * self._recorded.agreement:
            self._calibrated.skip()
            return
        then = self._recorded.shift_px
        shift = now.at[0] - then[0], now.at[1] - then[1]
        self.shift_px = _rounded(shift)
        far, usual = self._length_px(*shift), self._length_px(self._recorded.spread_px, 0)
        away = far >= max(_MOVED_PX, usual + _BEYOND_PX) and self._leads(now.at, then)
        if self._calibrated.update(away, far < max(_BACK_PX, usual)):
            self._warn(shift, "the calibration")

    def _leads(self, now: tuple[float, float], before: tuple[float, float]) -> bool:
        """Whether the new displacement agrees clearly better than the old one, and in enough cells."""
        assert self._pooled is not None
        here, there = (self._agreement.values(self._pooled, place) for place in (now, before))
        lead = float((here - there).sum()) / (float(self._pooled.sum(axis=0).std()) + 1e-9)
        weights = self._pooled.mean(axis=(1, 2))
        share = float(weights[here > there].sum() / (weights.sum() + 1e-9))
        return lead >= _LEAD and share >= _CELLS

    def _warn(self, shift: tuple[float, float], since: str) -> None:
        if self.warning is not None:
            return
        self.warning = (
            f"registration: infrared has moved by about {np.hypot(*shift):.0f} px ({shift[0]:+.0f}, "
            f"{shift[1]:+.0f}) since {since}: the rig file no longer fits; see that nothing is loose, then calibrate "
            "again"
        )
        self._registrar.warnings.append(self.warning)
        if self.on_warning is not None:
            self.on_warning(self.warning)


def _rounded(shift: tuple[float, float]) -> tuple[float, float]:
    return round(float(shift[0]), 1), round(float(shift[1]), 1)


def _thumbnail(pixels: Pixels) -> Array:
    """High-pass filtered image of (24, 32) float32, scaled to a norm of 1."""
    small = cv2.resize(pixels, _THUMBNAIL, interpolation=cv2.INTER_AREA)
    grey = (cv2.cvtColor(small, cv2.COLOR_RGB2GRAY) if small.ndim == 3 else small).astype(np.float32)
    out = grey - cv2.blur(grey, (9, 9))
    return np.asarray(out / (np.linalg.norm(out) + 1e-6), np.float32)


def _averaged(pooled: Array | None, surfaces: Array, share: float) -> Array:
    """Exponential mean. share: weight of the new surfaces."""
    return surfaces if pooled is None else pooled + np.float32(min(share, 1.0)) * (surfaces - pooled)
