"""Noise in flat areas: amplification of sensor noise by fusion or low-light enhancement."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .arrays import Gray, Values, sobel, values
from .colour import Mask

LEAST = 1 / math.sqrt(12)
"""Standard deviation of rounding to integer grey levels, the lower limit of a source's noise."""
DIFFERENCE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float64)


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

    The noise of the source is at least LEAST, which keeps the ratio meaningful for clipped or denoised sources. NaN for
    an empty mask.
    """
    return noise_deviation(image, mask) / max(noise_deviation(source, mask), LEAST)
