"""Perceptual fusion metrics: preserved edges (Qabf) and regional differences (QCV).

Images are (H, W) uint8; A is infrared, B visible, F fused.
"""

from __future__ import annotations

import numpy as np

from .arrays import Gray, Values, sobel, values

BLOCK = 16
"""Side of the regions of QCV in pixels."""


def qabf(infrared: Gray, visible: Gray, fused: Gray) -> float:
    """Qabf, preserved edge information: Σ (Q_AF g_A + Q_BF g_B) / Σ (g_A + g_B). 0 to 1, higher is better.

    g is the Sobel strength (zero padding), α = atan(g_y / g_x) its orientation, π/2 where g_x is 0.
    Q_AF = Q_g Q_α with Q_g = 0.9994 / (1 + exp(-15 (G - 0.5))), G the smaller strength over the larger, and
    Q_α = 0.9879 / (1 + exp(-22 (Δ - 0.8))), Δ = 1 - |α_A - α_F| / (π/2). 0 if both sources have no edges.
    Xydeas and Petrović, "Objective image fusion performance measure", Electronics Letters 36, 2000.
    """
    a, b, f = (_edges(image) for image in values(infrared, visible, fused))
    weight = a[0].sum() + b[0].sum()
    if weight == 0:
        return 0.0
    return float(((_preserved(a, f) * a[0]).sum() + (_preserved(b, f) * b[0]).sum()) / weight)


def qcv(infrared: Gray, visible: Gray, fused: Gray) -> float:
    """QCV, perceived regional difference: Σ_W (λ_A D_A + λ_B D_B) / Σ_W (λ_A + λ_B), in squared grey levels.

    Lower is better. Each image is first stretched to 0..255 and rounded, ties to even (a constant image becomes 0).
    W are 16x16 blocks (zero-padded at the border), λ = Σ_W g⁵ the saliency, g the Sobel strength (zero padding),
    D = mean_W of ((A - F) filtered)². The filter is the contrast sensitivity of Mannos and Sakrison,
    2.6 (0.0192 + 0.144 r) exp(-(0.144 r)^1.1), r = sqrt(k_x² + k_y²) / 4, k cycles per image.
    If the sources have no edges, all blocks have equal weight. Chen and Varshney, "A human perception inspired quality
    metric for image fusion based on regional information", Information Fusion 8, 2007, with the constants of the VIFB
    toolbox.
    """
    a, b, f = (_stretched(image) for image in values(infrared, visible, fused))
    height, width = f.shape
    rows, columns = np.fft.fftfreq(height) * height, np.fft.rfftfreq(width) * width
    r = np.hypot(rows[:, None], columns[None, :]) * (0.144 / 4)
    sensitivity = 2.6 * (0.0192 + r) * np.exp(-(r**1.1))
    weighted = total = 0.0
    saliency = [_block_sums(np.hypot(*sobel(source)) ** 5) for source in (a, b)]
    if not any(each.any() for each in saliency):
        saliency = [np.ones_like(each) for each in saliency]
    for source, weight in zip((a, b), saliency, strict=True):
        difference = np.fft.irfft2(np.fft.rfft2(source - f) * sensitivity, s=f.shape)
        weighted += float((weight * _block_sums(difference * difference)).sum()) / BLOCK**2
        total += float(weight.sum())
    return weighted / total


def _edges(image: Values) -> tuple[Values, Values]:
    horizontal, vertical = sobel(image)
    slope = np.divide(vertical, horizontal, out=np.full_like(vertical, np.inf), where=horizontal != 0)
    return np.hypot(horizontal, vertical), np.arctan(slope)


def _preserved(source: tuple[Values, Values], fused: tuple[Values, Values]) -> Values:
    larger = np.maximum(source[0], fused[0])
    ratio = np.divide(np.minimum(source[0], fused[0]), larger, out=np.ones_like(larger), where=larger > 0)
    turned = 1 - np.abs(source[1] - fused[1]) / (np.pi / 2)
    strength = 0.9994 / (1 + np.exp(-15 * (ratio - 0.5)))
    return strength * (0.9879 / (1 + np.exp(-22 * (turned - 0.8))))


def _stretched(image: Values) -> Values:
    low, high = image.min(), image.max()
    return np.round((image - low) * 255 / (high - low)) if high > low else np.zeros_like(image)


def _block_sums(image: Values) -> Values:
    height, width = image.shape
    full = np.pad(image, ((0, -height % BLOCK), (0, -width % BLOCK)))
    return np.asarray(full.reshape(full.shape[0] // BLOCK, BLOCK, -1, BLOCK).sum(axis=(1, 3)))
