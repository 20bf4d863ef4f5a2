"""Network outputs, received by FFmpeg in another process."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fusecam.engines.base import Fused
from fusecam.pipeline.config import OutputConfig
from fusecam.pipeline.core.frames import Frame, FramePair
from fusecam.pipeline.core.result import Result
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.sinks.network import NetworkSink

from ..e2e.command import processes

RECEIVER = """
import av, json, sys, time
print("ready", flush=True)
with av.open(sys.argv[1], "r", options=json.loads(sys.argv[2]), timeout=60) as stream:
    try:
        for frame in stream.decode(video=0):
            print(int(frame.to_ndarray(format="gray")[60, 80]), flush=True)
    except av.error.FFmpegError:
        pass
"""
LISTEN = {
    "rtsp": {"rtsp_flags": "listen", "listen_timeout": "60"},
    "rtmp": {"listen": "1"},
    "tcp": {"listen": "1"},
    "udp": {"timeout": "60000000"},
}
TEXTURE = np.random.default_rng(1).integers(0, 40, (120, 160, 3)).astype(np.uint8)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def result(index: int, clock: str = "monotonic", time_ns: int | None = None) -> Result:
    image = np.full((120, 160, 3), index % 200, np.uint8) + TEXTURE
    image[50:70, 70:90] = index % 200
    time_ns = time.monotonic_ns() if time_ns is None else time_ns
    visible = Frame(image, time_ns, clock, index, "visible", arrival_ns=time.monotonic_ns())
    return Result(index, FramePair(visible, None, 0), Fused(image, image, *[image[..., 0]] * 3), image, [])


def send(sink: NetworkSink, count: int, first: int = 0, period_s: float = 0.04) -> float:
    """Seconds of the longest wait for the sink."""
    longest = 0.0
    for index in range(first, first + count):
        began = time.monotonic()
        sink.write(result(index))
        longest = max(longest, time.monotonic() - began)
        time.sleep(max(0.0, began + period_s - time.monotonic()))
    return longest


class Receiver:
    """FFmpeg listening at an address; `frames` are grey levels as they arrive."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-c", RECEIVER, url, json.dumps(LISTEN[url.partition(":")[0]])]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        self.frames: list[int] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.frames.extend(int(line) for line in iter(self.process.stdout.readline, ""))

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reading.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def receive() -> Iterator[Callable[[str], Receiver]]:
    started: list[Receiver] = []

    def start(url: str) -> Receiver:
        started.append(Receiver(url))
        return started[-1]

    yield start
    for receiver in started:
        if receiver.process.poll() is None:
            receiver.end()


def send_until(sink: NetworkSink, done: Callable[[], bool], first: int = 0, seconds: float = 60) -> int:
    """Returns the next frame's number."""
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, sink.health
        send(sink, 5, first)
        first += 5
    return first


@pytest.mark.slow
@pytest.mark.parametrize("address", ["rtsp://127.0.0.1:{}/cam", "rtmp://127.0.0.1:{}/live/cam", "udp://127.0.0.1:{}"])
def test_receiver_gets_the_frames(receive: Callable[[str], Receiver], address: str) -> None:
    """It may miss some before it listens, but no more once it has begun."""
    url = address.format(free_port())
    receiver = receive(url)
    sink = NetworkSink(url, OutputConfig(), Fraction(25))
    send_until(sink, lambda: len(receiver.frames) >= 50)
    sink.close(complete=True)
    frames = np.array(receiver.frames[:50])
    steps = np.diff(frames % 200)
    assert np.median(steps) == 1, frames  # in order
    assert (np.abs(steps - 1) <= 2).mean() > 0.8, frames  # levels that a codec rounds; a loaded machine may lose some


@pytest.mark.slow
def test_receiver_may_join_late_leave_and_return(receive: Callable[[str], Receiver]) -> None:
    url = f"rtmp://127.0.0.1:{free_port()}/live/cam"
    sink = NetworkSink(url, OutputConfig(), Fraction(25))
    send_until(sink, lambda: any("nothing listens there" in line for line in sink.health.urgent))
    first = receive(url)
    send_until(sink, lambda: len(first.frames) > 10)
    first.end()
    send(sink, 30)
    second = receive(url)
    send_until(sink, lambda: len(second.frames) > 10)
    sink.close(complete=True)
    assert any("frames not sent" in line for line in sink.health.warnings)


