"""RTSP and HTTP over loopback: opening, times, stalls, ends."""

from __future__ import annotations

import functools
import http.server
import itertools
import socket
import threading
import time

import numpy as np
import pytest

from fusecam.pipeline.config import SourceConfig
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.sources import open_source

from .clips import level, picture, write_video
from .rtsp_server import RtspServer

pytestmark = pytest.mark.slow

CONFIG = SourceConfig(open_timeout_s=8)
MS = 1_000_000
PICTURES = [picture(i, 160, 128) for i in range(32)]


@pytest.fixture
def camera():
    with RtspServer(PICTURES) as server:
        yield server


def source_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("source ")]


def wait_until(condition, seconds: float = 10) -> bool:
    limit = time.monotonic() + seconds
    while not condition() and time.monotonic() < limit:
        time.sleep(0.01)
    return condition()


@pytest.mark.parametrize(
    ("transports", "setups"),
    [(("tcp", "udp"), 1), (("tcp",), 1), (("udp",), 2)],  # the second: refused over the connection, taken over UDP
)
def test_rtsp_uses_tcp_first(transports, setups):
    with RtspServer(PICTURES, transports=transports) as server:
        source = open_source(server.url, "visible", CONFIG)
        frames = list(itertools.islice(source, 40))
        source.close()
        assert server.requests.count("SETUP") == setups
        assert wait_until(lambda: "TEARDOWN" in server.requests)
    info = source.info
    assert (info.kind, info.clock, info.live, info.frames) == ("network", "monotonic", True, None)
    assert (info.width, info.height, info.rate) == (160, 128, 25)
    assert [f.sequence for f in frames] == list(range(40))
    first = int(np.median(frames[0].pixels))
    start = min(range(32), key=lambda i: abs(level(i) - first))
    seen = [int(np.median(f.pixels)) for f in frames]
    assert seen == pytest.approx([level(start + i) for i in range(40)], abs=4)
    assert (source.health.corrupt, source.health.retimed, source.health.warnings) == (0, 0, [])
    assert wait_until(lambda: not source_threads())


def test_rtsp_times_are_capture_times_on_the_monotonic_clock(camera):
    """From the very first frame, also those that waited while the stream was probed and then came all at once."""
    source = open_source(camera.url, "visible", CONFIG)
    frames = list(itertools.islice(source, 30))
    source.close()
    assert all(a.time_ns < b.time_ns for a, b in itertools.pairwise(frames))
    assert all(f.arrival_ns >= f.time_ns for f in frames)
    assert (frames[20].time_ns - frames[0].time_ns) / MS == pytest.approx(800, abs=150)
    assert 0 <= time.monotonic_ns() - frames[-1].time_ns < 5_000 * MS


def test_close_from_another_thread_ends_a_stalled_stream(camera):
    source = open_source(camera.url, "visible", CONFIG)
    camera.stall()
    ended = threading.Event()

    def consume() -> None:
        for _ in source:
            pass
        ended.set()

    thread = threading.Thread(target=consume)
    thread.start()
    assert not ended.wait(0.3)
    source.close()
    source.close()
    assert ended.wait(5)
    thread.join(5)
    assert wait_until(lambda: not source_threads())
    assert source.health.warnings == []


def test_stall_shorter_than_the_limit_is_survived(camera):
    source = open_source(camera.url, "visible", CONFIG)
    frames = iter(source)
    before = next(frames)
    camera.stall()
    threading.Timer(1.2, camera.resume).start()
    after = [frame for frame, _ in zip(frames, range(40), strict=False)][-1]
    source.close()
    # The camera's clock went on during the stall: the gap is in the times, not closed up.
    assert (after.time_ns - before.time_ns) / MS == pytest.approx((after.pts - before.pts) / 90, abs=150)
    assert after.sequence == 40
    assert (after.time_ns - before.time_ns) / MS > 40 * 40 + 700


def test_stall_longer_than_the_limit_ends_the_stream_with_a_warning(camera):
    source = open_source(camera.url, "visible", SourceConfig(open_timeout_s=2))
    camera.stall()
    assert len(list(source)) >= 1
    assert len(source.health.warnings) == 1
    assert "no data for 2 s" in source.health.warnings[0]
    assert wait_until(lambda: not source_threads())


