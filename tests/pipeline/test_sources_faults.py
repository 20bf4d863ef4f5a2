"""What files can have wrong with them, and what is said about it."""

from __future__ import annotations

import itertools
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from fusecam.pipeline.config import SourceConfig
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.sources import open_source

from .clips import picture, write_audio, write_video

CONFIG = SourceConfig(open_timeout_s=2)


def no_file(folder: Path) -> Path:
    return folder / "nothing.mp4"


def no_folder(folder: Path) -> Path:
    return folder / "nowhere" / "clip.mp4"


def empty(folder: Path) -> Path:
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def text(folder: Path) -> Path:
    (folder / "notes.txt").write_text("not a video\n" * 200)
    return folder / "notes.txt"


def text_called_video(folder: Path) -> Path:
    return text(folder).rename(folder / "notes.mp4")


def noise(folder: Path) -> Path:
    (folder / "noise.mp4").write_bytes(np.random.default_rng(1).bytes(50_000))
    return folder / "noise.mp4"


def half_mp4(folder: Path) -> Path:
    whole = write_video(folder / "half.mp4", range(60)).read_bytes()
    (folder / "half.mp4").write_bytes(whole[: len(whole) // 2])
    return folder / "half.mp4"


def sound(folder: Path) -> Path:
    return write_audio(folder / "sound.m4a")


def empty_folder(folder: Path) -> Path:
    return folder


def folder_of_videos(folder: Path) -> Path:
    write_video(folder / "x_ir.mp4", range(2))
    return folder


def unmatched(folder: Path) -> Path:
    return folder / "*.png"


def device(folder: Path) -> Path:
    return Path("/dev/null")


@pytest.mark.parametrize("camera", ["visible", "infrared"])
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (no_file, "no such file"),
        (no_folder, "nowhere does not exist"),
        (empty, "empty file"),
        (text, "text file"),
        (text_called_video, "text file"),
        (noise, "not a video"),
        (half_mp4, "no moov"),
        (sound, "only audio"),
        (empty_folder, "no images"),
        (folder_of_videos, "holds videos such as x_ir.mp4"),
        (unmatched, "no file matches"),
        (device, "no camera"),
    ],
)
def test_unusable_input_is_a_one_line_error_with_its_name(tmp_path, make, says, camera):
    path = make(tmp_path)
    with pytest.raises(InputError) as caught:
        open_source(str(path), camera, CONFIG)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert says in message
    assert "\n" not in message


@pytest.mark.parametrize("spec", ["", "  ", "a\0b", "ftp://host/x", "rtsp:///x"])
def test_invalid_source_is_refused(spec):
    with pytest.raises(InputError):
        open_source(spec, "visible", CONFIG)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_refused(tmp_path):
    path = write_video(tmp_path / "a.mp4", range(2))
    path.chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        open_source(str(path), "visible", CONFIG)


def test_too_long_name_is_a_one_line_error():
    with pytest.raises(InputError, match="too long"):
        open_source("x" * 5000, "visible", CONFIG)


def texture(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 255, picture(0).shape).astype(np.uint8)


def intra(path: Path, frames: int) -> Path:
    """Every frame by itself, so that damage stays where it is."""
    pictures = [texture(i) for i in range(frames)]
    return write_video(path, range(frames), codec="mjpeg", pix_fmt="yuvj420p", pictures=pictures)


@pytest.mark.parametrize("name", ["a.mp4", "a.ts"])
def test_damage_inside_a_file_is_skipped_and_counted(tmp_path, name):
    path = write_video(tmp_path / name, range(100), pictures=[texture(i) for i in range(100)], options={"g": "10"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = np.random.default_rng(3).bytes(4000)
    path.write_bytes(data)
    source = open_source(str(path), "visible", CONFIG)
    times = [f.time_ns for f in source]
    assert 80 <= len(times) <= 100
    assert source.health.corrupt >= 1
    assert len([w for w in source.health.warnings if "damaged data" in w]) == 1
    assert all(a < b for a, b in itertools.pairwise(times))
    assert times[-1] - times[0] == pytest.approx(99 * 40_000_000, abs=1_000_000)


def test_damage_skipped_by_the_demuxer_is_detected_as_a_gap(tmp_path):
    path = intra(tmp_path / "a.mkv", 300)
    data = bytearray(path.read_bytes())
    start = len(data) // 3
    data[start : start + 20_000] = bytes(20_000)
    path.write_bytes(data)
    source = open_source(str(path), "visible", CONFIG)
    delivered = len(list(source))
    assert delivered < 300
    assert any("no frames from" in w or "damaged data" in w for w in source.health.warnings)


@pytest.mark.parametrize(
    ("name", "options", "promised"),
    [("cut.mkv", {}, "4.00 s"), ("cut.mp4", {"movflags": "faststart"}, "100")],
)
def test_truncated_file_is_read_with_a_warning(tmp_path, name, options, promised):
    frames = [texture(i) for i in range(100)]
    path = write_video(tmp_path / name, range(100), pictures=frames, container_options=options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = open_source(str(path), "visible", CONFIG)
    delivered = len(list(source))
    assert 30 <= delivered <= 60
    cut = [w for w in source.health.warnings if "cut short" in w]
    assert len(cut) == 1
    assert promised in cut[0]


def test_close_ends_an_iteration_in_another_thread(tmp_path):
    source = open_source(str(write_video(tmp_path / "a.mp4", range(300))), "visible", CONFIG)
    started, seen = threading.Event(), []

    def consume() -> None:
        for frame in source:
            seen.append(frame)
            started.set()
            closing.wait(5)

    closing = threading.Event()
    thread = threading.Thread(target=consume)
    thread.start()
    assert started.wait(5)
    source.close()
    closing.set()
    thread.join(5)
    assert not thread.is_alive()
    assert len(seen) == 1
    source.close()
    assert list(source) == []


def test_early_exit_of_an_iteration_closes_the_file(tmp_path):
    path = write_video(tmp_path / "a.mp4", range(30))
    before = open_descriptors()
    for _ in range(5):
        for _frame in open_source(str(path), "visible", CONFIG):
            break
    assert open_descriptors() == before


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
