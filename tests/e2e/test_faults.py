"""Bad input: one line that names the culprit and exit code 1, or a stated fallback. Never a traceback or a leftover."""

import json
import os
import subprocess
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from ..pipeline.clips import remux, write_audio, write_video
from .command import COMMAND, QUICK, fusecam, json_lines, leftovers, pair_of_clips, presentation_times, street

pytestmark = pytest.mark.slow

RIG = """
version: 1
visible: {width: %d, height: %d}
infrared: {width: 160, height: 120}
homography: [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
"""


@pytest.fixture
def run(monkeypatch, capfd):
    return partial(fusecam, monkeypatch=monkeypatch, capfd=capfd)


@pytest.fixture
def clips(tmp_path):
    return pair_of_clips(tmp_path)


def missing(folder: Path) -> Path:
    return folder / "nowhere.mp4"


def empty_folder(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def empty_file(folder: Path) -> Path:
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def text_file(folder: Path) -> Path:
    (folder / "notes.mp4").write_text("not a video at all\n" * 50)
    return folder / "notes.mp4"


def truncated(folder: Path) -> Path:
    whole = write_video(folder / "whole.mp4", range(30), pictures=[street(i) for i in range(30)])
    (folder / "cut.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return folder / "cut.mp4"


def audio_only(folder: Path) -> Path:
    return write_audio(folder / "sound.mp4")


@pytest.mark.parametrize("bad", [missing, empty_folder, empty_file, text_file, truncated, audio_only])
@pytest.mark.parametrize("camera", ["--ir", "--vis"])
def test_unreadable_source_is_refused(tmp_path, run, clips, bad, camera):
    culprit = bad(tmp_path)
    ir, vis = (culprit, clips[1]) if camera == "--ir" else (clips[0], culprit)
    answer = run("--ir", ir, "--vis", vis, "--out", tmp_path / "o.mp4", *QUICK)
    assert answer.code == 1
    assert str(culprit) in answer.said
    assert_one_line(answer.said)
    assert not (tmp_path / "o.mp4").exists()
    assert leftovers(tmp_path) == []


def assert_one_line(said: str) -> None:
    lines = [line for line in said.splitlines() if line.strip()]
    assert len(lines) == 1, said
    assert lines[0].startswith("fusecam: error: "), said


@pytest.mark.parametrize(("out", "said"), [("", "is empty; give a file or"), ("-", "standard output is not supported")])
@pytest.mark.parametrize(
    "command", ["run", "record", "report", "batch", "demo", "train", "eval", "export", "compile", "bench", "calibrate"]
)
def test_output_is_neither_the_current_folder_nor_standard_output(
    tmp_path, run, clips, monkeypatch, command, out, said
):
    monkeypatch.chdir(tmp_path)
    there = sorted(tmp_path.iterdir())
    both = "--ir", clips[0], "--vis", clips[1]
    named = {
        "run": [*both, "--out"],
        "record": [*both, "--record"],
        "report": [*both, "--report"],
        "batch": ["batch", *clips, "--out"],
        "train": ["train", "tiny", "--out"],
        "eval": ["eval", *both, "--fused", clips[1], "--out"],
        "export": ["export", "tiny", "--out"],
        "compile": ["compile", "--out"],
        "bench": ["bench", "--json"],
        "calibrate": ["calibrate", "scene", *both, "--out"],
    }.get(command, [command, "--out"])
    answer = run(*named, out)
    assert answer.code == 2 and said in answer.said
    assert sorted(tmp_path.iterdir()) == there


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--vis", "VIS", "--out", "OUT"], "--ir missing"),
        (["--ir", "IR", "--out", "OUT"], "--vis missing"),
        (["--ir", "VIS", "--vis", "VIS", "--out", "OUT"], "two different sources"),
        (["--ir", "IR", "--vis", "VIS"], "--out"),
        (["--ir", "IR", "--vis", "VIS", "--out", "OUT", "--engine", "magic"], "magic"),
        (["--ir", "IR", "--vis", "VIS", "--out", "OUT", "--lift", "2"], "--lift 2"),
        (["--ir", "IR", "--vis", "VIS", "--out", "OUT", "--no-detect", "--detector", "x.pt"], "contradict"),
        (["--ir", "IR", "--vis", "VIS", "--out", "OUT", "--detector", "nowhere.pt"], "nowhere.pt"),
        (["--ir", "IR", "--vis", "VIS", "--out", "OUT", "--distance", "8"], "--rig"),
        (["--ir", "IR", "--vis", "VIS", "--out", "OUT", "--rig", "nowhere.yaml"], "nowhere.yaml"),
        (["--ir", "IR", "--vis", "VIS", "--out", "OUT", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--ir", "IR", "--vis", "VIS", "--out", "o.gif"], "o.gif"),
        (["--ir", "IR", "--vis", "VIS", "--out", "VIS"], "input"),
        (["--ir", "IR", "--vis", "VIS", "--out", "/proc/fusecam/o.mp4"], "/proc/fusecam"),
        (["--ir", "IR", "--vis", "VIS", "--out", "IR/o.mp4"], "IR/o.mp4"),
        (["--ir", "IR", "--vis", "VIS", "--out", "OUT", "--report", "/proc/fusecam/r.json"], "/proc/fusecam"),
        (["--ir", "IR", "--vis", "VIS", "--out", "OUT", "--show"], "display"),
        (["--ir", "dev77", "--vis", "VIS", "--out", "OUT"], "dev77"),
        (["--ir", "gopher://x/y", "--vis", "VIS", "--out", "OUT"], "gopher"),
        (["--ir", "rtsp://127.0.0.1:9/x", "--vis", "VIS", "--out", "OUT"], "rtsp://127.0.0.1:9/x"),
    ],
)
def test_unsatisfiable_options_are_refused(tmp_path, run, clips, arguments, named):
    places = {
        "IR": str(clips[0]),
        "VIS": str(clips[1]),
        "OUT": str(tmp_path / "o.mp4"),
        "IR/o.mp4": f"{clips[0]}/o.mp4",
    }
    answer = run(*[places.get(word, word) for word in arguments])
    assert answer.code == 1
    assert places.get(named, named) in answer.said
    assert_one_line(answer.said)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("engin: {name: average}", "engin"),
        ("engine: {nam: average}", "engine.nam"),
        ("engine: [1, 2", "YAML"),
        ("- a list", "mapping"),
        ("engine: 2024-99-99", "month must be in 1..12"),
        ("output: {crf: 20}\noutput: {preset: fast}", "'output' occurs twice"),
        ("max_frames: -3", "max_frames"),
        ("engine: {dehaze: 7}", "engine.dehaze"),
    ],
)
def test_invalid_run_file_is_refused(tmp_path, run, clips, text, named):
    settings = tmp_path / "run.yaml"
    settings.write_text(text)
    answer = run("--ir", clips[0], "--vis", clips[1], "--out", tmp_path / "o.mp4", "--config", settings)
    assert answer.code == 1
    assert "run.yaml" in answer.said
    assert named in answer.said
    assert_one_line(answer.said)


