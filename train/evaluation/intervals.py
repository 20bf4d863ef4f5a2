"""How far mAP50 would be elsewhere on scenes of the same kind: a bootstrap over scenes, the same for every row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from .detection import Judged

RESAMPLES, SEED, CONFIDENCE = 2000, 0, 0.95
_RECALLS = np.linspace(0, 1, 101)
"""Where Ultralytics reads the precision, for trapezoids between them."""
_AREA = np.concatenate([[0], (np.full(101, 0.01) - 0.005 * np.isin(_RECALLS, (0, 1))).cumsum()])
"""That the first n of them stand for."""

Draws = npt.NDArray[np.float64]
"""(RESAMPLES,): a figure in every resample; NaN where it shows nothing of the class."""


class Interval(NamedTuple):
    """Between which CONFIDENCE of the resamples lie; NaN where none has a figure."""

    low: float
    high: float


class Lead(NamedTuple):
    """How far a row is ahead of another, both resampled alike."""

    over: str
    by: float
    within: Interval


def resampled(frames: Sequence[Judged], hits: npt.NDArray[np.bool_]) -> dict[int, Draws]:
    """mAP50 by class in every resample of the scenes with replacement, as Ultralytics has it for frames so repeated.

    What frames of one name show goes together, and rows with the same names are resampled alike. hits: (N,), which of
    all detections hit a box of their class at IoU 0.5.
    """
    scenes = sorted({frame.name for frame in frames})
    place = [scenes.index(frame.name) for frame in frames]
    equal = np.full(len(scenes), 1 / len(scenes))
    times = np.random.default_rng(SEED).multinomial(len(scenes), equal, RESAMPLES).T  # (scenes, RESAMPLES)
    found = np.concatenate([frame.found for frame in frames])
    truth = np.concatenate([frame.truth[:, 0] for frame in frames])
    found_in = np.repeat(place, [len(frame.found) for frame in frames])
    truth_in = np.repeat(place, [len(frame.truth) for frame in frames])
    order = np.argsort(-found[:, 4], kind="stable")

    draws = {}
    for number in np.unique(truth):
        labels = np.bincount(truth_in[truth == number], minlength=len(scenes)) @ times
        ranked = order[found[order, 5] == number]
        hit, where = hits[ranked], found_in[ranked]
        missed = np.zeros((hit.sum() + 1, len(scenes)))  # before each hit, and after the last, by scene
        np.add.at(missed, (hit.cumsum()[~hit], where[~hit]), 1)
        wrong = missed.cumsum(0)[:-1] @ times
        right = times[where[hit]].cumsum(0)
        precision = np.maximum.accumulate((right / np.maximum(right + wrong, 1))[::-1])[::-1]
        # the precision at a recall is the best of all hits beyond it
        area = _AREA[np.searchsorted(_RECALLS, right / np.maximum(labels, 1e-16))]
        average = (precision * np.diff(area, axis=0, prepend=0)).sum(0)
        draws[int(number)] = np.where(labels, average, np.nan)
    return draws


def mean(draws: Sequence[Draws]) -> Draws:
    """Over the classes that a resample shows."""
    known = np.isfinite(draws)
    count = known.sum(0)
    return np.where(count, np.where(known, draws, 0).sum(0) / np.maximum(count, 1), np.nan)


def interval(draws: Draws) -> Interval:
    """Of one figure, or of the difference of two."""
    known = draws[np.isfinite(draws)]
    edges = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
    return Interval(*(float(edge) for edge in np.quantile(known, edges))) if len(known) else Interval(np.nan, np.nan)
