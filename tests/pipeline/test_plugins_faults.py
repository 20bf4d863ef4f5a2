"""Plug-ins that break their promises: each fault is one line that names the plug-in, and nothing of it is used."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

import fusecam
from fusecam.pipeline.config import SourceConfig
from fusecam.pipeline.sources import open_source

CODE = """
import time
import numpy as np
from dataclasses import replace
from fractions import Fraction
import fusecam
from fusecam.engines.base import Fused
from fusecam.pipeline.core.frames import Frame
from fusecam.pipeline.sinks.base import SinkHealth
from fusecam.pipeline.sources.base import SourceHealth, SourceInfo

SOURCE = {
    "float": lambda f: replace(f, pixels=f.pixels / 255),
    "flat": lambda f: replace(f, pixels=f.pixels[..., 0]),
    "empty": lambda f: replace(f, pixels=f.pixels[:0]),
    "bare": lambda f: f.pixels,
    "other": lambda f: replace(f, camera="infrared"),
    "nan": lambda f: replace(f, time_ns=float("nan")),
    "equal": lambda f: replace(f, time_ns=7),
    "exits": lambda f: exit(3),
    "repeated": lambda f: replace(f, sequence=2),
    "epoch": lambda f: replace(f, arrival_ns=time.time_ns()),
    "clock": lambda f: replace(f, clock="index"),
    "ahead": lambda f: replace(f, time_ns=time.monotonic_ns() + 1_000_000_000),
    "good": lambda f: f,
}
INFO = {
    "floating": {"rate": 25.0}, "still": {"rate": Fraction(0)}, "sizeless": {"width": 0}, "kind": {"kind": "plug-in"},
    "ahead": {"live": True, "clock": "monotonic"},
    "timeless": {"live": True}, "unlive": {"clock": "monotonic"}, "both": {"camera": "both"},
}

class Source:
    def __init__(self, argument, camera):
        self._argument, self._last = argument, 6
        if argument == "unplugged":
            raise OSError(5, "no driver")
        self.info = SourceInfo(argument, "video", camera, 64, 48, Fraction(25), 6, live=False, clock="media")
        self.info = replace(self.info, **INFO.get(argument, {})) if argument != "none" else None
        self.health = SourceHealth()
    def __iter__(self):
        for k in range(6 if self._argument != "nothing" else 0):
            pixels = np.full((48, 64, 3), 20 * k, np.uint8)
            frame = Frame(pixels, k * 40_000_000, self.info.clock, k, self.info.camera)
            if self.info.camera == "infrared":
                frame = replace(frame, pixels=pixels[..., 0])
            yield SOURCE[self._argument](frame) if k > 2 and self.info.camera == "visible" else frame
    def close(self):
        pass

ENGINE = {
    "none": lambda f: None,
    "float": lambda f: replace(f, image=f.image / 255),
    "short": lambda f: replace(f, image=f.image[:9]),
    "unmapped": lambda f: replace(f, haze_density=None),
    "raises": lambda f: 1 / 0,
    "good": lambda f: f,
}

class Engine:
    def __init__(self, argument):
        self._argument, self.name, self.notes = argument, argument, []
        if argument == "unlicensed":
            raise RuntimeError("no licence\\nfor this machine")
    def prepare(self, *shape):
        if self._argument == "large":
            raise MemoryError
    def fuse(self, visible, infrared, warp, elapsed_s=None):
        grey = warp.apply(infrared)
        return ENGINE[self._argument](Fused(visible.copy(), visible.copy(), grey, grey, grey))

DETECTOR = {
    "none": None,
    "nan": [fusecam.Detection("x", float("nan"), (0, 0, 1, 1))],
    "turned": [fusecam.Detection("x", 0.5, (9, 9, 1, 1))],
    "number": [fusecam.Detection(3, 0.5, (0, 0, 1, 1))],
    "tuple": [("x", 0.5, (0, 0, 1, 1))],
    "numpy": [fusecam.Detection("x", np.float32(0.5), np.arange(4), track=np.int64(7))],
}

class Detector:
    def __init__(self, argument, confidence, classes):
        self._argument, self.name = argument, argument
    def prepare(self, width, height):
        pass
    def detect(self, image):
        return DETECTOR[self._argument]

class Sink:
    def __init__(self, argument):
        if argument == "offline":
            raise ConnectionError("no broker")
        self._argument, self.health = argument, SinkHealth()
    def write(self, result):
        if self._argument == "exits":
            exit(3)
    def close(self, complete):
        pass
