"""Statistical metrics of grey levels: entropy, contrast, spatial activity, mutual information and correlation.

Images are (H, W) uint8; A is infrared, B visible, F fused. Higher is better, except for `mean_level`.
"""

from __future__ import annotations

import numpy as np

from .arrays import Gray, Values, correlation, values


def entropy(fused: Gray) -> float:
    """EN, entropy of the grey levels: -Σ p_k log2 p_k over the 256 levels. 0 to 8 bits.

    Roberts, van Aardt and Ahmed, "Assessment of image fusion procedures using entropy, image quality, and
    multispectral classification", J. Appl. Remote Sensing 2, 2008.
    """
    values(fused)
    return _bits(np.bincount(fused.ravel(), minlength=256))


def mean_level(fused: Gray) -> float:
    """Mean grey level of the image, 0 to 255; neither high nor low is better."""
    return float(values(fused)[0].mean())


def standard_deviation(fused: Gray) -> float:
    """SD, the population standard deviation sqrt(mean((F - mean F)²)). 0 to 127.5 grey levels.

    Rao, "In-fibre Bragg grating sensors", Meas. Sci. Technol. 8, 1997, is the reference that fusion surveys cite.
    """
    return float(values(fused)[0].std())


def spatial_frequency(fused: Gray) -> float:
    """SF = sqrt(RF² + CF²): mean squares of the row and column differences, in grey levels.

    RF² = mean((F(i, j+1) - F(i, j))²) and CF² = mean((F(i+1, j) - F(i, j))²), each with its own number of differences.
    Eskicioglu and Fisher, "Image quality measures and their performance", IEEE Trans. Commun. 43, 1995.
    """
    (f,) = values(fused)
    return float(np.sqrt(_mean_square(np.diff(f, axis=1)) + _mean_square(np.diff(f, axis=0))))


def average_gradient(fused: Gray) -> float:
    """AG = mean of sqrt((g_x² + g_y²) / 2), g by central differences, one-sided at the border. In grey levels.

    Cui, Feng, Xu, Li and Chen, "Detail preserved fusion of visible and infrared images using regional saliency
    extraction and multi-scale image decomposition", Optics Communications 341, 2015. Needs two rows and columns.
    """
    (f,) = values(fused)
    vertical, horizontal = np.gradient(f)
    return float(np.sqrt((horizontal * horizontal + vertical * vertical) / 2).mean())


def mutual_information(infrared: Gray, visible: Gray, fused: Gray) -> float:
    """MI = I(A; F) + I(B; F), I(X; F) = H(X) + H(F) - H(X, F) from the 256x256 joint histogram. 0 to 16 bits.

    Qu, Zhang and Yan, "Information measure for performance of image fusion", Electronics Letters 38, 2002.
    """
    values(infrared, visible, fused)
    return _information(infrared, fused) + _information(visible, fused)


def correlation_coefficient(infrared: Gray, visible: Gray, fused: Gray) -> float:
    """CC = (corr(A, F) + corr(B, F)) / 2, Pearson's r; r with a constant image counts as 0. -1 to 1.

    Deshmukh and Bhosale, "Image fusion and image quality assessment of fused images", Int. J. Image Processing 4, 2010.
    """
    a, b, f = values(infrared, visible, fused)
    return (correlation(a, f) + correlation(b, f)) / 2


def sum_of_correlations_of_differences(infrared: Gray, visible: Gray, fused: Gray) -> float:
    """SCD = corr(F - B, A) + corr(F - A, B); a constant difference counts as 0. -2 to 2.

    Aslantas and Bendes, "A new image quality metric for image fusion: the sum of the correlations of differences",
    AEÜ Int. J. Electronics and Communications 69, 2015.
    """
    a, b, f = values(infrared, visible, fused)
    return correlation(f - b, a) + correlation(f - a, b)


def _bits(counts: np.ndarray) -> float:
    p = counts[counts > 0] / counts.sum()
    return abs(float((p * np.log2(p)).sum()))  # abs: no -0.0 for a constant image


def _information(x: Gray, fused: Gray) -> float:
    joint = np.bincount(x.ravel() * np.intp(256) + fused.ravel(), minlength=65536).reshape(256, 256)
    return _bits(joint.sum(axis=1)) + _bits(joint.sum(axis=0)) - _bits(joint)


def _mean_square(differences: Values) -> float:
    return float((differences * differences).mean()) if differences.size else 0.0
