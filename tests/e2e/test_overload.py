"""Cameras that give more than the machine can work on: what is left out is left out of both."""

from __future__ import annotations

import json
import threading
import time

import pytest
from rich.console import Console

from fusecam.pipeline.bench.paced import paced
from fusecam.pipeline.config import RunConfig
from fusecam.pipeline.run.streams import Tools, build_tools, open_streams
from fusecam.pipeline.running import run_streams

from .command import pair_of_clips

pytestmark = pytest.mark.slow

FRAMES, FPS, TAKES_S = 150, 30.0, 0.045


class Slow:
    """An engine that takes its time; everything else is the engine's own."""

    def __init__(self, engine):
        self._engine = engine

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def fuse(self, *given):
        time.sleep(TAKES_S)
        return self._engine.fuse(*given)


@pytest.fixture(scope="module")
def overloaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("overload")
    ir, vis = pair_of_clips(folder, frames=FRAMES, size=(160, 120))
    config = RunConfig.model_validate(
        {
            "sources": {"ir": str(ir), "vis": str(vis)},
            "sync": {"offset_ms": 0},
            "engine": {"name": "average:openvino"},
            "detector": {"enabled": False},
            "output": {"out": folder / "o.mp4", "show": False},
        }
    )
    tools = build_tools(config.engine, config.detector)
    tools.engine.prepare(160, 120)
    streams = open_streams(config)
    paced(streams, FPS)
    finished = run_streams(config, streams, Tools(Slow(tools.engine), None), threading.Event(), Console(quiet=True))
    assert finished.outcome.failure is None
    lines = [json.loads(line) for line in (folder / "o.jsonl").read_text().splitlines()]
    return finished, streams.health, lines


def test_overload_drops_frames_in_pairs(overloaded):
    """A visible frame whose partner gave way would be shown without infrared, so that the picture flickers."""
    _, health, lines = overloaded
    seen = health.counters("visible")
    assert len(lines) == seen["paired"] + seen["alone"]
    assert len(lines) < 0.9 * FRAMES  # it was too much
    assert seen["paired"] > 0.9 * len(lines)


def test_every_frame_is_counted_once(overloaded):
    finished, health, _ = overloaded
    for camera in ("visible", "infrared"):
        seen = health.counters(camera)
        fates = ("paired", "alone", "unused", "overtaken", "dropped_late", "dropped_queue", "unprocessed")
        assert sum(seen.get(fate, 0) for fate in fates) == seen["frames"] == FRAMES
    assert finished.report["frames"] == health.run_counters()["out"]


def test_overload_shows_the_newest_frames(overloaded):
    """A frame waits for the one that is worked on when it comes, and for none else; what is older is left out."""
    _, health, _ = overloaded
    for camera in ("visible", "infrared"):
        seen = health.counters(camera)
        assert seen["dropped_late"] > 0
        assert not seen["dropped_queue"]
