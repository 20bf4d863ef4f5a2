"""A small RTSP server on loopback, for tests: H.264 over RTP, packetised by libavformat, through UDP or the connection.

`RtspServer(pictures)` serves the pictures at `url`, over and over, in real time. `stall` and `resume`
stop and continue the media while the connection stays; `disconnect` cuts every client off but goes on listening;
`freeze` sends one picture over and over until `thaw`; `show` goes over to other pictures, of any size; `damage` flips
bits in what is sent; `jump` moves the timestamps; `every` leaves frames out; `ahead` are seconds by which a clock had
run when the first picture, stamped 0, was sent; `stop` ends everything.
"""

from __future__ import annotations

import base64
import io
import re
import socket
import threading
import time
from collections.abc import Callable, Sequence
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

CLOCK = 90_000


class RtspServer:
    """transports: which of "tcp" and "udp" SETUP accepts. clock_ppm: how much its clock runs faster than ours.
    port: where to listen, 0 for any. every: of so many frames one is sent.
    """

    def __init__(
        self,
        pictures: Sequence[npt.NDArray[np.uint8]],
        fps: int = 25,
        transports: tuple[str, ...] = ("tcp", "udp"),
        clock_ppm: float = 0.0,
        port: int = 0,
    ) -> None:
        self.transports = transports
        self.requests: list[str] = []
        self.rate = fps / (1 + clock_ppm * 1e-6)
        self.fps = fps
        self.running = True
        self.flowing = threading.Event()
        self.flowing.set()
        self.video = encode(pictures, fps)
        self.moving = packets_of(self.video)
        self.still = packets_of(encode([pictures[0]] * 10, fps))
        self.frozen = False
        self.damaged = 0
        self.jumped = 0
        self.every = 1
        self.ahead = 0.0
        self._clients: list[_Client] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self.url = f"rtsp://127.0.0.1:{self.port}/cam"
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def stall(self) -> None:
        """Send no more media; the camera's clock goes on."""
        self.flowing.clear()

    def resume(self) -> None:
        """Send media again, from where the camera would be by now."""
        self.flowing.set()

    def freeze(self) -> None:
        """Send one picture over and over."""
        self.frozen = True

    def thaw(self) -> None:
        """Send what moves again."""
        self.frozen = False

    def show(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> None:
        """Send these from now on, as a camera that was set to another size does."""
        self.moving = packets_of(encode(pictures, self.fps))

    def damage(self, packets: int) -> None:
        """Flip bits in so many of the packets to come."""
        self.damaged += packets

    def jump(self, seconds: float) -> None:
        """Move all timestamps to come by so much."""
        self.jumped += round(seconds * CLOCK)

    def disconnect(self) -> None:
        """Cut every client off."""
        clients, self._clients = self._clients, []
        for client in clients:
            client.end()

    def stop(self) -> None:
        """End the server and its threads. Safe to call twice."""
        if not self.running:
            return
        self.running = False
        self.flowing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(2)
        self.disconnect()

    def __enter__(self) -> RtspServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _accept(self) -> None:
        while self.running:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._clients.append(_Client(self, connection))


class _Client:
    def __init__(self, server: RtspServer, connection: socket.socket) -> None:
        self._server = server
        self._socket = connection
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sending = threading.Lock()
        self._open = True
        self._udp: list[socket.socket] = []
        self._send: Callable[[int, bytes], None] = self._interleave
        self._threads = [threading.Thread(target=self._listen, daemon=True)]
        self._threads[0].start()

    def end(self) -> None:
        self._open = False
        for end in (self._socket, *self._udp):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(2)
        for end in (self._socket, *self._udp):
            end.close()

    def _listen(self) -> None:
        reader = self._socket.makefile("rb")
        try:
            while first := reader.read(1):
                if first == b"$":  # the client's RTCP
                    reader.read(int.from_bytes(reader.read(3)[1:], "big"))
                    continue
                lines = [(first + reader.readline()).decode().strip()]
                while line := reader.readline().decode().strip():
                    lines.append(line)
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
                if not self._answer(lines[0].split()[0], headers):
                    return
        except OSError:
            return

    def _answer(self, method: str, headers: dict[str, str]) -> bool:
        self._server.requests.append(method)
        status, more, body = "200 OK", "", b""
        if method == "OPTIONS":
            more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif method == "DESCRIBE":
            body = description(self._server.video)
            more = f"Content-Type: application/sdp\r\nContent-Base: {self._server.url}/\r\n"
        elif method == "SETUP":
            kind = "tcp" if "interleaved" in headers["transport"] else "udp"
            if kind not in self._server.transports:
                status = "461 Unsupported Transport"
            elif kind == "udp":
                more = self._setup_udp(headers["transport"])
            else:
                more = f"Transport: {headers['transport']}\r\nSession: 1\r\n"
        elif method == "PLAY":
            more = "Session: 1\r\n"
        head = f"RTSP/1.0 {status}\r\nCSeq: {headers['cseq']}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
        with self._sending:
            self._socket.sendall(head.encode() + body)
        if method == "PLAY":
            self._threads.append(threading.Thread(target=self._play, daemon=True))
            self._threads[-1].start()
        elif method == "TEARDOWN":
            self._open = False
        return self._open

    def _setup_udp(self, transport: str) -> str:
        wanted = re.search(r"client_port=(\d+)-(\d+)", transport)
        assert wanted is not None
        ports = int(wanted[1]), int(wanted[2])
        self._udp = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in ports]
        for end in self._udp:
            end.bind(("127.0.0.1", 0))
        own = "-".join(str(end.getsockname()[1]) for end in self._udp)
        self._send = lambda channel, data: void(self._udp[channel].sendto(data, ("127.0.0.1", ports[channel])))
        return f"Transport: RTP/AVP;unicast;client_port={ports[0]}-{ports[1]};server_port={own}\r\nSession: 1\r\n"

    def _interleave(self, channel: int, data: bytes) -> None:
        with self._sending:
            self._socket.sendall(b"$" + bytes([channel]) + len(data).to_bytes(2, "big") + data)

    def _play(self) -> None:
        with av.open(io.BytesIO(self._server.video), format="h264") as clip:
            source = clip.streams.video[0]
            with av.open(
                _RtpSink(self._send_or_end, self._server), "w", format="rtp", options={"packetsize": "1400"}
            ) as rtp:
                stream = rtp.add_stream_from_template(source)
                self._pace(rtp, stream)

    def _send_or_end(self, channel: int, data: bytes) -> None:
        try:
            self._send(channel, data)
        except OSError:  # the client went away
            self._open = False

    def _pace(self, rtp: av.container.OutputContainer, stream: av.video.stream.VideoStream) -> None:
        server, start, index, first = self._server, time.monotonic(), 0, 0
        sent = server.moving
        while self._open and self._server.running:
            wait = start + index / self._server.rate - time.monotonic()
            if wait > 0:
                time.sleep(min(wait, 0.05))
                continue
            packets = server.still if server.frozen else server.moving
            if packets is not sent:  # from its key frame on
                sent, first = packets, index
            if server.flowing.is_set() and index % server.every == 0:
                content = packets[(index - first) % len(packets)]
                if server.damaged:
                    server.damaged -= 1
                    content = content[:20] + bytes(byte ^ 0x5A for byte in content[20:])
                packet = av.Packet(content)
                packet.stream, packet.time_base = stream, Fraction(1, CLOCK)
                packet.pts = packet.dts = index * CLOCK // server.fps + (round(server.ahead * CLOCK) if index else 0)
                rtp.mux(packet)
            index += 1


