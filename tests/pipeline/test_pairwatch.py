"""Live cameras whose frames do not find each other: said within seconds."""

from __future__ import annotations

import numpy as np
import pytest

from fusecam.pipeline.core.doubts import Doubts
from fusecam.pipeline.core.frames import Camera, Frame
from fusecam.pipeline.timing.sync import Synchronizer

MS = 1_000_000
BLANK = np.zeros((2, 2), np.uint8)


def frame(camera: Camera, index: int, period_ms: float, late_ms: float) -> Frame:
    taken = round(index * period_ms * MS)
    return Frame(BLANK, taken - round(late_ms * MS), "monotonic", index, camera, arrival_ns=taken + 5 * MS)


def run(seconds: float, infrared_ms: float, late_ms: float, gone: tuple[float, float] = (0, 0)) -> tuple[str, ...]:
    """What was said of a visible camera of 25 fps, and an infrared one stamped `late_ms` too early and gone a while."""
    doubts = Doubts()
    sync = Synchronizer(live=True, doubts=doubts)
    frames = [frame("visible", i, 40, 0) for i in range(round(seconds * 25))]
    frames += [frame("infrared", i, infrared_ms, late_ms) for i in range(round(seconds * 1000 / infrared_ms))]
    for one in sorted(frames, key=lambda f: f.arrival_ns):
        if one.camera == "visible":
            sync.push_visible(one)
        elif not gone[0] <= one.arrival_ns * 1e-9 < gone[1]:
            sync.push_infrared(one)
        sync.expire(one.arrival_ns)
    return tuple(doubts)


@pytest.mark.parametrize("infrared_ms", [40, 1000 / 30, 1000 / 9])
@pytest.mark.parametrize("late_ms", [500, 900])
def test_mostly_unpaired_frames_are_a_doubt(infrared_ms: float, late_ms: float) -> None:
    (doubt,) = run(20, infrared_ms, late_ms, gone=(9, 10))  # once, though later figures differ
    assert "most frames do not pair" in doubt and "sync.offset_ms" in doubt


@pytest.mark.parametrize("infrared_ms", [40, 1000 / 30, 1000 / 9, 1000 / 60])
@pytest.mark.parametrize("gone", [(0, 0), (3, 4), (3, 9), (0, 5)])
def test_paired_frames_or_a_lost_camera_are_no_doubt(infrared_ms: float, gone: tuple[float, float]) -> None:
    assert run(12, infrared_ms, 0, gone) == ()


def test_backlog_of_an_engine_build_is_no_doubt() -> None:
    """Six seconds of frames of both cameras, read at twice their pace, all too old."""
    doubts = Doubts()
    sync = Synchronizer(live=True, doubts=doubts)
    for index in range(400):
        arrival = 6_000 * MS + index * 20 * MS if index < 300 else index * 40 * MS
        sync.push_visible(Frame(BLANK, index * 40 * MS, "monotonic", index, "visible", arrival_ns=arrival))
        sync.push_infrared(Frame(BLANK, index * 40 * MS, "monotonic", index, "infrared", arrival_ns=arrival))
    assert sync.stats.visible_late > 200
    assert list(doubts) == []