def test_rig_of_another_size_is_scaled_if_the_aspect_fits_else_refused(tmp_path, run, clips):
    rig = tmp_path / "rig.yaml"
    rig.write_text(RIG % (640, 512))
    answer = run("--ir", clips[0], "--vis", clips[1], "--out", tmp_path / "o.mp4", "--rig", rig, *QUICK)
    assert answer.code == 1
    assert "640x512" in answer.said
    assert "160x120" in answer.said
    assert_one_line(answer.said)
    rig.write_text(RIG % (640, 480))
    answer = run("--ir", clips[0], "--vis", clips[1], "--out", tmp_path / "o.mp4", "--rig", rig, *QUICK)
    assert answer.code == 0, answer.said


def test_decreasing_timestamps_are_corrected_and_counted(tmp_path, run):
    ir, vis = pair_of_clips(tmp_path, frames=40, suffix=".mkv")
    odd = remux(vis, tmp_path / "odd.mkv", times=[300 if i == 20 else 40 * i for i in range(40)])
    report = tmp_path / "r.json"
    answer = run("--ir", ir, "--vis", odd, "--out", tmp_path / "o.mp4", "--report", report, *QUICK)
    assert answer.code == 0, answer.said
    told = json.loads(report.read_text())
    counts = {camera: told["health"]["cameras"][camera]["retimed"] for camera in ("visible", "infrared")}
    assert counts == {camera: told["sources"][camera]["retimed"] for camera in counts}
    assert counts["visible"] > 0 and counts["infrared"] == 0
    shown = presentation_times(tmp_path / "o.mp4")
    assert len(shown) == 40
    assert all(a < b for a, b in pairwise(shown))
    assert "odd.mkv" in answer.said


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_pixel_aspect_ratio_is_kept(tmp_path, run, suffix):
    ir, _ = pair_of_clips(tmp_path)
    wide = tmp_path / "pal.mp4"
    write_video(wide, range(30), pictures=[street(i, 192, 144) for i in range(30)], pixel_aspect=Fraction(16, 15))
    out = tmp_path / f"o{suffix}"
    answer = run("--ir", ir, "--vis", wide, "--out", out, *QUICK)
    assert answer.code == 0, answer.said
    with av.open(str(out)) as made:
        assert made.streams.video[0].sample_aspect_ratio == Fraction(16, 15)
        assert made.streams.video[0].width == 192


def test_several_video_streams_in_one_file_are_reported(tmp_path, run):
    ir, vis = pair_of_clips(tmp_path)
    both = tmp_path / "both.mkv"
    with av.open(str(both), "w") as out, av.open(str(vis)) as first, av.open(str(ir)) as second:
        copies = [(each, out.add_stream_from_template(each.streams.video[0])) for each in (first, second)]
        for given, copied in copies:
            for packet in [each for each in given.demux(video=0) if each.size]:
                packet.stream = copied
                out.mux(packet)
    answer = run("--ir", ir, "--vis", both, "--out", tmp_path / "o.mp4", *QUICK)
    assert answer.code == 0, answer.said
    assert "both.mkv: holds 2 video streams; number 1 is read" in answer.said


