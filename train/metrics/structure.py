"""Metrics of structure and fidelity: SSIM, MS-SSIM, PSNR and visual information fidelity.

Images are (H, W) uint8; A is infrared, B visible, F fused. The fusion variant of each is the mean or sum over A and B;
the two-image variant compares a restored image with its clear reference. Higher is better for all.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from .arrays import Colour, Gray, Values, gaussian, smooth_valid, values

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the five scales of MS-SSIM."""
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
"""SSIM's stabilising constants for 8-bit images."""
SIZE = 11
"""Side of SSIM's Gaussian window."""


def ssim(reference: Gray, image: Gray) -> float:
    """SSIM of two images: mean of (2μxμy + C1)(2σxy + C2) / ((μx² + μy² + C1)(σx² + σy² + C2)). -1 to 1.

    11x11 Gaussian window of σ 1.5, valid positions only, C1 = (0.01·255)², C2 = (0.03·255)². NaN for images smaller
    than 11 pixels. Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", IEEE Trans. Image Processing 13, 2004.
    """
    x, y = values(reference, image)
    return _ssim(x, y)[0] if min(x.shape) >= SIZE else math.nan


def ms_ssim(reference: Gray, image: Gray) -> float:
    """MS-SSIM of two images over five scales: SSIM_5^w5 · Π CS_j^wj for j = 1..4, 0 to 1.

    CS_j is the mean of (2σxy + C2) / (σx² + σy² + C2) at scale j, SSIM_5 the full SSIM at the coarsest; a negative mean
    counts as 0. The weights w are SCALE_WEIGHTS. Images are halved by the mean of the 2x2 pixels that end at (2i, 2j),
    mirrored at the border. NaN for images smaller than 161 pixels, whose coarsest scale is smaller than the window.
    Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality assessment", Asilomar 2003.
    """
    x, y = values(reference, image)
    result = 1.0
    for scale, weight in enumerate(SCALE_WEIGHTS):
        if min(x.shape) < SIZE:
            return math.nan
        full, contrast = _ssim(x, y)
        last = scale == len(SCALE_WEIGHTS) - 1
        result *= max(full if last else contrast, 0.0) ** weight
        x, y = _halved(x), _halved(y)
    return result


def psnr(reference: Gray | Colour, image: Gray | Colour) -> float:
    """PSNR = 10 log10(255² / MSE) in dB, MSE over all pixels and channels; infinite for equal images.

    reference, image: (H, W) or (H, W, 3) uint8, of equal shape. Raises ValueError for different shapes.
    """
    if reference.shape != image.shape:
        raise ValueError(f"images of different sizes: {reference.shape} and {image.shape}")
    mse = _mse(reference.astype(np.float64), image.astype(np.float64))
    return 10 * math.log10(255**2 / mse) if mse > 0 else math.inf


def vif(reference: Gray, image: Gray) -> float:
    """VIFp of two images, pixel domain, 4 scales: Σ log2(1 + g²σx² / (σv² + 2)) / Σ log2(1 + σx² / 2). 0 and up.

    At each scale x, y are filtered by a Gaussian of 17, 9, 5, 3 taps (σ a fifth of that) and, from the second scale on,
    decimated by 2 before; g = σxy / σx² and σv² = σy² - g σxy are those of the channel x -> y. 1 if the reference
    is constant. NaN for images smaller than 41 pixels. Sheikh and Bovik, "Image information and visual quality", IEEE
    Trans. Image Processing 15, 2006, and their release vifp_mscale.
    """
    x, y = values(reference, image)
    carried = contained = 1e-10
    for scale in range(4):
        window = gaussian(2 ** (4 - scale) + 1, (2 ** (4 - scale) + 1) / 5)
        if scale:
            x, y = (smooth_valid(each, window)[::2, ::2] for each in (x, y))
        if min(x.shape) < len(window):
            return math.nan
        mean_x, mean_y = smooth_valid(x, window), smooth_valid(y, window)
        var_x = np.maximum(smooth_valid(x * x, window) - mean_x * mean_x, 0)
        var_y = np.maximum(smooth_valid(y * y, window) - mean_y * mean_y, 0)
        covariance = smooth_valid(x * y, window) - mean_x * mean_y
        gain = covariance / (var_x + 1e-10)
        noise = var_y - gain * covariance

        flat_x, flat_y, negative = var_x < 1e-10, var_y < 1e-10, gain < 0
        noise = np.where(flat_x | negative, var_y, noise)
        gain[flat_x | flat_y | negative] = 0
        noise[flat_y] = 0
        var_x[flat_x] = 0
        carried += float(np.log2(1 + gain * gain * var_x / (np.maximum(noise, 1e-10) + 2)).sum())
        contained += float(np.log2(1 + var_x / 2).sum())
    return carried / contained


def fusion_ssim(infrared: Gray, visible: Gray, fused: Gray) -> float:
    """SSIM of a fused image: (ssim(A, F) + ssim(B, F)) / 2; see `ssim`."""
    return (ssim(infrared, fused) + ssim(visible, fused)) / 2


def fusion_ms_ssim(infrared: Gray, visible: Gray, fused: Gray) -> float:
    """MS-SSIM of a fused image: (ms_ssim(A, F) + ms_ssim(B, F)) / 2; see `ms_ssim`."""
    return (ms_ssim(infrared, fused) + ms_ssim(visible, fused)) / 2


def fusion_vif(infrared: Gray, visible: Gray, fused: Gray) -> float:
    """VIF of a fused image: vif(A, F) + vif(B, F), the sum, as in fusion papers; see `vif`."""
    return vif(infrared, fused) + vif(visible, fused)


def fusion_psnr(infrared: Gray, visible: Gray, fused: Gray) -> float:
    """PSNR01, the PSNR of fusion papers: 20 log10(255 / sqrt(m)), m the mean of both MSEs on the scale [0, 1]. In dB.

    It mixes the peak 255 with errors in [0, 1] and so lies 48.13 dB above a true PSNR (about 60); provided for
    comparison with published tables. Infinite for equal images. Ma, Ma and Li, "Infrared and visible image fusion
    methods and applications: a survey", Information Fusion 45, 2019; the scale is that of the common implementation.
    """
    a, b, f = (image / 255 for image in values(infrared, visible, fused))
    mse = (_mse(a, f) + _mse(b, f)) / 2
    return 20 * math.log10(255 / math.sqrt(mse)) if mse > 0 else math.inf


def _ssim(x: Values, y: Values) -> tuple[float, float]:
    """Means of the full SSIM and of its contrast-structure term."""
    window = gaussian(SIZE, 1.5)
    mean_x, mean_y = smooth_valid(x, window), smooth_valid(y, window)
    xx, yy, xy = mean_x * mean_x, mean_y * mean_y, mean_x * mean_y
    var_x, var_y = smooth_valid(x * x, window) - xx, smooth_valid(y * y, window) - yy
    covariance = smooth_valid(x * y, window) - xy
    contrast = (2 * covariance + C2) / (var_x + var_y + C2)
    return float(((2 * xy + C1) / (xx + yy + C1) * contrast).mean()), float(contrast.mean())


def _halved(image: Values) -> Values:
    smooth = cv2.filter2D(image, -1, np.full((2, 2), 0.25), borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(smooth, np.float64)[::2, ::2]


def _mse(x: Values, y: Values) -> float:
    return float(((x - y) ** 2).mean())
