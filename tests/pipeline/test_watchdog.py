"""Live sources that are lost and come back, over RTSP on loopback."""

from __future__ import annotations

import itertools
import platform
import threading
import time
from collections.abc import Callable

import numpy as np
import psutil
import pytest

from fusecam.pipeline.config import SourceConfig
from fusecam.pipeline.core.health import Health
from fusecam.pipeline.sources import open_source
from fusecam.pipeline.sources.live import LiveSource
from fusecam.pipeline.sources.watchdog import WatchedSource

from .clips import picture
from .rtsp_server import RtspServer

CONFIG = SourceConfig(open_timeout_s=8)
PICTURES = [picture(i, 160, 128) for i in range(32)]


@pytest.fixture
def camera():
    with RtspServer(PICTURES) as server:
        yield server


def watch(url: str, stall_s: float = 5.0) -> tuple[WatchedSource, Health]:
    health = Health()
    reopen = lambda: open_source(url, "infrared", CONFIG)  # noqa: E731
    return WatchedSource(reopen(), reopen, stall_s, health), health


def frames_around(source: WatchedSource, fault: Callable[[], object], after: int = 20) -> list:
    frames = iter(source)
    before = list(itertools.islice(frames, 10))
    fault()
    # what was under way when the fault struck comes too: the last ones are from after it
    return before + list(itertools.islice(frames, after))


def check_one_stream(frames: list) -> None:
    assert [frame.sequence for frame in frames] == list(range(len(frames)))
    assert all(a.time_ns < b.time_ns for a, b in itertools.pairwise(frames))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries give memory back by themselves")
def test_lost_connection_frees_its_memory(camera):
    """A process whose freed memory is in holes, as after many decoders: gone when a camera has come back."""
    process, held = psutil.Process(), [np.ones(50_000, np.uint8) for _ in range(2_000)]
    fence = held[::40]  # keeps the top of the heap where it is
    full = process.memory_info().rss
    del held
    source, _ = watch(camera.url)
    frames_around(source, camera.disconnect)
    source.close()
    assert process.memory_info().rss < full - 60 * 2**20
    assert len(fence) == 50


def test_broken_connection_is_reopened(camera):
    source, health = watch(camera.url)
    frames = frames_around(source, camera.disconnect)
    source.close()
    check_one_stream(frames)
    assert health.counters("infrared")["reconnects"] == 1
    assert health.counters("infrared")["stalls"] == 0
    (line,) = (line for line in source.health.warnings if "lost after" in line)
    assert line.startswith(f"{camera.url}: lost after ") and "reconnecting" in line
    assert source.health.delivered >= len(frames)


def test_doubt_with_other_figures_after_a_reconnect_is_the_same(camera: RtspServer) -> None:
    degrees = itertools.count(90)

    def reopen() -> LiveSource:
        source = open_source(camera.url, "infrared", CONFIG)
        source.health.doubts.add(f"its temperatures are about {next(degrees)} degrees")
        return source

    source = WatchedSource(reopen(), reopen, 5.0, Health())
    frames_around(source, camera.disconnect)
    source.close()
    assert next(degrees) > 91
    assert [line for line in source.health.doubts if "degrees" in line] == ["its temperatures are about 90 degrees"]


def test_silent_camera_is_reopened(camera):
    source, health = watch(camera.url, stall_s=0.5)
    resume = threading.Timer(1.5, camera.resume)

    def stall() -> None:
        camera.stall()
        resume.start()

    frames = frames_around(source, stall)
    source.close()
    resume.join()
    check_one_stream(frames)
    assert health.counters("infrared")["stalls"] >= 1
    assert health.counters("infrared")["reconnects"] == 1
    assert (
        max(b.time_ns - a.time_ns for a, b in itertools.pairwise(frames)) > 1e9
    )  # the hole stays visible in the times


def test_camera_may_return_with_another_size(camera):
    source, health = watch(camera.url)
    again = []

    def replug() -> None:
        camera.stop()
        again.append(RtspServer([picture(i, 192, 96) for i in range(32)], port=camera.port))

    try:
        frames = frames_around(source, replug)
    finally:
        source.close()
        again[0].stop()
    check_one_stream(frames)
    assert {frame.size for frame in frames} == {(160, 128), (192, 96)}
    assert health.counters("infrared")["reconnects"] == 1


@pytest.mark.slow
def test_repeated_losses_are_reported_in_one_line(camera):
    source, health = watch(camera.url)
    frames = itertools.islice(source, 2000)
    for number in range(1, 4):
        camera.disconnect()
        while health.counters("infrared")["reconnects"] < number:
            next(frames)
    source.close()
    (line,) = (line for line in source.health.warnings if "lost after" in line)
    assert "(3 times in all)" in line


def test_close_during_a_reconnect_ends_the_iteration(camera):
    source, health = watch(camera.url)
    ended = threading.Event()

    def consume() -> None:
        for _ in source:
            pass
        ended.set()

    threading.Thread(target=consume, daemon=True).start()
    camera.stop()
    limit = time.monotonic() + 20
    while health.state("infrared") != "lost" and time.monotonic() < limit:
        time.sleep(0.01)
    assert health.state("infrared") == "lost"
    source.close()
    assert ended.wait(20)
    assert health.counters("infrared")["reconnects"] == 0


def test_jumping_timestamps_are_corrected(camera):
    """The sender's clock is set back by an hour, then ahead by two: times go on as those of this host."""
    source, _ = watch(camera.url)
    frames = iter(source)
    taken = list(itertools.islice(frames, 10))
    for seconds in (-3600.0, 7200.0):
        camera.jump(seconds)
        taken += itertools.islice(frames, 20)
    source.close()
    check_one_stream(taken)
    assert taken[-1].time_ns - taken[0].time_ns < 20e9
    assert all(frame.time_ns <= frame.arrival_ns for frame in taken)
    assert source.health.retimed > 0


def test_damaged_packets_are_counted_and_skipped(camera):
    source, health = watch(camera.url)
    frames = iter(source)
    taken = list(itertools.islice(frames, 10))
    camera.damage(5)
    while source.health.corrupt == 0 and len(taken) < 500:
        taken.append(next(frames))
    taken += itertools.islice(frames, 20)
    source.close()
    check_one_stream(taken)
    assert source.health.corrupt > 0
    assert health.counters("infrared")["reconnects"] == 0
