"""The inputs, small, in a corner."""

from __future__ import annotations

import cv2
import numpy as np

from ..core.frames import FramePair, Pixels
from .ink import BRIGHT, DIM, draw_text, shade
from .text import text_mask

_INSET = 0.24  # of the image height


def draw_inputs(image: Pixels, pair: FramePair, size: int) -> None:
    """The inputs side by side at the bottom right, as they came. size: of the text."""
    height, width = image.shape[:2]
    target, margin = round(height * _INSET), max(2, size // 2)
    right = width - margin
    visible = None if pair.led_by == "infrared" else pair.visible
    for name, frame in (("IR", pair.infrared), ("VIS", visible)):
        source = pair.visible if frame is None else frame
        inner = max(1, round(source.size[0] * target / source.size[1]))
        left, top = right - inner, height - margin - target
        if left < margin or top < margin:
            return
        place = image[top : top + target, left:right]
        place[:] = 0 if frame is None else _small(frame.pixels, inner, target)
        cv2.rectangle(image, (left - 1, top - 1), (right, top + target), DIM, 1)
        mask = text_mask(name if frame is not None else f"no {name}", size)
        backing = place[: mask.shape[0], : mask.shape[1] + 2 * (size // 3)]
        shade(backing)
        draw_text(backing, mask, BRIGHT, size // 3, 0)
        right = left - margin


def _small(pixels: Pixels, width: int, height: int) -> Pixels:
    if pixels.shape[0] >= 2 * height and pixels.shape[1] >= 2 * width:
        # INTER_AREA is fast only for a factor of 2.
        pixels = np.asarray(cv2.resize(pixels, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR), np.uint8)
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small if small.ndim == 3 else cv2.cvtColor(small, cv2.COLOR_GRAY2RGB), np.uint8)
