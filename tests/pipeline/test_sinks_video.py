from __future__ import annotations

import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fusecam.pipeline.config import OutputConfig
from fusecam.pipeline.core.frames import Clock, Pixels
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.sinks.video import VideoSink

from .make_results import picture, result

FAST = OutputConfig(preset="ultrafast")


def times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def pixels(path: Path) -> list[Pixels]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def write(target: Path, pts: list[int], time_base: Fraction, config: OutputConfig = FAST) -> VideoSink:
    sink = VideoSink(target, config, Fraction(25))
    for index, tick in enumerate(pts):
        sink.write(result(index, pts=tick, time_base=time_base))
    sink.close(complete=True)
    return sink


TIME_BASES = [
    Fraction(1, 1000),
    Fraction(1, 90000),
    Fraction(1001, 30000),
    Fraction(1, 10240),
    Fraction(1, 12800),
    Fraction(1, 1_000_000),
    Fraction(1, 1_000_000_000),
    Fraction(1, 25),
    Fraction(3, 7),
    Fraction(2, 1),
    Fraction(1, 2**31 - 1),
]


@pytest.mark.parametrize("time_base", TIME_BASES)
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("start_s", [0, 2, 95_443])
def test_variable_rate_times_are_kept_exactly(tmp_path: Path, time_base: Fraction, suffix: str, start_s: int) -> None:
    rng = np.random.default_rng(5)
    unit = max(1, int(Fraction(1, 30) / time_base))
    steps = rng.integers(1, 2 * unit + 1, 25)
    pts = [int(tick) for tick in int(start_s / time_base) + np.cumsum(steps)]
    sink = write(tmp_path / f"out{suffix}", pts, time_base, OutputConfig())
    assert times(tmp_path / f"out{suffix}") == [tick * time_base for tick in pts]
    assert sink.health.written == 25
    assert sink.health.retimed == 0
    assert sink.health.warnings == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    time_base=st.builds(Fraction, st.integers(1, 2000), st.integers(1, 10**6)),
    start=st.integers(0, 10**6),
    steps=st.lists(st.integers(1, 5000), min_size=0, max_size=30),
)
def test_any_time_base_start_and_steps_are_kept(
    tmp_path: Path, time_base: Fraction, start: int, steps: list[int]
) -> None:
    pts = [start + int(offset) for offset in np.cumsum([0, *steps])]
    assume(max(steps, default=0) * time_base * max(time_base.denominator, 20_000) <= 2_000_000_000)
    write(tmp_path / "out.mp4", pts, time_base, OutputConfig(preset="veryfast"))
    assert times(tmp_path / "out.mp4") == [tick * time_base for tick in pts]


def test_matroska_keeps_milliseconds(tmp_path: Path) -> None:
    pts = [5, 45, 78, 200, 201, 1500]
    write(tmp_path / "out.mkv", pts, Fraction(1, 1000))
    assert times(tmp_path / "out.mkv") == [Fraction(tick, 1000) for tick in pts]


@pytest.mark.parametrize(
    ("pts", "time_base", "exact"),
    [
        ([0, 512, 1024, 2560], Fraction(1, 12800), True),  # 25 fps as mp4 counts it
        ([0, 1, 2, 7], Fraction(1001, 30000), False),
        ([1, 3754, 90001], Fraction(1, 90000), False),
    ],
)
def test_matroska_rounds_finer_times_with_a_warning(
    tmp_path: Path, pts: list[int], time_base: Fraction, exact: bool
) -> None:
    sink = VideoSink(tmp_path / "out.mkv", FAST)
    for index, tick in enumerate(pts):
        sink.write(result(index, pts=tick, time_base=time_base))
    sink.close(complete=True)
    assert times(tmp_path / "out.mkv") == [Fraction(round(tick * time_base * 1000), 1000) for tick in pts]
    assert [".mp4" in line for line in sink.health.warnings] == ([] if exact else [True])


