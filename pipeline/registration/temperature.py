"""Temperatures of detections and of the image centre, from the infrared frame's own samples."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ...engines.warp import Warp
from ..core.detections import Detection
from ..core.frames import Temperature

_VALID = 128  # coverage from which a pixel counts as seen by infrared
_SPOT = 0.01  # half the side of the spot, in heights of the image


def measured(detections: list[Detection], temperature: Temperature, warp: Warp) -> tuple[list[Detection], float | None]:
    """The detections with their temperatures, and that of the middle of the image; None where infrared does not look.

    warp: of the infrared frame on the grid of the boxes. Objects that were not found in this frame have none.
    """
    height, width = warp.coverage.shape
    half = max(1.0, _SPOT * height)
    spot = _inside(temperature, warp, (width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half))
    return [
        found if found.coasted else replace(found, temperature=_inside(temperature, warp, found.box))
        for found in detections
    ], None if spot is None else spot[1]


def _inside(temperature: Temperature, warp: Warp, box: tuple[float, float, float, float]) -> tuple[float, float] | None:
    """(greatest, mean) over the infrared pixels that a box of the visible image covers."""
    if not all(map(math.isfinite, box)):
        return None
    height, width = warp.coverage.shape
    x1, x2 = (round(min(max(x, 0), width)) for x in (box[0], box[2]))
    y1, y2 = (round(min(max(y, 0), height)) for y in (box[1], box[3]))
    if x2 <= x1 or y2 <= y1:
        return None
    step = _step(warp, x1, y1, x2, y2)
    part = slice(y1, y2, step), slice(x1, x2, step)
    seen = warp.coverage[part] >= _VALID
    if not seen.any():
        return None
    x, y = (np.rint(warp.map[(*part, axis)][seen]).astype(np.intp) for axis in (0, 1))
    rows, columns = temperature.values.shape
    values: npt.NDArray[np.generic] = temperature.values[np.clip(y, 0, rows - 1), np.clip(x, 0, columns - 1)]
    greatest, mean = temperature.celsius([values.max(), values.mean(dtype=np.float64)])
    return float(greatest), float(mean)


def _step(warp: Warp, x1: int, y1: int, x2: int, y2: int) -> int:
    """Visible pixels to an infrared pixel, so that none of these is left out or looked at often."""
    middle = warp.map[(y1 + y2) // 2, [x1, x2 - 1]]
    across = float(np.abs(middle[1] - middle[0]).max())
    return max(1, int((x2 - x1) / max(across, 1.0)))
