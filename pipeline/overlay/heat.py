"""Temperatures: a scale of what is black and white in infrared, and the spot in the middle."""

from __future__ import annotations

import cv2
import numpy as np

from ..core.frames import Pixels, Temperature
from ..core.looks import Palette
from ..core.palettes import table
from .ink import BRIGHT, DIM, draw_text, line_width, shade
from .text import text_mask

_LONG = 0.3  # of the image height


def draw_heat(image: Pixels, heat: Temperature, spot: float | None, size: int, palette: Palette = "white-hot") -> None:
    """The scale at the left edge, the spot as a cross with its value. Degrees Celsius. size: of the text."""
    height, width = image.shape[:2]
    low, high = heat.celsius(heat.shown)
    left, long, wide = max(2, size // 2), round(height * _LONG), max(3, size // 2)
    top = (height - long) // 2
    image[top : top + long, left : left + wide] = table(palette)[np.linspace(255, 0, long).astype(int), None]
    cv2.rectangle(image, (left - 1, top - 1), (left + wide, top + long), DIM, 1)
    tall = text_mask("0", size).shape[0]
    _write(image, f"{high:.0f} C", size, left, top - tall - 2)
    _write(image, f"{low:.0f} C", size, left, top + long + 2)
    if spot is not None:
        x, y, arm, gap = width // 2, height // 2, size, max(2, size // 3)
        for along, down in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            start, end = ((x + along * reach, y + down * reach) for reach in (gap, arm))
            cv2.line(image, start, end, BRIGHT, line_width(image))
        _write(image, f"{spot:.1f} C", size, x + arm, y + gap)


def _write(image: Pixels, text: str, size: int, x: int, y: int) -> None:
    mask = text_mask(text, size)
    shade(image[max(0, y) : y + mask.shape[0], x : x + mask.shape[1]])
    draw_text(image, mask, BRIGHT, x, max(0, y))
