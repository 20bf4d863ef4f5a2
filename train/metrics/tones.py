"""Metrics of highlights and shadows: white that was darkened, and false colour in dark areas."""

from __future__ import annotations

import math

import numpy as np

from .arrays import Colour, gray
from .colour import Mask, lab

WHITE, FALL = 240, 80
"""Lowest RGB level of a white pixel, and the decrease of luma above which white is lost."""
DARK = 10.0
"""Highest L* of a dark pixel."""
LEAST_CHROMA = 1.0
LEAST_SHARE = 1e-3
"""Share of white or dark pixels below which the metric is undefined."""


def white_lost(reference: Colour, image: Colour) -> float:
    """Share of the reference's white pixels whose luma in the image is over FALL levels lower, 0 to 1.

    reference, image: (H, W, 3) uint8 RGB. NaN if the reference has almost no white.
    """
    white: Mask = reference.min(axis=2) >= WHITE
    if white.mean() < LEAST_SHARE:
        return math.nan
    fall = gray(reference)[white].astype(np.int16) - gray(image)[white]
    return float((fall > FALL).mean())


def dark_chroma(source: Colour, image: Colour, mask: Mask) -> float:
    """Mean chroma C*ab of an image in the dark pixels of the source, divided by that of the source.

    source: visible input image, (H, W, 3) uint8 RGB; its mean chroma is at least LEAST_CHROMA. image: (H, W, 3) uint8
    RGB. mask: (H, W) bool, the pixels to include, see `non_thermal`. NaN if the source has almost no dark pixels.
    """
    source_lab = lab(source)
    dark: Mask = mask & (source_lab[..., 0] <= DARK)
    if dark.mean() < LEAST_SHARE:
        return math.nan
    before, after = (float(np.hypot(x[dark][:, 1], x[dark][:, 2]).mean()) for x in (source_lab, lab(image)))
    return after / max(before, LEAST_CHROMA)
