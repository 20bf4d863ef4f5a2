"""Agreement of the views of each pair, by cell of the image and by small displacement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ..rig import scaling
from .structure import Grey, Mask, Matrix, Size, eroded, fitted, resized, resized_mask, structure

COLUMNS, ROWS = 8, 6
_OVER = 1.6  # a cell's window in cells: neighbours overlap
_SEEN = 0.25  # least share of a cell's window in the field of view of both cameras
_FAINT = 0.05  # of the median cell's energy, added to the norm so that cells without edges do not amplify their noise
_THUMBNAIL = 48  # columns

Surfaces = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """The pairs compared at one resolution around one homography.

    Attributes:
        laid_by: that homography, (3, 3), visible pixel to infrared pixel.
        size: (width, height) of the grid in pixels.
        reach: largest displacement in pixels of the grid.
        surfaces: (pairs, cells, 2 reach + 1, 2 reach + 1) float32, correlation by displacement (y, x) of infrared.
        centres: (cells, 2), centres of the cells in pixels of the grid.
        to_level: (3, 3), visible pixel to pixel of the grid.
        seen: (cells,), share of each cell in the field of view of both cameras.
        looks: (pairs, n) float32, coarse features of each visible view, unit vectors.
        feels: (pairs, n) float32, the same of each aligned infrared view.
    """

    laid_by: Matrix
    size: Size
    reach: int
    surfaces: Surfaces
    centres: Matrix
    to_level: Matrix
    seen: npt.NDArray[np.float32]
    looks: npt.NDArray[np.float32]
    feels: npt.NDArray[np.float32]


def compare(
    visible: Sequence[Grey],
    infrared: Sequence[Grey],
    areas: tuple[Mask, Mask],
    homography: Matrix,
    side: int,
    reach: int,
) -> Level:
    """Warp the infrared views to the visible ones by `homography`, and correlate edge directions by cell.

    side: longer side of the grid in pixels, at most the visible image's own.
    """
    height, width = visible[0].shape
    size = fitted((width, height), side)
    to_level = scaling((width, height), size)
    warped_views = _Warped(infrared, areas[1], homography @ np.linalg.inv(to_level), size, reach)
    area = eroded(resized_mask(areas[0], size))
    grid = _Grid(size, reach)
    products = np.empty((len(visible), COLUMNS * ROWS, 2 * reach + 1, 2 * reach + 1), np.float32)
    energy_v, energy_i = np.zeros(area.shape, np.float32), np.zeros(warped_views.area.shape, np.float32)
    looks, feels = [], []
    for k, image in enumerate(visible):
        look, feel = structure(resized(image, size), area), structure(warped_views.image(k), warped_views.area)
        products[k] = grid.correlate(grid.windows(look), grid.surroundings(feel))
        strength = float(np.sqrt((look**2).sum() * (feel**2).sum())) + 1e-6
        products[k] /= strength  # all pairs have the same weight, independent of their edges
        energy_v += (look**2).sum(axis=0) / strength
        energy_i += (feel**2).sum(axis=0) / strength
        looks.append(_thumbnail(look))
        feels.append(_thumbnail(feel[:, reach:-reach, reach:-reach]))
    ours, theirs = area.astype(np.float32)[None], warped_views.area.astype(np.float32)[None]
    window = grid.windows(ours)
    both = grid.correlate(window, grid.surroundings(theirs))
    here = grid.correlate(grid.windows(energy_v[None]), grid.surroundings(theirs))
    there = grid.correlate(window, grid.surroundings(energy_i[None]))
    norm = np.sqrt(np.maximum(here * there, 0))
    share = np.asarray(np.maximum(both, 0) / grid.weight, np.float32)
    norm += _FAINT * float(np.median(norm)) + 1e-9
    surfaces = products * np.where(share > _SEEN, np.sqrt(share) / norm, 0).astype(np.float32)
    seen = share[:, reach, reach]
    return Level(homography, size, reach, surfaces, grid.centres, to_level, seen, np.stack(looks), np.stack(feels))


class _Warped:
    """Infrared images warped to the level's grid, with a margin of `reach`; downscaled first if they are finer."""

    def __init__(self, images: Sequence[Grey], area: Mask, from_level: Matrix, size: Size, reach: int) -> None:
        own = images[0].shape[1], images[0].shape[0]
        middle = np.array([(size[0] - 1) / 2, (size[1] - 1) / 2, 1.0])
        depth = float(from_level[2] @ middle)
        # side of a pixel of the level, in infrared pixels
        step = float(np.sqrt(abs(np.linalg.det(from_level) / depth**3)))
        if step > 1.3:
            reduced = max(8, round(own[0] / step)), max(8, round(own[1] / step))
            images = [resized(image, reduced) for image in images]
            area, from_level = resized_mask(area, reduced), scaling(own, reduced) @ from_level
        self._matrix = from_level @ np.array([[1, 0, -reach], [0, 1, -reach], [0, 0, 1.0]])
        self._size = size[0] + 2 * reach, size[1] + 2 * reach
        self._images = images
        flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        flat = cv2.warpPerspective(area.astype(np.uint8), self._matrix, self._size, flags=flags)
        self.area = eroded(flat > 0)

    def image(self, k: int) -> Grey:
        """The k-th image, (h + 2 reach, w + 2 reach) uint8."""
        flags, border = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
        warped = cv2.warpPerspective(self._images[k], self._matrix, self._size, flags=flags, borderMode=border)
        return np.asarray(warped, np.uint8)


