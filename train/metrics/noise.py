"""Noise in flat areas: whether fusion or lifting made the sensor's noise stronger."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .arrays import Gray, Values, sobel, values
from .colour import Mask

LEAST = 1 / math.sqrt(12)
"""Standard deviation of rounding to whole grey levels: a source's noise counts as no less."""
DIFFERENCE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float64)


def flat_areas(visible: Gray, infrared: Gray) -> Mask:
    """Where neither image has structure: Sobel strength of each, smoothed by σ = 2 pixels, at most its median.

    Pixels whose smoothed visible level is below 2 or above 253 are left out, since clipping hides noise.
    visible, infrared: (H, W) uint8. Returns (H, W) bool.
    """
    smooth = [np.asarray(cv2.GaussianBlur(image, (0, 0), 2), np.float64) for image in values(visible, infrared)]
    strength = [np.hypot(*sobel(image)) for image in smooth]
    still = [each <= np.median(each) for each in strength]
    flat: Mask = still[0] & still[1] & (smooth[0] >= 2) & (smooth[0] <= 253)
    return flat


def noise_deviation(image: Gray, mask: Mask) -> float:
    """Standard deviation of the noise: sqrt(π/2) / 6 times the mean of |N * I|, N the difference of two Laplacians.

    Immerkær, "Fast noise variance estimation", Computer Vision and Image Understanding 64, 1996, over the pixels of the
    mask. image: (H, W) uint8. mask: (H, W) bool. In grey levels; NaN for an empty mask.
    """
    (x,) = values(image)
    response: Values = np.abs(cv2.filter2D(x, -1, DIFFERENCE, borderType=cv2.BORDER_REFLECT_101))
    return float(response[mask].mean() * math.sqrt(math.pi / 2) / 6) if mask.any() else math.nan


def noise_ratio(source: Gray, image: Gray, mask: Mask) -> float:
    """Noise of an image over that of the visible image it was made from, both where the mask is true; see `flat_areas`.

    The source counts with at least LEAST, so that a clipped or denoised one does not make the ratio meaningless.
    """
    return noise_deviation(image, mask) / max(noise_deviation(source, mask), LEAST)
