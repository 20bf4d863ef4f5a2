"""`fusecam --ir A --vis B` on files and folders: what comes out is whole, complete and on time."""

import json
import os
import signal
import threading
import time
from fractions import Fraction
from functools import partial

import cv2
import numpy as np
import pytest
from PIL import Image

from ..pipeline.clips import write_video
from .command import DETECTING, QUICK, fusecam, json_lines, leftovers, pair_of_clips, presentation_times, start, street

VARIABLE = [0, 3, 4, 9, 20, 21, 22, 40, 41, 55]


@pytest.fixture
def run(monkeypatch, capfd):
    return partial(fusecam, monkeypatch=monkeypatch, capfd=capfd)


@pytest.mark.parametrize(
    ("times", "time_base", "suffix"),
    [
        (range(20), Fraction(1, 25), ".mp4"),
        (VARIABLE, Fraction(1, 30), ".mp4"),
        ([t * 1001 for t in range(12)], Fraction(1, 30000), ".mp4"),
        ([t + 1000 for t in VARIABLE], Fraction(1, 90), ".mkv"),
    ],
    ids=["steady", "variable rate", "ntsc", "late start in mkv"],
)
def test_output_has_every_visible_frame_at_its_time(tmp_path, run, times, time_base, suffix):
    ir, vis = pair_of_clips(tmp_path, times=times, time_base=time_base, suffix=suffix)
    answer = run("--ir", ir, "--vis", vis, "--out", tmp_path / "out.mp4", *QUICK)
    assert answer.code == 0, answer.said
    assert presentation_times(tmp_path / "out.mp4") == presentation_times(vis)
    assert [line["frame"] for line in json_lines(tmp_path / "out.jsonl")] == list(range(len(times)))
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("out", "more", "told"),
    [
        ("o.mp4", ["--report", "{vis}"], "is also the input '{vis}'; choose another place with --report"),
        ("o.mp4", ["--report", "o.mp4"], "is also the output 'o.mp4'"),
        ("o.mp4", ["--report", "o.jsonl"], "is also the output 'o.jsonl'"),
        ("o.mp4", ["--offset-ms", "nan"], "--offset-ms nan: give a number"),
        ("o.mp4", ["--offset-ms", "1e308"], "sync.offset_ms: Input should be less than or equal to 1000000000"),
        ("x" * 300 + ".mp4", [], "cannot be written: File name too long"),
    ],
)
def test_invalid_paths_and_numbers_are_refused(tmp_path, monkeypatch, run, out, more, told):
    monkeypatch.chdir(tmp_path)
    ir, vis = pair_of_clips(tmp_path)
    before = vis.read_bytes()
    answer = run("--ir", ir, "--vis", vis, "--out", out, *QUICK, *(each.format(vis=vis) for each in more))
    assert answer.code == 1, answer.said
    assert told.format(vis=vis) in " ".join(answer.said.split())
    assert vis.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([ir.name, vis.name])


@pytest.mark.parametrize("name", ["run.mp4", "run.jsonl", "run.json"])
def test_run_file_is_not_overwritten(tmp_path, monkeypatch, run, name):
    monkeypatch.chdir(tmp_path)
    ir, vis = pair_of_clips(tmp_path)
    settings = f"sources: {{ir: {ir}, vis: {vis}}}\n"
    (tmp_path / name).write_text(settings)
    answer = run("--config", name, "--out", "run.mp4", "--report", "run.json", *QUICK)
    assert answer.code == 1 and f"{name}: is also the input '{name}'" in answer.said, answer.said
    assert (tmp_path / name).read_text() == settings


@pytest.mark.slow
def test_recordings_without_common_time_are_reported(tmp_path, run):
    ir, vis = pair_of_clips(tmp_path)
    report = tmp_path / "report.json"
    answer = run("--ir", ir, "--vis", vis, "--report", report, *QUICK, "--offset-ms", "1e6")
    assert answer.code == 3, answer.said
    assert "doubtful: none of 30 visible frames had an infrared one within" in " ".join(answer.said.split())
    assert json.loads(report.read_text())["sync"]["paired"] == 0


def test_json_lines_and_report_hold_the_documented_fields(tmp_path, run):
    ir, vis = pair_of_clips(tmp_path)
    report = tmp_path / "report.json"
    outs = ("--out", tmp_path / "o.mp4", "--report", report, "--frame-latencies")
    answer = run("--ir", ir, "--vis", vis, *outs, *DETECTING)
    assert answer.code == 0, answer.said
    line = json_lines(tmp_path / "o.jsonl")[3]
    assert set(line) == {"version", "frame", "time", "skew_ms", "haze", "illumination", "detections"}
    assert line["time"] == pytest.approx(0.12)
    assert line["skew_ms"] == pytest.approx(0, abs=0.01)
    written = json.loads(report.read_text())
    assert written["frames"] == 30
    assert written["sync"]["paired"] == 30
    assert {"register", "fuse", "write", "age"} <= set(written["latency"]["stages"])
    assert len(written["latency"]["frame_latencies"]) == 30
    assert written["sources"]["visible"]["delivered"] == 30
    assert written["machine"]["cpu"]["cores"] >= 1


