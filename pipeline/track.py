"""Objects numbered over time: Ultralytics' ByteTrack on what a detector found, frame by frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engines.detection.quiet import ultralytics
from ..engines.steady import LONGEST_S, Cuts
from .detect import Detection
from .frames import Frame

WEAKEST = 0.1
"""Score down to which a box may carry on a track that exists, as ByteTrack wants it: a detector for it keeps these."""
REMEMBERED = 30
"""Frames after which a track that was not seen again ends."""


class Tracker:
    """Gives every object a number that stays while it is seen, and through short gaps.

    It starts afresh, with new numbers, on a scene cut and after a gap of 2 s in the source. One for each run.
    """

    def __init__(self, confidence: float) -> None:
        """confidence: score from which an object starts a track; weaker ones, from WEAKEST up, only carry one on."""
        self._confidence = confidence
        self._make = ultralytics("ultralytics.trackers.byte_tracker").BYTETracker
        # Ultralytics' defaults, but for the first three, which follow the confidence, and the last: with it on, weak
        # scores count as distance, and on the samples objects change their numbers twice as often.
        self._settings = SimpleNamespace(
            track_high_thresh=confidence,
            track_low_thresh=min(WEAKEST, confidence),
            new_track_thresh=confidence,
            track_buffer=REMEMBERED,
            match_thresh=0.8,
            fuse_score=False,
        )
        self._tracker: Any = None
        self._cuts = Cuts()
        self._before_ns = 0
        self._first = 0  # numbers of the tracker before end here
        self._highest = 0
        self._votes: dict[int, Counter[str]] = {}
        self._ended: Counter[str] = Counter()

    def follow(self, detections: Sequence[Detection], visible: Frame) -> list[Detection]:
        """The objects of the next frame with their numbers, those without one (None) if above the confidence.

        Boxes and scores are as detected. A number is given from the second frame on, on the first frame of a scene at
        once. visible: tells when the scene was cut and how much time has passed.
        """
        elapsed_ns, self._before_ns = visible.time_ns - self._before_ns, visible.time_ns
        if self._cuts.cut(visible.pixels) or not 0 < elapsed_ns <= LONGEST_S * 1e9:
            self._restart()
        rows = self._tracker.update(_Boxes.of(detections))
        numbers = {int(row[7]): self._first + int(row[4]) for row in rows}
        for index, number in numbers.items():
            self._votes.setdefault(number, Counter())[detections[index].label] += 1
        self._highest = max(self._highest, *numbers.values(), 0)
        self._forget()
        return [
            replace(found, track=numbers.get(index))
            for index, found in enumerate(detections)
            if index in numbers or found.score > self._confidence
        ]

    @property
    def counts(self) -> dict[str, int]:
        """How many objects were numbered so far, by the class that each was most often seen as."""
        return dict(sorted((self._ended + Counter(_winner(votes) for votes in self._votes.values())).items()))

    def _restart(self) -> None:
        self._tracker = self._make(self._settings)
        self._first = self._highest

    def _forget(self) -> None:
        """Settle the class of tracks that have ended, so that memory does not grow with the run."""
        tracks = (*self._tracker.tracked_stracks, *self._tracker.lost_stracks)
        alive = {self._first + int(track.track_id) for track in tracks}
        for number in self._votes.keys() - alive:
            self._ended[_winner(self._votes.pop(number))] += 1


class _Boxes:
    """Detections in the form that Ultralytics' trackers read."""

    def __init__(self, xywh: npt.NDArray[np.float32], conf: npt.NDArray[np.float32], cls: npt.NDArray[np.float32]):
        self.xywh, self.conf, self.cls = xywh, conf, cls

    @staticmethod
    def of(detections: Sequence[Detection]) -> _Boxes:
        corners = np.array([found.box for found in detections], np.float32).reshape(-1, 4)
        first, second = corners[:, :2], corners[:, 2:]
        labels = {label: number for number, label in enumerate(sorted({found.label for found in detections}))}
        return _Boxes(
            np.concatenate([(first + second) / 2, second - first], axis=1),
            np.array([found.score for found in detections], np.float32),
            np.array([labels[found.label] for found in detections], np.float32),
        )

    def __getitem__(self, chosen: Any) -> _Boxes:
        return _Boxes(self.xywh[chosen], self.conf[chosen], self.cls[chosen])

    def __len__(self) -> int:
        return len(self.conf)


def _winner(votes: Counter[str]) -> str:
    return votes.most_common(1)[0][0]
