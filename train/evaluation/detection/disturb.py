"""Disturbances for the detection evaluation: misregistration, a frozen infrared camera, a lost camera."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import cv2
import numpy as np

from ...metrics import Gray
from ..scenes import Images

INFRARED_LOST, VISIBLE_LOST = "infrared lost", "visible lost"


def moved(images: Images, other: Gray, right: float = 0, turn: float = 0) -> Images:
    """Infrared shifted by `right` pixels and rotated by `turn` degrees about its centre; the border is replicated."""
    height, width = images.infrared.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn, 1)
    matrix[0, 2] += right
    warped = cv2.warpAffine(images.infrared, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return replace(images, infrared=np.asarray(warped, np.uint8))


def frozen(images: Images, other: Gray) -> Images:
    """Infrared image of another scene, resized."""
    resized = np.asarray(cv2.resize(other, images.infrared.shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    return replace(images, infrared=resized)


DISTURBANCES: Mapping[str, Callable[[Images, Gray], Images]] = {
    **{f"infrared {right} px off": partial(moved, right=right) for right in (4, 8, 16, 30)},
    **{f"infrared turned by {turn} degrees": partial(moved, turn=turn) for turn in (2, 5)},
    "infrared frozen": frozen,
    INFRARED_LOST: lambda images, other: replace(images, infrared=np.zeros_like(images.infrared)),
    VISIBLE_LOST: lambda images, other: replace(images, visible=np.zeros_like(images.visible)),
}
"""Disturbances by name. Each takes the images of a scene and the infrared image of the previous scene."""
