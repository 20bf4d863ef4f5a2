"""Tracking: ByteTrack on the detections of each frame, with consistent numbers and prediction through gaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ...engines.networks.smoothing import LONGEST_S, Cuts
from ..core.detections import Box, Detection
from ..core.frames import Frame
from .bytetrack import ByteTrack

WEAKEST = 0.1
"""Least score of a box that continues an existing track (ByteTrack's low threshold). The detector keeps such boxes."""
REMEMBERED = 30
"""Number of frames without a detection after which a track ends."""
PROVEN = 5
"""Number of detections that an object needs before it may coast, so that a false detection does not."""
SURE = 0.7
"""Highest score that an object needs before it may coast."""
AT_ONCE = 0.4
"""Score from which an object is output in its first frame; others need a second detection."""
BORDER = 0.01
"""Share of the frame's width: boxes closer to the left or right border do not coast. Objects that leave the frame get
narrow there, and their predicted box would stay behind.
"""
INSIDE = 0.5
"""Least share of a predicted box between the frame's top and bottom."""
COVERED = 0.6
"""Largest share of a predicted box that a box of the same class may cover; else it is the same object, or hidden."""


@dataclass(slots=True)
class _State:
    """State of a track: detections by class, last and highest score, time of the last detection in ns."""

    votes: Counter[str] = field(default_factory=Counter)
    score: float = 0.0
    best: float = 0.0
    seen_ns: int = 0


class Tracker:
    """Assigns a track number to every object, kept through short gaps.

    An object that is not detected for a moment, for example behind a pole, coasts: its box is predicted by the track's
    Kalman filter and marked as such. It needs PROVEN detections, one of them with a score of SURE, and has to lie in
    the frame, not at its sides.

    Tracking restarts with new numbers on a scene cut and after a gap of 2 s in the source. Use one tracker per run.
    """

    def __init__(self, confidence: float, coast_s: float = 0.0) -> None:
        """Create a tracker.

        Args:
            confidence: score from which a box starts a track; boxes from WEAKEST up only continue one. 0 to 1.
            coast_s: longest time for which an object coasts, in seconds of the source's clock; 0: never.
        """
        self._confidence, self._coast_ns = confidence, coast_s * 1e9
        self._tracker = self._new()
        self._cuts = Cuts()
        self._before_ns = 0
        self._first = 0  # highest number before the last restart
        self._highest = 0
        self._known: dict[int, _State] = {}
        self._ended: Counter[str] = Counter()

    def follow(self, detections: Sequence[Detection], visible: Frame) -> list[Detection]:
        """Track the detections of the next frame.

        A track gets its number in its second frame, in the first frame of a scene at once.

        Args:
            detections: boxes of the frame.
            visible: the visible frame, for scene cuts and the elapsed time.

        Returns:
            Detections with a number, then those without (None) whose score exceeds the confidence and AT_ONCE, in the
            order of `detections`; last the coasting objects. Boxes and scores of the others are unchanged.
        """
        elapsed_ns, self._before_ns = visible.time_ns - self._before_ns, visible.time_ns
        if self._cuts.cut(visible.pixels) or not 0 < elapsed_ns <= LONGEST_S * 1e9:
            self._tracker, self._first = self._new(), self._highest
        boxes = np.array([found.box for found in detections], np.float32).reshape(-1, 4)
        found_now = self._tracker.update(boxes, np.array([found.score for found in detections], np.float32))
        numbers = {track.index: self._first + track.number for track in found_now}
        for index, number in numbers.items():
            known = self._known.setdefault(number, _State())
            known.votes[detections[index].label] += 1
            known.score, known.seen_ns = detections[index].score, visible.time_ns
            known.best = max(known.best, known.score)
        self._highest = max(self._highest, *numbers.values(), 0)
        self._forget()
        objects = [
            replace(found, track=numbers.get(index))
            for index, found in enumerate(detections)
            if index in numbers or found.score > max(self._confidence, AT_ONCE)
        ]
        for predicted in self._coasting(visible):
            if not _covered(predicted, objects):
                objects.append(predicted)
        return objects

    @property
    def counts(self) -> dict[str, int]:
        """Number of tracked objects so far, by the class most often detected for each."""
        return dict(sorted((self._ended + Counter(_majority(known.votes) for known in self._known.values())).items()))

    def _coasting(self, visible: Frame) -> Iterator[Detection]:
        """Coasting objects, the last detected first; boxes are clipped at top and bottom."""
        width, height = visible.size
        border = BORDER * width
        for track in sorted(self._tracker.lost, key=lambda track: -track.found):
            number = self._first + track.number
            known = self._known.get(number)
            if known is None or known.votes.total() < PROVEN or known.best < SURE:
                continue
            if visible.time_ns - known.seen_ns > self._coast_ns:
                continue
            x1, y1, x2, y2 = map(float, track.xyxy)
            box = x1, max(y1, 0.0), x2, min(y2, float(height))
            if border < x1 < x2 < width - border and _area(box) >= INSIDE * _area((x1, y1, x2, y2)) > 0:
                yield Detection(_majority(known.votes), known.score, box, number, coasted=True)

    def _new(self) -> ByteTrack:
        return ByteTrack(self._confidence, min(WEAKEST, self._confidence), REMEMBERED)

    def _forget(self) -> None:
        """Count the classes of ended tracks and drop their state, to bound the memory."""
        alive = {self._first + track.number for track in (*self._tracker.tracked, *self._tracker.lost)}
        for number in self._known.keys() - alive:
            self._ended[_majority(self._known.pop(number).votes)] += 1


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _covered(predicted: Detection, objects: Sequence[Detection]) -> bool:
    x1, y1, x2, y2 = predicted.box
    inside = (
        (max(x1, each.box[0]), max(y1, each.box[1]), min(x2, each.box[2]), min(y2, each.box[3]))
        for each in objects
        if each.label == predicted.label
    )
    return any(_area(box) > COVERED * _area(predicted.box) for box in inside)


def _majority(votes: Counter[str]) -> str:
    return votes.most_common(1)[0][0]
