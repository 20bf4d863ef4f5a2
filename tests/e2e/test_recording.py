"""`--record`: segments with their times, event clips, the quota, and what a killed process leaves."""

import json
import os
import signal
import time
from datetime import UTC, datetime
from functools import partial

import av
import numpy as np
import pytest

from fusecam.pipeline.config import OutputConfig, RecordConfig
from fusecam.pipeline.detect import Detection
from fusecam.pipeline.health import Health
from fusecam.pipeline.sinks.record import RecordSink, free_space

from ..pipeline.make_results import picture, result
from .command import QUICK, fusecam, pair_of_clips, presentation_times, start

S = 1_000_000_000


@pytest.fixture
def run(monkeypatch, capfd):
    return partial(fusecam, monkeypatch=monkeypatch, capfd=capfd)


def sink(folder, on=lambda: True, **settings) -> RecordSink:
    return RecordSink(RecordConfig(folder=folder, **settings), OutputConfig(), Health(), on)


def live(index: int, fps: int = 10, start_ns: int = 0, **more):
    began = start_ns or time.monotonic_ns()
    return result(index, picture(index=index), time_ns=began + index * S // fps, clock="monotonic", **more)


def frames_of(path) -> int:
    with av.open(str(path)) as clip:
        return sum(1 for _ in clip.decode(video=0))


def test_segments_hold_every_frame_of_each_stream_with_its_time(tmp_path):
    recording, began = sink(tmp_path, segment_s=2), time.monotonic_ns()
    for k in range(50):
        recording.write(live(k, start_ns=began, infrared=k % 5 != 0))
    recording.close(True)
    stems = sorted(path.name.removesuffix("_fused.mp4") for path in tmp_path.glob("*_fused.mp4"))
    assert len(stems) == 3
    assert [frames_of(tmp_path / f"{stem}_fused.mp4") for stem in stems] == [20, 20, 10]
    assert [frames_of(tmp_path / f"{stem}_visible.mp4") for stem in stems] == [20, 20, 10]
    assert [frames_of(tmp_path / f"{stem}_infrared.mp4") for stem in stems] == [16, 16, 8]
    for stem in stems:
        lines = [json.loads(line) for line in (tmp_path / f"{stem}_frames.jsonl").read_text().splitlines()]
        assert [float(t) for t in presentation_times(tmp_path / f"{stem}_fused.mp4")] == [line["at"] for line in lines]
        utc = [datetime.fromisoformat(line["utc"]).timestamp() for line in lines]
        assert np.allclose(np.diff(utc), 0.1, atol=0.005)
        assert abs(utc[0] - time.time()) < 60
    assert recording.health.warnings == []


def test_another_size_and_the_switch_begin_a_new_segment(tmp_path):
    states = [True] * 5 + [False] * 5 + [True] * 10
    recording, began = sink(tmp_path, on=lambda: states[recording.health.written + skipped[0]]), time.monotonic_ns()
    skipped = [0]
    for k in range(20):
        before = recording.health.written
        one = live(k, start_ns=began)
        if k >= 15:
            one = result(k, picture(96, 64, k), time_ns=began + k * S // 10, clock="monotonic")
        recording.write(one)
        skipped[0] += recording.health.written == before
    recording.close(True)
    assert [frames_of(path) for path in sorted(tmp_path.glob("*_fused.mp4"))] == [5, 5, 5]


def test_event_clips_last_from_before_to_after_the_detections(tmp_path):
    recording = sink(tmp_path, segment_s=4, events=True, before_s=1, after_s=1)
    found, began = [Detection("person", 0.9, (1, 1, 9, 9))], time.monotonic_ns()
    for k in range(140):
        recording.write(live(k, start_ns=began, detections=found if 50 <= k < 60 or k == 120 else []))
    recording.close(True)
    clips = sorted((tmp_path / "events").glob("*.mp4"))
    assert len(clips) == 2
    # From the key frame at or before 4.0 s (one each second, and one at each segment) to 6.9 s; 11.0 to 13.0 s.
    assert 29 <= frames_of(clips[0]) <= 41
    assert 19 <= frames_of(clips[1]) <= 31
    times = presentation_times(clips[0])
    assert times[0] == 0 and np.allclose(np.diff([float(t) for t in times]), 0.1, atol=0.002)


def test_recordings_keep_their_own_time_however_fast_they_are_run(tmp_path):
    recording = sink(tmp_path, segment_s=4, events=True, before_s=1, after_s=1)
    found = [Detection("person", 0.9, (1, 1, 9, 9))]
    for k in range(140):  # fourteen seconds in a fraction of one
        one = result(k, picture(index=k), time_ns=7 * S + k * S // 10, detections=found if 60 <= k < 65 else [])
        recording.write(one)
    recording.close(True)
    texts = [path.read_text() for path in sorted(tmp_path.glob("*.jsonl"))]
    assert [len(text.splitlines()) for text in texts] == [40, 40, 40, 20]
    utc = [datetime.fromisoformat(json.loads(line)["utc"]).timestamp() for text in texts for line in text.splitlines()]
    assert np.allclose(np.diff(utc), 0.1, atol=1e-4)
    (clip,) = (tmp_path / "events").glob("*.mp4")
    begins = datetime.strptime(clip.name, "%Y%m%dT%H%M%S.%fZ.mp4").replace(tzinfo=UTC).timestamp() - utc[0]
    # From the key frame at or before 5.0 s, one each second, to 7.4 s.
    assert 3.9 < begins <= 5.01
    assert begins + (frames_of(clip) - 1) / 10 == pytest.approx(7.4, abs=0.11)


def test_the_oldest_go_first_and_event_clips_last(tmp_path):
    (tmp_path / "events").mkdir()
    names = [f"20260101T00000{k}.000Z_{track}" for k in range(4) for track in ("fused.mp4", "frames.jsonl")]
    for name in (*names, "events/20250101T000000.000Z.mp4", "notes.txt"):
        (tmp_path / name).write_bytes(bytes(1000))
    free_space(tmp_path, 4.5e-6)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    kept = ["20260101T000003.000Z_frames.jsonl", "20260101T000003.000Z_fused.mp4"]  # segments go whole
    assert left == [*kept, "events/20250101T000000.000Z.mp4", "notes.txt"]
    free_space(tmp_path, 5e-7, spare=tmp_path / kept[0])
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == [*kept, "notes.txt"]
    free_space(tmp_path, 5e-7)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["notes.txt"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_a_full_disk_ends_the_segment_and_not_the_run(tmp_path, run):
    import subprocess

    ir, vis = pair_of_clips(tmp_path, frames=80, size=(320, 240))
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False).returncode:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        out, report = tmp_path / "o.mp4", tmp_path / "r.json"
        answer = run("--ir", ir, "--vis", vis, "--out", out, "--record", disk, "--report", report, *QUICK)
        assert answer.code == 0, answer.said
        assert len(presentation_times(out)) == 80
        assert str(disk) in answer.said and "recording broke off" in answer.said
        assert json.loads(report.read_text())["health"]["run"]["recorder_losses"] >= 1
        assert json.loads(report.read_text())["health"]["run"]["recorder_frames_lost"] >= 1
    finally:
        subprocess.run(["umount", disk], check=True)


def test_events_need_a_recording_and_detection(tmp_path, run):
    ir, vis = pair_of_clips(tmp_path)
    answer = run("--ir", ir, "--vis", vis, "--out", tmp_path / "o.mp4", "--events", *QUICK)
    assert answer.code == 1 and "--record" in answer.said
    assert len(answer.said.strip().splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_leaves_playable_files(tmp_path, number):
    ir, vis = pair_of_clips(tmp_path, frames=2000)
    folder = tmp_path / "record"
    process = start("--ir", ir, "--vis", vis, "--record", folder, *QUICK)
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size > 40_000 for path in folder.glob("*_fused.mp4")):
        assert time.monotonic() < deadline and process.poll() is None, "the run did not get going"
        time.sleep(0.01)
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    videos = sorted(folder.glob("*.mp4"))
    assert len(videos) % 3 == 0 and len(videos) >= 3
    (lines,) = folder.glob("*.jsonl")
    written = len(lines.read_text().splitlines())
    for video in videos:
        assert written - 30 <= frames_of(video) <= written, video  # a second at 25 fps, and the frame under way
