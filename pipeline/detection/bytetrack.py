"""ByteTrack (Zhang et al., arXiv:2110.06864): boxes joined over time by a Kalman filter and overlap, in numpy.

It gives the same tracks as Ultralytics' `BYTETracker` without `fuse_score`, which `tests/pipeline/test_bytetrack.py`
compares it with. Theirs imports torch, which a run that tracks would keep: 480 MiB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lap
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
FIRST, SECOND, UNCONFIRMED = 0.8, 0.5, 0.7
"""Largest distance, 1 - intersection over union, of a match: with confident boxes, with weak ones, in a track's second
frame."""
SAME = 0.15
"""Distance under which two tracks are of one object."""
_POSITION, _VELOCITY = 1 / 20, 1 / 160  # standard deviations, in heights of the box
_MOTION = np.eye(8) + np.eye(8, k=4)


@dataclass(slots=True, eq=False)
class Track:
    """One object. State: centre x, y, aspect, height, and their velocities.

    Attributes:
        number: from 1, unique in its tracker.
        index: of the box that it was found in last.
        found: frame in which that was. started: in which it was found first.
        lost: whether it was not found in the last frame.
        confirmed: whether it was found twice, or in the first frame of all.
    """

    number: int
    mean: Floats
    covariance: Floats
    index: int
    started: int
    found: int
    confirmed: bool
    lost: bool = False

    @property
    def xyxy(self) -> Floats:
        """The predicted box, x1, y1, x2, y2 in pixels."""
        centre, (aspect, height) = self.mean[:2], self.mean[2:4]
        half = np.array([aspect * height, height]) / 2
        return np.concatenate([centre - half, centre + half])

    def correct(self, measured: Floats, index: int, frame: int) -> None:
        """It was found in box `index`, measured as centre, aspect, height."""
        height = self.mean[3]
        noise = np.square([_POSITION * height, _POSITION * height, 1e-1, _POSITION * height])
        projected = self.covariance[:4, :4] + np.diag(noise)
        gain = np.linalg.solve(projected, self.covariance[:, :4].T).T
        self.mean = self.mean + gain @ (measured - self.mean[:4])
        self.covariance = self.covariance - gain @ projected @ gain.T
        self.index, self.found, self.lost, self.confirmed = index, frame, False, True


class ByteTrack:
    """Call `update` with every frame. `tracked`, `lost`: what is followed, as of the last one."""

    def __init__(self, high: float, low: float, remembered: int) -> None:
        """Start without tracks.

        Args:
            high: score from which a box starts a track and is matched first.
            low: score above which weaker boxes carry a track on.
            remembered: frames after which a track that is not found ends.
        """
        self.tracked: list[Track] = []
        self.lost: list[Track] = []
        self._high, self._low, self._remembered = high, low, remembered
        self._frame = self._number = 0

    def update(self, boxes: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]) -> list[Track]:
        """Join the boxes of the next frame to tracks.

        Args:
            boxes: (N, 4) x1, y1, x2, y2 in pixels.
            scores: (N,), 0 to 1.

        Returns:
            The confirmed tracks found in this frame, `index` the box of each.
        """
        self._frame += 1
        sides = boxes[:, 2:] - boxes[:, :2]
        whole = (sides > 0).all(axis=1)
        confident = np.flatnonzero(whole & (scores >= self._high))
        weak = np.flatnonzero(whole & (scores > self._low) & (scores < self._high))
        measured = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, sides], axis=1).astype(np.float64)
        measured[whole, 2] /= measured[whole, 3]

        known = [track for track in self.tracked if track.confirmed]
        fresh = [track for track in self.tracked if not track.confirmed]
        pool = known + self.lost
        _predict(pool)
        left, confident = self._match(pool, confident, boxes, measured, FIRST)
        left, _ = self._match([track for track in left if not track.lost], weak, boxes, measured, SECOND)
        for track in left:
            track.lost = True
        gone, confident = self._match(fresh, confident, boxes, measured, UNCONFIRMED)
        started = [self._start(measured[index], int(index)) for index in confident]

        followed = [*known, *(track for track in fresh if track not in gone), *started, *self.lost]
        recent = [track for track in followed if self._frame - track.found <= self._remembered]
        tracked = [track for track in recent if not track.lost]
        lost = [track for track in recent if track.lost]
        self.tracked, self.lost = _without_doubles(tracked, lost)
        return [track for track in self.tracked if track.confirmed]

    def _match(
        self, tracks: Sequence[Track], indices: npt.NDArray[np.intp], boxes: Floats, measured: Floats, limit: float
    ) -> tuple[list[Track], npt.NDArray[np.intp]]:
        """Give tracks their boxes. Returns the tracks and the boxes that are left."""
        if not tracks or not indices.size:
            return list(tracks), indices
        distance = _distance(np.array([track.xyxy for track in tracks]), boxes[indices])
        _, by_track, by_box = lap.lapjv(distance, extend_cost=True, cost_limit=limit)
        for track, place in zip(tracks, by_track, strict=True):
            if place >= 0:
                track.correct(measured[indices[place]], int(indices[place]), self._frame)
        left = [track for track, place in zip(tracks, by_track, strict=True) if place < 0]
        return left, indices[np.asarray(by_box) < 0]

    def _start(self, measured: Floats, index: int) -> Track:
        self._number += 1
        height = measured[3]
        position, velocity = 2 * _POSITION * height, 10 * _VELOCITY * height
        spread = np.square([position, position, 1e-2, position, velocity, velocity, 1e-5, velocity])
        mean = np.concatenate([measured, np.zeros(4)])
        return Track(self._number, mean, np.diag(spread), index, self._frame, self._frame, self._frame == 1)


def _predict(tracks: Sequence[Track]) -> None:
    for track in tracks:
        if track.lost:
            track.mean[7] = 0  # what is not seen grows no more
        position, velocity = _POSITION * track.mean[3], _VELOCITY * track.mean[3]
        noise = np.square([position, position, 1e-2, position, velocity, velocity, 1e-5, velocity])
        track.mean = _MOTION @ track.mean
        track.covariance = _MOTION @ track.covariance @ _MOTION.T + np.diag(noise)


def _distance(a: Floats, b: Floats) -> Floats:
    """1 - intersection over union, (N, M), of boxes (N, 4) and (M, 4)."""
    a, b = a[:, None].astype(np.float32), b[None].astype(np.float32)
    both = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None).prod(axis=2)
    either = (a[..., 2:] - a[..., :2]).prod(axis=2) + (b[..., 2:] - b[..., :2]).prod(axis=2) - both
    return np.asarray(1 - both / (either + np.float32(1e-7)))


def _without_doubles(tracked: list[Track], lost: list[Track]) -> tuple[list[Track], list[Track]]:
    """Of a tracked and a lost track in one place the one that was followed for longer stays."""
    if not tracked or not lost:
        return tracked, lost
    distance = _distance(np.array([t.xyxy for t in tracked]), np.array([t.xyxy for t in lost]))
    doubles = set()
    for first, second in zip(*np.nonzero(distance < SAME), strict=True):
        one, other = tracked[first], lost[second]
        doubles.add(other.number if one.found - one.started > other.found - other.started else one.number)
    return [t for t in tracked if t.number not in doubles], [t for t in lost if t.number not in doubles]
