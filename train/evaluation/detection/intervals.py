"""Confidence intervals of mAP50 by a paired bootstrap over scenes: every row uses the same resamples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from .metrics import FrameDetections

RESAMPLES, SEED, CONFIDENCE = 2000, 0, 0.95
_RECALLS = np.linspace(0, 1, 101)
"""Recall values at which Ultralytics samples the precision for the trapezoidal rule."""
_AREA = np.concatenate([[0], (np.full(101, 0.01) - 0.005 * np.isin(_RECALLS, (0, 1))).cumsum()])
"""Cumulative trapezoidal weights of the first n recall values."""

Draws = npt.NDArray[np.float64]
"""(RESAMPLES,) float64: a metric in every resample; NaN if the class does not occur."""


class Interval(NamedTuple):
    """Percentile bootstrap confidence interval at level CONFIDENCE; NaN if the metric is never defined."""

    low: float
    high: float


class Lead(NamedTuple):
    """Difference of a row to the row `over`, with its paired confidence interval."""

    over: str
    by: float
    within: Interval


def resampled(frames: Sequence[FrameDetections], hits: npt.NDArray[np.bool_]) -> dict[int, Draws]:
    """mAP50 by class number in every bootstrap resample of the scenes, equal to Ultralytics' value on repeated frames.

    Frames of the same name are resampled together; rows with the same names get the same resamples. hits: (N,) bool,
    true positives at IoU 0.5 among the detections of all frames in order.
    """
    scenes = sorted({frame.name for frame in frames})
    scene_of = [scenes.index(frame.name) for frame in frames]
    equal = np.full(len(scenes), 1 / len(scenes))
    times = np.random.default_rng(SEED).multinomial(len(scenes), equal, RESAMPLES).T  # (scenes, RESAMPLES)
    found = np.concatenate([frame.found for frame in frames])
    truth = np.concatenate([frame.truth[:, 0] for frame in frames])
    found_in = np.repeat(scene_of, [len(frame.found) for frame in frames])
    truth_in = np.repeat(scene_of, [len(frame.truth) for frame in frames])
    order = np.argsort(-found[:, 4], kind="stable")

    draws = {}
    for number in np.unique(truth):
        labels = np.bincount(truth_in[truth == number], minlength=len(scenes)) @ times
        ranked = order[found[order, 5] == number]
        hit, where = hits[ranked], found_in[ranked]
        # false positives by scene, ranked before each true positive and after the last
        false = np.zeros((hit.sum() + 1, len(scenes)))
        np.add.at(false, (hit.cumsum()[~hit], where[~hit]), 1)
        fp = false.cumsum(0)[:-1] @ times
        tp = times[where[hit]].cumsum(0)
        # precision envelope: the highest precision at this or any higher recall
        precision = np.maximum.accumulate((tp / np.maximum(tp + fp, 1))[::-1])[::-1]
        area = _AREA[np.searchsorted(_RECALLS, tp / np.maximum(labels, 1e-16))]
        average = (precision * np.diff(area, axis=0, prepend=0)).sum(0)
        draws[int(number)] = np.where(labels, average, np.nan)
    return draws


def mean(draws: Sequence[Draws]) -> Draws:
    """Mean over the classes that occur in a resample; (RESAMPLES,)."""
    known = np.isfinite(draws)
    count = known.sum(0)
    return np.where(count, np.where(known, draws, 0).sum(0) / np.maximum(count, 1), np.nan)


def interval(draws: Draws) -> Interval:
    """Confidence interval of a metric, or of the difference of two."""
    known = draws[np.isfinite(draws)]
    edges = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
    return Interval(*(float(edge) for edge in np.quantile(known, edges))) if len(known) else Interval(np.nan, np.nan)
