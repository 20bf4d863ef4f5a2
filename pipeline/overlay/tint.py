"""Colours people by their infrared contrast to the surroundings."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from ..core.detections import Detection
from ..core.frames import Pixels
from .boxes import visible_part

TINTED = "person"
COLOUR = np.array([255, 96, 32], np.float32)
STRONGEST = 0.6
"""Weight of the colour at the largest contrast."""
LEAST_LEVELS = 24.0
"""Least infrared contrast, in grey levels, for full colour, so that noise is not coloured."""
_MARGIN = 0.25  # of the box, width of its surroundings


def tint_people(image: Pixels, infrared: Pixels, detections: Sequence[Detection]) -> None:
    """Draw into `image`, (H, W, 3) uint8 RGB. infrared: (H, W) uint8, registered onto it, 0 where there is none."""
    if infrared.shape != image.shape[:2]:
        return
    for found in detections:
        box = visible_part(found, image) if found.label == TINTED else None
        if box is None:
            continue
        x1, y1, x2, y2 = box
        weight = _contrast(infrared, box)
        place = image[y1:y2, x1:x2]
        light = place.max(axis=2, keepdims=True).astype(np.float32) / 255
        warm = COLOUR * (0.35 + 0.65 * light)  # keeps the folds of the clothes
        place[:] = place + (warm - place) * (STRONGEST * weight[..., None])


def _contrast(infrared: Pixels, box: tuple[int, int, int, int]) -> npt.NDArray[np.float32]:
    """Contrast of each pixel of the box to its surroundings, 0 to 1; 0 if its sign is not that of the box's middle."""
    x1, y1, x2, y2 = box
    across, down = max(2, round((x2 - x1) * _MARGIN)), max(2, round((y2 - y1) * _MARGIN / 2))
    left, top = max(0, x1 - across), max(0, y1 - down)
    wide = infrared[top : y2 + down, left : x2 + across].astype(np.float32)
    inside = np.zeros(wide.shape, bool)
    inside[y1 - top : y2 - top, x1 - left : x2 - left] = True
    around = float(np.median(wide[~inside])) if not inside.all() else float(wide.min())
    part = wide[y1 - top : y2 - top, x1 - left : x2 - left] - around
    height, width = part.shape
    middle = part[height // 6 : max(height // 6 + 1, height * 5 // 6), width // 4 : max(width // 4 + 1, width * 3 // 4)]
    part *= 1.0 if float(np.median(middle)) >= 0 else -1.0  # in the sun a person may be the colder one
    reach = max(LEAST_LEVELS, float(np.percentile(part, 95)))
    weight = np.clip(cv2.GaussianBlur(part, (3, 3), 0) / reach, 0, 1)
    weight = weight * weight * (3 - 2 * weight)
    return np.asarray(weight * np.outer(_fade(height), _fade(width)), np.float32)


def _fade(length: int) -> npt.NDArray[np.float32]:
    """Window of 1 that falls to 0 at both ends, so that the border of the box does not show."""
    at = (np.arange(length, dtype=np.float32) + 0.5) / length
    return np.clip(np.minimum(at, 1 - at) / 0.12, 0, 1)
