"""One session over both cameras: pairs or results in a loop, ended at any point, with every frame accounted for."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusecam
from fusecam.engines import create_engine
from fusecam.pipeline.bench.paced import paced
from fusecam.pipeline.calibrate.pairs import _spread
from fusecam.pipeline.config import RunConfig
from fusecam.pipeline.core.frames import Frame, FramePair
from fusecam.pipeline.core.health import CAMERAS
from fusecam.pipeline.run.session import Session
from fusecam.pipeline.run.streams import Streams, Tools, open_streams

from ..e2e.command import json_lines, pair_of_clips

FRAMES = 40


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return pair_of_clips(tmp_path_factory.mktemp("clips"), frames=FRAMES)


@pytest.fixture
def streams(clips: tuple[Path, Path]) -> Iterator[Streams]:
    threads = set(threading.enumerate())
    infrared, visible = map(str, clips)
    yield open_streams(
        RunConfig.model_validate({"sources": {"ir": infrared, "vis": visible}, "sync": {"offset_ms": 0}})
    )
    assert set(threading.enumerate()) <= threads


def fates(streams: Streams) -> dict[str, int]:
    return {name: count for name, count in streams.health.counters("visible").items() if count}


def test_pairs_are_ordered_and_counted(streams: Streams) -> None:
    with Session(streams) as session:
        times = [pair.visible.time_ns for pair in session.pairs()]
    assert len(times) == FRAMES and times == sorted(times)
    assert fates(streams) == {"frames": FRAMES, "paired": FRAMES}
    assert not streams.doubts


@pytest.mark.parametrize("how", ["break", "raise", "stop", "fail", "never"])
def test_every_end_of_a_session_closes_cameras_and_counts_frames(streams: Streams, how: str) -> None:
    def leave() -> None:
        with Session(streams) as session:
            for number, _ in enumerate(session.pairs() if how != "never" else ()):
                if number < 9:
                    continue
                if how == "break":
                    break
                if how == "raise":
                    raise ValueError("mine")
                if how == "stop":
                    session.stop.set()
                if how == "fail":
                    session.fail(ValueError("mine"))

    if how in ("raise", "fail"):
        with pytest.raises(ValueError, match="mine"):
            leave()
    else:
        leave()
    counted = fates(streams)
    assert counted.get("paired", 0) == (0 if how == "never" else 10)
    assert counted.get("frames", 0) == counted.get("paired", 0) + counted.get("unprocessed", 0)
    assert streams.health.unaccounted() == [] and not streams.doubts


def test_results_are_counted_by_their_consumer(streams: Streams) -> None:
    with Session(streams, Tools(create_engine("average"), None)) as session:
        indices = []
        for result in session.results():
            indices.append(result.index)
            streams.health.count_run("fused")
            streams.health.count_run("out")
            if len(indices) == 5:
                break
    assert indices == [0, 1, 2, 3, 4] and not streams.doubts


@pytest.mark.parametrize("camera", CAMERAS)
def test_unaccounted_frame_is_a_doubt(streams: Streams, camera: Any) -> None:
    with Session(streams) as session:
        for _ in session.pairs():
            pass
        streams.health.count(camera, "frames")
    (line,) = streams.doubts
    assert line.startswith(f"health: {FRAMES + 1} {camera} frames, but accounted for are {FRAMES} paired")


def test_slow_consumer_gets_the_newest_live_pair(streams: Streams) -> None:
    paced(streams, 50.0)
    with Session(streams) as session:
        ages = []
        for pair in session.pairs():
            ages.append(time.monotonic_ns() - pair.visible.time_ns)
            time.sleep(0.1)
    assert 3 <= len(ages) < FRAMES / 2
    assert max(ages) < 0.25e9
    assert fates(streams)["frames"] == FRAMES and not streams.doubts


def test_recording_read_ahead_of_its_turn_has_not_grown_old(streams: Streams) -> None:
    """Else the overlay and the page of a slow run call every picture seconds old."""
    with Session(streams) as session:
        ages = []
        for pair in session.pairs():
            ages.append(time.monotonic_ns() - pair.visible.arrival_ns)
            time.sleep(0.1)
    assert len(ages) == FRAMES
    assert sorted(ages)[FRAMES // 2] < 0.1e9


def test_stream_can_be_closed_from_another_thread(clips: tuple[Path, Path], tmp_path: Path) -> None:
    settings = {"sync": {"offset_ms": 0}, "output": {"out": tmp_path / "o.mp4"}}
    with fusecam.open(*clips, engine="average", detect=False, settings=settings) as stream:
        taken = 0
        for _ in stream:
            taken += 1
            if taken == 7:
                closer = threading.Thread(target=stream.close)
                closer.start()
                closer.join(10)
                assert not closer.is_alive()
    assert taken == 7
    assert stream.report is not None and stream.report["ended"] == "interrupted"
    assert len(json_lines(tmp_path / "o.jsonl")) == stream.report["frames"] == 7


def test_calibration_skips_infrared_shown_as_visible() -> None:
    """While the visible camera is lost, infrared stands in for it."""
    grey = np.zeros((4, 4), np.uint8)
    infrared = Frame(grey, 0, "monotonic", 0, "infrared")
    alone = FramePair(Frame(grey, 0, "monotonic", 0, "visible"), infrared, 0, led_by="infrared")
    both = FramePair(Frame(np.zeros((4, 4, 3), np.uint8), 1, "monotonic", 1, "visible"), infrared, 0)
    assert list(_spread([alone, both, alone], 1.0, 1)) == [both]


def test_overlapping_sessions_leave_the_switch_interval_as_it_was(clips: tuple[Path, Path]) -> None:
    before = sys.getswitchinterval()
    sources = {"ir": str(clips[0]), "vis": str(clips[1])}
    config = RunConfig.model_validate({"sources": sources, "sync": {"offset_ms": 0}})
    sessions = [Session(open_streams(config)) for _ in range(2)]
    pairs = [session.pairs() for session in sessions]
    for each in pairs:
        next(each)
    assert sys.getswitchinterval() < before
    for session, each in zip(sessions, pairs, strict=True):
        each.close()
        session.close()
    assert sys.getswitchinterval() == pytest.approx(before)
