"""Streams from the network: RTSP, HTTP, UDP, TCP, SRT, RTMP."""

from __future__ import annotations

import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import av
import av.error

from ...engines.host.terminal import redact
from ..config import SourceConfig
from ..core.frames import Camera
from ..errors import InputError
from .container import open_container
from .live import LiveSource
from .timing import NetworkTimes
from .video import VideoSource, VideoTraits

_RTSP, _HTTP = "rtp,srtp,tcp,tls,udp", "http,https,httpproxy,tcp,tls,crypto,data"
_PROTOCOLS = {
    "rtsp": _RTSP, "rtsps": _RTSP, "http": _HTTP, "https": _HTTP, "udp": "udp", "tcp": "tcp", "srt": "srt",
    "rtmp": "rtmp,tcp",
}  # fmt: skip
"""Protocols that FFmpeg may open for an address, so that a stream cannot name files of this machine."""
SCHEMES = tuple(_PROTOCOLS)
_REASONS: dict[tuple[type[Exception], ...], str] = {
    (av.error.HTTPUnauthorizedError,): "asks for a password: write {scheme}://USER:PASSWORD@HOST/PATH",
    (av.error.HTTPForbiddenError,): "refuses access (403): check the user's rights on the camera",
    (av.error.HTTPNotFoundError,): "has no such stream (404): check the path in the address",
    (av.error.HTTPError,): "answers with an error: {reason}",
    (ConnectionRefusedError,): "nothing listens there: check host and port, and that the stream is running",
    (av.error.ExitError, TimeoutError): "no answer within {timeout_s:g} s: check the address, or raise "
    "sources.open_timeout_s",
    (av.error.ProtocolNotFoundError,): "this FFmpeg was built without {scheme}: use rtsp, http, tcp or udp",
    (av.error.InvalidDataError,): "answers, but not with video: check the path in the address",
}
"""The first that fits."""
_RTSP_READ_S = 0.5
_GEN_PTS = 0x1  # AVFMT_FLAG_GENPTS


def open_network(spec: str, camera: Camera, config: SourceConfig) -> LiveSource:
    """Open an address of one of SCHEMES, within `open_timeout_s`; later, a silence of that length ends the stream.

    RTSP asks for its media over the RTSP connection (TCP: nothing lost, no ports to open) and takes UDP where the
    server refuses that. HTTP files of known length are read like files, lossless and with their own times; everything
    else is live and timed on the host's monotonic clock. Passwords in the address are masked in what is reported.
    """
    shown, scheme = redact(spec), spec.partition("://")[0]
    if " " in spec or not spec.isprintable():  # the end of a password cannot be found in it
        raise InputError(f"{scheme}://...: an address holds no blanks and line feeds: write them as %20, %0A")
    try:
        parts = urlsplit(spec)
        host, _ = parts.hostname, parts.port
    except ValueError:  # its message may hold the password
        raise InputError(
            f"{shown}: is not a valid address: write {scheme}://HOST:PORT/PATH, IPv6 hosts in []"
        ) from None
    if not host and scheme != "udp":
        raise InputError(f"{shown}: names no host: write {scheme}://HOST/PATH")

    def opener(cancelled: Callable[[], bool]) -> VideoSource:
        return _open(spec, shown, camera, config, cancelled)

    return LiveSource(shown, config.open_timeout_s, opener)


def network_options(scheme: str) -> dict[str, str]:
    """FFmpeg's options for a scheme. analyzeduration: microseconds of stream looked at before the first frame."""
    options = {}
    if scheme in ("rtsp", "rtsps"):
        options["rtsp_flags"] = "prefer_tcp"
    if not scheme.startswith("http"):
        options |= {"analyzeduration": "1000000", "fpsprobesize": "4"}
    return options


def _open(spec: str, shown: str, camera: Camera, config: SourceConfig, cancelled: Callable[[], bool]) -> VideoSource:
    scheme = urlsplit(spec).scheme
    # RTSP reads can be interrupted and resumed; the other protocols take a timeout for the end of the stream.
    read_s = min(_RTSP_READ_S, config.open_timeout_s) if scheme in ("rtsp", "rtsps") else config.open_timeout_s
    try:
        timeout = config.open_timeout_s, read_s
        container = open_container(spec, _PROTOCOLS[scheme], network_options(scheme), timeout)
        live = not scheme.startswith("http") or container.duration is None
        traits = VideoTraits(
            kind="network",
            clock="monotonic" if live else "media",
            live=live,
            stamper=NetworkTimes if live else None,
            patience_s=config.open_timeout_s,
            cancelled=cancelled,
            first_pts=0 if scheme.startswith("rtsp") else None,  # its times count from the first packet
        )
        if live:
            container.flags &= ~_GEN_PTS  # it would wait for later packets
        return VideoSource(container, shown, camera, config, traits)
    except av.error.FFmpegError as e:
        raise InputError(f"{shown}: {_why_not(e, spec, config.open_timeout_s)}") from e


def _why_not(error: av.error.FFmpegError, spec: str, timeout_s: float) -> str:
    parts = urlsplit(spec)
    for kinds, why in _REASONS.items():
        if isinstance(error, kinds):
            return why.format(scheme=parts.scheme, timeout_s=timeout_s, reason=error.strerror)
    try:
        socket.getaddrinfo(parts.hostname, None)
    except OSError:
        return f"host {parts.hostname} is not known: check the name"
    return f"cannot be opened: {error.strerror}"
