"""`--record`: segments with their times, event clips, the quota, and what a killed process leaves."""

import json
import os
import signal
import threading
import time
from datetime import UTC, datetime
from functools import partial

import av
import numpy as np
import pytest
from rich.console import Console

from fusecam.engines import create_engine
from fusecam.pipeline.config import OutputConfig, RecordConfig, RunConfig, SourceConfig
from fusecam.pipeline.core.detections import Detection
from fusecam.pipeline.core.doubts import DOUBTFUL, Doubts
from fusecam.pipeline.core.health import FATES, Health
from fusecam.pipeline.run.console import interruptible
from fusecam.pipeline.run.streams import Tools, open_streams
from fusecam.pipeline.running import run_streams
from fusecam.pipeline.sinks.recording.manifest import TRACKS
from fusecam.pipeline.sinks.recording.sink import RecordSink

from ..pipeline.make_results import picture, result
from ..pipeline.rtsp_server import RtspServer
from .command import DETECTING, QUICK, fusecam, json_lines, pair_of_clips, presentation_times, start, street

pytestmark = pytest.mark.slow

S = 1_000_000_000


@pytest.fixture
def run(monkeypatch, capfd):
    return partial(fusecam, monkeypatch=monkeypatch, capfd=capfd)


def sink(folder, on=lambda: True, health=None, lossless=True, **settings) -> RecordSink:
    config = RecordConfig(folder=folder, **settings)
    return RecordSink(config, OutputConfig(), SourceConfig(), health or Health(), Doubts(), on, lossless)


