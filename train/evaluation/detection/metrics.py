"""Detection metrics by Ultralytics' matching and average precision, per class and as the mean over classes.

Confidence intervals of mAP50 are from a paired bootstrap over scenes: every row uses the same resamples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ....engines.detection.quiet import ultralytics
from ....engines.detection.weights import DETECTOR_NAMES
from ...detector.boxes import Boxes, corners
from ..scenes import Scene

Floats = npt.NDArray[np.float32]
ALL_CLASSES = "all"
LEAST = 0.001
"""Lowest score of detections that count for the average precision, as in Ultralytics' validation."""
THRESHOLDS = np.linspace(0.5, 0.95, 10)
RESAMPLES, SEED, CONFIDENCE = 2000, 0, 0.95
_RECALLS = np.linspace(0, 1, 101)
"""Recall values at which Ultralytics samples the precision for the trapezoidal rule."""
_AREA = np.concatenate([[0], (np.full(101, 0.01) - 0.005 * np.isin(_RECALLS, (0, 1))).cumsum()])
"""Cumulative trapezoidal weights of the first n recall values."""

Draws = npt.NDArray[np.float64]
"""(RESAMPLES,) float64: a metric in every resample; NaN if the class does not occur."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameDetections:
    """Detections and ground truth of one frame.

    found: (N, 6) float32 x1, y1, x2, y2 in pixels, score, class. truth: (M, 5) float32 class, x1, y1, x2, y2 in pixels.
    """

    name: str
    found: Floats
    truth: Floats


class Interval(NamedTuple):
    """Percentile bootstrap confidence interval at level CONFIDENCE; NaN if the metric is never defined."""

    low: float
    high: float


class Lead(NamedTuple):
    """Difference of a row to the row `over`, with its paired confidence interval."""

    over: str
    by: float
    within: Interval


@dataclass(frozen=True, slots=True)
class Figures:
    """Detection metrics for one class, or their means over all classes that occur.

    Precision and recall at IoU 0.5, at the score where the mean F1 over the classes is highest.
    """

    labels: int
    map50: float
    map: float
    precision: float
    recall: float


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """Detection result of one row.

    figures: by class name, `all` first. curve: (1000,) precision at recall 0 to 1, mean over classes. draws: mAP50 of
    the bootstrap resamples, by class name.
    """

    figures: dict[str, Figures]
    curve: npt.NDArray[np.float64]
    draws: dict[str, Draws]

    def within(self, name: str) -> Interval:
        """Confidence interval of the mAP50 of a class."""
        return interval(self.draws[name])

    def lead(self, name: str, others: Mapping[str, Result]) -> Lead:
        """Difference of the mAP50 of a class to the best of other results on the same scenes."""
        over = max(others, key=lambda row: others[row].figures[name].map50)
        by = self.figures[name].map50 - others[over].figures[name].map50
        return Lead(over, by, interval(self.draws[name] - others[over].draws[name]))


def pixels(boxes: Boxes, width: int, height: int) -> Floats:
    """Convert relative boxes to rows of class, x1, y1, x2, y2 in pixels, (n, 5) float32."""
    scale = np.array([width, height] * 2, np.float32)
    return np.hstack([boxes[:, :1], corners(boxes) * scale]).astype(np.float32)


def score_frames(frames: Sequence[FrameDetections], names: Sequence[str] = tuple(DETECTOR_NAMES.values())) -> Result:
    """Compute the metrics over all frames together. names: classes in order."""
    metrics = ultralytics("ultralytics.utils.metrics")
    hits = np.concatenate([match_detections(frame) for frame in frames])
    found = np.concatenate([frame.found for frame in frames])
    truth = np.concatenate([frame.truth[:, 0] for frame in frames])
    _, _, p, r, _, ap, classes, *_, curves = metrics.ap_per_class(hits, found[:, 4], found[:, 5], truth)
    figures = {
        names[int(number)]: Figures(
            int((truth == number).sum()), float(ap[at, 0]), float(ap[at].mean()), float(p[at]), float(r[at])
        )
        for at, number in enumerate(classes)
    }
    none = math.nan
    whole = (
        Figures(len(truth), float(ap[:, 0].mean()), float(ap.mean()), float(p.mean()), float(r.mean()))
        if len(truth)
        else Figures(0, none, none, none, none)
    )
    draws = {names[number]: made for number, made in resampled(frames, hits[:, 0]).items()}
    draws = {ALL_CLASSES: mean(list(draws.values()) or [np.full(RESAMPLES, none)])} | draws
    return Result({ALL_CLASSES: whole} | figures, np.asarray(curves, np.float64).mean(0), draws)


def match_detections(frame: FrameDetections) -> npt.NDArray[np.bool_]:
    """True positives: (N, 10) bool, whether a detection is matched to a box of its class at each of THRESHOLDS."""
    if not (len(frame.found) and len(frame.truth)):
        return np.zeros((len(frame.found), len(THRESHOLDS)), bool)
    import torch

    order = np.argsort(-frame.found[:, 4], kind="stable")
    found, truth = torch.from_numpy(frame.found[order]), torch.from_numpy(frame.truth)
    validator: Any = ultralytics("ultralytics.engine.validator").BaseValidator
    iou = ultralytics("ultralytics.utils.metrics").box_iou(truth[:, 1:], found[:, :4])
    thresholds = SimpleNamespace(iouv=torch.from_numpy(THRESHOLDS))  # the only attribute that the method uses
    hits = validator.match_predictions(thresholds, found[:, 5], truth[:, 0], iou).numpy()
    unsorted = np.empty_like(hits)
    unsorted[order] = hits
    return np.asarray(unsorted, np.bool_)


def find_detected(frame: FrameDetections, score: float) -> npt.NDArray[np.bool_]:
    """Detected labels: (M,) bool, whether a detection of the same class and at least this score has IoU >= 0.5."""
    metrics = ultralytics("ultralytics.utils.metrics")
    import torch

    sure = frame.found[frame.found[:, 4] >= score]
    if not (len(sure) and len(frame.truth)):
        return np.zeros(len(frame.truth), bool)
    iou = metrics.box_iou(torch.from_numpy(frame.truth[:, 1:]), torch.from_numpy(sure[:, :4])).numpy()
    return np.asarray(((iou >= 0.5) & (frame.truth[:, :1] == sure[:, 5])).any(1))


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


@dataclass(frozen=True, slots=True, eq=False)
class SceneDetections:
    """Detections of one scene under one condition, by row."""

    condition: str
    scene: Scene
    rows: dict[str, FrameDetections]


Results = dict[str, dict[str, Result]]
"""By condition, `all` first, then by row."""