@pytest.mark.parametrize(
    ("clock", "rate", "time_ns", "expected"),
    [
        ("index", Fraction(30), [0, 33_333_333, 66_666_667], [Fraction(0), Fraction(1, 30), Fraction(1, 15)]),
        ("index", Fraction(30000, 1001), [0, 1, 2], [Fraction(0), Fraction(1001, 30000), Fraction(1001, 15000)]),
        ("index", None, [0, 33_333_333, 66_666_667], [Fraction(n, 10**6) for n in (0, 33_333, 66_667)]),
        ("media", Fraction(25), [7000, 40_000_000, 90_000_501], [Fraction(n, 10**6) for n in (7, 40_000, 90_001)]),
        # Live: from 0, in microseconds.
        ("monotonic", None, [10**18, 10**18 + 40_000_400, 10**18 + 80_000_600],
         [Fraction(0), Fraction(40_000, 10**6), Fraction(80_001, 10**6)]),
    ],
)  # fmt: skip
def test_frames_without_presentation_times_are_written(
    tmp_path: Path, clock: Clock, rate: Fraction | None, time_ns: list[int], expected: list[Fraction]
) -> None:
    sink = VideoSink(tmp_path / "out.mp4", FAST, rate)
    for index, at in enumerate(time_ns):
        sink.write(result(index, clock=clock, time_ns=at))
    sink.close(complete=True)
    assert times(tmp_path / "out.mp4") == expected