def live(index: int, fps: int = 10, start_ns: int = 0, **more):
    began = start_ns or time.monotonic_ns()
    return result(index, picture(index=index), time_ns=began + index * S // fps, clock="monotonic", **more)


def give(recording: RecordSink, one) -> None:
    """Both cameras' frames, then what came of them."""
    for frame in (one.pair.visible, one.pair.infrared):
        if frame is not None:
            recording.take(frame)
    recording.write(one)


def frames_of(path) -> int:
    with av.open(str(path)) as clip:
        return sum(1 for _ in clip.decode(video=0))


def test_segments_hold_every_frame_with_its_time(tmp_path):
    recording, began = sink(tmp_path, segment_s=2), time.monotonic_ns()
    for k in range(50):
        give(recording, live(k, start_ns=began, infrared=k % 5 != 0))
    recording.close(True)
    stems = sorted(path.name.removesuffix("_fused.mp4") for path in tmp_path.glob("*_fused.mp4"))
    assert len(stems) == 3
    assert [frames_of(tmp_path / f"{stem}_fused.mp4") for stem in stems] == [20, 20, 10]
    assert [frames_of(tmp_path / f"{stem}_visible.mp4") for stem in stems] == [20, 20, 10]
    assert [frames_of(tmp_path / f"{stem}_infrared.mp4") for stem in stems] == [16, 16, 8]
    for stem in stems:
        for track, name in TRACKS.items():
            lines = json_lines(tmp_path / f"{stem}_{name}.jsonl")
            times = presentation_times(tmp_path / f"{stem}_{track}.mp4")
            assert [float(t) for t in times] == [line["at"] for line in lines]
            if track != "infrared":
                utc = [datetime.fromisoformat(line["utc"]).timestamp() for line in lines]
                assert np.allclose(np.diff(utc), 0.1, atol=0.005)
                assert abs(utc[0] - time.time()) < 60
    assert recording.health.warnings == []


def test_recorded_frames_have_no_overlay(tmp_path, run):
    ir, vis = pair_of_clips(tmp_path, frames=10, size=(320, 240))
    pictures = {}
    for name in ("--overlay", "--no-overlay"):
        out, folder = tmp_path / f"{name}.mp4", tmp_path / f"record{name}"
        answer = run("--ir", ir, "--vis", vis, name, "--out", out, "--record", folder, *QUICK)
        assert answer.code == 0, answer.said
        (recorded,) = folder.glob("*_fused.mp4")
        for key, path in ((name, out), (f"recorded {name}", recorded)):
            with av.open(str(path)) as clip:
                pictures[key] = np.stack([frame.to_ndarray(format="gray") for frame in clip.decode(video=0)])[:, :12]
    plain = pictures["--no-overlay"].astype(int)
    assert np.abs(pictures["--overlay"] - plain).mean() > 20  # the line at the top
    assert np.abs(pictures["recorded --overlay"] - plain).mean() < 5


def test_new_size_or_switch_starts_a_new_segment(tmp_path):
    on, health, began = [True], Health(), time.monotonic_ns()
    recording = sink(tmp_path, on=lambda: on[0], health=health)
    for k in range(20):
        on[0] = not 5 <= k < 10
        one = live(k, start_ns=began)
        if k >= 15:
            one = result(k, picture(96, 64, k), time_ns=began + k * S // 10, clock="monotonic")
        give(recording, one)
    recording.close(True)
    for track in TRACKS:
        assert [frames_of(path) for path in sorted(tmp_path.glob(f"*_{track}.mp4"))] == [5, 5, 5], track
    assert health.counters("visible")["recorded"] == health.counters("infrared")["recorded"] == 15
    assert health.run_counters()["recorder_frames"] == 15


def test_event_clips_extend_before_and_after_the_detections(tmp_path):
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


def test_recordings_keep_media_time_at_any_processing_speed(tmp_path):
    recording = sink(tmp_path, segment_s=4, events=True, before_s=1, after_s=1)
    found = [Detection("person", 0.9, (1, 1, 9, 9))]
    for k in range(140):  # fourteen seconds in a fraction of one
        one = result(k, picture(index=k), time_ns=7 * S + k * S // 10, detections=found if 60 <= k < 65 else [])
        recording.write(one)
    recording.close(True)
    texts = [path.read_text() for path in sorted(tmp_path.glob("*_frames.jsonl"))]
    assert [len(text.splitlines()) for text in texts] == [40, 40, 40, 20]
    utc = [datetime.fromisoformat(json.loads(line)["utc"]).timestamp() for text in texts for line in text.splitlines()]
    assert np.allclose(np.diff(utc), 0.1, atol=1e-4)
    (clip,) = (tmp_path / "events").glob("*.mp4")
    begins = datetime.strptime(clip.name, "%Y%m%dT%H%M%S.%fZ.mp4").replace(tzinfo=UTC).timestamp() - utc[0]
    # From the key frame at or before 5.0 s, one each second, to 7.4 s.
    assert 3.9 < begins <= 5.01
    assert begins + (frames_of(clip) - 1) / 10 == pytest.approx(7.4, abs=0.11)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_full_disk_ends_the_segment_but_not_the_run(tmp_path, run):
    import subprocess

    ir, vis = pair_of_clips(tmp_path, frames=80, size=(320, 240))
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False).returncode:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        out, report = tmp_path / "o.mp4", tmp_path / "r.json"
        order = ("--ir", ir, "--vis", vis, "--out", out, "--record", disk, "--report", report, *QUICK)
        answer = run(*order)
        assert answer.code == DOUBTFUL, answer.said
        assert len(presentation_times(out)) == 80
        told = json.loads(report.read_text())
        counts = told["health"]["run"]
        assert counts["recorder_losses"] >= 1 and counts["recorder_frames_lost"] >= 1
        assert [sum(what in line for line in told["doubts"]) for what in ("broke off", "lacks frames")] == [1, 1]
        assert all(f"doubtful: {line}" in answer.said for line in told["doubts"])
        answer = run(*order, "--strict")
        assert answer.code == 1 and f"--strict: --record {disk}: " in answer.said
    finally:
        subprocess.run(["umount", disk], check=True)


def test_events_need_a_recording_and_detection(tmp_path, run):
    ir, vis = pair_of_clips(tmp_path)
    answer = run("--ir", ir, "--vis", vis, "--out", tmp_path / "o.mp4", "--events", *DETECTING)
    assert answer.code == 1 and "--record" in answer.said
    assert len(answer.said.strip().splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_process_leaves_playable_files(tmp_path, number):
    ir, vis = pair_of_clips(tmp_path, frames=2000)
    folder = tmp_path / "record"
    process = start("--ir", ir, "--vis", vis, "--record", folder, *DETECTING)
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size > 40_000 for path in folder.glob("*_fused.mp4")):
        assert time.monotonic() < deadline and process.poll() is None, "the run did not get going"
        time.sleep(0.01)
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    videos = sorted(folder.glob("*.mp4"))
    assert len(videos) % 3 == 0 and len(videos) >= 3
    for video in videos:
        name = TRACKS[video.stem.partition("_")[2]]
        (lines,) = folder.glob(f"*_{name}.jsonl")
        written = len(lines.read_text().splitlines())
        assert written - 30 <= frames_of(video) <= written + 1, video  # a second at 25 fps, and the frame under way


def test_raw_tracks_hold_every_frame_when_fusion_is_too_slow(tmp_path):
    """An engine that is busy for seconds in mid-run, as with a frame size that it has to be built for."""
    pictures = [street(i) for i in range(50)]
    cameras = [RtspServer(pictures, fps=9), RtspServer(pictures, fps=25)]
    folder = tmp_path / "record"

    class Busy:
        def __init__(self) -> None:
            self._engine, self._count = create_engine("average"), 0
            self.name, self.notes, self.prepare = self._engine.name, self._engine.notes, self._engine.prepare

        def fuse(self, *arguments):
            self._count += 1
            time.sleep(3.0 if self._count == 10 else 0.2)
            return self._engine.fuse(*arguments)

    config = RunConfig.model_validate(
        {
            "sources": {"ir": cameras[0].url, "vis": cameras[1].url},
            "output": {"out": tmp_path / "o.mp4"},
            "record": {"folder": folder},
            "detector": {"enabled": False},
        }
    )
    try:
        with interruptible() as stop:
            threading.Timer(10, stop.set).start()
            finished = run_streams(config, open_streams(config), Tools(Busy(), None), stop, Console(quiet=True))
    finally:
        for camera in cameras:
            camera.stop()
    health, (stem,) = finished.report["health"], [path.name[:20] for path in folder.glob("*_fused.mp4")]
    for camera, fps in (("visible", 25), ("infrared", 9)):
        counters = health["cameras"][camera]
        assert counters["frames"] == sum(counters[fate] for fate in FATES)
        assert counters["recorded"] + counters["unrecorded"] == counters["frames"] - counters["stale"]
        assert counters["unrecorded"] == 0
        lines = json_lines(folder / f"{stem}_{camera}.jsonl")
        assert len(lines) == frames_of(folder / f"{stem}_{camera}.mp4") == counters["recorded"] > 6 * fps
        assert max(np.diff([line["at"] for line in lines])) < 1.5  # it went on while the engine was busy
    run = health["run"]
    assert run["recorder_frames"] == run["out"] == finished.report["frames"] < 60
    assert len(json_lines(folder / f"{stem}_frames.jsonl")) == len(json_lines(tmp_path / "o.jsonl")) == run["out"]

    replay = RunConfig.model_validate(
        {
            "sources": {"ir": f"{folder}/{stem}_infrared.mp4", "vis": f"{folder}/{stem}_visible.mp4"},
            "sync": {"offset_ms": 0},
            "output": {"out": tmp_path / "again.mp4"},
            "detector": {"enabled": False},
        }
    )
    tools = Tools(create_engine("average"), None)
    replayed = run_streams(replay, open_streams(replay), tools, threading.Event(), Console(quiet=True)).report
    assert replayed["frames"] == health["cameras"]["visible"]["recorded"]
    assert replayed["sync"]["paired"] > 0.7 * replayed["frames"]  # all but where only one camera had begun
