"""Fits one homography that maximises the agreement summed over all cells, without matching cells one by one.

A cell without edges or with a repeated pattern adds little evidence, but no wrong match. A prior keeps all parameters
except zoom, rotation and shift small: cameras on one mount need little of them, and weak evidence at the corners would
otherwise determine them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .cells import Level, Surfaces
from .structure import Matrix, apply

Parameters = npt.NDArray[np.float64]
"""Shift x, y; zoom, turn; aspect, shear; perspective x, y. In coordinates from -1 to 1 along the longer side."""

SIMILARITY, HOMOGRAPHY = 4, 8
# Weight of the prior in tenths of the evidence; it levels off beyond _USUAL, so that a real keystone is kept (one of
# 2 % is estimated 0.1 % too small, one of 5 % without bias).
_PRIOR, _USUAL = 1500.0, 0.006
_STEPS = 15
_ENOUGH = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Coordinates of the parameters. base: homography to which they are relative."""

    base: Matrix
    centre: tuple[float, float]
    half: float

    def homography(self, parameters: Parameters) -> Matrix:
        """(3, 3), visible pixel to infrared pixel."""
        x, y, zoom, turn, aspect, shear, across, down = parameters
        change = np.array(
            [[1 + zoom + aspect, shear - turn, x], [shear + turn, 1 + zoom - aspect, y], [across, down, 1.0]]
        )
        inward = np.array([[1, 0, -self.centre[0]], [0, 1, -self.centre[1]], [0, 0, self.half]]) / self.half
        return np.asarray(self.base @ np.linalg.inv(inward) @ change @ inward, np.float64)

    @staticmethod
    def around(base: Matrix, size: tuple[int, int]) -> Frame:
        """For a visible image of `size` (width, height)."""
        width, height = size
        return Frame(base, ((width - 1) / 2, (height - 1) / 2), max(width, height) / 2)


def fit(
    level: Level, surfaces: Surfaces, frame: Frame, start: Parameters, blurs: Sequence[float], free: int
) -> Parameters:
    """Parameters that maximise the sum of `surfaces` (cells, s, s) of `level`.

    blurs: sigmas in pixels for the surfaces, applied in turn. free: number of parameters, SIMILARITY or HOMOGRAPHY.
    """
    parameters = start.copy()
    for blur in blurs:
        maps = _derivatives(surfaces, blur)
        unit = float(np.abs(maps[..., 0]).max()) * len(maps) / 10 + 1e-12
        prior = _PRIOR * unit * np.array([0, 0, 0, 0, 1.0, 1.0, 1.0, 1.0])
        parameters = _climb(level, maps, frame, parameters, prior, free)
    return parameters


def displacements(level: Level, homography: Matrix) -> Matrix:
    """Displacement of the homography from the level's own at each cell, (cells, 2) in pixels of the level."""
    there = level.to_level @ np.linalg.inv(level.laid_by) @ homography @ np.linalg.inv(level.to_level)
    return apply(there, level.centres) - level.centres


def value_at(surfaces: Surfaces, at: Matrix) -> npt.NDArray[np.float64]:
    """The surfaces (..., cells, s, s) at displacements (cells, 2), cubically interpolated, (..., cells)."""
    maps = np.moveaxis(surfaces.reshape(-1, *surfaces.shape[-3:]), 0, -1)
    return np.moveaxis(_sampled(maps, at), -1, 0).reshape(surfaces.shape[:-2])


def _climb(level: Level, maps: Surfaces, frame: Frame, start: Parameters, prior: Parameters, free: int) -> Parameters:
    """Levenberg-Marquardt steps. The evidence is not a sum of squares, so its curvature is computed per cell."""

    def evaluate(parameters: Parameters) -> tuple[float, Matrix]:
        at = displacements(level, frame.homography(parameters))
        values = _sampled(maps, at)
        cost = _USUAL**2 * np.log1p((parameters / _USUAL) ** 2)
        return float(values[:, 0].sum() - (prior * cost).sum()), values

    parameters, damping = start, 1e-3
    best, values = evaluate(parameters)
    for _ in range(_STEPS):
        jacobian = _jacobian(level, frame, parameters)[:, :, :free]
        pull = 2 * prior / (1 + (parameters / _USUAL) ** 2)
        slope = np.einsum("ck,ckp->p", values[:, 1:3], jacobian) - (pull * parameters)[:free]
        bend = -values[:, [3, 4, 4, 5]].reshape(-1, 2, 2)
        sizes, axes = np.linalg.eigh(bend)
        bend = np.einsum("cij,cj,ckj->cik", axes, np.maximum(sizes, 0), axes)
        normal = np.einsum("cip,cij,cjq->pq", jacobian, bend, jacobian) + np.diag(pull[:free])
        lift = np.trace(normal) / free * np.eye(free) + 1e-12 * np.eye(free)
        trial = parameters.copy()
        trial[:free] += np.linalg.solve(normal + damping * lift, slope)
        value, trial_values = evaluate(trial)
        if value > best:
            gained = value - best
            parameters, best, values, damping = trial, value, trial_values, max(damping / 4, 1e-6)
            if gained < _ENOUGH * abs(best):
                break
        else:
            damping *= 6
    return parameters


def _jacobian(level: Level, frame: Frame, parameters: Parameters) -> Matrix:
    """Derivatives of the displacements by the parameters, (cells, 2, 8), in pixels of the level."""
    step = 1e-5
    here = displacements(level, frame.homography(parameters))
    columns = [(displacements(level, frame.homography(parameters + step * row)) - here) / step for row in np.eye(8)]
    return np.stack(columns, axis=2)


def _derivatives(surfaces: Surfaces, blur: float) -> Surfaces:
    """Value, slopes x and y, curvatures xx, xy, yy of the blurred surfaces, (cells, s, s, 6)."""
    smooth = np.stack([cv2.GaussianBlur(s, (0, 0), blur, borderType=cv2.BORDER_CONSTANT) for s in surfaces])
    y, x = np.gradient(smooth, axis=1), np.gradient(smooth, axis=2)
    return np.stack(
        [smooth, x, y, np.gradient(x, axis=2), np.gradient(x, axis=1), np.gradient(y, axis=1)], axis=-1
    ).astype(np.float32)


def _sampled(maps: Surfaces, at: Matrix) -> Matrix:
    """Sample maps (cells, s, s, k) at displacements (cells, 2) from the centre, (cells, k); 0 outside.

    The interpolation is cubic; a linear one would have its maxima at whole pixels.
    """
    side = maps.shape[1]
    place = at + (side - 1) / 2
    inside = ((place >= 0) & (place <= side - 1)).all(axis=1)
    place = np.clip(np.nan_to_num(place), 0, side - 1)
    whole = np.minimum(place.astype(int), side - 2)
    part = place - whole
    around = np.arange(-1, 3)
    x, y = (np.clip(whole[:, k, None] + around, 0, side - 1) for k in (0, 1))
    cells = np.arange(len(maps))[:, None, None]
    picked = maps[cells, y[:, :, None], x[:, None, :]]
    values = np.einsum("cyxk,cy,cx->ck", picked, _cubic(part[:, 1]), _cubic(part[:, 0]))
    return np.asarray(values * inside[:, None], np.float64)


def _cubic(t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Catmull-Rom weights of the four neighbouring samples, (n, 4)."""
    return np.stack(
        [((2 - t) * t - 1) * t / 2, ((3 * t - 5) * t * t + 2) / 2, ((4 - 3 * t) * t + 1) * t / 2, (t - 1) * t * t / 2],
        -1,
    )