def test_disconnection_ends_the_stream_with_a_warning(camera):
    source = open_source(camera.url, "visible", CONFIG)
    camera.disconnect()
    delivered = len(list(source))
    assert source.health.delivered == delivered
    assert len(source.health.warnings) == 1
    assert f"ended the stream after {delivered} frames" in source.health.warnings[0]
    again = open_source(camera.url, "visible", CONFIG)
    assert next(iter(again)).sequence == 0
    again.close()


def test_slow_consumer_gets_every_frame_in_order(camera):
    source = open_source(camera.url, "visible", CONFIG)
    pts = []
    for frame in itertools.islice(source, 20):
        pts.append(frame.pts)
        time.sleep(0.06)
    source.close()
    assert set(np.diff(pts)) == {3600}


def test_server_that_sends_nothing_is_given_up_in_time(camera):
    camera.stall()
    with pytest.raises(InputError, match="no picture within 1 s"):
        open_source(camera.url, "infrared", SourceConfig(open_timeout_s=1))
    assert wait_until(lambda: not source_threads())


@pytest.mark.parametrize("scheme", ["rtsp", "http", "tcp"])
def test_server_that_never_answers_is_given_up_in_time(scheme):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/x"
        with pytest.raises(InputError, match=r"within 0\.5 s"):
            open_source(url, "visible", SourceConfig(open_timeout_s=0.5))
        assert wait_until(lambda: not source_threads())


@pytest.mark.parametrize("scheme", ["rtsp", "http", "tcp"])
def test_refused_connection_is_a_one_line_error(scheme):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(InputError, match="nothing listens there"):
        open_source(f"{scheme}://127.0.0.1:{port}/x", "visible", CONFIG)


def test_unknown_host_is_a_one_line_error():
    with pytest.raises(InputError, match=r"host no-such-host\.invalid is not known"):
        open_source("rtsp://no-such-host.invalid/cam", "visible", CONFIG)


@pytest.mark.parametrize("url", ["http://[::1", "rtsp://h:port/x", "http://h:99999/", "rtsp://[zz]/", "rtsp://u:p w@h"])
def test_invalid_address_is_a_one_line_error(url):
    with pytest.raises(InputError, match=r"not a valid address|no blanks") as caught:
        open_source(url, "visible", CONFIG)
    assert "\n" not in str(caught.value)


def test_password_is_not_in_the_error():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(InputError) as caught:
        open_source(f"rtsp://user:secret@127.0.0.1:{port}/x", "visible", CONFIG)
    assert "secret" not in str(caught.value)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Tests need no access log."""


@pytest.fixture
def web(tmp_path):
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("name", "options"), [("a.mkv", {}), ("a.mp4", {"movflags": "faststart"})])
def test_http_file_is_read_like_a_file(tmp_path, web, name, options):
    clip = write_video(tmp_path / name, range(50, 90), container_options=options)
    source = open_source(f"{web}/{name}", "visible", CONFIG)
    frames = list(source)
    expected = list(open_source(str(clip), "visible", CONFIG))
    assert [f.time_ns for f in frames] == [f.time_ns for f in expected]
    assert (source.info.kind, source.info.live, source.info.clock) == ("network", False, "media")
    assert source.health.warnings == []


def test_http_stream_without_a_length_is_live(tmp_path, web):
    write_video(tmp_path / "a.ts", range(40))
    source = open_source(f"{web}/a.ts", "visible", CONFIG)
    frames = list(source)
    assert (source.info.live, source.info.clock, len(frames)) == (True, "monotonic", 40)
    assert all(a.time_ns < b.time_ns for a, b in itertools.pairwise(frames))


def test_http_without_video_is_refused(tmp_path, web):
    (tmp_path / "page.html").write_text("<html>hello</html>" * 100)
    with pytest.raises(InputError, match="not with video"):
        open_source(f"{web}/page.html", "visible", CONFIG)
    with pytest.raises(InputError, match="404"):
        open_source(f"{web}/nothing.mp4", "visible", CONFIG)


def test_tcp_stream_is_read(tmp_path):
    """A program that serves one client over bare TCP, as `ffmpeg ... tcp://...?listen` does."""
    data = write_video(tmp_path / "a.ts", range(40)).read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(data)

        thread = threading.Thread(target=serve)
        thread.start()
        source = open_source(f"tcp://127.0.0.1:{listener.getsockname()[1]}", "visible", CONFIG)
        assert len(list(source)) == 40
        thread.join(5)
    assert source.info.live