class _RtpSink:
    """Takes each RTP or RTCP packet that the muxer writes."""

    def __init__(self, send: Callable[[int, bytes], None], server: RtspServer) -> None:
        self._send = send
        self._server = server

    def write(self, data: bytes) -> int:
        packet = bytearray(data)
        control = 192 <= packet[1] <= 223
        at = 16 if control else 4  # of the timestamp; the muxer itself takes none that goes back
        moved = int.from_bytes(packet[at : at + 4], "big") + self._server.jumped
        packet[at : at + 4] = (moved % 2**32).to_bytes(4, "big")
        self._send(int(control), bytes(packet))
        return len(packet)


def encode(pictures: Sequence[npt.NDArray[np.uint8]], fps: int) -> bytes:
    """H.264 with a key frame first and every 10 frames, without reordering, parameter sets repeated."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="h264") as out:
        stream = out.add_stream("libx264", rate=fps, options={"tune": "zerolatency", "g": "10", "crf": "10"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def packets_of(video: bytes) -> list[bytes]:
    """The packets of an Annex B stream."""
    with av.open(io.BytesIO(video), format="h264") as clip:
        return [bytes(packet) for packet in clip.demux(video=0) if packet.size]


def description(video: bytes) -> bytes:
    """SDP with the parameter sets of an Annex B stream."""
    units = [unit.rstrip(b"\0") for unit in re.split(b"\0\0\1", video)[1:10]]
    sets = ",".join(base64.b64encode(unit).decode() for unit in units if unit[0] & 31 in (7, 8))
    lines = (
        "v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=test", "c=IN IP4 0.0.0.0", "t=0 0", "m=video 0 RTP/AVP 96",
        f"a=rtpmap:96 H264/{CLOCK}", f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}",
        "a=control:track1",
    )  # fmt: skip
    return "".join(f"{line}\r\n" for line in lines).encode()


def void(_: object) -> None:
    """Drop a result."""
