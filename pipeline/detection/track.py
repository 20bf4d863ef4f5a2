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
"""Score down to which a box may carry on a track that exists, as ByteTrack wants it: a detector for it keeps these."""
REMEMBERED = 30
"""Frames after which a track that was not seen again ends."""
PROVEN = 5
"""Frames in which an object must have been found before it may coast: a single false box does not."""
SURE = 0.7
"""Score that an object must have had once before it may coast."""
AT_ONCE = 0.4
"""Score from which an object is shown in its first frame; weaker ones have to be found in a second one."""
BORDER = 0.01
"""Of the frame's width: a box this near to its left or right border does not coast. What leaves the frame gets narrow
there, and its expected box would stay behind.
"""
INSIDE = 0.5
"""Part of an expected box that must lie between the frame's top and bottom."""
COVERED = 0.6
"""Part of an expected box that another of its class may cover: beyond, it is the same object, or hidden behind it."""


@dataclass(slots=True)
class _Known:
    """State of a track: votes for its class, its last and its highest score, and when it was last found."""

    votes: Counter[str] = field(default_factory=Counter)
    score: float = 0.0
    best: float = 0.0
    seen_ns: int = 0


class Tracker:
    """Gives every object a number that stays while it is seen, and through short gaps.

    An object that is not found, behind a pole, say, coasts for a moment: its box stays where the track's Kalman filter
    expects it, marked as such. It must have been found in PROVEN frames, once with SURE, and still lie in the frame,
    not at its sides.

    It starts afresh, with new numbers, on a scene cut and after a gap of 2 s in the source. One for each run.
    """

    def __init__(self, confidence: float, coast_s: float = 0.0) -> None:
        """confidence: score from which an object starts a track; weaker ones, from WEAKEST up, only carry one on.

        coast_s: how long an object coasts, seconds of the source's clock; 0: not at all.
        """
        self._confidence, self._coast_ns = confidence, coast_s * 1e9
        self._tracker = self._new()
        self._cuts = Cuts()
        self._before_ns = 0
        self._first = 0  # numbers of the tracker before end here
        self._highest = 0
        self._known: dict[int, _Known] = {}
        self._ended: Counter[str] = Counter()

    def follow(self, detections: Sequence[Detection], visible: Frame) -> list[Detection]:
        """The objects of the next frame with their numbers, those without one (None) if above the confidence and
        AT_ONCE, and last those that coast.

        Boxes and scores are as detected, but for these. A number is given from the second frame on, on the first frame
        of a scene at once. visible: tells when the scene was cut and how much time has passed.
        """
        elapsed_ns, self._before_ns = visible.time_ns - self._before_ns, visible.time_ns
        if self._cuts.cut(visible.pixels) or not 0 < elapsed_ns <= LONGEST_S * 1e9:
            self._restart()
        boxes = np.array([found.box for found in detections], np.float32).reshape(-1, 4)
        found_now = self._tracker.update(boxes, np.array([found.score for found in detections], np.float32))
        numbers = {track.index: self._first + track.number for track in found_now}
        for index, number in numbers.items():
            known = self._known.setdefault(number, _Known())
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
        for expected in self._coasting(visible):
            if not _covered(expected, objects):
                objects.append(expected)
        return objects

    @property
    def counts(self) -> dict[str, int]:
        """Number of tracked objects so far, by the class most often detected for each."""
        return dict(sorted((self._ended + Counter(_winner(known.votes) for known in self._known.values())).items()))

    def _coasting(self, visible: Frame) -> Iterator[Detection]:
        """Objects not found in this frame but expected in it, the last seen first; boxes are cut at top and bottom."""
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
                yield Detection(_winner(known.votes), known.score, box, number, coasted=True)

    def _restart(self) -> None:
        self._tracker = self._new()
        self._first = self._highest

    def _new(self) -> ByteTrack:
        return ByteTrack(self._confidence, min(WEAKEST, self._confidence), REMEMBERED)

    def _forget(self) -> None:
        """Settle the class of tracks that have ended, so that memory does not grow with the run."""
        alive = {self._first + track.number for track in (*self._tracker.tracked, *self._tracker.lost)}
        for number in self._known.keys() - alive:
            self._ended[_winner(self._known.pop(number).votes)] += 1


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _covered(expected: Detection, objects: Sequence[Detection]) -> bool:
    x1, y1, x2, y2 = expected.box
    inside = (
        (max(x1, each.box[0]), max(y1, each.box[1]), min(x2, each.box[2]), min(y2, each.box[3]))
        for each in objects
        if each.label == expected.label
    )
    return any(_area(box) > COVERED * _area(expected.box) for box in inside)


def _winner(votes: Counter[str]) -> str:
    return votes.most_common(1)[0][0]
