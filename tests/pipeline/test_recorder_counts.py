"""Infrared of over 8 bits is recorded as the camera's counts, and replays as it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from fusecam.pipeline.config import OutputConfig, RecordConfig, RunConfig, SourceConfig
from fusecam.pipeline.core.doubts import Doubts
from fusecam.pipeline.core.frames import Frame
from fusecam.pipeline.core.health import Health
from fusecam.pipeline.sinks.recording.manifest import MANIFEST, Manifest
from fusecam.pipeline.sinks.recording.retention import Retention
from fusecam.pipeline.sinks.recording.sink import RecordSink
from fusecam.pipeline.sources import open_source
from fusecam.pipeline.sources.as_recorded import as_recorded

from .clips import write_video

FPS, COUNT = 10, 25


def counts(index: int) -> np.ndarray:
    """A ramp of 14 bits with noise, and a warm block that moves."""
    scene = np.random.default_rng(index).integers(7000, 7060, (48, 64)) + np.arange(64) * 20
    scene[10:20, 2 * index % 50 :][:, :8] += 3000
    return scene.astype(np.uint16)


def frames(path: Path, said: list[str] | None = None, **ir: object) -> list[Frame]:
    config = RunConfig.model_validate({"sources": {"ir": {"source": str(path), **ir}}}).sources
    with closing(open_source(str(path), "infrared", config)) as source:
        given = list(source)
        if said is not None:
            said += source.health.warnings
        return given


def camera_file(path: Path, **ir: object) -> list[Frame]:
    pictures = [counts(k) for k in range(COUNT)]
    times = [k * 1000 // FPS for k in range(COUNT)]
    video = write_video(path, times, Fraction(1, 1000), "ffv1", "gray16le", pictures=pictures, layout="gray16le")
    return frames(video, **ir)


def record(folder: Path, given: list[Frame], ir: object = None, **settings: object) -> Health:
    health = Health()
    config = RecordConfig(folder=folder, **settings)
    recording = RecordSink(config, OutputConfig(), SourceConfig(ir=ir or {}), health, Doubts(), lambda: True, True)
    for frame in given:
        recording.take(frame)
    recording.close(True)
    return health


def test_recorded_counts_are_lossless_and_replay_unchanged(tmp_path: Path) -> None:
    given = camera_file(tmp_path / "camera.mkv")
    health = record(tmp_path / "out", given, segment_s=60)
    assert health.counters("infrared")["recorded"] == COUNT
    (path,) = (tmp_path / "out").glob("*_infrared.mkv")
    with av.open(str(path)) as clip:
        assert clip.streams.video[0].codec_context.name == "ffv1"
    replayed = frames(path)
    assert len(replayed) == COUNT
    for index, (frame, again) in enumerate(zip(given, replayed, strict=True)):
        assert again.counts is not None and np.array_equal(again.counts, counts(index))
        assert np.array_equal(again.pixels, frame.pixels)
        assert abs((again.time_ns - replayed[0].time_ns) - (frame.time_ns - given[0].time_ns)) <= 1_000_000


SETTINGS = {"kelvin": 0.04, "range": [7000, 9000], "polarity": "black-hot"}


def recorded_with_settings(tmp_path: Path, kind: str) -> tuple[list[Frame], Path]:
    given = camera_file(tmp_path / "camera.mkv", **SETTINGS)
    if kind == "folder":
        record(tmp_path / "out", given, ir=SETTINGS)
        return given, next((tmp_path / "out").glob("*_infrared.mkv"))
    pytest.importorskip("mcap", reason="mcap is not installed: pip install mcap")
    from .test_record_mcap import sink

    recording = sink(tmp_path / "drive.mcap", sources=SourceConfig(ir=SETTINGS))
    for frame in given:
        recording.take(frame)
    recording.close(True)
    return given, tmp_path / "drive.mcap"


@pytest.mark.parametrize("kind", ["folder", "mcap"])
def test_recorded_settings_are_used_unless_overridden(tmp_path: Path, kind: str) -> None:
    given, path = recorded_with_settings(tmp_path, kind)
    said: list[str] = []
    for frame, again in zip(given, frames(path, said), strict=True):
        assert np.array_equal(again.pixels, frame.pixels)
        assert again.temperature is not None and (again.temperature.scale, again.temperature.shown) == (
            0.04,
            (7000, 9000),
        )
    line = "read as it was recorded, kelvin 0.04 per count, range [7000, 9000], polarity black-hot"
    assert f"{path}: {line}; sources.ir overrules it" in said
    said.clear()
    other = frames(path, said, polarity="white-hot", kelvin={"scale": 0.01})
    assert np.array_equal(255 - other[0].pixels, given[0].pixels)
    assert other[0].temperature is not None and other[0].temperature.scale == 0.01
    assert any("as it was recorded, range [7000, 9000]; " in line for line in said)
    said.clear()
    frames(path, said, **SETTINGS)
    assert not any("as it was recorded" in line for line in said)


@pytest.mark.parametrize(
    ("note", "told"),
    [
        ("no JSON", "are damaged and are ignored"),
        ('{"version": 1, "kelvin": -3}', "are damaged and are ignored"),
        ('{"version": 1, "source": "/etc/passwd"}', None),
        ('{"version": 2, "kelvin": 0.01}', "are from a newer fusecam and are ignored"),
        ("[" * 100_000, "are damaged and are ignored"),
    ],
)
def test_metadata_of_another_kind_is_ignored(note: str, told: str | None) -> None:
    config = SourceConfig(ir="x.mkv")
    settings, said = as_recorded("x.mkv", note, config)
    assert settings == config and [line.endswith(str(told)) for line in said] == ([] if told is None else [True])


def test_json_lines_have_the_times_of_the_video(tmp_path: Path) -> None:
    began = time.monotonic_ns()
    given = [
        replace(frame, time_ns=began + k * 104_166_667, clock="monotonic")
        for k, frame in enumerate(camera_file(tmp_path / "camera.mkv"))
    ]
    record(tmp_path / "out", given, segment_s=2)
    paths = sorted((tmp_path / "out").glob("*_infrared.mkv"))
    assert len(paths) == 2
    for path in paths:
        lines = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]
        with av.open(str(path)) as clip:
            times = [float(packet.pts * packet.time_base) for packet in clip.demux(video=0) if packet.size]
        assert times == [line["at"] for line in lines]


def test_pixels_are_recorded_on_request_and_for_8_bits(tmp_path: Path) -> None:
    given = camera_file(tmp_path / "camera.mkv")
    record(tmp_path / "shown", given, counts=False)
    record(tmp_path / "eight", [replace(frame, counts=None) for frame in given])
    for folder in ("shown", "eight"):
        assert [path.suffix for path in (tmp_path / folder).glob("*_infrared.m*")] == [".mp4"]


def test_end_of_counts_starts_another_file_in_the_manifest(tmp_path: Path) -> None:
    given = camera_file(tmp_path / "camera.mkv")
    mixed = [replace(frame, counts=None) if k >= 15 else frame for k, frame in enumerate(given)]
    health = record(tmp_path / "out", mixed)
    found = sorted(path.suffix for path in (tmp_path / "out").glob("*_infrared.m*"))
    assert found == [".mkv", ".mp4"] and health.counters("infrared")["recorded"] == COUNT
    (tmp_path / "out" / "20200101T000000.000Z_infrared.mkv").write_bytes(b"somebody's")
    Retention(Manifest(tmp_path / "out"), 1e-9).close()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {MANIFEST, "20200101T000000.000Z_infrared.mkv"}


def test_killed_process_loses_at_most_the_last_second(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib; from dataclasses import replace;"
        "from fusecam.pipeline.sinks.recording.counts import CountsEncoder;"
        "from fusecam.pipeline.sinks.recording.manifest import Manifest; import numpy as np;"
        "file = Manifest(pathlib.Path(sys.argv[1])).create('20200101T000000.000Z_infrared.mkv');"
        "scene = np.random.default_rng(0).integers(7000, 9000, (48, 64)).astype(np.uint16);"
        "encoder = CountsEncoder(file, scene);"
        "[encoder.write(scene + k, 100 * k) for k in range(50)]; print('on', flush=True); time.sleep(100)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert other.stdout is not None and other.stdout.readline() == b"on\n"
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    other.stdout.close()
    left = frames(tmp_path / "20200101T000000.000Z_infrared.mkv")
    assert 38 <= len(left) <= 50
    scene = np.random.default_rng(0).integers(7000, 9000, (48, 64)).astype(np.uint16)
    assert all(np.array_equal(frame.counts, scene + k) for k, frame in enumerate(left))
