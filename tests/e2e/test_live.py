"""Live streams and pipes through the whole command: paired by capture time, latest frames, whole output."""

import json
import os
import shutil
import threading
from functools import partial

import numpy as np
import pytest

from ..pipeline.clips import write_video
from ..pipeline.rtsp_server import RtspServer
from .command import QUICK, fusecam, json_lines, leftovers, pair_of_clips, presentation_times, start, street

pytestmark = pytest.mark.slow


@pytest.fixture
def run(monkeypatch, capfd):
    return partial(fusecam, monkeypatch=monkeypatch, capfd=capfd)


@pytest.fixture
def cameras():
    pictures = [street(i) for i in range(25)]
    servers = [RtspServer(pictures, fps=15), RtspServer(pictures, fps=25)]
    yield servers
    for server in servers:
        server.stop()


def test_two_rtsp_cameras_are_fused(tmp_path, run, cameras):
    ir, vis = cameras
    out, report = tmp_path / "o.mp4", tmp_path / "r.json"
    answer = run("--ir", ir.url, "--vis", vis.url, "--out", out, "--report", report, "--max-frames", 50, *QUICK)
    assert answer.code == 0, answer.said
    times = presentation_times(out)
    assert len(times) == 50
    assert times[0] == 0
    assert 1.5 < times[-1] < 20  # real time: 49 periods of 1/25 s, more where frames were dropped
    written = json.loads(report.read_text())
    assert written["sync"]["paired"] > 25
    # .55 of a period is the most: of 9 fps until the rates are known, and that of 15 after it
    skews = [abs(line["skew_ms"]) for line in json_lines(tmp_path / "o.jsonl") if line["skew_ms"] is not None]
    assert max(skews) < 62 and np.median(skews) < 37
    assert leftovers(tmp_path) == []


def test_lost_infrared_camera_leaves_the_visible_one_running(tmp_path, run, cameras):
    ir, vis = cameras
    timer = threading.Timer(2.5, ir.stop)
    timer.start()
    out = tmp_path / "o.mp4"
    answer = run("--ir", ir.url, "--vis", vis.url, "--out", out, "--max-frames", 150, *QUICK)
    timer.join()
    assert answer.code == 0, answer.said
    assert len(presentation_times(out)) == 150
    assert json_lines(tmp_path / "o.jsonl")[-1]["skew_ms"] is None
    assert ir.url in answer.said


def test_lost_visible_camera_leaves_the_infrared_one_running(tmp_path, run, cameras):
    ir, vis = cameras
    timer = threading.Timer(2.5, vis.stop)
    timer.start()
    out = tmp_path / "o.mp4"
    answer = run("--ir", ir.url, "--vis", vis.url, "--out", out, "--max-frames", 120, *QUICK)
    timer.join()
    assert answer.code == 0, answer.said
    assert vis.url in answer.said
    assert len(presentation_times(out)) == 120
    assert json_lines(tmp_path / "o.jsonl")[-1]["led_by"] == "infrared"
    assert leftovers(tmp_path) == []


def test_recording_with_a_live_camera_is_refused(tmp_path, run, cameras):
    _, recorded = pair_of_clips(tmp_path)
    answer = run("--ir", cameras[0].url, "--vis", recorded, "--out", tmp_path / "o.mp4", *QUICK)
    assert answer.code == 1
    assert str(recorded) in answer.said
    assert len(answer.said.strip().splitlines()) == 1


def test_two_named_pipes_are_fused(tmp_path, run):
    clips = pair_of_clips(tmp_path, frames=40, suffix=".ts")
    pipes = []
    for clip in clips:
        pipe = tmp_path / f"{clip.stem}.pipe"
        os.mkfifo(pipe)
        pipes.append(pipe)

        def feed(clip=clip, pipe=pipe):
            with clip.open("rb") as source, pipe.open("wb") as target:
                shutil.copyfileobj(source, target)

        threading.Thread(target=feed, daemon=True).start()
    answer = run("--ir", pipes[0], "--vis", pipes[1], "--out", tmp_path / "o.mp4", *QUICK)
    assert answer.code == 0, answer.said
    assert len(presentation_times(tmp_path / "o.mp4")) == 40


def test_two_named_pipes_of_one_uneven_writer_are_fused(tmp_path):
    """It writes 28 frames of infrared before the first visible one, and then one of each: this waited for ever."""
    pictures = [np.random.default_rng(i).integers(0, 255, (240, 320, 3)).astype(np.uint8) for i in range(90)]
    ir, vis = (write_video(tmp_path / f"{name}.mkv", range(90), pictures=pictures) for name in ("ir", "vis"))
    pipes = [tmp_path / "ir.pipe", tmp_path / "vis.pipe"]
    for pipe in pipes:
        os.mkfifo(pipe)

    def feed():
        chunks = []
        for clip in (ir, vis):
            data = clip.read_bytes()
            chunks.append([data[len(data) * k // 90 : len(data) * (k + 1) // 90] for k in range(90)])
        with pipes[0].open("wb", buffering=0) as infrared, pipes[1].open("wb", buffering=0) as visible:
            for k in range(90 + 28):
                infrared.write(b"".join(chunks[0][k : k + 1]))
                if k >= 28:
                    visible.write(chunks[1][k - 28])

    threading.Thread(target=feed, daemon=True).start()
    out = tmp_path / "o.mp4"
    quick = QUICK
    run = start("--ir", pipes[0], "--vis", pipes[1], "--out", out, "--report", tmp_path / "r.json", *quick)
    _, said = run.communicate(timeout=120)
    assert run.returncode == 0, said
    assert len(presentation_times(out)) == 90
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["sync"]["paired"] == 90
    assert any("ir.pipe: was written ahead" in line for line in report["warnings"])


RIG = """
visible: {width: 160, height: 120}
infrared: {width: 160, height: 120}
homography: [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
time_offset_ms: -118
"""


@pytest.mark.parametrize(("offset", "taken"), [("auto", 0), ("rig", -118)])
def test_offset_of_a_rig_is_not_used_for_live_cameras(tmp_path, run, cameras, offset, taken):
    """It was applied to live cameras, whose capture times are on one clock, and the skew then looked perfect."""
    ir, vis = cameras
    (tmp_path / "rig.yaml").write_text(RIG)
    (tmp_path / "run.yaml").write_text(f"rig: {tmp_path / 'rig.yaml'}\nsync: {{offset_ms: {offset}}}\n")
    given = ("--config", tmp_path / "run.yaml", "--ir", ir.url, "--vis", vis.url, "--report", tmp_path / "r.json")
    answer = run(*given, "--out", tmp_path / "o.mp4", "--max-frames", 20, "--no-detect", "--engine", "average")
    assert answer.code == 0, answer.said
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["sync"]["offset_ms"] == taken
    assert any("time_offset_ms of -118 is not used" in line for line in report["warnings"]) == (offset == "auto")
