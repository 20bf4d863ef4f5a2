"""Video files: pixels, times and what is wrong with them."""

from __future__ import annotations

import gc
import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from fusecam.pipeline.config import SourceConfig, ThermalConfig
from fusecam.pipeline.core.frames import Camera
from fusecam.pipeline.sources import open_source

from .clips import HEIGHT, MS, WIDTH, level, picture, remux, write_video

CONFIG = SourceConfig(open_timeout_s=2)


def read(path: Path, camera: Camera = "visible", config: SourceConfig = CONFIG):
    source = open_source(str(path), camera, config)
    return list(source), source


def numbers(frames) -> list[int]:
    """Which pictures these are, by their grey level."""
    return [min(range(32), key=lambda i: abs(level(i) - int(np.median(f.pixels)))) for f in frames]


@pytest.mark.parametrize(
    ("name", "codec", "frames"),
    [
        ("a.mp4", "libx264", 30),
        ("a.mkv", "libx264", None),
        ("a.ts", "libx264", None),
        ("a.avi", "mpeg4", 30),
        ("a.mov", "mjpeg", 30),
        ("a.mkv", "ffv1", None),
    ],
)
@pytest.mark.parametrize("camera", ["visible", "infrared"])
def test_every_frame_is_in_order_with_its_image(tmp_path, name, codec, frames, camera):
    path = write_video(tmp_path / name, range(30), codec=codec, pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p")
    got, source = read(path, camera)
    assert [f.sequence for f in got] == list(range(30))
    assert all(f.pixels.shape == ((HEIGHT, WIDTH, 3) if camera == "visible" else (HEIGHT, WIDTH)) for f in got)
    assert all(f.pixels.dtype == np.uint8 and f.pixels.flags.c_contiguous for f in got)
    assert max(abs(int(np.median(f.pixels)) - level(i)) for i, f in enumerate(got)) <= 4
    assert np.diff([f.time_ns for f in got]) == pytest.approx(40_000_000, abs=1_000_000)
    assert (source.info.frames, source.info.rate, source.info.clock, source.info.kind) == (frames, 25, "media", "video")
    assert (source.info.width, source.info.height, source.info.live) == (WIDTH, HEIGHT, False)
    assert (source.health.delivered, source.health.corrupt, source.health.warnings) == (30, 0, [])


@pytest.mark.parametrize("width", [320, 322, 98, 638])
@pytest.mark.parametrize(("camera", "layout"), [("visible", "rgb24"), ("infrared", "gray")])
def test_row_padding_is_not_in_the_frame(tmp_path, width, camera, layout):
    """As PyAV's own arrays of the same pictures, whatever the width."""
    random = np.random.default_rng(width)
    path = tmp_path / "p.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, 50, "yuv420p"
        for _ in range(3):
            image = random.integers(0, 256, (50, width, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        expected = [frame.to_ndarray(format=layout) for frame in container.decode(video=0)]
    got, _ = read(path, camera)
    for frame, image in zip(got, expected, strict=True):
        np.testing.assert_array_equal(frame.pixels, image)


@pytest.mark.parametrize("name", ["v.mkv", "v.mp4"])
def test_variable_rate_times_are_exact(tmp_path, name):
    """Uneven times from 5 s on come out to the nanosecond, not moved to zero, pts and time base as stored."""
    times = [5000, 5040, 5091, 5100, 5250, 5251, 5300, 6300]
    got, source = read(write_video(tmp_path / name, times, MS))
    assert [f.time_ns for f in got] == [t * 1_000_000 for t in times]
    assert [f.pts * f.time_base for f in got if f.pts is not None and f.time_base] == [t * MS for t in times]
    assert source.health.retimed == 0


def test_ntsc_times_do_not_drift(tmp_path):
    got, _ = read(write_video(tmp_path / "n.mp4", range(300), Fraction(1001, 30_000), options={"preset": "ultrafast"}))
    assert [f.time_ns for f in got] == [round(Fraction(i * 1001, 30_000) * 10**9) for i in range(300)]


def test_edit_list_removes_frames(tmp_path):
    clip = write_video(tmp_path / "a.mp4", range(20), options={"g": "1", "bf": "0"})
    got, source = read(remux(clip, tmp_path / "cut.mp4", shift=-5 * 512))
    assert numbers(got) == list(range(5, 20))
    assert (source.info.frames, got[0].time_ns, source.health.warnings) == (15, 0, [])


@pytest.mark.parametrize(
    ("codec", "options"),
    [("mjpeg", {}), ("libx264", {"bf": "0"}), ("libx264", {"bf": "3"}), ("mpeg4", {"bf": "2", "b": "4M"})],
)
def test_avi_has_the_times_of_its_chunks_with_any_codec(tmp_path, codec, options):
    """AVI stores no presentation times; a frame that was dropped in recording is an empty chunk, not a cut."""
    times = [*range(10), *range(13, 23)] if not int(options.get("bf", 0)) else range(20)
    layout = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    got, source = read(write_video(tmp_path / "a.avi", times, codec=codec, pix_fmt=layout, options=options))
    assert numbers(got) == list(range(20))
    assert [f.time_ns for f in got] == [time * 40_000_000 for time in times]
    assert (source.info.frames, source.health.retimed, source.health.warnings) == (20, 0, [])


def test_damaged_avi_keeps_the_times_of_its_other_frames(tmp_path):
    path = write_video(tmp_path / "a.avi", range(20), codec="mpeg4", options={"bf": "2", "b": "4M"})
    content = bytearray(path.read_bytes())
    chunk = content.index(b"movi")
    for _ in range(9):
        chunk = content.index(b"00dc", chunk + 4)
    content[chunk + 8 : chunk + 20] = bytes(12)
    path.write_bytes(content)
    got, _ = read(path)
    assert len(got) >= 18
    assert all(f.time_ns == number * 40_000_000 for number, f in zip(numbers(got), got, strict=True) if number > 12)


@pytest.mark.parametrize(
    ("stored", "expected", "retimed"),
    [
        ([100, 101, 102, 102, 104], [4000, 4040, 4080, 4081, 4160], 1),
        ([100, 101, 105, 102, 106], [4000, 4040, 4200, 4201, 4240], 1),
        ([200, 201, 202, 100, 101], [8000, 8040, 8080, 8120, 8160], 1),
    ],
)
def test_timestamps_that_repeat_or_go_back_keep_their_frames(tmp_path, stored, expected, retimed):
    clip = write_video(tmp_path / "a.avi", range(5), codec="mjpeg", pix_fmt="yuvj420p")
    got, source = read(remux(clip, tmp_path / "b.mkv", times=stored))
    assert numbers(got) == list(range(5))
    assert [f.time_ns // 1_000_000 for f in got] == expected
    assert (source.health.retimed, len(source.health.warnings)) == (retimed, 1)


def test_stream_without_timestamps_is_timed_by_its_rate(tmp_path):
    got, source = read(write_video(tmp_path / "raw.h264", range(10), options={"bf": "0"}))
    assert [f.time_ns for f in got] == [i * 40_000_000 for i in range(10)]
    assert source.health.retimed == 10
    assert "without a timestamp" in source.health.warnings[0]


@pytest.mark.parametrize(
    ("pix_fmt", "luma", "grey"),
    [
        ("yuv420p", 16, 0),  # limited range is expanded
        ("yuv420p", 126, 128),
        ("yuv420p", 235, 255),
        ("yuvj420p", 16, 16),  # full range is kept
        ("yuvj420p", 235, 235),
        ("gray", 16, 16),
        ("gray", 235, 235),
    ],
)
@pytest.mark.parametrize("camera", ["visible", "infrared"])
def test_luma_range_is_respected(tmp_path, pix_fmt, luma, grey, camera):
    """Golden: (Y - 16) 255 / 219 for limited range, Y for full range and for grey."""
    planes = np.full((HEIGHT if pix_fmt == "gray" else HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    planes[:HEIGHT] = luma
    codec = "mjpeg" if pix_fmt == "yuvj420p" else "ffv1"
    path = write_video(tmp_path / "y.mkv", [0], codec=codec, pix_fmt=pix_fmt, pictures=[planes], layout=pix_fmt)
    got, source = read(path, camera)
    assert np.unique(got[0].pixels) == pytest.approx(grey, abs=1)
    assert source.health.warnings == []


def test_colour_order_is_rgb(tmp_path):
    red = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    red[...] = (200, 40, 10)
    got, _ = read(write_video(tmp_path / "red.mkv", [0], codec="ffv1", pix_fmt="bgr0", pictures=[red]))
    assert got[0].pixels[5, 5].tolist() == [200, 40, 10]


@pytest.mark.parametrize(("pix_fmt", "name"), [("yuv420p", "c.mp4"), ("bgr0", "c.mkv")])
def test_false_colour_infrared_becomes_luma_with_one_warning(tmp_path, pix_fmt, name):
    iron = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    iron[:, : WIDTH // 2] = (250, 120, 10)
    iron[:, WIDTH // 2 :] = (60, 0, 140)
    codec = "ffv1" if pix_fmt == "bgr0" else "libx264"
    path = write_video(tmp_path / name, range(5), codec=codec, pix_fmt=pix_fmt, pictures=[iron] * 5)
    got, source = read(path, "infrared")
    assert got[0].pixels[10, 10] == pytest.approx(0.299 * 250 + 0.587 * 120 + 0.114 * 10, abs=6)
    assert got[0].pixels[10, -10] == pytest.approx(0.299 * 60 + 0.114 * 140, abs=6)
    assert [w for w in source.health.warnings if "false colours" in w] == source.health.warnings
    assert len(source.health.warnings) == 1


@pytest.mark.parametrize("pix_fmt", ["gray16le", "gray12le", "gray10le"])
def test_raw_counts_are_mapped_by_a_fixed_range(tmp_path, pix_fmt):
    low, high = 200, 900
    raw = np.linspace(0, 1023, WIDTH * HEIGHT).astype(np.uint16).reshape(HEIGHT, WIDTH)
    path = write_video(tmp_path / "t.mkv", range(3), codec="ffv1", pix_fmt=pix_fmt, pictures=[raw] * 3, layout=pix_fmt)
    got, _ = read(path, "infrared", SourceConfig(thermal=ThermalConfig(range=(low, high))))
    expected = np.clip((raw.astype(float) - low) * 255 / (high - low), 0, 255)
    assert len(got) == 3
    assert np.abs(got[0].pixels - expected).max() <= 0.51


def test_raw_counts_range_is_smoothed_over_media_time(tmp_path):
    scenes = [np.full((HEIGHT, WIDTH), 1000, np.uint16) for _ in range(4)]
    for scene in scenes:
        scene[:32] = 2000
    scenes[2][:16] = scenes[3][:16] = 60_000
    path = write_video(
        tmp_path / "t.mkv",
        [0, 40, 80, 10_080],
        MS,
        codec="ffv1",
        pix_fmt="gray16le",
        pictures=scenes,
        layout="gray16le",
    )
    warm = [int(f.pixels[20, 0]) for f in read(path, "infrared")[0]]
    assert warm[:2] == [255, 255]
    assert 70 < warm[2] < 130  # one frame moves the range by 4 % of the step
    assert warm[3] < 10  # ten time constants by all of it


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_display_rotation_is_applied(tmp_path, degrees, turns):
    drawn = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    drawn[: HEIGHT // 2, : WIDTH // 2] = 240
    got, source = read(write_video(tmp_path / "r.mp4", [0], pictures=[drawn], rotation=degrees))
    assert np.abs(got[0].pixels.astype(int) - np.rot90(drawn, turns)).max() <= 12
    assert (source.info.width, source.info.height) == got[0].size


@pytest.mark.parametrize("camera", ["visible", "infrared"])
def test_decoded_frame_is_freed_after_reading(tmp_path, camera):
    path = write_video(tmp_path / "a.mp4", range(60), Fraction(1, 25))
    gc.collect()
    gc.disable()  # which finds what is in a reference cycle, but may take hundreds of frames to come by
    try:
        before = decoded()
        assert sum(1 for _ in open_source(str(path), camera, CONFIG)) == 60
        held = decoded() - before
    finally:
        gc.enable()
    assert held <= 8  # one for each time that the file was opened


def decoded() -> int:
    return sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())


def test_size_change_during_a_stream_is_delivered(tmp_path):
    first = write_video(tmp_path / "a.ts", range(5))
    second = write_video(tmp_path / "b.ts", range(5, 10), pictures=[picture(i, 160, 128) for i in range(5)])
    path = tmp_path / "joined.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    got, _ = read(path)
    assert [f.size for f in got] == [(WIDTH, HEIGHT)] * 5 + [(160, 128)] * 5
    assert all(a.time_ns < b.time_ns for a, b in itertools.pairwise(got))


def test_title_of_invalid_utf8_is_accepted(tmp_path):
    path = write_video(tmp_path / "a.mp4", range(5))
    titled = tmp_path / "titled.mp4"
    with av.open(str(path)) as source, av.open(str(titled), "w") as target:
        target.metadata["title"] = "Autobahn nach Xxxx"
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    titled.write_bytes(titled.read_bytes().replace(b"Xxxx", "Köl\xdf".encode("latin-1")))
    got, source = read(titled)
    assert (len(got), source.health.warnings) == (5, [])