def test_image_folders_pair_by_name_and_keep_sizes_and_names(tmp_path, run):
    for camera, names in (("ir", ["b", "c", "d", "x"]), ("vis", ["a", "b", "d", "c"])):
        (tmp_path / camera).mkdir()
        for name in names:
            value = 40 * (ord(name) - 96) if name != "x" else 250
            cv2.imwrite(str(tmp_path / camera / f"{name}.png"), np.full((120, 160, 3), value, np.uint8))
    answer = run("--ir", tmp_path / "ir", "--vis", tmp_path / "vis", "--out", tmp_path / "fused", *QUICK)
    assert answer.code == 0, answer.said
    made = {path.stem: cv2.imread(str(path)) for path in (tmp_path / "fused").iterdir()}
    assert sorted(made) == ["a", "b", "c", "d"]
    for name, image in made.items():  # partners have equal grey levels, so their mean is that level
        assert image.shape == (120, 160, 3)
        assert np.abs(image.astype(int) - 40 * (ord(name) - 96)).max() <= 2, name
    skews = {line["frame"]: line["skew_ms"] for line in json_lines(tmp_path / "fused.jsonl")}
    assert skews == {0: None, 1: 0.0, 2: 0.0, 3: 0.0}
    assert "1 infrared" in answer.said


@pytest.mark.slow
def test_images_of_mixed_sizes_keep_their_sizes(tmp_path, run):
    sizes = [(160, 120), (201, 133), (160, 120)]
    for camera in ("ir", "vis"):
        (tmp_path / camera).mkdir()
        for index, size in enumerate(sizes):
            cv2.imwrite(str(tmp_path / camera / f"{index}.png"), street(index, *size))
    answer = run("--ir", tmp_path / "ir", "--vis", tmp_path / "vis", "--out", tmp_path / "fused", *QUICK)
    assert answer.code == 0, answer.said
    assert [cv2.imread(str(tmp_path / f"fused/{i}.png")).shape[1::-1] for i in range(3)] == sizes


@pytest.mark.slow
def test_infrared_at_another_rate_and_ending_early_is_counted(tmp_path, run):
    _, vis = pair_of_clips(tmp_path, frames=50)
    ir = write_video(tmp_path / "slow.mp4", range(9), Fraction(1, 9), pictures=[street(i) for i in range(9)])
    report = tmp_path / "report.json"
    answer = run("--ir", ir, "--vis", vis, "--out", tmp_path / "o.mp4", "--report", report, *QUICK)
    assert answer.code == 3 and "only 24 of 50 visible frames had an infrared one" in answer.said
    sync = json.loads(report.read_text())["sync"]
    assert len(presentation_times(tmp_path / "o.mp4")) == 50
    assert sync["paired"] + sync["visible_alone"] == 50
    assert sync["visible_alone"] == 26  # the last infrared frame, at 8/9 s, reaches 0.55 / 9 s further: frame 23
    assert "visible alone" in answer.said


@pytest.mark.slow
def test_infrared_after_the_visible_end_is_counted(tmp_path, run):
    ir, vis = pair_of_clips(tmp_path, frames=20, infrared_frames=20)
    ir = write_video(tmp_path / "long.mp4", range(90), pictures=[street(i) for i in range(90)])
    report = tmp_path / "report.json"
    answer = run("--ir", ir, "--vis", vis, "--out", tmp_path / "o.mp4", "--report", report, *QUICK)
    assert answer.code == 0, answer.said
    written = json.loads(report.read_text())
    infrared, sync = written["sources"]["infrared"], written["sync"]
    assert infrared["delivered"] + infrared["unread"] == 90
    assert infrared["unread"] > 60
    held = sync["paired"] - sync["infrared_reused"] + sync["infrared_unused"] + sync["infrared_pending"]
    assert held + infrared["unprocessed"] == infrared["delivered"]
    assert "not read after the visible end" in answer.said


@pytest.mark.slow
def test_no_thread_outlives_a_run(tmp_path, run):
    ir, vis = pair_of_clips(tmp_path)
    before = set(threading.enumerate())
    for number, limit in enumerate(([], ["--max-frames", 3])):
        assert run("--ir", ir, "--vis", vis, "--out", tmp_path / f"{number}.mp4", *limit, *QUICK).code == 0
    assert not {t for t in threading.enumerate() if t.name.startswith(("capture", "output"))} - before


