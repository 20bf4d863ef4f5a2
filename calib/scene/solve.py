"""Estimates the homography between the cameras of a fixed rig from pairs of images, coarse to fine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..board import CalibrationError
from ..rig import SceneRecord, scaling
from .cells import Level, compare
from .evidence import judge, voters
from .fit import HOMOGRAPHY, SIMILARITY, Frame, Parameters, displacements, fit, value_at
from .search import search
from .structure import Grey, Mask, Matrix, apply, corners, fitted, image_area, resized

LARGEST = 640
"""Longer side in pixels to which the images are downscaled; finer detail does not change the result."""

_START = (96, 8, (2.5, 1.5))  # side of the grid, reach in its pixels, blurs of the surfaces
_LEVELS = ((192, 7, (2.0, 1.0)), (384, 7, (2.0, 1.0)))
_SMALLEST = 48  # pixels of the longer side
_RIM, _MOST = 0.06, 0.6  # of infrared's view in the visible one: added on each side; the share that is nearly all


@dataclass(frozen=True, slots=True, eq=False)
class SceneFit:
    """The alignment of the views. homography: (3, 3), visible pixel to infrared pixel, at the original sizes."""

    homography: Matrix
    agreement: SceneRecord


def align(visible: Sequence[Grey], infrared: Sequence[Grey]) -> SceneFit:
    """Estimate the homography of a fixed rig from simultaneous pairs.

    Fields of view may differ by a factor of up to 2.5, by shifts that leave a third in common, and by rotations of up
    to about ten degrees. If the visible view is much wider, only the part in the infrared view is compared, and the
    agreement refers to that part.

    Args:
        visible: (h, w) uint8 each, all of one size.
        infrared: (k, l) uint8 each, all of one size.

    Raises:
        CalibrationError: the evidence is insufficient; the message names what is missing.
    """
    _check(visible, infrared)
    return _align(visible, infrared, whole=True)


def _align(visible: Sequence[Grey], infrared: Sequence[Grey], whole: bool) -> SceneFit:
    own = [(images[0].shape[1], images[0].shape[0]) for images in (visible, infrared)]
    sizes = [fitted(size, LARGEST) for size in own]
    seen = [resized(image, sizes[0]) for image in visible]
    felt = [resized(image, sizes[1]) for image in infrared]
    areas = image_area(seen), image_area(felt)
    for name, area in zip(("visible", "infrared"), areas, strict=True):
        if area.mean() < 0.1:
            raise CalibrationError(f"scene: the {name} images show no change, or no scene")
    frame, parameters = _coarse(seen, felt, areas, sizes[0]), np.zeros(HOMOGRAPHY)
    if whole and (part := _part(frame.homography(parameters), sizes, own[0])) is not None:
        left, top, right, bottom = part
        fit = _align([image[top:bottom, left:right] for image in visible], infrared, whole=False)
        return SceneFit(fit.homography @ np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]]), fit.agreement)
    votes = np.ones(len(seen), bool)
    for side, reach, blurs in _LEVELS:
        level = compare(seen, felt, areas, frame.homography(parameters), side, reach)
        parameters = _agreed(level, frame, parameters, blurs, votes)
        homography = frame.homography(parameters)
        at = displacements(level, homography)
        agree = voters(level, at)
        # fewer than half are not a majority; `judge` refuses them
        votes = agree if 2 * int(agree.sum()) >= len(agree) else np.ones(len(agree), bool)
    halves = [frame.homography(_agreed(level, frame, parameters, (1.0,), half)) for half in _halves(votes)]
    agreement = judge(level, at, halves, agree, (sizes[0], own[0]))
    back = np.linalg.inv(scaling(own[1], sizes[1]))
    result = back @ homography @ scaling(own[0], sizes[0])
    return SceneFit(result / result[2, 2], agreement)


def _coarse(seen: Sequence[Grey], felt: Sequence[Grey], areas: tuple[Mask, Mask], size: tuple[int, int]) -> Frame:
    """Around the best candidate of the search after refinement of each."""
    side, reach, blurs = _START
    refined: list[tuple[float, Matrix]] = []
    for candidate in search(seen, felt, areas):
        frame = Frame.around(candidate, size)
        level = compare(seen, felt, areas, candidate, side, reach)
        pooled = level.surfaces.sum(axis=0)
        homography = frame.homography(fit(level, pooled, frame, np.zeros(HOMOGRAPHY), blurs, SIMILARITY))
        refined.append((float(value_at(pooled, displacements(level, homography)).sum()), homography))
    return Frame.around(max(refined, key=lambda valued: valued[0])[1], size)


def _part(homography: Matrix, sizes: list[tuple[int, int]], own: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Part of the visible images, of `own` size, in the infrared view, with a margin: left, top, right, bottom. None if
    it is most of the image."""
    inverse = np.asarray(np.linalg.inv(homography), np.float64)
    ends = apply(inverse, corners(sizes[1])) * np.array(own) / np.array(sizes[0])
    rim = _RIM * np.ptp(ends, axis=0)
    left, top = np.maximum(ends.min(axis=0) - rim, 0).astype(int)
    right, bottom = np.minimum(ends.max(axis=0) + rim + 1, own).astype(int)
    width, height = right - left, bottom - top
    if min(width, height) < _SMALLEST or width * height > _MOST * own[0] * own[1]:
        return None
    return int(left), int(top), int(right), int(bottom)


def _agreed(
    level: Level, frame: Frame, start: Parameters, blurs: Sequence[float], votes: npt.NDArray[np.bool_]
) -> Parameters:
    return fit(level, level.surfaces[votes].sum(axis=0), frame, start, blurs, HOMOGRAPHY)


def _halves(votes: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.bool_]]:
    """Masks of disjoint halves of the agreeing pairs, for several random splits, two masks in a row."""
    members = np.flatnonzero(votes)
    masks = []
    rng = np.random.default_rng(0)  # the same images give the same result
    for _ in range(6 if len(members) >= 4 else 0):
        order = rng.permutation(members)
        for part in (order[: len(order) // 2], order[len(order) // 2 :]):
            mask = np.zeros(len(votes), bool)
            mask[part] = True
            masks.append(mask)
    return masks


def _check(visible: Sequence[Grey], infrared: Sequence[Grey]) -> None:
    if len(visible) != len(infrared):
        raise CalibrationError(f"scene: {len(visible)} visible and {len(infrared)} infrared images; give pairs")
    if not visible:
        raise CalibrationError("scene: no pair of images; give two streams that overlap in time")
    for name, images in (("visible", visible), ("infrared", infrared)):
        shapes = {image.shape for image in images}
        if len(shapes) > 1:
            some = ", ".join(f"{w}x{h}" for h, w in sorted(shapes)[:3])
            raise CalibrationError(f"scene: the {name} images have different sizes ({some}); a fixed rig has one")
        if max(images[0].shape) < _SMALLEST:
            raise CalibrationError(f"scene: the {name} images are too small, {_SMALLEST} pixels are needed")
