"""Watches whether infrared still lies where the rig says, from edges that both cameras see. It warns; it moves nothing.

    monitor = DriftMonitor(registrar)
    monitor.look(pair)           # every pair; most are passed over at no cost
    monitor.moved, monitor.shift_px, registrar.warnings

A few times a second both images, small and registered, are compared in cells: edge directions, correlated over small
displacements. The cells' surfaces are pooled over about a second, which makes up for haze and noise. The displacement
at which they sum to the most is compared with that of the scene's own first seconds: a scene as far as the rig's plane
lies at 0, a nearer one elsewhere, and neither says that the rig has moved. What scenes say in the middle is compared
too, so that a shift is noticed, later, where scenes change quickly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..calib.rig import RigError
from ..calib.scene.structure import eroded, structure
from .frames import FramePair, Pixels
from .register import Registrar

Array = npt.NDArray[np.float32]

_EVERY_S = 0.3  # between two looks
_WIDTH, _NARROWEST, _WIDEST = 4, 120, 320  # visible pixels to one of the small images', and its bounds
_COLUMNS, _ROWS = 4, 3
_REACH = 6  # small pixels: 24 visible ones
_POOL_S = 1.0  # time constant of the pooled surfaces
_SETTLE_S = 1.5  # of a scene: where infrared lies then is what later looks are compared with
_REFERENCE_S = 60.0  # time constant of the reference, which follows slow changes of the scene's distance
_CUT = 0.3  # least likeness of a look to the one before in one scene, mean of both cameras; of 119 cuts 118 stay below
_SCENES = 7  # whose middle stands for the rig where scenes change before a shift could be told within one
_MOVED_PX = 4.0  # visible pixels at 640 columns
_BACK_PX = 2.0
_LOOKS = 3  # in a row
_HEIGHT = 2.0  # least height of the pooled peak, in deviations of the surface
_AGREEMENT = 0.4  # of the agreement at the start: below it haze or night hide too much to tell
_LEAD = 0.2  # of the new place over the old one, in deviations; an unmoved rig stays below 0.05
_THUMBNAIL = (32, 24)
_CELLS = 0.4  # least share of the cells' weight that leads at the new place


@dataclass(frozen=True, slots=True, eq=False)
class _Peak:
    """at: (x, y) in small pixels from the middle. agreement: over the surface's mean; height: in its deviations."""

    at: tuple[float, float]
    agreement: float
    height: float


