"""Clips around detections, cut out of the recorded segments without encoding again, in a thread of their own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import av

from ....calib.atomic import atomic
from ...config import RecordConfig
from ...core.health import Health
from ...core.stderr import FULL
from ...errors import reason_of
from .manifest import EVENTS, Manifest
from .retention import Retention
from .segments import Segment, stamp

_SETTLED_S = 3.0  # after the end of an event, until its fragments are in the file
_Stream: TypeAlias = "av.video.stream.VideoStream"
_Packet: TypeAlias = "av.Packet[av.video.stream.VideoStream]"


@dataclass(slots=True)
class _Event:
    """First and last frame time in ns."""

    start_ns: int
    end_ns: int


class EventCutter:
    """Groups detections into events and writes each as `events/TIME.mp4`, TIME being the UTC time of its first frame.

    An event lasts from `before_s` before its first detection to `after_s` after its last; detections within that time
    belong to the same event, up to `longest_s`. The clip of the fused video starts at the preceding key frame. If the
    process is killed, events that were not cut yet are still in the segments. A clip that cannot be cut is counted and
    reported; later ones are not affected.
    """

    def __init__(
        self,
        manifest: Manifest,
        retention: Retention,
        config: RecordConfig,
        health: Health,
        doubt: Callable[[str], None],
    ) -> None:
        """doubt: called with a message for each clip that could not be cut."""
        self._manifest, self._retention, self._health, self._doubt = manifest, retention, health, doubt
        self._before_ns, self._after_ns = round(config.before_s * 1e9), round(config.after_s * 1e9)
        self._longest_ns = round(config.longest_s * 1e9)
        self._segments: list[Segment] = []
        self._open: _Event | None = None
        self._due: queue.SimpleQueue[_Event | None] = queue.SimpleQueue()
        self._waiting: list[_Event] = []
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def add_segment(self, segment: Segment) -> None:
        """Add a segment whose fused track was begun."""
        self._segments.append(segment)

    def add_frame(self, detected: bool, at_ns: int) -> None:
        """Process a recorded frame. detected: whether it has a detection. at_ns: its time."""
        event = self._open
        if detected:
            if event is None:
                event = self._open = _Event(at_ns - self._before_ns, at_ns)
            event.end_ns = at_ns + self._after_ns
        if event is not None and (at_ns > event.end_ns or at_ns - event.start_ns > self._longest_ns):
            event.end_ns = min(event.end_ns, at_ns)
            self._waiting.append(event)
            self._open = None
        while self._waiting and at_ns - self._waiting[0].end_ns > _SETTLED_S * 1e9:
            self._due.put(self._waiting.pop(0))

    def close(self) -> None:
        """Cut the remaining clips. The segments must be finished."""
        for event in (*self._waiting, *([self._open] if self._open else [])):
            self._due.put(event)
        self._waiting, self._open = [], None
        self._due.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (event := self._due.get()) is not None:
            for last in (False, True):
                try:
                    self._cut(event)
                except Exception as error:  # an error affects this clip only
                    if not last and getattr(error, "errno", None) in FULL and self._retention.make_room():
                        continue
                    self._health.count_run("event_clips_lost")
                    why = f"an event's clip could not be written: {reason_of(error)}"
                    self._doubt(f"{self._manifest.folder / EVENTS}: {why}; its segments have it")
                else:
                    self._health.count_run("event_clips")
                break

    def _cut(self, event: _Event) -> None:
        """Copy the packets of an event into a clip. Raises OSError."""
        packets = self._packets(event)
        first = next(packets, None)
        if first is None:
            raise FileNotFoundError(2, "its segments are gone")
        template, origin, _ = first
        name, number = "", 0
        while not name or (self._manifest.folder / name).exists():
            name, number = f"{EVENTS}/{stamp(origin.utc_ns + number * 1_000_000)}.mp4", number + 1
        with atomic(self._manifest.folder / name) as aside, av.open(aside.file, "w", format="mp4") as out:
            stream = out.add_stream_from_template(template)
            last = -1
            for _, at, packet in (first, *packets):
                moved = av.Packet(bytes(packet))
                moved.stream, moved.time_base, moved.is_keyframe = stream, packet.time_base, packet.is_keyframe
                assert packet.time_base is not None
                tick = round((at.start_ns - origin.start_ns) * 1e-9 / packet.time_base)
                last = moved.pts = moved.dts = max(tick, last + 1)
                out.mux(moved)
        self._manifest.add(name)

    def _packets(self, event: _Event) -> Iterator[tuple[_Stream, Segment, _Packet]]:
        """Packets of the fused track from the key frame before the event on, each with its time."""
        segments = sorted(self._segments, key=lambda segment: segment.start_ns)
        for number, segment in enumerate(segments):
            next_ns = segments[number + 1].start_ns if number + 1 < len(segments) else None
            path = self._manifest.folder / f"{segment.stem}_fused.mp4"
            late, early = segment.start_ns > event.end_ns, next_ns is not None and next_ns <= event.start_ns
            if late or early or not path.exists():
                continue
            yield from _packets_of(path, segment, event)


def _packets_of(path: Path, segment: Segment, event: _Event) -> Iterator[tuple[_Stream, Segment, _Packet]]:
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        held: list[tuple[Segment, _Packet]] = []
        for packet in source.demux(stream):
            if packet.pts is None or packet.time_base is None or not packet.size:
                continue
            since_ns = round(packet.pts * packet.time_base * 1_000_000_000)
            at = Segment(segment.start_ns + since_ns, segment.utc_ns + since_ns, segment.stem)
            if at.start_ns > event.end_ns:
                break
            if (
                at.start_ns < event.start_ns
            ):  # only the last key frame before the event and the packets after it are needed
                held = [(at, packet)] if packet.is_keyframe else [*held, (at, packet)]
                continue
            for before, earlier in held:
                yield stream, before, earlier
            held = []
            yield stream, at, packet
