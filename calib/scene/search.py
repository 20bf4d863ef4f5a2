"""Coarse search for the alignment: every zoom and rotation, all shifts at once, evidence summed over all pairs."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from ..rig import scaling
from .structure import (
    Features,
    Grey,
    Mask,
    Matrix,
    Size,
    apply,
    corners,
    eroded,
    fitted,
    resized,
    resized_mask,
    structure,
)

_SIDE = 64  # pixels of the visible image's longer side: an error of one zoom step moves its corner by three
ZOOMS = np.geomspace(0.45, 2.2, 17)
"""Infrared view over visible view, in width: up to twice either way, and a little beyond."""
_TURNS = (-8.0, -4.0, 0.0, 4.0, 8.0)  # degrees
_OVERLAP = 0.3  # of the smaller view at least
_REACH = 0.85  # largest shift, of the sum of both sides; beyond it the overlap is too small
_MOST = 2  # candidates
_APART = 0.04  # of the visible diagonal between two candidates' corners


def search(visible: Sequence[Grey], infrared: Sequence[Grey], areas: tuple[Mask, Mask]) -> list[Matrix]:
    """Best alignments of the infrared views with the visible ones, best first, at most _MOST different ones.

    visible: (h, w) each, infrared: (k, l) each, areas: image area of each camera. The correlation surfaces of all pairs
    are summed before peaks are searched. Infrared pixels are assumed square and, if the aspect ratios of the two images
    differ, also stretched to that of the visible image. Returns homographies (3, 3), visible pixel to infrared pixel.
    """
    height, width = visible[0].shape
    size = infrared[0].shape[1], infrared[0].shape[0]
    small = fitted((width, height), _SIDE)
    area = eroded(resized_mask(areas[0], small))
    looks = np.stack([structure(resized(image, small), area) for image in visible])
    to_small = scaling((width, height), small)
    found: list[tuple[float, Matrix]] = []
    for aspect in _aspects((width, height), size):
        for zoom in ZOOMS:
            wide = small[0] * zoom
            shrunk = max(16, round(wide)), max(12, round(wide * aspect))
            turned = [resized(image, shrunk) for image in infrared]
            pool = _Pool(looks, area, shrunk)
            for degrees in _TURNS:
                score, shift = pool.best(turned, resized_mask(areas[1], shrunk), degrees)
                there = np.linalg.inv(pool.turn(degrees)) @ shift @ to_small
                found.append((score, scaling(shrunk, size) @ there))
    found.sort(key=lambda scored: -scored[0])
    return _distinct([homography for _, homography in found], (width, height))


class _Pool:
    """Spectra of the visible images at one zoom of the infrared ones, whose canvas fits all rotations."""

    def __init__(self, looks: Features, area: Mask, shrunk: Size) -> None:
        w, h = shrunk
        self._shrunk = shrunk
        self._canvas = w + round(0.15 * h) + 2, h + round(0.15 * w) + 2
        rows, columns = area.shape
        sides = (rows, self._canvas[1]), (columns, self._canvas[0])
        self._shape = tuple(cv2.getOptimalDFTSize(int(_REACH * (a + b))) for a, b in sides)
        self._looks = np.conj(self._spectrum(looks))
        self._energy = np.conj(self._spectrum((looks**2).sum(axis=(0, 1))))
        self._area = np.conj(self._spectrum(area.astype(np.float32)))
        self._pixels = int(area.sum())

    def turn(self, degrees: float) -> Matrix:
        """(3, 3): pixels of the downscaled infrared image to those of the rotated one on its canvas."""
        (w, h), (cw, ch) = self._shrunk, self._canvas
        matrix = np.eye(3)
        matrix[:2] = cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), -degrees, 1.0)
        matrix[:2, 2] += (cw - w) / 2, (ch - h) / 2
        return matrix

    def best(self, images: Sequence[Grey], area: Mask, degrees: float) -> tuple[float, Matrix]:
        """The highest pooled score over all shifts, and the shift as (3, 3), visible to canvas.

        The score is the correlation of edge directions, weighted by overlap.
        """
        matrix = self.turn(degrees)[:2]
        flat = cv2.warpAffine(area.astype(np.uint8), matrix, self._canvas, flags=cv2.INTER_NEAREST)
        inside = eroded(flat > 0)
        products = np.zeros(self._area.shape, np.complex64)
        energy = np.zeros(inside.shape, np.float32)
        for look, image in zip(self._looks, images, strict=True):
            warped = cv2.warpAffine(image, matrix, self._canvas, borderMode=cv2.BORDER_REPLICATE)
            feel = structure(np.asarray(warped, np.uint8), inside)
            energy += (feel**2).sum(axis=0)
            products += (look * self._spectrum(feel)).sum(axis=0)
        mask = self._spectrum(inside.astype(np.float32))
        overlap = self._surface(self._area * mask)
        energies = self._surface(self._energy * mask) * self._surface(self._area * self._spectrum(energy))
        enough = overlap > _OVERLAP * min(self._pixels, int(inside.sum()))
        score = self._surface(products) / np.sqrt(np.maximum(energies, 1e-3))
        score = np.where(enough, score * np.sqrt(np.maximum(overlap, 0) / max(self._pixels, 1)), -1)
        y, x = (int(k) for k in np.unravel_index(int(score.argmax()), score.shape))
        best = float(score[y, x])
        y -= self._shape[0] if y >= self._canvas[1] else 0
        x -= self._shape[1] if x >= self._canvas[0] else 0
        return best, np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])

    def _spectrum(self, maps: npt.NDArray[np.float32]) -> npt.NDArray[np.complex64]:
        return np.asarray(np.fft.rfft2(maps, self._shape), np.complex64)

    def _surface(self, spectrum: npt.NDArray[np.complex64]) -> npt.NDArray[np.float32]:
        return np.asarray(np.fft.irfft2(spectrum, self._shape), np.float32)


def _aspects(visible: Size, infrared: Size) -> list[float]:
    """Aspect ratios (height / width) to try for the infrared image."""
    square, stretched = infrared[1] / infrared[0], visible[1] / visible[0]
    return [square] if abs(square / stretched - 1) < 0.03 else [square, stretched]


def _distinct(found: Sequence[Matrix], size: Size) -> list[Matrix]:
    kept: list[Matrix] = []
    bound = _APART * float(np.hypot(*size))
    for homography in found:
        back = np.linalg.inv(homography)
        ends = corners(size)
        if all(np.linalg.norm(apply(back @ other, ends) - ends, axis=1).max() > bound for other in kept):
            kept.append(homography)
        if len(kept) == _MOST:
            break
    return kept