def test_a_live_camera_writes_matroska_in_milliseconds(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.mkv", FAST)
    for index, at in enumerate([10**15, 10**15 + 33_400_000]):
        sink.write(result(index, clock="monotonic", time_ns=at, pts=at // 1000, time_base=Fraction(1, 10**6)))
    sink.close(complete=True)
    assert times(tmp_path / "out.mkv") == [0, Fraction(33, 1000)]


def test_non_increasing_times_are_corrected_and_counted(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.mp4", FAST)
    ticks = [0, 400, 400, 1200, 90, 130]  # a repeated time, then a clock that starts anew
    capture_ms = [0, 40, 41, 120, 160, 200]
    for index, (tick, at) in enumerate(zip(ticks, capture_ms, strict=True)):
        sink.write(result(index, pts=tick, time_base=Fraction(1, 10_000), time_ns=at * 10**6))
    sink.close(complete=True)
    assert times(tmp_path / "out.mp4") == [Fraction(tick, 10_000) for tick in (0, 400, 410, 1200, 1600, 2000)]
    assert sink.health.retimed == 3
    assert len(sink.health.warnings) == 1


def test_clip_with_negative_start_is_shifted(tmp_path: Path) -> None:
    sink = write(tmp_path / "out.mp4", [-500, -100, 300], Fraction(1, 1000))
    assert times(tmp_path / "out.mp4") == [0, Fraction(400, 1000), Fraction(800, 1000)]
    assert len(sink.health.warnings) == 1


@pytest.mark.parametrize("preset", ["ultrafast", "veryfast"])
def test_gap_above_the_limit_is_refused(tmp_path: Path, preset: str) -> None:
    longest, unit = 2_000_000_000, Fraction(1, 1_000_000)
    pts = [0, 40_000, 40_000 + longest, 80_000 + longest]
    write(tmp_path / "out.mp4", pts, unit, OutputConfig(preset=preset))
    assert times(tmp_path / "out.mp4") == [tick * unit for tick in pts]
    with pytest.raises(InputError, match=r"too\.mp4: frame 2 comes 2000 s after"):
        write(tmp_path / "too.mp4", [0, 40_000, 40_000 + longest + 1], unit, OutputConfig(preset=preset))


@pytest.mark.parametrize("size", [(640, 480), (641, 480), (640, 361), (161, 121), (1280, 720)])
def test_size_and_colours_are_kept(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    patches = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 128, 128), (220, 120, 30)]
    edges = np.linspace(0, width, len(patches) + 1).astype(int)
    for patch, left, right in zip(patches, edges[:-1], edges[1:], strict=True):
        image[:, left:right] = patch
    sink = VideoSink(tmp_path / "out.mp4", OutputConfig(crf=10, preset="veryfast"))
    for index in range(5):
        sink.write(result(index, image, pts=index, time_base=Fraction(1, 25)))
    sink.close(complete=True)
    with av.open(str(tmp_path / "out.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.width, context.height) == size
        assert context.color_range == 1  # limited
        assert context.colorspace == (1 if height >= 720 else 6)  # BT.709, BT.601
        assert context.color_primaries == 1
        assert context.color_trc == 1
    for back in pixels(tmp_path / "out.mp4"):
        for patch, left, right in zip(patches, edges[:-1], edges[1:], strict=True):
            inside = back[8:-8, left + 8 : right - 8].astype(int)
            assert np.abs(inside - patch).max() <= 5, patch


def test_opencv_reads_the_same_colours(tmp_path: Path) -> None:
    image = np.full((480, 640, 3), (30, 140, 220), np.uint8)
    sink = VideoSink(tmp_path / "out.mp4", FAST)
    sink.write(result(0, image, pts=0, time_base=Fraction(1, 25)))
    sink.close(complete=True)
    read, back = cv2.VideoCapture(str(tmp_path / "out.mp4")).read()
    assert read
    assert np.abs(back[100:-100, 100:-100, ::-1].astype(int) - (30, 140, 220)).max() <= 4


def test_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.mp4", FAST)
    sink.write(result(0, picture(64, 48)))
    with pytest.raises(ValueError, match="48"):
        sink.write(result(1, picture(80, 48)))
    sink.close(complete=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("frames", [0, 1, 30])
def test_incomplete_video_is_removed_and_the_old_one_kept(tmp_path: Path, frames: int) -> None:
    (tmp_path / "out.mp4").write_bytes(b"the earlier one")
    sink = VideoSink(tmp_path / "out.mp4", FAST)
    for index in range(frames):
        sink.write(result(index))
    sink.close(complete=False)
    sink.close(complete=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert (tmp_path / "out.mp4").read_bytes() == b"the earlier one"


def test_existing_video_is_replaced_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_bytes(b"the earlier one")
    sink = VideoSink(target, FAST)
    for index in range(40):
        sink.write(result(index, pts=index, time_base=Fraction(1, 25)))
        assert target.read_bytes() == b"the earlier one"
    sink.close(complete=True)
    assert len(times(target)) == 40
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_video_without_frames_is_an_error(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.mp4", FAST)
    with pytest.raises(InputError, match=r"out\.mp4.*no frame"):
        sink.close(complete=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("make", "pattern"),
    [
        (lambda at: (at / "out.mp4").mkdir(), r"out\.mp4: is a folder"),
        (lambda at: (at / "out.mp4.fusecam.partial").mkdir(), r"out\.mp4: cannot be written"),
    ],
)
def test_invalid_target_path_is_refused(tmp_path: Path, make: object, pattern: str) -> None:
    assert callable(make)
    make(tmp_path)
    with pytest.raises(InputError, match=pattern):
        VideoSink(tmp_path / "out.mp4", FAST)


@pytest.mark.parametrize(
    ("name", "config", "pattern"),
    [
        ("out.avi", FAST, r"out\.avi: .*\.mp4, \.m4v, \.mov, \.mkv"),
        ("out.mp4", OutputConfig(preset="fastest"), r"output\.preset: 'fastest'.*veryfast"),
        ("file/out.mp4", FAST, r"file/out\.mp4: cannot be written"),
    ],
)
def test_unopenable_target_is_refused(tmp_path: Path, name: str, config: OutputConfig, pattern: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=pattern) as caught:
        VideoSink(tmp_path / name, config)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def noise(index: int) -> Pixels:
    return np.random.default_rng(index).integers(0, 256, (120, 160, 3), dtype=np.uint8)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A full disk as the kernel can play it for one process: writes past `size` bytes fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def encoded_size(folder: Path, frames: int) -> int:
    sink = VideoSink(folder / "whole.mp4", FAST)
    for index in range(frames):
        sink.write(result(index, noise(index)))
    sink.close(complete=True)
    size = (folder / "whole.mp4").stat().st_size
    (folder / "whole.mp4").unlink()
    return size


@pytest.mark.parametrize("short_by", [1, 300, 5_000, 100_000, -1])
def test_full_disk_at_any_moment_leaves_no_file(tmp_path: Path, short_by: int) -> None:
    """-1: not even the first byte. The smallest shortage hits the trailer, when all frames are written."""
    limit = 0 if short_by < 0 else encoded_size(tmp_path, 40) - short_by
    target = tmp_path / "out.mp4"
    with largest_file(limit), pytest.raises(InputError, match=r"out\.mp4: cannot be written: File too large") as caught:
        sink = VideoSink(target, FAST)
        try:
            for index in range(40):
                sink.write(result(index, noise(index)))
        except InputError:
            sink.close(complete=False)
            raise
        sink.close(complete=True)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_a_one_line_error(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:
        sink = VideoSink(disk / "out.mp4", FAST)
        with pytest.raises(InputError, match=r"out\.mp4: cannot be written: No space left on device"):
            for index in range(60):
                sink.write(result(index, noise(index)))
        sink.close(complete=False)
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)
