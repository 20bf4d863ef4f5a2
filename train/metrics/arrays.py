"""What every metric takes, and the image operations that several of them share."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.uint8]
"""(H, W) uint8 gray image."""
Colour = npt.NDArray[np.uint8]
"""(H, W, 3) uint8 RGB image."""
Values = npt.NDArray[np.float64]


def gray(image: Gray | Colour) -> Gray:
    """Luma of an RGB image, BT.601 (0.299 R + 0.587 G + 0.114 B), rounded to 8 bits; a gray image is returned as it is.

    image: (H, W) or (H, W, 3) uint8 RGB. Returns (H, W) uint8.
    """
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def rgb(image: Gray | Colour) -> Colour:
    """(H, W, 3) as it is, (H, W) repeated."""
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def values(*images: Gray) -> list[Values]:
    """The gray levels of images of one size, as float64 0..255. Raises ValueError for any other shape or dtype."""
    for image in images:
        if image.ndim != 2 or image.dtype != np.uint8:
            raise ValueError(f"metrics take (H, W) uint8 gray images, not {image.shape} {image.dtype}")
        if image.shape != images[0].shape:
            raise ValueError(f"images of different sizes: {images[0].shape} and {image.shape}")
        if image.size == 0:
            raise ValueError("an image without pixels has no metrics")
    return [image.astype(np.float64) for image in images]


def gaussian(size: int, sigma: float) -> Values:
    """Gaussian window of `size` taps that sums to 1, as fspecial makes it. (size,) float64."""
    at = np.arange(size) - (size - 1) / 2
    window: Values = np.exp(-at * at / (2 * sigma * sigma))
    window /= window.sum()
    return window


def smooth_valid(image: Values, window: Values) -> Values:
    """Separable filter, only where the window lies inside the image. (H, W) to (H - n + 1, W - n + 1), n odd."""
    half = len(window) // 2
    smooth = np.asarray(cv2.sepFilter2D(image, -1, window, window, borderType=cv2.BORDER_REPLICATE), np.float64)
    return smooth[half : image.shape[0] - half, half : image.shape[1] - half]


def sobel(image: Values) -> tuple[Values, Values]:
    """Horizontal and vertical 3x3 Sobel response; outside the image is zero. Each (H, W)."""
    horizontal = cv2.Sobel(image, -1, 1, 0, borderType=cv2.BORDER_CONSTANT)
    vertical = cv2.Sobel(image, -1, 0, 1, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(horizontal, np.float64), np.asarray(vertical, np.float64)


def correlation(x: Values, y: Values) -> float:
    """Pearson correlation of two arrays of one shape, -1 to 1; 0 where one of them is constant."""
    x, y = x - x.mean(), y - y.mean()
    norm = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / norm) if norm > 0 else 0.0
