"""Images, JSON lines, the size shared by the outputs, and which sinks open for which output."""

from __future__ import annotations

import json
import math
import os
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from fusecam.pipeline.config import OutputConfig
from fusecam.pipeline.core.detections import Detection
from fusecam.pipeline.core.health import Health
from fusecam.pipeline.core.result import Result
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.sinks import Outputs, close_all, is_video, open_sinks
from fusecam.pipeline.sinks.images import ImagesSink
from fusecam.pipeline.sinks.jsonl import JsonLinesSink

from .make_results import picture, result


def lines(path: Path) -> list[dict[str, object]]:
    def refuse(constant: str) -> object:
        raise AssertionError(f"not JSON: {constant}")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text(encoding="utf-8").splitlines()]


def run(sinks: list[object], results: list[Result], complete: bool = True) -> None:
    for item in results:
        for sink in sinks:
            sink.write(item)  # type: ignore[attr-defined]
    close_all(sinks, complete)  # type: ignore[arg-type]


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_json_line_has_exactly_the_published_fields(tmp_path: Path) -> None:
    sink = JsonLinesSink(tmp_path / "out.jsonl")
    found = [
        Detection("person", 0.912345, (1.04, 2.06, 30.0, 40.55), track=7),
        Detection("person", 0.5, (3, 4, 5, 6), track=8, coasted=True),
        Detection("car", 0.5, (-0.01, 0.0, 9.0, 9.0)),
    ]
    sink.write(result(0, time_ns=12_345_000_000, detections=found))
    sink.write(result(1, time_ns=12_385_000_000, infrared=False))
    sink.close(complete=True)
    first, second = (tmp_path / "out.jsonl").read_text().splitlines()
    assert first == (
        '{"version": 1, "frame": 0, "time": 12.345, "skew_ms": 3.1, "haze": 0.2, "illumination": 0.2, "detections": ['
        '{"class": "person", "score": 0.9123, "box": [1.0, 2.1, 30.0, 40.5], "track": 7}, '
        '{"class": "person", "score": 0.5, "box": [3.0, 4.0, 5.0, 6.0], "track": 8, "coasted": true}, '
        '{"class": "car", "score": 0.5, "box": [0.0, 0.0, 9.0, 9.0]}]}'
    )
    assert second == (
        '{"version": 1, "frame": 1, "time": 12.385, "skew_ms": null, "haze": 0.2, "illumination": 0.2, '
        '"detections": []}'
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_lines_stay_valid_for_any_detector_output(tmp_path: Path, value: float) -> None:
    sink = JsonLinesSink(tmp_path / "out.jsonl")
    odd = Detection('a "quoted"\nclass \ud800', np.float32(value), (value, 0.0, np.float64(1.26), 2), np.int64(3))  # type: ignore[arg-type]
    sink.write(result(0, detections=[odd]))
    sink.close(complete=True)
    (line,) = lines(tmp_path / "out.jsonl")
    assert line["detections"] == [
        {"class": 'a "quoted"\nclass \ud800', "score": None, "box": [None, 0.0, 1.3, 2.0], "track": 3}
    ]


@pytest.mark.parametrize("complete", [True, False])
def test_json_lines_file_appears_at_the_end(tmp_path: Path, complete: bool) -> None:
    sink = JsonLinesSink(tmp_path / "out.jsonl")
    sink.write(result())
    assert not (tmp_path / "out.jsonl").exists()
    sink.close(complete)
    sink.close(complete)
    assert names(tmp_path) == (["out.jsonl"] if complete else [])


def test_images_are_lossless_and_named_like_their_frames(tmp_path: Path) -> None:
    sink = ImagesSink(tmp_path / "new" / "out", names=["left", "tür.partial"])
    for index, name in enumerate(["left", "tür.partial", None]):
        sink.write(result(index, picture(31 + index, 17, index), name=name))
    sink.close(complete=True)
    assert names(tmp_path / "new" / "out") == ["000002.png", "left.png", "tür.partial.png"]
    for index, name in enumerate(["left", "tür.partial", "000002"]):
        stored = cv2.imdecode(np.fromfile(tmp_path / "new" / "out" / f"{name}.png", np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(stored[..., ::-1], picture(31 + index, 17, index))
    assert sink.health.written == 3


def test_colliding_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.png: two frames have the name 'a'"):
        ImagesSink(tmp_path / "out", names=["a", "b", "a"])
    assert names(tmp_path) == []
    sink = ImagesSink(tmp_path / "out")
    sink.write(result(0, name="a"))
    with pytest.raises(InputError, match="two frames have the name 'a'"):
        sink.write(result(1, name="a"))


def test_full_disk_ends_the_images(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:
        noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        sinks = open_sinks(OutputConfig(out=disk / "out"))
        with pytest.raises(InputError, match=r"\.png: cannot be written: No space left on device"):
            run(list(sinks), [result(index, noise) for index in range(9)])
        close_all(sinks, complete=False)
        assert [name for name in names(disk) if "partial" in name or "jsonl" in name] == []
        for path in (disk / "out").iterdir():
            assert cv2.imread(str(path)).shape == (60, 80, 3)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_full_disk_of_the_json_lines_keeps_the_video(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:
        health = Health()
        outputs = Outputs(open_sinks(OutputConfig(out=disk / "out.mp4")), health)
        many = [Detection("person", 0.5, (1, 2, 3, 4))] * 200
        for index in range(100):
            outputs.write(result(index, detections=many, pts=index, time_base=Fraction(1, 25)))
        assert outputs.close(complete=True)
        assert names(disk) == ["out.mp4"]
        with av.open(str(disk / "out.mp4")) as clip:
            assert sum(1 for _ in clip.decode(video=0)) == 100
        (error,) = outputs.lost
        assert "out.jsonl: cannot be written: No space left on device" in str(error)
        assert [line for line in outputs.warnings if "out.jsonl" in line and "goes on without it" in line]
        assert health.run_counters()["output_losses"] == 1
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_unwritable_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):
        folder = Path("/proc/self/fdinfo")  # not even root writes there
    for out in (folder / "new.mp4", folder / "new"):
        with pytest.raises(InputError, match=rf"{out}.*cannot be written"):
            open_sinks(OutputConfig(out=out))


def test_size_change_scales_video_frames_and_boxes(tmp_path: Path) -> None:
    sinks = open_sinks(OutputConfig(out=tmp_path / "out.mp4", preset="ultrafast"), Fraction(25))
    box = Detection("person", 0.9, (10.0, 10.0, 20.0, 30.0))
    sizes = [(64, 48), (128, 96), (32, 96), (64, 48)]
    for index, (width, height) in enumerate(sizes):
        one = result(index, picture(width, height), pts=index, time_base=Fraction(1, 25), detections=[box])
        for sink in sinks:
            sink.write(one)
    close_all(sinks, complete=True)
    with av.open(str(tmp_path / "out.mp4")) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [frame.shape for frame in decoded] == [(48, 64, 3)] * 4
    # The same gradient in every size looks the same after scaling.
    assert np.abs(decoded[1][24, 20:60].astype(int) - decoded[0][24, 20:60]).mean() < 6
    boxes = [line["detections"][0]["box"] for line in lines(tmp_path / "out.jsonl")]  # type: ignore[index]
    assert boxes == [[10, 10, 20, 30], [5, 5, 10, 15], [20, 5, 40, 15], [10, 10, 20, 30]]
    assert [sink.health.written for sink in sinks] == [4, 4]
    assert [sink.health.resized for sink in sinks] == [2, 2]
    (warning,) = dict.fromkeys(line for sink in sinks for line in sink.health.warnings)
    assert "64x48 to 128x96" in warning


def test_images_keep_their_sizes(tmp_path: Path) -> None:
    sinks = open_sinks(OutputConfig(out=tmp_path / "out"))
    box = Detection("person", 0.9, (10.0, 10.0, 20.0, 30.0))
    run(list(sinks), [result(n, picture(40 + n, 30), detections=[box]) for n in range(2)])
    assert [cv2.imread(str(tmp_path / "out" / f"00000{n}.png")).shape for n in range(2)] == [(30, 40, 3), (30, 41, 3)]
    assert [line["detections"][0]["box"] for line in lines(tmp_path / "out.jsonl")] == [[10, 10, 20, 30]] * 2  # type: ignore[index]


@pytest.mark.parametrize(
    ("out", "before", "made"),
    [
        ("clip.mp4", None, ["clip.jsonl", "clip.mp4"]),
        ("CLIP.MP4", None, ["CLIP.MP4", "CLIP.jsonl"]),
        ("a.b.mov", None, ["a.b.jsonl", "a.b.mov"]),
        ("deep/er/clip.mkv", None, ["deep", "deep/er", "deep/er/clip.jsonl", "deep/er/clip.mkv"]),
        ("frames", None, ["frames", "frames.jsonl", "frames/000000.png"]),
        ("run.v2", "folder", ["run.v2", "run.v2.jsonl", "run.v2/000000.png"]),
        ("clip.mp4", "file", ["clip.jsonl", "clip.mp4"]),
    ],
)
def test_output_name_selects_the_sinks(tmp_path: Path, out: str, before: str | None, made: list[str]) -> None:
    if before == "folder":
        (tmp_path / out).mkdir()
    elif before == "file":
        (tmp_path / out).write_bytes(b"old")
    run(list(open_sinks(OutputConfig(out=tmp_path / out), Fraction(25))), [result(0, clock="index")])
    assert names(tmp_path) == sorted(made)


@pytest.mark.parametrize(
    ("out", "before", "pattern"),
    [
        ("clip.avi", None, r"clip\.avi: '\.avi' is not supported; use \.mp4, .*folder for images"),
        ("clip.txt", None, "'.txt' is not supported"),
        ("clip.mp4", "folder", r"clip\.mp4: is a folder"),
        ("frames", "file", "frames: is a file; images need a folder"),
    ],
)
def test_unknown_output_forms_are_refused(tmp_path: Path, out: str, before: str | None, pattern: str) -> None:
    if before == "folder":
        (tmp_path / out).mkdir()
    elif before == "file":
        (tmp_path / out).write_bytes(b"old")
    there = names(tmp_path)
    with pytest.raises(InputError, match=pattern) as caught:
        open_sinks(OutputConfig(out=tmp_path / out))
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == there


def test_is_video_checks_the_suffix() -> None:
    assert is_video(Path("a.MKV"))
    assert not is_video(Path("folder"))


def test_missing_output_opens_no_sink() -> None:
    assert open_sinks(OutputConfig()) == []


@pytest.mark.parametrize(
    ("out", "source"), [("v.mp4", "v.mp4"), ("in", "in"), ("in", "in/"), ("in", "in/*.png"), ("in", "./in/[ab].png")]
)
def test_output_equal_to_an_input_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "v.mp4").write_bytes(b"precious")
    with pytest.raises(InputError, match="is also the input"):
        open_sinks(OutputConfig(out=Path(out)), inputs=["other", source])
    assert (tmp_path / "v.mp4").read_bytes() == b"precious"


def test_failure_of_the_second_sink_removes_the_first_output(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").mkdir()
    with pytest.raises(InputError, match=r"out\.jsonl: is a folder"):
        open_sinks(OutputConfig(out=tmp_path / "out.mp4"))
    assert names(tmp_path) == ["out.jsonl"]


def test_failing_close_discards_the_later_sinks(tmp_path: Path) -> None:
    """A video without any frame cannot be closed as complete; its JSON lines go, too."""
    sinks = open_sinks(OutputConfig(out=tmp_path / "out.mp4"))
    with pytest.raises(InputError, match="no frame reached it"):
        close_all(sinks, complete=True)
    assert names(tmp_path) == []
