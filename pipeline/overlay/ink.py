"""Colours and sizes of the overlay, and text drawing."""

from __future__ import annotations

import zlib

import cv2
import numpy as np

from ..core.frames import Pixels

Colour = tuple[int, int, int]

# Okabe and Ito's palette for colour-blind viewers, without black and dark blue, which are invisible at night.
PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 190, 140),
    (240, 228, 66),
    (204, 121, 167),
    (235, 110, 20),
)
CLASS_COLOURS = {"person": PALETTE[0], "car": PALETTE[1], "bicycle": PALETTE[2]}
BRIGHT, DIM, ALERT = (245, 245, 245), (180, 186, 190), (255, 190, 60)
SHADE = 0.33
"""Factor on the brightness of the image under text."""


def font_size(width: int, height: int) -> int:
    """Pixels of the text on an image of this size: by its height, by its width where it is narrow."""
    return max(10, round(min(height, width * 0.75) * 0.028))


def line_width(image: Pixels) -> int:
    """Pixels of the lines of boxes: one up to 900 rows."""
    return int(max(1, round(min(image.shape[0], image.shape[1] * 0.75) / 600)))


def class_colour(label: str) -> Colour:
    """The colour of a class: the same in every run."""
    return CLASS_COLOURS.get(label) or PALETTE[zlib.crc32(label.encode("utf-8", "replace")) % len(PALETTE)]


def shade(place: Pixels, left: float = SHADE) -> None:
    """Darken `place` to that share of its brightness."""
    if place.size:
        cv2.convertScaleAbs(place, dst=place, alpha=left)


def draw_text(place: Pixels, mask: Pixels, colour: Colour, x: int, y: int) -> None:
    """Draw text into `place` with its top left corner at (x, y), clipped. Colours are combined by maximum."""
    part = mask[: max(0, place.shape[0] - y), : max(0, place.shape[1] - x)]
    if part.size == 0:
        return
    roi = place[y : y + part.shape[0], x : x + part.shape[1]]
    cv2.max(roi, np.multiply(part[..., None] / 255, colour).astype(np.uint8), dst=roi)
