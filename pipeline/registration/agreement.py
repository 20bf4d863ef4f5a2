"""Displacement of infrared on the visible image, from edges that both cameras see: for the drift monitor, and for the
record that a calibration stores in the rig file.

Both images, small and registered, are compared in cells: edge directions, correlated over small displacements.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ...calib.rig import EdgeRecord, RigError
from ...calib.scene.structure import eroded, structure
from ..core.frames import Pixels
from .register import Registrar

Array = npt.NDArray[np.float32]

HEIGHT = 2.0
"""Least height of a peak, in deviations of its surface."""
_REDUCTION, _NARROWEST, _WIDEST = 4, 120, 320  # reduction of the visible image; bounds of the width in pixels
_COLUMNS, _ROWS = 4, 3
_REACH = 6  # small pixels: 24 visible ones
_FEWEST = 3  # pairs with a clear peak


@dataclass(frozen=True, slots=True, eq=False)
class Peak:
    """Maximum of a surface.

    at: (x, y) displacement in visible pixels. agreement: value minus the mean of the surface. height: the same in
    standard deviations of the surface.
    """

    at: tuple[float, float]
    agreement: float
    height: float


class Agreement:
    """Computes the agreement of edges for small displacements. scale: visible pixels per step, 1 before the first."""

    def __init__(self, registrar: Registrar) -> None:
        self.scale = 1.0
        self._registrar = registrar

    def surfaces(self, visible: Pixels, infrared: Pixels) -> Array | None:
        """(cells, s, s) float32, each weighted by the edges in the cell. None if the rig does not fit the sizes.

        visible: (H, W, 3) uint8 RGB or (H, W) uint8. infrared: (h, w) uint8, unregistered.
        """
        height, width = visible.shape[:2]
        self.scale = width / min(max(width // _REDUCTION, _NARROWEST), _WIDEST, width)
        small = round(width / self.scale), round(height / self.scale)
        try:
            warp = self._registrar.warp(small, (infrared.shape[1], infrared.shape[0]))
        except RigError:
            return None
        area = eroded(warp.coverage > 127)
        grey = cv2.resize(visible, small, interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(grey, cv2.COLOR_RGB2GRAY) if grey.ndim == 3 else grey
        look = structure(np.asarray(grey, np.uint8), area)[:2]
        feel = structure(warp.apply(infrared), area)[:2]
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

    def peak(self, surfaces: Array) -> Peak:
        """Maximum of the sum of the surfaces, refined by a parabola in x and in y."""
        surface = surfaces.sum(axis=0)
        y, x = (int(k) for k in np.unravel_index(int(surface.argmax()), surface.shape))
        agreement = float(surface[y, x] - surface.mean())
        at = x - _REACH + _subpixel(surface[y], x), y - _REACH + _subpixel(surface[:, x], y)
        return Peak((at[0] * self.scale, at[1] * self.scale), agreement, agreement / (float(surface.std()) + 1e-9))

    def values(self, surfaces: Array, at: tuple[float, float]) -> Array:
        """(cells,): each cell's agreement at a displacement in visible pixels."""
        x, y = (int(np.clip(round(p / self.scale) + _REACH, 0, 2 * _REACH)) for p in at)
        return surfaces[:, y, x]


def edge_record(pairs: Iterable[tuple[Pixels, Pixels]], registrar: Registrar) -> EdgeRecord | None:
    """The edge record of these pairs, for the rig file. None if too few of them determine it.

    pairs: visible, (H, W, 3) uint8 RGB or (H, W) uint8, all of one size, and unregistered infrared, (h, w) uint8.
    """
    measure = Agreement(registrar)
    surfaces = [found for visible, infrared in pairs if (found := measure.surfaces(visible, infrared)) is not None]
    peaks = [peak for peak in map(measure.peak, surfaces) if peak.height >= HEIGHT]
    if len(peaks) < _FEWEST:
        return None
    places = np.array([peak.at for peak in peaks])
    middle = np.median(places, axis=0)
    spread = float(np.hypot(*(places - middle).T).max())
    strength = float(np.median([peak.agreement for peak in peaks]))
    return EdgeRecord(
        pairs=len(peaks),
        shift_px=(round(float(middle[0]), 2), round(float(middle[1]), 2)),
        spread_px=round(spread, 2),
        agreement=round(strength, 3),
    )


def _subpixel(line: Array, k: int) -> float:
    if not 0 < k < len(line) - 1:
        return 0.0
    before, here, after = (float(v) for v in line[k - 1 : k + 2])
    bend = before - 2 * here + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0
