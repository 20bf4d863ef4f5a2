"""Edge directions, which are similar in infrared and visible images of one scene.

The contrast of an edge may be inverted between the cameras, and its strength may differ. Its direction modulo 180
degrees is the same in both, so gradients are represented by the doubled angle (and the quadrupled one, which is more
selective), and by their strength relative to the neighbourhood.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.float64]
Size = tuple[int, int]

_AROUND = 6.0  # sigma of the neighbourhood, in sigmas of the smoothing
_NOISE = 1.5  # grey levels per pixel: fainter gradients are noise and not amplified
_STRONGEST = 3.0  # largest relative strength, so that a single lamp does not dominate
_CONSTANT = 6  # grey levels over all frames: JPEG leaves that much in a border that never changes
_CHANGING = 12  # grey levels over all frames, of the median pixel, for constant pixels to mean a border
_BLACK = 4
_FEW = 5  # least number of frames to detect constant pixels
SIGMA = 1.0
"""Gaussian smoothing in pixels of the grid that gradients are taken on."""


def structure(grey: npt.NDArray[np.uint8] | Features, valid: Mask, sigma: float = SIGMA) -> Features:
    """Edge directions of (h, w) as (4, h, w) float32: cosine and sine of 2 and of 4 times the angle, times strength.

    valid: (h, w) bool, False for pixels to ignore; the result is 0 there. A strength of 1 is that of the neighbourhood.
    """
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), sigma)
    across, down = (cv2.Scharr(smooth, cv2.CV_32F, x, 1 - x, scale=1 / 32) for x in (1, 0))
    energy = np.asarray(across * across + down * down, np.float32)
    seen = valid.astype(np.float32)
    width = _AROUND * max(sigma, 1.0)
    around = cv2.GaussianBlur(energy * seen, (0, 0), width) / np.maximum(cv2.GaussianBlur(seen, (0, 0), width), 1e-3)
    size = np.sqrt(energy)
    strength = seen * np.minimum(size / (np.sqrt(around) + _NOISE / max(sigma, 1.0)), _STRONGEST)
    cosine, sine = across / np.maximum(size, 1e-6), down / np.maximum(size, 1e-6)
    cosine2, sine2 = cosine * cosine - sine * sine, 2 * cosine * sine
    cosine4, sine4 = cosine2 * cosine2 - sine2 * sine2, 2 * cosine2 * sine2
    return np.asarray(np.stack([cosine2, sine2, cosine4, sine4]) * strength, np.float32)


def image_area(images: Sequence[Grey]) -> Mask:
    """(h, w) bool, False on borders outside the image: pixels that stay constant while others change, or black ones."""
    low, high = images[0], images[0]
    for image in images[1:]:
        low, high = np.minimum(low, image), np.maximum(high, image)
    change = high.astype(np.int16) - low
    if len(images) >= _FEW and float(np.median(change)) >= _CHANGING:
        return np.asarray(change > _CONSTANT)
    black = np.pad((high <= _BLACK).astype(np.uint8), 1, constant_values=1)
    _, labels = cv2.connectedComponents(black)
    return np.asarray(labels[1:-1, 1:-1] != labels[0, 0])


def fitted(size: Size, side: int) -> Size:
    """The size, reduced if necessary to a longer side of at most `side`."""
    factor = min(1.0, side / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def resized(image: Grey, to: Size) -> Grey:
    """Resize an image to `to` (width, height), with averaging if it shrinks."""
    if (image.shape[1], image.shape[0]) == to:
        return image
    way = cv2.INTER_AREA if to[0] < image.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, to, interpolation=way), np.uint8)


def resized_mask(mask: Mask, to: Size) -> Mask:
    """Resize a mask; True for pixels that are completely covered."""
    return np.asarray(cv2.resize(mask.astype(np.float32), to, interpolation=cv2.INTER_AREA) > 0.99)


def eroded(mask: Mask) -> Mask:
    """Erode a mask, also at the image border, where gradients are invalid."""
    side = 2 * int(np.ceil(2 * SIGMA)) + 1
    kernel = np.ones((side, side), np.uint8)
    return np.asarray(cv2.erode(mask.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0)


def apply(homography: Matrix, points: Matrix) -> Matrix:
    """Points (n, 2) through a (3, 3) homography, (n, 2)."""
    there = np.column_stack([points, np.ones(len(points))]) @ homography.T
    return there[:, :2] / there[:, 2:]


def corners(size: Size) -> Matrix:
    """The centres of the four corner pixels, (4, 2)."""
    width, height = size
    return np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)
