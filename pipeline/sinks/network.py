"""H.264 sent over the network, as RTSP, RTMP or MPEG-TS."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import threading
import time
from collections import deque
from fractions import Fraction
from pathlib import Path
from urllib.parse import urlsplit

import av
import av.error

from ...engines.host.terminal import redact
from ..config import OutputConfig
from ..core.frames import Pixels
from ..core.result import Result
from ..errors import InputError
from .base import SinkHealth
from .encoder import Encoder
from .pace import Pace

_MUXERS = {"rtsp": "rtsp", "rtmp": "flv", "srt": "mpegts", "udp": "mpegts", "tcp": "mpegts"}
SCHEMES = tuple(_MUXERS)
_OPTIONS = {
    "rtsp": {"rtsp_transport": "tcp"},
    "rtmp": {"rtmp_live": "live", "flvflags": "no_duration_filesize"},
    "udp": {"pkt_size": "1316"},
}
_TICKS = 1000  # a second of FLV
_PIPE = 8192  # bytes
_QUEUE = 2  # frames; older ones are dropped
_TIMEOUT_S = 5.0
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 5.0  # between attempts to connect
_END_S = 2.0  # time for sending the last frames
_REASONS = {
    "ConnectionRefusedError": "nothing listens there",
    "ExitError": f"no answer within {_TIMEOUT_S:g} s",
    "TimeoutError": f"no answer within {_TIMEOUT_S:g} s",
    "BrokenPipeError": "the receiver is gone",
    "HTTPUnauthorizedError": "asks for a password: write USER:PASSWORD@HOST",
    "HTTPNotFoundError": "has no such path (404)",
}


class _ConnectionLost(Exception):
    """The connection failed or was lost. The message is the line that the relay printed."""


class NetworkSink:
    """Sends every result to `url` in a thread of its own: rtsp:// (to a server that takes ANNOUNCE, as MediaMTX),
    rtmp://, srt://, udp://, tcp://.

    A slow or lost receiver does not delay the run: frames that it does not accept in time are dropped and counted, and
    the connection is retried after 0.25 to 5 s. A recording is processed and sent in real time.
    """

    def __init__(self, url: str, config: OutputConfig, rate: Fraction | None) -> None:
        """rate: nominal frames per second, None if unknown. Raises InputError for an invalid address."""
        self._shown = redact(url)
        try:
            parts = urlsplit(url)
            host = parts.hostname, parts.port
        except ValueError:
            raise InputError(
                f"{self._shown}: is not a valid address: write rtsp://HOST:PORT/PATH, IPv6 hosts in []"
            ) from None
        if parts.scheme not in _MUXERS or not host[0]:
            raise InputError(
                f"{self._shown}: is not an address to send to: use {', '.join(_MUXERS)}, as rtsp://HOST/PATH"
            )
        self.health = SinkHealth()
        self._url, self._muxer, self._options = url, _MUXERS[parts.scheme], _OPTIONS.get(parts.scheme, {})
        self._quality = config.preset, config.crf
        self._rate = rate.limit_denominator(1001) if rate else Fraction(25)
        self._waiting: deque[tuple[Pixels, int]] = deque()
        self._changed = threading.Condition()
        self._ending = self._unsupported = False
        self._dropped = 0
        self._pace = Pace()
        self._thread: threading.Thread | None = None
        self._relay: subprocess.Popen[bytes] | None = None

    def write(self, result: Result) -> None:
        """Queue `result.image`, (H, W, 3) uint8 RGB, for the sending thread.

        Raises:
            InputError: PyAV's FFmpeg does not support the protocol.
        """
        if self._unsupported:
            raise InputError(f"{self._shown}: PyAV's FFmpeg was built without it: use rtsp, rtmp, udp or tcp")
        if self._thread is None:
            self._thread = threading.Thread(target=self._send_all, name="network output", daemon=True)
            self._thread.start()
        since_ns = self._pace.wait(result.pair.visible)
        with self._changed:
            while len(self._waiting) >= _QUEUE:
                self._waiting.popleft()
                self._drop()
            self._waiting.append((result.image, since_ns))
            self._changed.notify()

    def close(self, complete: bool) -> None:
        """Send the queued frames, for at most two seconds, and close the connection."""
        with self._changed:
            self._ending = True
            if not complete:
                self._waiting.clear()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(_END_S)
            if self._thread.is_alive() and self._relay is not None:
                self._relay.kill()  # it would delay the end of the run
                self._thread.join()
            self._thread = None

    def _drop(self) -> None:
        self._dropped += 1
        line = f"{self._shown}: {self._dropped} frames not sent, while connecting or the receiver was gone or too slow"
        self.health.warnings[:] = [line]

    def _send_all(self) -> None:
        pause = _SHORTEST_PAUSE_S
        while not self._over():
            sent = self.health.written
            try:
                self._send()
            except _ConnectionLost as gone:
                self._report(str(gone))
            pause = _SHORTEST_PAUSE_S if self.health.written > sent else min(2 * pause, _LONGEST_PAUSE_S)
            self._wait(pause)

    def _over(self) -> bool:
        with self._changed:
            return self._ending and not self._waiting

    def _wait(self, seconds: float) -> None:
        """Wait until the next attempt. Frames queued meanwhile are dropped."""
        until = time.monotonic() + seconds
        with self._changed:
            while (left := until - time.monotonic()) > 0 and not self._ending:
                self._changed.wait(left)
            while self._waiting:
                self._waiting.popleft()
                self._drop()

    def _next(self) -> tuple[Pixels, int] | None:
        with self._changed:
            while not self._waiting and not self._ending:
                self._changed.wait()
            return self._waiting.popleft() if self._waiting else None

    def _send(self) -> None:
        """Connect, and send until the run ends. Raises _ConnectionLost."""
        taken = self._next()
        if taken is None:
            return
        settings = {"url": self._url, "muxer": self._muxer, "options": self._options, "s": _TIMEOUT_S}
        relay = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("relay.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C goes to the run only, which ends this process
        )
        assert relay.stdin is not None and relay.stderr is not None
        if hasattr(fcntl, "F_SETPIPE_SZ"):  # a small pipe, for low latency
            fcntl.fcntl(relay.stdin, fcntl.F_SETPIPE_SZ, _PIPE)
        self._relay, encoder, last = relay, None, -1
        try:
            with relay.stdin as pipe:
                pipe.write(json.dumps(settings).encode() + b"\n")
                encoder = Encoder(pipe, "flv", taken[0], _TICKS, self._rate, *self._quality, live=True)
                while taken is not None:
                    image, since_ns = taken
                    last = max(round(since_ns * _TICKS / 1_000_000_000), last + 1)
                    encoder.write(image, last)
                    pipe.flush()
                    self.health.written += 1
                    taken = self._next()
                encoder.finish()
            if relay.wait(_END_S):
                raise BrokenPipeError
        except (OSError, av.error.FFmpegError, subprocess.TimeoutExpired) as error:
            if encoder is not None:
                encoder.abandon()
            late = isinstance(error, subprocess.TimeoutExpired)
            relay.kill()
            message = "TimeoutError" if late else relay.stderr.read(1000).decode(errors="replace").strip()
            raise _ConnectionLost(message or "BrokenPipeError") from error
        finally:
            relay.kill()
            relay.stderr.close()
            relay.wait()

    def _report(self, message: str) -> None:
        name, _, reason = message.partition(" ")
        if name == "ProtocolNotFoundError":
            self._unsupported = True
            return
        why = _REASONS.get(name) or redact(reason)
        line = f"{self._shown}: not sent: {why}; retrying"
        if line not in self.health.urgent:
            self.health.urgent.append(line)
