"""Which frame a run gives its detector, and which one it shows."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from fusecam.pipeline.config import RunConfig
from fusecam.pipeline.core.detections import Detection
from fusecam.pipeline.core.frames import Pixels
from fusecam.pipeline.core.result import Result
from fusecam.pipeline.run.streams import build_tools, open_streams
from fusecam.pipeline.running import run_streams
from fusecam.pipeline.sinks import SinkHealth

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "samples"
FRAMES = 3


class Seeing:
    """A detector that keeps what it is given."""

    name = "seeing"

    def __init__(self) -> None:
        self.given: list[Pixels] = []

    def prepare(self, width: int, height: int) -> None:
        """Nothing is built."""

    def detect(self, image: Pixels) -> list[Detection]:
        self.given.append(image.copy())
        return []


class Kept:
    """A sink that keeps what is shown."""

    def __init__(self) -> None:
        self.health = SinkHealth()
        self.results: list[Result] = []

    def write(self, result: Result) -> None:
        self.results.append(result)
        self.health.written += 1

    def close(self, complete: bool) -> None:
        """Nothing is open."""


def test_detector_receives_the_unlifted_frame() -> None:
    config = RunConfig.model_validate(
        {
            "sources": {"ir": str(SAMPLES / "clear_night_ir.mp4"), "vis": str(SAMPLES / "clear_night_vis.mp4")},
            "rig": SAMPLES / "rig.yaml",
            "sync": {"offset_ms": 0},
            "engine": {"name": "tiny"},
            "overlay": {"enabled": False},
            "output": {"show": False},
            "max_frames": FRAMES,
        }
    )
    tools = build_tools(config.engine, config.detector)
    assert tools.detector is not None  # as by default
    detector, kept = Seeing(), Kept()
    tools.detector = detector
    streams = open_streams(config)
    finished = run_streams(config, streams, tools, threading.Event(), Console(quiet=True), more_sinks=[kept])
    assert finished.outcome.failure is None and len(detector.given) == len(kept.results) == FRAMES
    for given, result in zip(detector.given, kept.results, strict=True):
        assert result.fused.unlifted is not None
        np.testing.assert_array_equal(given, result.fused.unlifted)
        assert result.image.mean() > given.mean() + 5  # the night is lifted for people alone


def test_unlifted_frame_is_not_computed_without_detection() -> None:
    config = RunConfig.model_validate({"engine": {"name": "tiny"}, "detector": {"enabled": False}})
    tools = build_tools(config.engine, config.detector)
    frame = np.full((120, 160, 3), 40, np.uint8)
    assert tools.engine.fuse(frame, frame[..., 0].copy(), frame[..., 0] * 0 + 255).unlifted is None
