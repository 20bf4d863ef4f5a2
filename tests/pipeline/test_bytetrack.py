"""Our ByteTrack against Ultralytics', and what it costs a run."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusecam.engines.detection.quiet import ultralytics
from fusecam.pipeline.detection.bytetrack import ByteTrack

from .detectors import SAMPLES

HIGH, LOW, REMEMBERED = 0.25, 0.1, 30
Frame = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
"""Boxes (N, 4) and scores (N,), float32."""


class Boxes:
    """In the form that Ultralytics' tracker reads."""

    def __init__(self, boxes: np.ndarray[Any, Any], scores: np.ndarray[Any, Any]) -> None:
        self.xywh = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)
        self.conf, self.cls, self.boxes = scores, np.zeros_like(scores), boxes

    def __getitem__(self, chosen: Any) -> Boxes:
        return Boxes(self.boxes[chosen], self.conf[chosen])

    def __len__(self) -> int:
        return len(self.conf)


def assert_same_tracks(frames: list[Frame]) -> int:
    """Numbers in every frame, and where lost ones are expected. Returns how many numbers there were."""
    theirs = ultralytics("ultralytics.trackers.byte_tracker").BYTETracker(
        SimpleNamespace(
            track_high_thresh=HIGH, track_low_thresh=LOW, new_track_thresh=HIGH, track_buffer=REMEMBERED,
            match_thresh=0.8, fuse_score=False,
        )
    )  # fmt: skip
    ours, numbers = ByteTrack(HIGH, LOW, REMEMBERED), set()
    for at, (boxes, scores) in enumerate(frames):
        whole = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))  # older versions of theirs fail on the others
        expected = {int(whole[int(row[7])]): int(row[4]) for row in theirs.update(Boxes(boxes[whole], scores[whole]))}
        found = {track.index: track.number for track in ours.update(boxes, scores)}
        assert found == expected, at
        numbers |= {*found.values()}
        places = {track.track_id: track.xyxy for track in theirs.lost_stracks}
        for track in ours.lost:
            np.testing.assert_allclose(track.xyxy, places[track.number], atol=1e-2)
    return len(numbers)


@pytest.mark.parametrize("clip", ["fog_day", "clear_night", "fog_night"])
def test_tracks_equal_ultralytics_on_the_samples(clip: str) -> None:
    """On the true boxes, some missing, some weak, all a little off."""
    random = np.random.default_rng(0)
    frames: list[Frame] = []
    for line in (SAMPLES / f"{clip}_truth.jsonl").read_text().splitlines():
        boxes = np.array([o["box"] for o in json.loads(line)["objects"]], np.float32).reshape(-1, 4)
        boxes = boxes[random.uniform(size=len(boxes)) > 0.15]
        boxes += (random.normal(0, 0.03, boxes.shape) * np.tile(boxes[:, 2:] - boxes[:, :2], 2)).astype(np.float32)
        frames.append((boxes, random.uniform(0.05, 0.95, len(boxes)).astype(np.float32)))
    assert assert_same_tracks(frames) > 5


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), objects=st.integers(0, 12), frames=st.integers(1, 25))
def test_tracks_equal_ultralytics_in_crowds(seed: int, objects: int, frames: int) -> None:
    random = np.random.default_rng(seed)
    places, speeds = random.uniform(0, 200, (objects, 2)), random.normal(0, 4, (objects, 2))
    sizes = random.uniform(0, 60, (objects, 2))  # some of no size at all
    sizes[random.uniform(size=objects) < 0.1] = 0
    shown: list[Frame] = []
    for _ in range(frames):
        places = places + speeds + random.normal(0, 1, places.shape)
        there = random.uniform(size=objects) < 0.8
        boxes = np.concatenate([places, places + sizes], axis=1)[there].astype(np.float32)
        shown.append((boxes, random.uniform(0, 1, len(boxes)).astype(np.float32)))
    assert_same_tracks(shown)


def test_unmatched_track_ends() -> None:
    tracker = ByteTrack(HIGH, LOW, 3)
    box, score, nothing = np.array([[0, 0, 9, 9]], np.float32), np.ones(1, np.float32), np.zeros((0, 4), np.float32)
    tracker.update(box, score)
    for _ in range(3):
        tracker.update(nothing, score[:0])
    assert len(tracker.lost) == 1
    tracker.update(nothing, score[:0])
    assert (tracker.lost, tracker.tracked) == ([], [])


def test_tracking_does_not_import_torch() -> None:
    code = (
        "import sys, psutil; from fusecam.pipeline.detection.track import Tracker; Tracker(0.25); "
        "print('torch' in sys.modules, 'ultralytics' in sys.modules, psutil.Process().memory_info().rss // 2**20)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    torch, theirs, mib = done.stdout.split()
    assert (torch, theirs) == ("False", "False")
    assert int(mib) < 250
