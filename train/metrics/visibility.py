"""Whether what a camera shows stays visible in the fused frame: contrast of objects to their surroundings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .arrays import Values
from .colour import Mask

LEAST_CONTRAST = 5.0
"""Lab distance below which no camera shows an object: nothing can be lost then."""
LOST = 0.7
"""An object with less than this part of the better camera's contrast counts as made less visible."""
LEAST_SIDE = 4
"""Least width and height of an object in pixels."""

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels."""


def contrasts(image: Values, boxes: Sequence[Box]) -> list[float]:
    """Contrast of every object to its surroundings: distance of the means in CIELAB.

    The whole, the upper and the lower half of the box are each compared with a ring around it, half as wide as the
    shorter side; the part that stands out most counts. What lies in another object's box is no surroundings.

    image: (H, W, 3) float64 CIELAB, of `colour.lab`. boxes: of all objects. NaN for an object that is too small, or has
    no surroundings.
    """
    height, width = image.shape[:2]
    corners = [_inside(box, height, width) for box in boxes]
    free: Mask = np.ones((height, width), bool)
    for top, bottom, left, right in corners:
        free[top:bottom, left:right] = False
    found = []
    for top, bottom, left, right in corners:
        if min(bottom - top, right - left) < LEAST_SIDE:
            found.append(math.nan)
            continue
        margin = max(3, min(bottom - top, right - left) // 2)
        ring = slice(max(0, top - margin), bottom + margin), slice(max(0, left - margin), right + margin)
        if not free[ring].any():
            found.append(math.nan)
            continue
        around = image[ring][free[ring]].mean(axis=0)
        middle = (top + bottom) // 2
        parts = (image[a:b, left:right].mean(axis=(0, 1)) for a, b in ((top, bottom), (top, middle), (middle, bottom)))
        found.append(max(float(np.linalg.norm(part - around)) for part in parts))
    return found


def kept(contrast: float, cameras: Sequence[float]) -> float:
    """Part of the better camera's contrast that an object keeps; NaN where no camera shows it."""
    best = max(cameras)
    return contrast / best if best >= LEAST_CONTRAST else math.nan


def _inside(box: Box, height: int, width: int) -> tuple[int, int, int, int]:
    left, right = (min(max(round(at), 0), width) for at in (box[0], box[2]))
    top, bottom = (min(max(round(at), 0), height) for at in (box[1], box[3]))
    return top, bottom, left, right