def test_max_frames_and_detections_off_by_default(tmp_path, run):
    ir, vis = pair_of_clips(tmp_path)
    answer = run("--ir", ir, "--vis", vis, "--out", tmp_path / "o.mp4", "--max-frames", 7, *QUICK)
    assert answer.code == 0, answer.said
    assert len(presentation_times(tmp_path / "o.mp4")) == 7


def test_run_file_is_used_and_overridden_by_options(tmp_path, run):
    ir, vis = pair_of_clips(tmp_path)
    settings = tmp_path / "run.yaml"
    settings.write_text(
        f"sources: {{ir: {ir}, vis: {vis}}}\nengine: {{name: average}}\nmax_frames: 3\nsync: {{offset_ms: 0}}\n"
    )
    assert run("--config", settings, "--out", tmp_path / "o.mp4", "--max-frames", 5).code == 0
    assert len(presentation_times(tmp_path / "o.mp4")) == 5


@pytest.mark.slow
@pytest.mark.parametrize("interrupt", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_run_leaves_a_playable_video(tmp_path, interrupt):
    ir, vis = pair_of_clips(tmp_path, frames=1500)
    out = tmp_path / "o.mp4"
    process = start("--ir", ir, "--vis", vis, "--out", out, *DETECTING)
    os.setpriority(os.PRIO_PROCESS, process.pid, 19)  # on a busy machine it would be done before this test looks again
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size > 20_000 for path in tmp_path.glob("o*.partial*")):
        assert time.monotonic() < deadline and process.poll() is None, "the run did not get going"
        time.sleep(0.01)
    os.kill(process.pid, interrupt)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    shown = presentation_times(out)
    assert 0 < len(shown) < 1500
    assert shown == [Fraction(i, 25) for i in range(len(shown))]
    assert len(json_lines(tmp_path / "o.jsonl")) == len(shown)
    assert leftovers(tmp_path) == []
    assert "Traceback" not in said


@pytest.mark.slow
def test_recordings_that_start_apart_are_reported_with_the_offset_to_set(tmp_path, run):
    later, _ = pair_of_clips(tmp_path, name="later", times=range(10, 40))
    _, vis = pair_of_clips(tmp_path, name="early")
    answer = run("--ir", later, "--vis", vis, "-o", tmp_path / "o.mp4", *QUICK[:2])
    assert "time offset not measured" in answer.said and "give --offset-ms -400" in answer.said
    given = run("--ir", later, "--vis", vis, "-o", tmp_path / "o.mp4", *QUICK, "--offset-ms", "-400")
    assert "infrared paired 30," in given.said, given.said


@pytest.mark.slow
def test_recordings_without_common_times_are_fused_from_their_starts_on_with_a_doubt(tmp_path, run):
    late, _ = pair_of_clips(tmp_path, name="late", times=range(50, 80))
    _, vis = pair_of_clips(tmp_path, name="early")
    answer = run("--ir", late, "--vis", vis, "-o", tmp_path / "o.mp4", *QUICK[:2])
    assert "taken as -2000 ms, by which both begin together" in answer.said
    assert answer.code == 3 and "infrared paired 30," in answer.said, answer.said


@pytest.mark.slow
def test_oversized_images_are_refused_before_a_build(tmp_path, run):
    for name, size in (("ir", (160, 120)), ("vis", (4000, 3000))):
        (tmp_path / name).mkdir()
        Image.new("L", size, 90).save(tmp_path / name / "a.png")
    begun = time.monotonic()
    answer = run("--ir", tmp_path / "ir", "--vis", tmp_path / "vis", "--out", tmp_path / "out", "--no-detect")
    assert answer.code == 1 and time.monotonic() - begun < 60
    assert "12 megapixels" in answer.said and "sources.vis.crop" in answer.said and "Traceback" not in answer.said
    assert not (tmp_path / "out").exists()


def test_assumed_polarity_is_in_report_and_summary(tmp_path, run):
    ramp, report = np.tile(np.arange(160, dtype=np.uint8), (120, 1)), tmp_path / "report.json"
    for camera, picture in (("ir", ramp), ("vis", np.dstack([ramp] * 3))):
        (tmp_path / camera).mkdir()
        Image.fromarray(picture).save(tmp_path / camera / "1.png")
    order = "--ir", tmp_path / "ir", "--vis", tmp_path / "vis", "--out", tmp_path / "o", "--report", report, *QUICK
    answer = run(*order)
    assert answer.code == 0 and "infrared taken as white-hot" in answer.said and "sources.ir.polarity" in answer.said
    assert json.loads(report.read_text())["sources"]["infrared"]["polarity"] == "white-hot, assumed"
    settings = tmp_path / "run.yaml"
    settings.write_text("sources: {ir: {polarity: white-hot}}\n")
    assert "taken as white-hot" not in run(*order, "--config", settings).said
