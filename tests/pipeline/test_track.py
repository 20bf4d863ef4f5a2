"""Numbers of objects over time, on the boxes that the renderer of the sample clips knows to be true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from fusecam.pipeline.core.detections import Detection
from fusecam.pipeline.core.frames import Frame, Pixels
from fusecam.pipeline.detection.track import REMEMBERED, Tracker

from .detectors import SAMPLES, street_scene

STEP_NS = 40_000_000


@pytest.fixture(scope="module")
def scene() -> Pixels:
    return street_scene(160, 120)


def visible(pixels: Pixels, time_ns: int) -> Frame:
    return Frame(pixels, time_ns, "media", 0, "visible")


def walker(index: int, score: float = 0.8, label: str = "person", x: float = 0) -> Detection:
    left = x + 20 + 2.0 * index
    return Detection(label, score, (left, 40, left + 12, 76))


def truth(clip: str, nearest: float = 25, seen: float = 0.7) -> Iterator[dict[int, Detection]]:
    for line in (SAMPLES / f"{clip}_truth.jsonl").read_text().splitlines():
        objects = json.loads(line)["objects"]
        yield {
            o["id"]: Detection(o["class"], 0.8, tuple(map(float, o["box"])))
            for o in objects
            if o["distance"] < nearest and o["visible_fraction"] > seen
        }


@pytest.mark.parametrize("clip", ["fog_day", "clear_night", "fog_night"])
def test_objects_of_the_samples_keep_their_ids(scene: Pixels, clip: str) -> None:
    """With a tenth of the boxes missing and the rest a little off, as a detector leaves them."""
    rng = np.random.default_rng(0)
    tracker = Tracker(0.25)
    numbers: dict[int, list[int]] = {}
    for index, objects in enumerate(truth(clip)):
        seen = {key: d for key, d in objects.items() if rng.uniform() > 0.1}
        keys, detections = list(seen), []
        for found in seen.values():
            size = np.array([found.box[2] - found.box[0], found.box[3] - found.box[1]] * 2)
            detections.append(replace(found, box=tuple(np.array(found.box) + rng.normal(0, 0.02, 4) * size)))
        tracked = tracker.follow(detections, visible(scene, index * STEP_NS))
        assert [d.box for d in tracked] == [d.box for d in detections]  # as detected, not as predicted
        for key, found in zip(keys, tracked, strict=True):
            if found.track is not None:
                numbers.setdefault(key, []).append(found.track)
    frames = sum(map(len, numbers.values()))
    most = sum(max(map(row.count, set(row))) for row in numbers.values())
    assert frames > 500
    assert most / frames > 0.85  # of the frames of an object in which it has its usual number
    assert sum(tracker.counts.values()) < 1.6 * len(numbers)
    everyone = {number for row in numbers.values() for number in row}
    assert sum(tracker.counts.values()) == len(everyone)


def test_low_score_track_does_not_coast(scene: Pixels) -> None:
    for score, expected in ((0.6, []), (0.75, [True])):
        tracker = Tracker(0.25, coast_s=1)
        for i in range(10):
            tracker.follow([walker(i, score if i == 5 else 0.5)], visible(scene, i * STEP_NS))
        assert [d.coasted for d in tracker.follow([], visible(scene, 10 * STEP_NS))] == expected


def test_low_score_box_is_shown_after_a_second_detection(scene: Pixels) -> None:
    tracker = Tracker(0.25)
    tracker.follow([], visible(scene, 0))
    shown = [[d.track for d in tracker.follow([walker(i, 0.3)], visible(scene, i * STEP_NS))] for i in (1, 2, 3)]
    assert shown == [[], [1], [1]]


def test_track_id_is_immediate_in_the_first_frame_and_delayed_later(scene: Pixels) -> None:
    tracker = Tracker(0.25)
    assert [d.track for d in tracker.follow([walker(0)], visible(scene, 0))] == [1]
    shown = [
        [d.track for d in tracker.follow([walker(i), walker(i, x=80)], visible(scene, i * STEP_NS))] for i in (1, 2, 3)
    ]
    assert shown == [[1, None], [1, 2], [1, 2]]
    assert tracker.counts == {"person": 2}


def test_low_score_boxes_continue_but_do_not_start_a_track(scene: Pixels) -> None:
    tracker = Tracker(0.25)
    for i in range(3):
        tracker.follow([walker(i)], visible(scene, i * STEP_NS))
    faint = [walker(3, 0.15), walker(3, 0.15, x=80)]
    assert tracker.follow(faint, visible(scene, 3 * STEP_NS)) == [replace(faint[0], track=1)]


def test_short_gap_keeps_the_track_id(scene: Pixels) -> None:
    tracker = Tracker(0.25)
    index = 0
    for gap, expected in ((5, 1), (REMEMBERED + 5, 2)):
        for _ in range(10):
            tracker.follow([walker(index)], visible(scene, index * STEP_NS))
            index += 1
        for _ in range(gap):
            tracker.follow([], visible(scene, index * STEP_NS))
            index += 1
        for _ in range(2):
            last = tracker.follow([walker(index)], visible(scene, index * STEP_NS))
            index += 1
        assert last[0].track == expected
    assert tracker.counts == {"person": 2}


def test_briefly_hidden_object_coasts(scene: Pixels) -> None:
    tracker = Tracker(0.25, coast_s=0.25)
    for i in range(10):
        seen = tracker.follow([walker(i)], visible(scene, i * STEP_NS))
        assert [(d.track, d.coasted) for d in seen] == [(1, False)]
    for i in range(10, 16):  # a quarter of a second
        (hidden,) = tracker.follow([], visible(scene, i * STEP_NS))
        assert (hidden.label, hidden.score, hidden.track, hidden.coasted) == ("person", 0.8, 1, True)
        assert np.abs(np.subtract(hidden.box, walker(i).box)).max() < 1.5  # where it walks meanwhile
    assert tracker.follow([], visible(scene, 16 * STEP_NS)) == []
    back = tracker.follow([walker(17)], visible(scene, 17 * STEP_NS))
    assert back == [replace(walker(17), track=1)]
    assert tracker.counts == {"person": 1}


def test_flickering_or_departed_object_does_not_coast(scene: Pixels) -> None:
    tracker = Tracker(0.25, coast_s=0.25)
    for i in range(2):
        tracker.follow([walker(i)], visible(scene, i * STEP_NS))
    assert tracker.follow([], visible(scene, 2 * STEP_NS)) == []
    width = scene.shape[1]
    for i in range(3, 9):  # in its last frame five twelfths of it are inside
        left = width - 5 - 3.0 * (8 - i)
        tracker.follow([Detection("car", 0.9, (left, 40, left + 12, 52))], visible(scene, i * STEP_NS))
    assert [tracker.follow([], visible(scene, i * STEP_NS)) for i in (9, 10, 11)] == [[], [], []]


def test_object_leaving_at_the_side_does_not_coast(scene: Pixels) -> None:
    """A detector's boxes end at the frame: that of who leaves gets narrow, and what is expected would stay behind."""
    width = scene.shape[1]
    for edge in (0, width):
        tracker = Tracker(0.25, coast_s=0.25)
        for i in range(9):
            inner = abs(edge - (30 - 3 * i))
            tracker.follow([Detection("person", 0.9, (min(edge, inner), 30, max(edge, inner), 90))],
                           visible(scene, i * STEP_NS))  # fmt: skip
        assert tracker.follow([], visible(scene, 9 * STEP_NS)) == []