"""
ENTRY = """[fusecam.{0}s]
faulty = faulty_plugin:{1}
absent = no_such_module:Thing
"""


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ("source", "engine", "detector", "sink")
    (tmp_path / "faulty-1.dist-info").mkdir()
    (tmp_path / "faulty-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1\n")
    entries = "".join(ENTRY.format(kind, kind.title()) for kind in kinds)
    (tmp_path / "faulty-1.dist-info" / "entry_points.txt").write_text(entries)
    (tmp_path / "faulty_plugin.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)


def run(source: str = "good", engine: str = "faulty:good", detector: str | None = None, sink: str | None = None) -> int:
    settings = {
        "sync": {"offset_ms": 0},
        "detector": {"enabled": False} if detector is None else {"weights": detector},
        "output": {"sinks": [] if sink is None else [sink]},
    }
    source = source if "://" in source else f"faulty://{source}"
    with fusecam.open("faulty://infrared", source, engine=engine, settings=settings) as stream:
        return sum(len(frame.detections) for frame in stream)


def refused(work: Callable[[], object], *said: str) -> None:
    with pytest.raises((fusecam.InputError, fusecam.EngineError)) as caught:
        work()
    line = str(caught.value)
    assert "\n" not in line and all(part in line for part in said), line


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("unplugged", "OSError: [Errno 5] no driver"), ("nothing", "gave no frame"), ("exits", "SystemExit: 3"),
        ("float", "uint8 array"), ("flat", "(48, 64) are no visible image, (H, W, 3)"), ("empty", "uint8 array"),
        ("bare", "gives ndarray for a Frame of visible"), ("other", "gives infrared for a Frame of visible"),
        ("nan", "frame 3: time_ns"), ("equal", "frame 3: time_ns"), ("absent://x", "No module named"),
        ("repeated", "frame 2 comes after frame 2"), ("epoch", "frame 3: arrival_ns is in the future"),
        ("clock", "frame 3 has clock index"), ("none", "SourceInfo is needed"), ("floating", "Fractions"),
        ("still", "Fractions"), ("sizeless", "0x48"), ("kind", "plug-in"), ("both", "camera both and kind video"),
        ("timeless", "live=True and clock=media"), ("unlive", "live=False and clock=monotonic"),
    ],
)  # fmt: skip
def test_faulty_source_is_named(source: str, said: str) -> None:
    refused(lambda: run(source), source, said)


def test_frame_without_arrival_arrives_when_it_is_given() -> None:
    """Else a live camera counts as lost from its first frame on."""
    before = time.monotonic_ns()
    arrivals = [frame.arrival_ns for frame in open_source("faulty://good", "infrared", SourceConfig())]
    assert len(arrivals) == 6 and before < arrivals[0] <= arrivals[-1] < time.monotonic_ns()


def test_live_frames_stamped_after_their_arrival_are_a_doubt() -> None:
    source = open_source("faulty://ahead", "visible", SourceConfig())
    assert len(list(source)) == 6
    (doubt,) = source.health.doubts
    assert "faulty://ahead: its clock runs ahead" in doubt


def test_infrared_without_any_frame_is_a_doubt() -> None:
    settings = {"sync": {"offset_ms": 0}, "detector": {"enabled": False}}
    with fusecam.open("faulty://nothing", "faulty://good", engine="average", settings=settings) as stream:
        assert [frame.skew_ms for frame in stream] == [None] * 6
    assert [line for line in stream.doubts if "none of 6 visible frames was fused" in line] == stream.doubts != []


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("faulty:unlicensed", "RuntimeError: no licence for this machine"), ("faulty:large", "MemoryError"),
        ("faulty:none", "its image is NoneType"), ("faulty:float", "float64 (48, 64, 3), not uint8 (48, 64, 3)"),
        ("faulty:short", "uint8 (9, 64, 3), not uint8 (48, 64, 3)"), ("faulty:raises", "ZeroDivisionError"),
        ("faulty:unmapped", "its haze_density is NoneType"), ("absent", "No module named"),
    ],
)  # fmt: skip
def test_faulty_engine_is_named(engine: str, said: str) -> None:
    refused(lambda: run(engine=engine), f"engine {engine}: ", said)


@pytest.mark.parametrize("kind", ["none", "nan", "turned", "number", "tuple"])
def test_faulty_detector_is_named(kind: str) -> None:
    refused(lambda: run(detector=f"faulty:{kind}"), f"detector faulty:{kind}: ")


def test_numpys_numbers_in_detections_become_pythons() -> None:
    settings = {"sync": {"offset_ms": 0}, "detector": {"weights": "faulty:numpy"}}
    with fusecam.open("faulty://infrared", "faulty://good", engine="faulty:good", settings=settings) as stream:
        (found,) = next(iter(stream)).detections
    assert found == fusecam.Detection("x", 0.5, (0.0, 1.0, 2.0, 3.0), track=7)
    assert {type(value) for value in (found.score, *found.box)} == {float} and type(found.track) is int


@pytest.mark.parametrize(("sink", "said"), [("faulty:offline", "no broker"), ("faulty:exits", "SystemExit: 3")])
def test_faulty_sink_is_named(sink: str, said: str) -> None:
    refused(lambda: run(sink=sink), f"output.sinks: {sink}: ", said)
