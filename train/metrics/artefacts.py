"""Artefacts of fusion: sensor noise amplified in flat areas, white that was darkened, false colour in dark areas."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .arrays import Colour, Gray, Values, gray, sobel, values
from .colour import Mask, lab

LEAST_NOISE = 1 / math.sqrt(12)
"""Standard deviation of rounding to integer grey levels, the lower limit of a source's noise."""
DIFFERENCE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float64)
WHITE, FALL = 240, 80
"""Lowest RGB level of a white pixel, and the decrease of luma above which white is lost."""
DARK = 10.0
"""Highest L* of a dark pixel."""
LEAST_CHROMA = 1.0
LEAST_SHARE = 1e-3
"""Share of white or dark pixels below which the metric is undefined."""


def flat_areas(visible: Gray, infrared: Gray) -> Mask:
    """Pixels without structure in both images: Sobel strength after smoothing (σ = 2 pixels) at most its median.

    Pixels with a smoothed visible level below 2 or above 253 are excluded, since clipping hides noise.
    visible, infrared: (H, W) uint8. Returns (H, W) bool.
    """
    smooth = [np.asarray(cv2.GaussianBlur(image, (0, 0), 2), np.float64) for image in values(visible, infrared)]
    strength = [np.hypot(*sobel(image)) for image in smooth]
    calm = [each <= np.median(each) for each in strength]
    return np.asarray(calm[0] & calm[1] & (smooth[0] >= 2) & (smooth[0] <= 253))


def noise_deviation(image: Gray, mask: Mask) -> float:
    """Standard deviation of the noise: sqrt(π/2) / 6 times the mean of |N * I|, N the difference of two Laplacians.

    Immerkær, "Fast noise variance estimation", Computer Vision and Image Understanding 64, 1996, over the pixels of the
    mask. image: (H, W) uint8. mask: (H, W) bool. In grey levels; NaN for an empty mask.
    """
    (x,) = values(image)
    response: Values = np.abs(cv2.filter2D(x, -1, DIFFERENCE, borderType=cv2.BORDER_REFLECT_101))
    return float(response[mask].mean() * math.sqrt(math.pi / 2) / 6) if mask.any() else math.nan


def noise_ratio(source: Gray, image: Gray, mask: Mask) -> float:
    """Noise of an image divided by that of its visible source, both inside the mask, see `flat_areas`.

    The noise of the source is at least LEAST_NOISE, which keeps the ratio meaningful for clipped or denoised sources.
    NaN for an empty mask.
    """
    return noise_deviation(image, mask) / max(noise_deviation(source, mask), LEAST_NOISE)


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