def test_coasting_needs_five_frames_and_zero_disables_it(scene: Pixels) -> None:
    for coast_s, frames, coasts in ((0.25, 4, False), (0.25, 5, True), (0.0, 9, False)):
        tracker = Tracker(0.25, coast_s=coast_s)
        for i in range(frames):
            tracker.follow([walker(i)], visible(scene, i * STEP_NS))
        assert bool(tracker.follow([], visible(scene, frames * STEP_NS))) == coasts, (coast_s, frames)


def test_coasted_box_gives_way_to_a_detection(scene: Pixels) -> None:
    """Two that merge: the number that is lost leaves no second box."""
    tracker = Tracker(0.25, coast_s=0.25)
    stands = Detection("person", 0.9, (40, 40, 60, 100))
    for i in range(6):
        comes = Detection("person", 0.8, (44 + 8 * (5 - i), 40, 64 + 8 * (5 - i), 100))
        assert len(tracker.follow([stands, comes], visible(scene, i * STEP_NS))) == 2
    assert tracker.follow([stands], visible(scene, 6 * STEP_NS)) == [replace(stands, track=1)]


def test_two_tracks_of_one_object_coast_as_one(scene: Pixels) -> None:
    """The later seen stays: the object had lost its number and got another one."""
    tracker = Tracker(0.25, coast_s=0.4)
    narrow, wide = Detection("person", 0.9, (40, 40, 52, 100)), Detection("person", 0.9, (40, 30, 90, 110))
    for i in range(6):
        tracker.follow([narrow], visible(scene, i * STEP_NS))
    for i in range(6, 13):
        (shown,) = (d for d in tracker.follow([wide], visible(scene, i * STEP_NS)) if not d.coasted)
    assert shown.track == 2
    assert [(d.track, d.coasted) for d in tracker.follow([], visible(scene, 13 * STEP_NS))] == [(2, True)]


@pytest.mark.parametrize("how", ["cut", "stop", "clock"])
def test_track_ids_restart_after_a_cut_or_stop(scene: Pixels, how: str) -> None:
    tracker = Tracker(0.25)
    for i in range(5):
        before = tracker.follow([walker(i), walker(i, x=60)], visible(scene, i * STEP_NS))
    time_ns = {"cut": 5 * STEP_NS, "stop": 5 * STEP_NS + 2 * 10**9, "clock": STEP_NS}[how]
    after = tracker.follow([walker(5)], visible(255 - scene if how == "cut" else scene, time_ns))
    assert [d.track for d in before] == [1, 2]
    assert [d.track for d in after] == [3]  # never a number that was given before
    assert tracker.counts == {"person": 3}


def test_object_is_counted_under_its_most_frequent_class(scene: Pixels) -> None:
    tracker = Tracker(0.25)
    for i, label in enumerate(["bicycle", "person", "person", "bicycle", "person"]):
        tracker.follow([walker(i, label=label)], visible(scene, i * STEP_NS))
    assert tracker.counts == {"person": 1}
    for i in range(5, 10 + REMEMBERED):
        tracker.follow([], visible(scene, i * STEP_NS))
    assert tracker.counts == {"person": 1}
    assert tracker._known == {}  # what has ended takes no memory


def test_empty_frames_are_accepted(scene: Pixels) -> None:
    tracker = Tracker(0.25)
    assert [tracker.follow([], visible(scene, i * STEP_NS)) for i in range(3)] == [[], [], []]
    assert tracker.counts == {}
    flat = Detection("person", 0.9, (10, 10, 10, 30))
    assert tracker.follow([flat], visible(scene, 3 * STEP_NS)) == [flat]  # no width, no track
