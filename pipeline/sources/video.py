"""Frames out of anything PyAV can demux: decoding, timing, and a count of what could not be decoded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import av.container
import av.error
from av.video.stream import VideoStream

from ..config import SourceConfig
from ..core.frames import Camera, Clock, Frame
from ..errors import InputError
from .base import Kind, SourceHealth, SourceInfo
from .container import is_avi, plain, stated_end, stated_frames, true_pace, video_stream
from .pixels.polarity import Polarity
from .pixels.reader import PixelReader
from .pixels.samples import trace_of
from .timing import ChunkTimes, MediaTimes, Stamp, Stamper, to_ns

_THREADED_LINES = 720
_DEMUX_FAILURES = 8
_GAP_PERIODS = 10
_EVEN_FRAMES, _EVEN_GAP_PERIODS = 25, 5  # a shorter gap is damage where so many frames came evenly before it
_MOST_HELD = 100
_LOOK_S = 0.2
_PACE_NS = 400_000_000  # for which a stream just opened has to come at its pace


@dataclass(frozen=True, slots=True)
class VideoTraits:
    """Properties of one kind of video source.

    stamper: makes the source's clock from the stored times. patience_s: how long reads that time out are tried again
    before the stream counts as dead. cancelled: asked between reads. interrupt: unblocks a read in progress.
    ready: waits so many seconds at most for something to read, where a read that has begun cannot be broken off.
    release: called once the container is closed. first_pts: what a first frame without a timestamp has by definition.
    """

    kind: Kind
    clock: Clock = "media"
    live: bool = False
    stamper: Callable[[MediaTimes], Stamper] | None = None
    patience_s: float = 0.0
    first_pts: int | None = None
    cancelled: Callable[[], bool] = lambda: False
    interrupt: Callable[[], None] = lambda: None
    release: Callable[[], None] = lambda: None
    ready: Callable[[float], bool] = lambda seconds: True


class VideoSource:
    """A container's best video stream as a Source. Opening decodes the first frame.

    The thread that iterates is the only one inside FFmpeg: `close` from another thread asks it to stop, unblocks it
    where `traits.interrupt` can, and frees the container once it is out. A packet that cannot be decoded is skipped and
    counted. Raises InputError when there is no video or none of it can be decoded; the container is closed then.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        spec: str,
        camera: Camera,
        config: SourceConfig,
        traits: VideoTraits,
        polarity: Polarity | None = None,
    ) -> None:
        """polarity: of infrared, where it was settled before."""
        self.health = SourceHealth()
        self._spec = spec
        self._camera = camera
        self._traits = traits
        self._container = container
        self._inside = threading.Lock()
        self._closed = False
        self._freed = False
        self._sequence = 0
        self._last: Stamp | None = None
        self._widest_ns = 0
        self._ended_early = False
        self._failure: str | None = None
        self._decoded = self._arrivals()
        try:
            self._stream = video_stream(container, spec, self.health)
            self._configure_decoder()
            stated = self._stream.average_rate or self._stream.guessed_rate or None
            self._pace = 1.0 if traits.live else true_pace(self._stream, config.side(camera).rate)
            rate = stated / Fraction(self._pace).limit_denominator(1_000_000) if stated else None
            origin_ns = to_ns(self._stream.start_time or 0, self._stream.time_base or Fraction(1))
            media = MediaTimes(spec, stated, self.health, self._pace, origin_ns)
            self._stamper: Stamper = traits.stamper(media) if traits.stamper else media
            codec = self._stream.codec_context.codec
            self._exact = codec.lossless and not codec.lossy
            self._pixels = PixelReader(spec, camera, config, self.health, polarity)
            if traits.live:
                self._decoded = self._catch_up()
            self._next = self._advance()
            if self._next is None:
                raise InputError(f"{spec}: {self._failure or 'its video stream holds no frame that can be decoded'}")
            width, height = self._next.size
            aspect = self._stream.sample_aspect_ratio or Fraction(1)
            frames = None if traits.live else stated_frames(container, self._stream)
            end_s = None if traits.live or self._pace != 1 else stated_end(container, self._stream)
            self.info = SourceInfo(
                spec,
                traits.kind,
                camera,
                width,
                height,
                rate,
                frames,
                live=traits.live,
                clock=traits.clock,
                pixel_aspect=1 / aspect if self._pixels.turned else aspect,
                start_ns=self._next.time_ns,
                end_ns=None if end_s is None else round(end_s * 1e9),
            )
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[Frame]:
        try:
            while True:
                with self._inside:
                    if self._closed:
                        return
                    frame = self._next or self._advance()
                    self._next = None
                if frame is None:
                    break
                self.health.delivered += 1
                yield frame
            self._check_end()
        finally:
            self.close()

    def close(self) -> None:
        """End the iteration, wherever it runs, and free the container. Safe to call twice and from any thread."""
        self._closed = True
        self._traits.interrupt()
        with self._inside:
            if not self._freed:
                self._freed = True
                self._decoded.close()  # an unfinished generator would keep the source and its frames alive
                self._container.close()
                self._traits.release()

    def _configure_decoder(self) -> None:
        context = self._stream.codec_context
        # Frame threads would hold back one frame each, cost 10 % more CPU at 640x480 (the two cameras are read in
        # parallel anyway), and lose without an error the good frames that precede a damaged end.
        context.thread_type = "SLICE"
        # A small frame is decoded before other threads wake up: with both cores busy they cost a fifth more.
        if context.height < _THREADED_LINES:
            context.thread_count = 1
        if self._traits.live:
            context.flags |= av.codec.context.Flags.low_delay
        for stream in self._container.streams:
            if stream.index != self._stream.index:
                stream.discard = av.stream.Discard.all

    def _advance(self) -> Frame | None:
        for decoded, arrival in self._decoded:
            if self._closed:
                break
            try:
                return self._frame(decoded, arrival)
            except av.error.FFmpegError as error:  # a pixel format that cannot be converted
                self._count_corrupt(str(error))
            except ValueError as error:  # a setting that does not fit the frame
                self._count_corrupt(str(error), unfit=True)
        return None

    def _frame(self, decoded: av.VideoFrame, arrival: int) -> Frame:
        time_base = self._time_base(decoded)
        pts = self._pts(decoded, first=self._last is None)
        stamp = self._stamper.stamp(pts, decoded.dts, time_base, arrival)
        self._watch_gap(stamp)
        self._last = stamp
        frame = Frame(
            pixels=self._pixels.read(decoded, stamp.time_ns),
            time_ns=stamp.time_ns,
            clock=self._traits.clock,
            sequence=self._sequence,
            camera=self._camera,
            pts=stamp.pts,
            time_base=time_base,
            arrival_ns=arrival,
            trace=trace_of(decoded, self._exact),
            counts=self._pixels.maker.counts,
            temperature=self._pixels.maker.temperature,
        )
        self._sequence += 1
        return frame

    def _pts(self, decoded: av.VideoFrame, first: bool) -> int | None:
        return self._traits.first_pts if first and decoded.pts is None else decoded.pts

    def _time_base(self, decoded: av.VideoFrame) -> Fraction:
        return decoded.time_base or self._stream.time_base or Fraction(1, 1_000_000)

    def _arrivals(self) -> Generator[tuple[av.VideoFrame, int]]:
        for decoded in self._decode():
            yield decoded, time.monotonic_ns()

    def _catch_up(self) -> Generator[tuple[av.VideoFrame, int]]:
        """What arrived while FFmpeg probed a live stream comes at once, late by up to the whole probing. It is held
        until a few frames came at the pace of their timestamps or slower, so that the clock knows the true delay, and
        whether the sender's rate is the true one, before it stamps.
        """
        arrivals = self._arrivals()
        held: list[tuple[av.VideoFrame, int]] = []
        on_pace_since: int | None = None
        for decoded, arrival in arrivals:
            pts = self._pts(decoded, first=not held)
            if pts is not None:
                self._stamper.observe(pts, self._time_base(decoded), arrival)
            held.append((decoded, arrival))
            on_pace = len(held) > 1 and self._on_pace(*held[-2:])
            on_pace_since = (on_pace_since or held[-2][1]) if on_pace else None
            if len(held) == _MOST_HELD or (on_pace_since and arrival - on_pace_since > _PACE_NS):
                break
        yield from held
        yield from arrivals

    def _on_pace(self, before: tuple[av.VideoFrame, int], after: tuple[av.VideoFrame, int]) -> bool:
        if before[0].pts is None or after[0].pts is None:
            return False
        spacing = to_ns(after[0].pts - before[0].pts, self._time_base(after[0]))
        return after[1] - before[1] >= spacing / 2

    def _decode(self) -> Iterator[av.VideoFrame]:
        damaged = 0
        times = ChunkTimes() if is_avi(self._container) else None
        for packet in self._packets():
            if packet and times:
                times.add(packet.dts)
            if packet and packet.is_corrupt:
                damaged += 1
                self._count_corrupt("packet damaged")
            try:
                frames = packet.decode() if packet else self._stream.codec_context.decode(None)
            except av.error.EOFError:
                continue
            except av.error.FFmpegError as error:
                self._count_corrupt(plain(error))
                if times:
                    times.damaged()
                continue
            for frame in frames:
                if isinstance(frame, av.VideoFrame):
                    if times:
                        frame.pts = times.next()
                    if frame.is_corrupt and damaged:  # counted with its packet
                        damaged -= 1
                    elif frame.is_corrupt:
                        self._count_corrupt("frame damaged")
                    yield frame

    def _packets(self) -> Iterator[av.Packet[VideoStream] | None]:
        """Packets to the end or to the first trouble that lasts; then None, for the decoder to give what it holds."""
        heard = time.monotonic()
        failures = 0
        while not self._stopped():
            try:
                for packet in self._when_ready():
                    if self._stopped():
                        return
                    yield packet
                    heard, failures = time.monotonic(), 0
                return
            except av.error.ExitError:  # a read timed out: PyAV's interrupt
                if time.monotonic() - heard >= self._traits.patience_s:
                    self._end_early(f"no data for {time.monotonic() - heard:.0f} s: the stream was given up")
                    break
            except av.error.FFmpegError as error:
                failures += 1
                if isinstance(error, OSError) or failures >= _DEMUX_FAILURES:
                    self._end_early(f"reading broke off: {plain(error)}")
                    break
                self._count_corrupt(plain(error))
        if not self._stopped():
            yield None

    def _when_ready(self) -> Iterator[av.Packet[VideoStream]]:
        for packet in self._container.demux(self._stream):
            yield packet
            while not self._traits.ready(_LOOK_S):
                if self._stopped():
                    return

    def _stopped(self) -> bool:
        return self._closed or self._traits.cancelled()

    def _count_corrupt(self, reason: str, unfit: bool = False) -> None:
        self.health.corrupt += 1
        self._failure = reason if unfit else f"its video cannot be decoded ({reason})"
        if self.health.corrupt == 1:
            at = f" after {self._last.time_ns / 1e9:.3f} s" if self._last and not self._traits.live else ""
            what = "frames that cannot be used are" if unfit else "damaged data"
            self.health.warnings.append(f"{self._spec}: {what} skipped{at} ({reason})")

    def _end_early(self, reason: str) -> None:
        self._failure = reason
        self._ended_early = True
        self.health.warnings.append(f"{self._spec}: {reason} after {self._sequence} frames")

    def _watch_gap(self, stamp: Stamp) -> None:
        """Detect damage that a demuxer skipped silently, from gaps in the timestamps."""
        rate = self._stream.average_rate
        if self._last is None or self._traits.live or not rate:
            return
        missing, period = stamp.time_ns - self._last.time_ns, 1e9 / rate
        even = self._sequence >= _EVEN_FRAMES and self._widest_ns < 2 * period
        self._widest_ns = max(self._widest_ns, missing)
        if missing > (_EVEN_GAP_PERIODS * period if even else max(1_000_000_000, _GAP_PERIODS * period)):
            start, end = self._last.time_ns / 1e9, stamp.time_ns / 1e9
            self.health.warn("gap", f"{self._spec}: no frames from {start:.3f} to {end:.3f} s")

    def _check_end(self) -> None:
        """Compare the frames read with the container's figures."""
        info = self.info
        if self._stopped():
            return
        if info.live:
            if not self._ended_early:
                self._end_early("the other side ended the stream")
            return
        came = self.health.delivered + self.health.corrupt
        if info.frames is not None:
            if came < info.frames:
                self._warn_short(f"{self.health.delivered} frames", f"{info.frames}")
            return
        if info.end_ns is None or self._last is None or not info.rate:
            return
        got, promised = self._last.time_ns / 1e9 + 1 / float(info.rate), info.end_ns / 1e9
        if got < promised - 3 / float(info.rate):
            self._warn_short(f"{got:.2f} s", f"{promised:.2f} s")

    def _warn_short(self, got: str, promised: str) -> None:
        self.health.warnings.append(f"{self._spec}: ends after {got}, its header promises {promised}: it was cut short")