@pytest.mark.slow
@pytest.mark.parametrize("address", ["rtsp://127.0.0.1:{}/cam", "rtmp://127.0.0.1:{}/live/cam"])
def test_silent_receiver_blocks_nothing(address: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        sink = NetworkSink(address.format(mute.getsockname()[1]), OutputConfig(), Fraction(25))
        longest = send(sink, 60)
        began = time.monotonic()
        sink.close(complete=True)
        assert time.monotonic() - began < 5
    assert longest < 1
    assert any("frames not sent" in line for line in sink.health.warnings)


def test_passwords_are_in_no_message_and_no_process_list() -> None:
    sink = NetworkSink(f"rtsp://me:secret@127.0.0.1:{free_port()}/cam", OutputConfig(), Fraction(25))
    send(sink, 5)
    assert processes("relay.py")
    assert not processes("secret")
    send(sink, 60)
    sink.close(complete=True)
    assert sink.health.urgent
    assert "secret" not in " ".join(sink.health.urgent + sink.health.warnings)


def test_recording_is_sent_in_real_time() -> None:
    sink = NetworkSink(f"udp://127.0.0.1:{free_port()}", OutputConfig(), Fraction(25))
    began = time.monotonic()
    for index in range(26):
        sink.write(result(index, "media", index * 40_000_000))
    assert 0.95 < time.monotonic() - began < 3
    sink.close(complete=True)


@pytest.mark.parametrize("url", ["ftp://a/b", "rtsp://", "rtsp://[::1", "rtsp:/a", "http://host/x"])
def test_invalid_addresses_are_refused(url: str) -> None:
    with pytest.raises(InputError, match=r"is not a(n address to send to| valid address)"):
        NetworkSink(url, OutputConfig(), None)


@pytest.mark.slow
def test_command_writes_a_file_and_sends_to_two_addresses(
    tmp_path: Path,
    receive: Callable[[str], Receiver],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """One of them is nobody's: the file is whole all the same, and the password is nowhere."""
    from ..e2e.command import QUICK, fusecam, pair_of_clips, presentation_times

    ir, vis = pair_of_clips(tmp_path, frames=75)
    url = f"udp://127.0.0.1:{free_port()}"
    receiver = receive(url)
    outs = ("--out", tmp_path / "o.mp4", "--out", url, "--out", f"rtsp://me:secret@127.0.0.1:{free_port()}/cam")
    given = ("--ir", ir, "--vis", vis, *outs, "--report", tmp_path / "r.json", *QUICK)
    answer = fusecam(*given, monkeypatch=monkeypatch, capfd=capfd)
    assert answer.code == 0, answer.said
    assert len(presentation_times(tmp_path / "o.mp4")) == 75
    assert len(receiver.frames) > 20
    assert "nothing listens there" in answer.said
    assert "secret" not in answer.said + (tmp_path / "r.json").read_text()


def test_outputs_are_split_into_files_and_addresses() -> None:
    output = OutputConfig.model_validate({"out": ["a.mp4", "rtsp://host/a"], "send": ["udp://host:1"]})
    assert (output.out, output.send) == (Path("a.mp4"), ["udp://host:1", "rtsp://host/a"])
    assert OutputConfig.model_validate({"out": "rtsp://host/a"}).out is None
    with pytest.raises(ValueError, match="one file or folder"):
        OutputConfig.model_validate({"out": ["a.mp4", "b.mp4"]})


def test_address_unsupported_by_ffmpeg_ends_the_output() -> None:
    sink = NetworkSink(f"srt://127.0.0.1:{free_port()}", OutputConfig(), Fraction(25))
    try:
        with pytest.raises(InputError, match=r"^srt://.*built without it: use rtsp, rtmp, udp or tcp$"):
            send_until(sink, lambda: bool(sink.health.urgent))
            pytest.skip("this FFmpeg has SRT")
    finally:
        sink.close(complete=False)
