"""NIQE: no-reference quality, the distance of local image statistics to those of pristine photographs."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from .arrays import Gray, Values, gaussian, values

PATCH = 96
"""Side of a patch in pixels, as in the pristine model."""
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
HALVING = (-0.01171875, -0.03515625, 0.11328125, 0.43359375)
"""Keys' cubic (a = -0.5) stretched by 2 and sampled at 3.5, 2.5, 1.5, 0.5 pixels: MATLAB's imresize(image, 0.5)."""


def niqe(image: Gray) -> float:
    """NIQE = sqrt((ν1 - ν2)ᵀ ((Σ1 + Σ2) / 2)⁻¹ (ν1 - ν2)), ν and Σ mean and covariance of 36 features. Lower is better.

    Features of every 96x96 patch at two scales (the second halved by antialiased bicubic): contrast-normalised
    luminance (I - μ) / (σ + 1), 7x7 Gaussian of σ 7/6, is fitted by a generalised Gaussian (shape, scale), and its
    products with four neighbours by asymmetric ones (shape, mean, left and right scale). ν1, Σ1 are the authors' model
    of 125 pristine photographs. Rows and columns beyond the last whole patch are ignored. NaN for images with fewer
    than two patches with structure. image: (H, W) uint8.

    Mittal, Soundararajan and Bovik, "Making a 'completely blind' image quality analyzer", IEEE Signal Processing
    Letters 20, 2013, and "NIQE software release", 2012, LIVE and CPS at the University of Texas at Austin, whose model
    parameters are in niqe_pristine.npz under the notice in niqe_pristine.txt.
    """
    (x,) = values(image)
    rows, columns = x.shape[0] // PATCH, x.shape[1] // PATCH
    if rows * columns < 2:
        return math.nan
    x = x[: rows * PATCH, : columns * PATCH]
    features = np.concatenate([_features(x, PATCH), _features(_halved(x), PATCH // 2)], axis=1)
    complete = features[~np.isnan(features).any(axis=1)]
    if len(complete) < 2:
        return math.nan
    mean, covariance = _pristine()
    difference = mean - np.nanmean(features, axis=0)
    precision = np.linalg.pinv((covariance + np.cov(complete, rowvar=False)) / 2)
    return float(np.sqrt(difference @ precision @ difference))


def _features(image: Values, patch: int) -> Values:
    """The 18 features of each patch at one scale, (patches, 18); NaN for a patch without structure."""
    window = gaussian(7, 7 / 6)
    mean = cv2.sepFilter2D(image, -1, window, window, borderType=cv2.BORDER_REPLICATE)
    square = cv2.sepFilter2D(image * image, -1, window, window, borderType=cv2.BORDER_REPLICATE)
    normal = (image - mean) / (np.sqrt(np.abs(square - mean * mean)) + 1)
    height, width = image.shape
    patches = normal.reshape(height // patch, patch, width // patch, patch).swapaxes(1, 2).reshape(-1, patch, patch)

    shape, left, right = _asymmetric_gaussian(patches)
    columns = [shape, (left + right) / 2]
    for step in NEIGHBOURS:
        shape, left, right = _asymmetric_gaussian(patches * np.roll(patches, step, axis=(1, 2)))
        columns += [shape, (right - left) * _gamma(2 / shape) / _gamma(1 / shape), left, right]
    return np.stack(columns, axis=1)


def _asymmetric_gaussian(patches: Values) -> tuple[Values, Values, Values]:
    """Shape, left and right scale of the asymmetric generalised Gaussian fitted to each patch by moments."""
    squares = patches * patches
    negative, positive = patches < 0, patches > 0
    with np.errstate(invalid="ignore", divide="ignore"):  # a patch without structure becomes NaN
        left = np.sqrt((squares * negative).sum(axis=(1, 2)) / negative.sum(axis=(1, 2)))
        right = np.sqrt((squares * positive).sum(axis=(1, 2)) / positive.sum(axis=(1, 2)))
        skew = left / right
        ratio = np.abs(patches).mean(axis=(1, 2)) ** 2 / squares.mean(axis=(1, 2))
        ratio *= (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shapes, ratios = _shape_table()
    middle = (ratios[1:] + ratios[:-1]) / 2
    shape = np.where(np.isfinite(ratio), shapes[np.searchsorted(middle, ratio)], np.nan)
    scale = np.sqrt(_gamma(1 / shape) / _gamma(3 / shape))
    return shape, left * scale, right * scale


@cache
def _shape_table() -> tuple[Values, Values]:
    """Shapes 0.2 to 10 by 0.001, and E|x|² / E x² of the generalised Gaussian of each, which rises with shape."""
    shapes = np.arange(0.2, 10.001, 0.001)
    return shapes, _gamma(2 / shapes) ** 2 / (_gamma(1 / shapes) * _gamma(3 / shapes))


@cache
def _pristine() -> tuple[Values, Values]:
    with np.load(Path(__file__).with_name("niqe_pristine.npz")) as model:
        return model["mean"], model["covariance"]


def _gamma(x: Values) -> Values:
    return np.array([math.nan if math.isnan(each) else math.gamma(each) for each in x])


def _halved(image: Values) -> Values:
    taps = HALVING + HALVING[::-1]
    for axis in (0, 1):
        padded = np.pad(image, [(3, 3) if each == axis else (0, 0) for each in (0, 1)], mode="symmetric")
        padded = np.moveaxis(padded, axis, 0)
        count = image.shape[axis] // 2
        halved = np.sum([tap * padded[k : k + 2 * count : 2] for k, tap in enumerate(taps)], axis=0)
        image = np.moveaxis(halved, 0, axis)
    return image
