"""Array types of the metrics, and shared image operations."""

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
    """Luma of an RGB image, BT.601 (0.299 R + 0.587 G + 0.114 B), rounded to 8 bits; gray images are unchanged.

    image: (H, W) or (H, W, 3) uint8 RGB. Returns (H, W) uint8.
    """
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def rgb(image: Gray | Colour) -> Colour:
    """Convert to (H, W, 3) uint8: gray is repeated, RGB is returned unchanged."""
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def values(*images: Gray) -> list[Values]:
    """Convert (H, W) uint8 images of equal size to float64, 0 to 255. Raises ValueError for other shapes or dtypes."""
    for image in images:
        if image.ndim != 2 or image.dtype != np.uint8:
            raise ValueError(f"metrics take (H, W) uint8 gray images, not {image.shape} {image.dtype}")
        if image.shape != images[0].shape:
            raise ValueError(f"images of different sizes: {images[0].shape} and {image.shape}")
        if image.size == 0:
            raise ValueError("metrics are undefined for an empty image")
    return [image.astype(np.float64) for image in images]


def gaussian(size: int, sigma: float) -> Values:
    """Normalised Gaussian window of `size` taps, as MATLAB's fspecial. (size,) float64."""
    at = np.arange(size) - (size - 1) / 2
    window = np.exp(-at * at / (2 * sigma * sigma))
    return np.asarray(window / window.sum())


def smooth_valid(image: Values, window: Values) -> Values:
    """Separable filter without border (valid mode). (H, W) to (H - n + 1, W - n + 1), n odd."""
    half = len(window) // 2
    smooth = np.asarray(cv2.sepFilter2D(image, -1, window, window, borderType=cv2.BORDER_REPLICATE), np.float64)
    return smooth[half : image.shape[0] - half, half : image.shape[1] - half]


def sobel(image: Values) -> tuple[Values, Values]:
    """Horizontal and vertical 3x3 Sobel response with zero padding, (H, W) each."""
    horizontal = cv2.Sobel(image, -1, 1, 0, borderType=cv2.BORDER_CONSTANT)
    vertical = cv2.Sobel(image, -1, 0, 1, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(horizontal, np.float64), np.asarray(vertical, np.float64)


def correlation(x: Values, y: Values) -> float:
    """Pearson correlation of two arrays of equal shape, -1 to 1; 0 if one of them is constant."""
    x, y = x - x.mean(), y - y.mean()
    norm = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / norm) if norm > 0 else 0.0
