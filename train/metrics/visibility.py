"""Visibility of objects in the fused image: their contrast to the surroundings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .arrays import Values
from .colour import Mask

LEAST_CONTRAST = 5.0
"""Lowest contrast (Lab distance) at which an object counts as visible to a camera."""
LOST = 0.7
"""An object with less than this share of the better camera's contrast counts as lost."""
LEAST_SIDE = 4
"""Minimum width and height of an object in pixels."""

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels."""


def contrasts(image: Values, boxes: Sequence[Box]) -> list[float]:
    """Contrast of every object to its surroundings: Euclidean distance of mean colours in CIELAB.

    The box and its upper and lower half are each compared with a ring around the box, half as wide as the shorter side;
    the largest distance counts. Pixels inside any box are excluded from the ring.

    image: (H, W, 3) float64 CIELAB, see `colour.lab`. boxes: all objects of the image. NaN for an object that is
    smaller than LEAST_SIDE or has an empty ring.
    """
    height, width = image.shape[:2]
    corners = [_inside(box, height, width) for box in boxes]
    free: Mask = np.ones((height, width), bool)
    for top, bottom, left, right in corners:
        free[top:bottom, left:right] = False
    distances = []
    for top, bottom, left, right in corners:
        if min(bottom - top, right - left) < LEAST_SIDE:
            distances.append(math.nan)
            continue
        margin = max(3, min(bottom - top, right - left) // 2)
        ring = slice(max(0, top - margin), bottom + margin), slice(max(0, left - margin), right + margin)
        if not free[ring].any():
            distances.append(math.nan)
            continue
        around = image[ring][free[ring]].mean(axis=0)
        middle = (top + bottom) // 2
        parts = (image[a:b, left:right].mean(axis=(0, 1)) for a, b in ((top, bottom), (top, middle), (middle, bottom)))
        distances.append(max(float(np.linalg.norm(part - around)) for part in parts))
    return distances


def kept(contrast: float, cameras: Sequence[float]) -> float:
    """Contrast of an object relative to that of the better camera; NaN if it is visible to no camera."""
    best = max(cameras)
    return contrast / best if best >= LEAST_CONTRAST else math.nan


def _inside(box: Box, height: int, width: int) -> tuple[int, int, int, int]:
    left, right = (min(max(round(at), 0), width) for at in (box[0], box[2]))
    top, bottom = (min(max(round(at), 0), height) for at in (box[1], box[3]))
    return top, bottom, left, right