class DriftMonitor:
    """The registration of one run. `look` is called from one thread; the properties may be read from any.

    shift_px: how far infrared lies from where it lay at the start, (x, y) in visible pixels, None while not known.
    moved: whether that is too much. The warning goes to the registrar's, and to on_warning, once.
    """

    def __init__(self, registrar: Registrar) -> None:
        self.shift_px: tuple[float, float] | None = None
        self.moved = False
        self.warning: str | None = None
        self.on_warning: Callable[[str], None] | None = None
        self._registrar = registrar
        self._sizes: tuple[tuple[int, int], tuple[int, int]] | None = None
        self._scale = 1.0
        self._looked_ns: int | None = None
        self._forget()

    def look(self, pair: FramePair) -> None:
        """Compare the pair, if it is time to. Images of a folder need not be of one scene and are not compared."""
        if pair.infrared is None or pair.visible.clock == "index":
            return
        now = pair.visible.time_ns
        elapsed = (now - self._looked_ns) * 1e-9 if self._looked_ns is not None else _EVERY_S
        if 0 <= elapsed < _EVERY_S:
            return
        sizes = pair.visible.size, pair.infrared.size
        if sizes != self._sizes or elapsed < 0:
            self._sizes = sizes
            self._forget()
        self._looked_ns = now
        if self._is_cut(pair):
            self._scene_over()
        surfaces = self._surfaces(pair)
        if surfaces is not None:
            self._judge(surfaces, min(elapsed, 2 * _POOL_S))

    def account(self) -> dict[str, Any]:
        """For the report: what the last looks said, and the warning, None if there was none."""
        return {"moved": self.moved, "shift_px": self.shift_px, "warning": self.warning}

    def _forget(self) -> None:
        self._before: list[Array] | None = None
        self._first: list[_Peak] = []
        self._last: deque[_Peak] = deque(maxlen=_SCENES)
        self._new_scene()

    def _new_scene(self) -> None:
        self._pooled: Array | None = None
        self._reference: Array | None = None
        self._seen_s, self._times, self._back = 0.0, 0, 0
        self._told_here = False  # a move told in another scene cannot be seen to end in this one

    def _is_cut(self, pair: FramePair) -> bool:
        """Whether the cameras show another scene than at the look before."""
        assert pair.infrared is not None
        now = [_thumbnail(frame.pixels) for frame in (pair.visible, pair.infrared)]
        before, self._before = self._before, now
        return float(np.mean([(a * b).sum() for a, b in zip(now, before or now, strict=True)])) < _CUT

    def _scene_over(self) -> None:
        """Keep where the scene lay, and compare the last scenes' middle with that of the first ones."""
        place = None if self._reference is None else _peak(self._reference.sum(axis=0))
        settled = self._seen_s >= _SETTLE_S
        self._new_scene()
        if place is None or not settled or place.height < _HEIGHT:
            return
        if len(self._first) < _SCENES:
            self._first.append(place)
            return
        if place.agreement < _AGREEMENT * float(np.median([first.agreement for first in self._first])):
            return
        self._last.append(place)
        if len(self._last) == _SCENES:
            x, y = (_middle(self._last) - _middle(self._first)) * self._scale
            if self._far(x, y) >= _MOVED_PX:
                self._warn((round(float(x), 1), round(float(y), 1)))
            elif self._far(x, y) < _BACK_PX:
                self.moved = False

    def _far(self, x: float, y: float) -> float:
        """Length of a shift in visible pixels, as on an image of 640 columns."""
        return float(np.hypot(x, y)) * 640 / (self._sizes[0][0] if self._sizes else 640)

    def _surfaces(self, pair: FramePair) -> Array | None:
        """(cells, s, s): correlation of each cell over displacements of infrared, weighted by the cell's edges."""
        assert pair.infrared is not None
        width, height = pair.visible.size
        self._scale = width / min(max(width // _WIDTH, _NARROWEST), _WIDEST, width)
        small = round(width / self._scale), round(height / self._scale)
        try:
            warp = self._registrar.warp(small, pair.infrared.size)
        except RigError:
            return None
        area = eroded(warp.coverage > 127)
        grey = cv2.cvtColor(cv2.resize(pair.visible.pixels, small, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        look = structure(np.asarray(grey, np.uint8), area)[:2]
        feel = structure(warp.apply(pair.infrared.pixels), area)[:2]
        seen, felt = (np.ascontiguousarray(f.transpose(1, 2, 0)) for f in (look, feel))
        side = 2 * _REACH + 1
        surfaces = np.zeros((_ROWS * _COLUMNS, side, side), np.float32)
        wide, high = (small[0] - 2 * _REACH) // _COLUMNS, (small[1] - 2 * _REACH) // _ROWS
        for k in range(len(surfaces)):
            top, left = _REACH + k // _COLUMNS * high, _REACH + k % _COLUMNS * wide
            ours = seen[top : top + high, left : left + wide]
            theirs = felt[top - _REACH : top + high + _REACH, left - _REACH : left + wide + _REACH]
            weight = float(np.sqrt((ours**2).sum() / (wide * high)))
            if weight > 1e-3:
                surfaces[k] = weight * cv2.matchTemplate(theirs, ours, cv2.TM_CCORR_NORMED)
        return surfaces

    def _judge(self, surfaces: Array, elapsed: float) -> None:
        self._pooled = _mixed(self._pooled, surfaces, elapsed / _POOL_S)
        self._seen_s += elapsed
        if self._reference is None or self._seen_s < _SETTLE_S:
            self._reference = _mixed(self._reference, surfaces, elapsed / max(self._seen_s, elapsed))
            return
        now, before = _peak(self._pooled.sum(axis=0)), _peak(self._reference.sum(axis=0))
        if min(now.height, before.height) < _HEIGHT or now.agreement < _AGREEMENT * before.agreement:
            self._times = 0  # fog, night, or a wall: nothing to tell it by
            return
        shift = (now.at[0] - before.at[0]) * self._scale, (now.at[1] - before.at[1]) * self._scale
        far = self._far(*shift)
        self.shift_px = round(shift[0], 1), round(shift[1], 1)
        leads = far >= _MOVED_PX and self._leads(now, before)
        self._times = self._times + 1 if leads else 0
        self._back = self._back + 1 if far < _BACK_PX else 0
        if self._times >= _LOOKS:
            self._told_here = True
            self._warn(self.shift_px)
        elif self._told_here and self._back >= _LOOKS:
            self.moved = self._told_here = False
        if not self.moved and not leads:
            self._reference = _mixed(self._reference, surfaces, elapsed / _REFERENCE_S)

    def _leads(self, now: _Peak, before: _Peak) -> bool:
        """Whether the new place is better than the old one by far, and in most cells."""
        assert self._pooled is not None
        whole = self._pooled.sum(axis=0)
        here, there = (_value(self._pooled, peak) for peak in (now, before))
        lead = float((here - there).sum()) / (float(whole.std()) + 1e-9)
        weights = self._pooled.mean(axis=(1, 2))
        share = float(weights[here > there].sum() / (weights.sum() + 1e-9))
        return lead >= _LEAD and share >= _CELLS

    def _warn(self, shift: tuple[float, float]) -> None:
        self.moved, self.shift_px = True, shift
        if self.warning is None:
            self.warning = (
                f"registration: infrared has moved by about {np.hypot(*shift):.0f} px ({shift[0]:+.0f}, "
                f"{shift[1]:+.0f}): the rig file no longer fits; see that nothing is loose, then calibrate again"
            )
            self._registrar.warnings.append(self.warning)
            if self.on_warning is not None:
                self.on_warning(self.warning)


def _middle(places: Iterable[_Peak]) -> npt.NDArray[np.float64]:
    return np.asarray(np.median([place.at for place in places], axis=0), np.float64)


def _thumbnail(pixels: Pixels) -> Array:
    """(24, 32), what stands out from its surroundings; its squares sum to 1."""
    small = cv2.resize(pixels, _THUMBNAIL, interpolation=cv2.INTER_AREA)
    grey = (cv2.cvtColor(small, cv2.COLOR_RGB2GRAY) if small.ndim == 3 else small).astype(np.float32)
    out = grey - cv2.blur(grey, (9, 9))
    return np.asarray(out / (np.linalg.norm(out) + 1e-6), np.float32)


def _mixed(pooled: Array | None, surfaces: Array, share: float) -> Array:
    """An exponential mean: `share` is the new one's."""
    return surfaces if pooled is None else pooled + np.float32(min(share, 1.0)) * (surfaces - pooled)


def _peak(surface: Array) -> _Peak:
    """The highest place of (s, s), between samples by a parabola each way."""
    middle = (surface.shape[0] - 1) // 2
    y, x = (int(k) for k in np.unravel_index(int(surface.argmax()), surface.shape))
    agreement = float(surface[y, x] - surface.mean())
    at = x - middle + _between(surface[y], x), y - middle + _between(surface[:, x], y)
    return _Peak(at, agreement, agreement / (float(surface.std()) + 1e-9))


def _between(line: Array, k: int) -> float:
    if not 0 < k < len(line) - 1:
        return 0.0
    before, here, after = (float(v) for v in line[k - 1 : k + 2])
    bend = before - 2 * here + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0


def _value(surfaces: Array, peak: _Peak) -> Array:
    middle = (surfaces.shape[1] - 1) // 2
    x, y = (int(np.clip(round(p) + middle, 0, 2 * middle)) for p in peak.at)
    return surfaces[:, y, x]