def test_size_change_in_mid_stream_keeps_every_frame(tmp_path, run):
    ir, _ = pair_of_clips(tmp_path, frames=40)
    changing = tmp_path / "changing.ts"
    with changing.open("wb") as joined:
        for first, (width, height) in ((0, (160, 120)), (20, (192, 144))):
            part = tmp_path / f"{width}.ts"
            write_video(part, range(first, first + 20), pictures=[street(i, width, height) for i in range(20)])
            joined.write(part.read_bytes())
    answer = run("--ir", ir, "--vis", changing, "--out", tmp_path / "o.mp4", *QUICK)
    assert answer.code == 0, answer.said
    assert len(presentation_times(tmp_path / "o.mp4")) == 40
    assert len(json_lines(tmp_path / "o.jsonl")) == 40
    assert "size" in answer.said


def test_sixteen_bit_infrared_video_is_read(tmp_path, run):
    _, vis = pair_of_clips(tmp_path)
    counts = [(7000 + street(i)[..., 0].astype(np.uint16) * 4) for i in range(30)]
    ir = write_video(
        tmp_path / "raw.mkv", range(30), codec="ffv1", pix_fmt="gray16le", pictures=counts, layout="gray16le"
    )
    answer = run("--ir", ir, "--vis", vis, "--out", tmp_path / "o.mp4", *QUICK)
    assert answer.code == 0, answer.said
    with_infrared = cv2.VideoCapture(str(tmp_path / "o.mp4"))
    spread = with_infrared.read()[1].std()
    assert spread > 10  # 1000 counts out of 65,536 were stretched, not cut to a flat grey


def test_false_colour_infrared_is_reported(tmp_path, run, clips):
    answer = run("--ir", clips[1], "--vis", clips[0], "--out", tmp_path / "o.mp4", *QUICK)
    assert answer.code == 0, answer.said
    assert "colour" in answer.said


def test_truncated_recording_is_read_with_a_warning(tmp_path, run):
    ir, vis = pair_of_clips(tmp_path, frames=60, suffix=".mkv")
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(vis.read_bytes()[: vis.stat().st_size * 2 // 3])
    answer = run("--ir", ir, "--vis", cut, "--out", tmp_path / "o.mp4", *QUICK)
    assert answer.code == 0, answer.said
    assert 10 < len(presentation_times(tmp_path / "o.mp4")) < 60
    assert "cut.mkv" in answer.said


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
@pytest.mark.parametrize("name", ["o.mp4", "images"])
def test_full_disk_leaves_no_partial_file(tmp_path, run, name):
    ir, vis = pair_of_clips(tmp_path, frames=80, size=(320, 240))
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk], check=False).returncode:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        answer = run("--ir", ir, "--vis", vis, "--out", disk / name, *QUICK)
        assert answer.code == 1
        assert "No space left on device" in answer.said
        assert str(disk) in answer.said
        assert answer.said.count("fusecam: error:") == 1 and "Traceback" not in answer.said
        assert leftovers(disk) == []
        assert not (disk / "o.mp4").exists()
        for image in disk.glob("images/*.png"):
            assert cv2.imread(str(image)) is not None
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_unwritable_messages_do_not_end_a_run(tmp_path, clips):
    arguments = ("--ir", clips[0], "--vis", clips[1], *QUICK, "-o", tmp_path / "out.mp4")
    with Path("/dev/full").open("w") as full:
        code = subprocess.run([*COMMAND, *map(str, arguments)], stderr=full, stdout=full).returncode
    assert code == 0
    assert len(presentation_times(tmp_path / "out.mp4")) == 30
    assert leftovers(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [("--help",), ("doctor",)])
def test_unwritable_answer_is_a_one_line_error(arguments):
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([*COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 1
    assert ended.stderr == "fusecam: error: the output: No space left on device: make room, or write it elsewhere\n"


def test_different_frame_rates_pair_by_time(tmp_path, run):
    _, vis = pair_of_clips(tmp_path, frames=25)
    ir = write_video(tmp_path / "fast.mp4", range(60), Fraction(1, 60), pictures=[street(i) for i in range(60)])
    answer = run("--ir", ir, "--vis", vis, "--out", tmp_path / "o.mp4", *QUICK)
    assert answer.code == 0, answer.said
    assert all(abs(line["skew_ms"]) <= 8.4 for line in json_lines(tmp_path / "o.jsonl"))


def test_frames_too_small_to_fuse_leave_no_output(tmp_path, run):
    for camera in ("ir", "vis"):
        (tmp_path / camera).mkdir()
        cv2.imwrite(str(tmp_path / camera / "a.png"), street(0, 24, 20))
    answer = run("--ir", tmp_path / "ir", "--vis", tmp_path / "vis", "--out", tmp_path / "o", *QUICK)
    assert answer.code == 1
    assert "24x20" in answer.said
    assert_one_line(answer.said)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ir", "vis"]