class _Grid:
    """Overlapping windows on a grid, and the correlation of each with its surroundings."""

    def __init__(self, size: Size, reach: int) -> None:
        self._reach = reach
        self._wide, self._high = (max(8, int(_OVER * n / k)) for n, k in zip(size, (COLUMNS, ROWS), strict=True))
        middles = [(np.arange(k) + 0.5) * n / k - 0.5 for n, k in zip(size, (COLUMNS, ROWS), strict=True)]
        x, y = (m.ravel() for m in np.meshgrid(*middles))
        self._left = np.round(x - (self._wide - 1) / 2).astype(int)
        self._top = np.round(y - (self._high - 1) / 2).astype(int)
        self.centres: Matrix = np.column_stack([self._left + (self._wide - 1) / 2, self._top + (self._high - 1) / 2])
        self._fade = np.outer(np.hanning(self._high + 2)[1:-1], np.hanning(self._wide + 2)[1:-1]).astype(np.float32)
        self.weight = float(self._fade.sum())
        self._shape = tuple(cv2.getOptimalDFTSize(n + 2 * reach) for n in (self._high, self._wide))

    def windows(self, maps: npt.NDArray[np.float32]) -> npt.NDArray[np.complex64]:
        """Spectra of the windows of (channels, h, w) under a Hann taper, (cells, channels, ...)."""
        return self._spectra(maps, 0, self._fade)

    def surroundings(self, maps: npt.NDArray[np.float32]) -> npt.NDArray[np.complex64]:
        """Spectra of the windows enlarged by `reach`, of maps with that margin."""
        return self._spectra(maps, self._reach, None)

    def correlate(
        self, windows: npt.NDArray[np.complex64], surroundings: npt.NDArray[np.complex64]
    ) -> npt.NDArray[np.float32]:
        """Correlation (cells, 2 reach + 1, 2 reach + 1), summed over the channels."""
        whole = np.fft.irfft2((np.conj(windows) * surroundings).sum(axis=1), self._shape)
        side = 2 * self._reach + 1
        return np.asarray(whole[:, :side, :side], np.float32)

    def _spectra(
        self, maps: npt.NDArray[np.float32], reach: int, fade: npt.NDArray[np.float32] | None
    ) -> npt.NDArray[np.complex64]:
        rim = max(self._wide, self._high)
        padded = np.pad(maps, ((0, 0), (rim, rim), (rim, rim)))
        high, wide = self._high + 2 * reach, self._wide + 2 * reach
        places = zip(rim + self._left, rim + self._top, strict=True)
        cut = np.stack([padded[:, y : y + high, x : x + wide] for x, y in places])
        return np.asarray(np.fft.rfft2(cut if fade is None else cut * fade, self._shape), np.complex64)


def _thumbnail(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Blurred and subsampled features as one unit vector, similar for views of one scene at small displacements."""
    step = max(1, features.shape[2] // _THUMBNAIL)
    vector = np.concatenate([cv2.blur(f, (2 * step + 1, 2 * step + 1))[::step, ::step].ravel() for f in features])
    return np.asarray(vector / (np.linalg.norm(vector) + 1e-6), np.float32)
