"""A recorder removes only what it wrote, oldest first, makes room on a full disk, and holds up nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from fusecam.pipeline.config import OutputConfig, RecordConfig, SourceConfig
from fusecam.pipeline.core.detections import Detection
from fusecam.pipeline.core.doubts import Doubts
from fusecam.pipeline.core.health import Health
from fusecam.pipeline.core.result import Result
from fusecam.pipeline.sinks.recording import track
from fusecam.pipeline.sinks.recording.manifest import ENDINGS, MANIFEST, Manifest
from fusecam.pipeline.sinks.recording.retention import Retention
from fusecam.pipeline.sinks.recording.segments import Segments, UtcClock
from fusecam.pipeline.sinks.recording.sink import RecordSink

from .make_results import picture, result

S = 1_000_000_000
FOUND = [Detection("person", 0.9, (1, 1, 9, 9))]


def sink(
    folder: Path, health: Health, lossless: bool = True, doubts: Doubts | None = None, **settings: Any
) -> RecordSink:
    config = RecordConfig(folder=folder, **settings)
    doubts = Doubts() if doubts is None else doubts
    return RecordSink(config, OutputConfig(), SourceConfig(), health, doubts, lambda: True, lossless)


def give(recording: RecordSink, one: Result) -> None:
    for frame in (one.pair.visible, one.pair.infrared):
        if frame is not None:
            recording.take(frame)
    recording.write(one)


def record(folder: Path, health: Health, seconds: int = 6, fps: int = 10, **settings: Any) -> RecordSink:
    """A recording of its own, of segments of 2 s."""
    recording, began = sink(folder, health, segment_s=2, **settings), time.monotonic_ns()
    for k in range(seconds * fps):
        give(recording, result(k, picture(index=k), time_ns=began + k * S // fps, clock="monotonic"))
    recording.close(True)
    return recording


def make_own(folder: Path, name: str, size: int = 1000) -> None:
    with_content = Manifest(folder).create(name)
    with_content.write(bytes(size))
    with_content.close()


def enforce(folder: Path, quota_gb: float) -> None:
    Retention(Manifest(folder), quota_gb).close()


def there(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_files_of_others_are_not_deleted(tmp_path: Path) -> None:
    others = ["MY_HOLIDAYZ_2019.mp4", "NOTESZ_a.jsonl", "20200101T000000.000Z_fused.mp4", "events/CLIPZ.mp4"]
    (tmp_path / "events").mkdir()
    for name in others:
        (tmp_path / name).write_bytes(bytes(1000))
    record(tmp_path, Health(), quota_gb=1e-6)
    left = there(tmp_path)
    assert set(others) < set(left)
    own = {name.partition("_")[0] for name in left if name not in (*others, MANIFEST)}
    assert len(own) == 1  # the segment that was begun last


def test_oldest_segments_are_deleted_first_and_event_clips_last(tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    stems = ["20300101T000000.000Z", "20200101T000000.000Z", "20250101T000000.000Z"]  # a clock that was set back
    make_own(tmp_path, "events/20190101T000000.000Z.mp4")
    for stem in stems:
        for ending in ("fused.mp4", "frames.jsonl"):
            make_own(tmp_path, f"{stem}_{ending}")
    enforce(tmp_path, 5.5e-6)
    assert there(tmp_path) == sorted(
        [MANIFEST, "events/20190101T000000.000Z.mp4"]
        + [f"{stem}_{ending}" for stem in stems[1:] for ending in ("fused.mp4", "frames.jsonl")]
    )
    enforce(tmp_path, 1.5e-6)
    assert there(tmp_path) == sorted([MANIFEST, "events/20190101T000000.000Z.mp4"])
    enforce(tmp_path, 1e-9)
    assert there(tmp_path) == [MANIFEST]


def test_unlisted_and_linked_files_are_not_deleted(tmp_path: Path) -> None:
    names = [f"2026010{k}T000000.000Z_fused.mp4" for k in range(1, 5)]
    for name in names:
        make_own(tmp_path, name)
    (tmp_path / "precious.mp4").write_bytes(bytes(1000))
    (tmp_path / names[1]).unlink()
    (tmp_path / names[1]).symlink_to(tmp_path / "precious.mp4")
    listed = [line for line in (tmp_path / MANIFEST).read_text().splitlines() if line != names[0]]
    (tmp_path / MANIFEST).write_text("\n".join([*listed, "../precious.mp4", "/etc/hostname", "20260105T0000"]))
    make_own(tmp_path, "20260106T000000.000Z_fused.mp4")
    enforce(tmp_path, 1e-9)
    assert there(tmp_path) == sorted([MANIFEST, names[0], names[1], "precious.mp4"])
    assert (tmp_path / names[1]).is_symlink()


def test_files_of_a_running_recorder_are_kept_until_it_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib; from fusecam.pipeline.sinks.recording.manifest import Manifest;"
        "file = Manifest(pathlib.Path(sys.argv[1])).create('20200101T000000.000Z_fused.mp4');"
        "file.write(bytes(1000)); print('on', flush=True); time.sleep(100)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert other.stdout is not None and other.stdout.readline() == b"on\n"
    record(tmp_path, Health(), seconds=3, quota_gb=1e-6)
    assert (tmp_path / "20200101T000000.000Z_fused.mp4").exists()
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    other.stdout.close()
    record(tmp_path, Health(), seconds=3, quota_gb=1e-6)
    assert not (tmp_path / "20200101T000000.000Z_fused.mp4").exists()


def test_concurrent_runs_do_not_mix_segments(tmp_path: Path) -> None:
    began = time.monotonic_ns()
    both = [sink(tmp_path, Health(), segment_s=2) for _ in range(2)]
    for k in range(50):
        for number, recording in enumerate(both):
            one = result(k, picture(64 + 32 * number, 48, k), time_ns=began + k * S // 10, clock="monotonic")
            give(recording, one)
    for recording in both:
        recording.close(True)
    stems = sorted({name.partition("_")[0] for name in there(tmp_path) if name != MANIFEST})
    assert len(stems) == 6
    for stem in stems:
        widths = set()
        for name in ("fused", "visible", "infrared"):
            with av.open(str(tmp_path / f"{stem}_{name}.mp4")) as clip:
                widths.add(clip.streams.video[0].width)
        assert len(widths) == 1


def test_full_disk_deletes_the_oldest_and_loses_no_frame(small_disk: Path) -> None:
    (small_disk / "others").mkdir()
    (small_disk / "others" / "film.mp4").write_bytes(bytes(2_500_000))
    for k in range(1, 10):
        make_own(small_disk, f"2020010{k}T000000.000Z_fused.mp4", 100_000)
    health = Health()
    filler = (small_disk / "filler").open("wb", buffering=0)
    recording, began = sink(small_disk, health, segment_s=60), time.monotonic_ns()
    for k in range(100):
        give(recording, result(k, picture(index=k), time_ns=began + k * S // 10, clock="monotonic"))
        if k == 50:
            while health.run_counters()["recorder_frames"] < 45:
                time.sleep(0.01)
            with pytest.raises(OSError, match="No space left"):
                while True:
                    filler.write(bytes(4096))
    recording.close(True)
    filler.close()
    assert health.run_counters()["recorder_frames_lost"] == 0
    assert health.counters("visible")["unrecorded"] == 0
    left = [name for name in there(small_disk) if name.startswith("2020")]
    assert len(left) < 9 and left == [f"2020010{k}T000000.000Z_fused.mp4" for k in range(10 - len(left), 10)]
    assert (small_disk / "others" / "film.mp4").stat().st_size == 2_500_000


def test_full_disk_without_own_files_leaves_no_empty_files(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track, "RETRY_S", 0.05)
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "film.mp4").write_bytes(bytes(5_000_000))
    health, doubts = Health(), Doubts()
    recording, began = sink(small_disk, health, doubts=doubts), time.monotonic_ns()
    for k in range(60):
        give(recording, result(k, picture(index=k), time_ns=began + k * S // 10, clock="monotonic"))
        time.sleep(0.01)
    recording.close(True)
    assert [name for name in there(small_disk) if name != MANIFEST] == ["film.mp4"]
    run = health.run_counters()
    assert run["recorder_frames_lost"] == 60 and run["recorder_losses"] == 3  # one for each track
    assert health.counters("visible")["unrecorded"] == health.counters("infrared")["unrecorded"] == 60
    broken, lacking = sorted(doubts, key=lambda line: "lacks frames" in line)
    assert "recording broke off: No space left" in broken and "lacks frames" in lacking


def test_recording_resumes_when_the_disk_has_room(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track, "RETRY_S", 0.05)
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "film.mp4").write_bytes(bytes(5_000_000))
    health = Health()
    recording, began = sink(small_disk, health), time.monotonic_ns()
    for k in range(60):
        if k == 20:
            while not health.run_counters()["recorder_losses"]:
                time.sleep(0.01)
            (small_disk / "film.mp4").unlink()
        give(recording, result(k, picture(index=k), time_ns=began + k * S // 10, clock="monotonic"))
        time.sleep(0.01)
    recording.close(True)
    run = health.run_counters()
    assert run["recorder_frames"] > 0 and run["recorder_frames"] + run["recorder_frames_lost"] == 60
    (video,) = small_disk.glob("*_fused.mp4")
    with av.open(str(video)) as clip:
        assert sum(1 for _ in clip.decode(video=0)) == run["recorder_frames"]


@pytest.mark.slow
def test_two_thousand_segments_do_not_block_the_output_thread(tmp_path: Path) -> None:
    stems = [f"20200101T{k // 3600:02}{k // 60 % 60:02}{k % 60:02}.000Z" for k in range(2000)]
    names = [f"{stem}_{ending}" for stem in stems for ending in ENDINGS]
    for name in names:
        (tmp_path / name).write_bytes(bytes(100))
    (tmp_path / MANIFEST).write_text("".join(f"{name}\n" for name in names))
    health = Health()
    recording, began = sink(tmp_path, health, segment_s=2, quota_gb=0.0011), time.monotonic_ns()
    spent, all_began = 0.0, time.process_time()
    for k in range(300):
        one = result(k, picture(index=k), time_ns=began + k * S // 10, clock="monotonic")
        for frame in (one.pair.visible, one.pair.infrared):
            assert frame is not None
            recording.take(frame)
        at = time.thread_time()
        recording.write(one)
        spent += time.thread_time() - at
    recording.close(True)
    every = time.process_time() - all_began
    assert spent < 0.3, spent  # a millisecond a frame, fifteen segments begun
    assert every < 15, every
    own = [path for path in tmp_path.iterdir() if path.name != MANIFEST]
    assert len(list(tmp_path.glob("20200101T*"))) < len(names)
    assert sum(path.stat().st_size for path in own) <= 1_100_000


def test_failed_event_clip_is_counted_and_the_next_one_is_cut(tmp_path: Path) -> None:
    (tmp_path / "events").write_bytes(b"in the way")
    health, doubts = Health(), Doubts()
    recording = sink(tmp_path, health, doubts=doubts, segment_s=4, events=True, before_s=1, after_s=1)
    began = time.monotonic_ns()
    for k in range(200):
        found = FOUND if k in (20, 120) else []
        give(recording, result(k, picture(index=k), time_ns=began + k * S // 10, clock="monotonic", detections=found))
        if k == 100:
            deadline = time.monotonic() + 20
            while not health.run_counters()["event_clips_lost"]:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            (tmp_path / "events").unlink()
    recording.close(True)
    run = health.run_counters()
    assert (run["event_clips"], run["event_clips_lost"]) == (1, 1)
    (clip,) = (tmp_path / "events").iterdir()
    with av.open(str(clip)) as video:
        assert sum(1 for _ in video.decode(video=0)) >= 20
    (doubt,) = doubts
    assert "clip could not be written" in doubt
    assert f"events/{clip.name}" in (tmp_path / MANIFEST).read_text()


def test_dropped_live_frames_are_counted_without_blocking(tmp_path: Path) -> None:
    health, doubts = Health(), Doubts()
    recording, began = sink(tmp_path, health, lossless=False, doubts=doubts), time.monotonic_ns()
    image = picture(1280, 960)
    given = [result(k, image, time_ns=began + k * S // 100, clock="monotonic") for k in range(200)]
    started = time.monotonic()
    for one in given:
        give(recording, one)
    assert time.monotonic() - started < 5
    recording.close(True)
    counters, run = health.counters("visible"), health.run_counters()
    assert counters["recorded"] + counters["unrecorded"] == 200 and counters["unrecorded"] > 0
    assert run["recorder_frames"] + run["recorder_frames_lost"] == 200
    (lines,) = tmp_path.glob("*_visible.jsonl")
    assert len(lines.read_text().splitlines()) == counters["recorded"]
    (doubt,) = doubts
    assert str(tmp_path) in doubt and "lacks frames" in doubt and "output.crf" in doubt


@pytest.mark.parametrize("begins_ms", [(0, 0), (0, -10), (-10, 0)])
def test_tracks_ending_a_segment_together_start_the_same_one(tmp_path: Path, begins_ms: tuple[int, int]) -> None:
    manifest = Manifest(tmp_path)
    segments = Segments(manifest, Retention(manifest, None), 60)
    segments.note_first(result(time_ns=0).pair.visible)
    infrared = result(time_ns=0).pair.infrared
    assert infrared is not None
    segments.note_first(infrared)
    ended = segments.at(0, 0)
    one, other = (segments.at(S + ms * 1_000_000, S, ended) for ms in begins_ms)
    assert one is other is segments.at(2 * S, 2 * S) and one is not ended


def test_forced_stop_keeps_the_recording(tmp_path: Path) -> None:
    recording, began = sink(tmp_path, Health()), time.monotonic_ns()
    for k in range(20):
        give(recording, result(k, picture(index=k), time_ns=began + k * S // 10, clock="monotonic"))
    recording.close(False)
    for track_name in ("fused", "visible", "infrared"):
        (video,) = tmp_path.glob(f"*_{track_name}.mp4")
        with av.open(str(video)) as clip:
            assert sum(1 for _ in clip.decode(video=0)) == 20


def test_utc_of_a_replayed_recording_starts_at_its_reading() -> None:
    clock, read = UtcClock(), time.monotonic_ns()
    frames = [replace(result(k, time_ns=7 * S + k * S).pair.visible, arrival_ns=read + k) for k in range(3)]
    utc = [clock.utc_ns(frame) for frame in frames]
    assert abs(utc[0] - time.time_ns()) < 5 * S and [b - a for a, b in pairwise(utc)] == [S, S]
