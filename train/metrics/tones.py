"""The two ends of the tonal scale: white that came out dark, and colour that darkness was given."""

from __future__ import annotations

import math

import numpy as np

from .arrays import Colour, gray
from .colour import Mask, lab

WHITE, FALL = 240, 80
"""Grey level from which all three colours are white, and the fall of luma by which white is lost."""
DARK = 10.0
"""L* up to which a pixel is dark."""
LEAST_CHROMA = 1.0
LEAST_SHARE = 1e-3
"""Of an image, below which it has no white, or no darkness, to speak of."""


def white_lost(reference: Colour, image: Colour) -> float:
    """Share of the reference's white pixels whose luma in the image is over FALL levels lower, 0 to 1.

    reference, image: (H, W, 3) uint8 RGB. NaN where the reference has no white.
    """
    white: Mask = reference.min(axis=2) >= WHITE
    if white.mean() < LEAST_SHARE:
        return math.nan
    fall = gray(reference)[white].astype(np.int16) - gray(image)[white]
    return float((fall > FALL).mean())


def dark_chroma(source: Colour, image: Colour, mask: Mask) -> float:
    """Mean chroma C*ab of an image in the source's dark pixels, over that of the source there.

    source: the visible image as fed, (H, W, 3) uint8 RGB, whose chroma counts with at least LEAST_CHROMA. mask: the
    pixels that may count, see `non_thermal`. NaN where the source is not dark.
    """
    source_lab = lab(source)
    dark: Mask = mask & (source_lab[..., 0] <= DARK)
    if dark.mean() < LEAST_SHARE:
        return math.nan
    before, after = (float(np.hypot(x[dark][:, 1], x[dark][:, 2]).mean()) for x in (source_lab, lab(image)))
    return after / max(before, LEAST_CHROMA)
