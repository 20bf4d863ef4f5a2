"""Clips around detections, cut out of the recorded segments without encoding again, in a thread of their own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import av

from ...calib.atomic import AtomicFile
from ..config import RecordConfig

EVENTS = "events"
_SETTLED_S = 3.0  # after its end, until the fragments of an event are in the file for sure
_STAMP = "%Y%m%dT%H%M%S.%f"


@dataclass(slots=True)
class _Event:
    """Nanoseconds since 1970, UTC."""

    start_ns: int
    end_ns: int


class EventCutter:
    """Collects detections into events and leaves each as `events/TIME.mp4`, fused, TIME that of its first frame in UTC.

    An event lasts from `before_s` before its first detection to `after_s` after its last; detections within that time
    belong to the same one, up to `longest_s`. It starts at the key frame before. What is killed before an event is cut
    is in the segments still.
    """

    def __init__(self, folder: Path, config: RecordConfig) -> None:
        self._folder = folder
        self._before_ns, self._after_ns = round(config.before_s * 1e9), round(config.after_s * 1e9)
        self._longest_ns = round(config.longest_s * 1e9)
        self._open: _Event | None = None
        self._due: queue.SimpleQueue[_Event | None] = queue.SimpleQueue()
        self._waiting: list[_Event] = []
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def saw(self, detected: bool, at_ns: int) -> None:
        """A frame was recorded, taken at `at_ns` UTC."""
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
        """Cut what is left. The segments must be finished."""
        for event in (*self._waiting, *([self._open] if self._open else [])):
            self._due.put(event)
        self._waiting, self._open = [], None
        self._due.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (event := self._due.get()) is not None:
            with suppress(OSError, av.FFmpegError):  # the segments, which hold it, stay
                cut(self._folder, event.start_ns, event.end_ns)


def cut(folder: Path, start_ns: int, end_ns: int) -> Path | None:
    """Copy what was recorded between two UTC times into a clip; None where nothing was. Raises what the disk raises."""
    packets = _packets(folder, start_ns, end_ns)
    first = next(packets, None)
    if first is None:
        return None
    template, origin_ns, _ = first
    name = datetime.fromtimestamp(origin_ns / 1e9, UTC).strftime(_STAMP)[:-3] + "Z.mp4"
    aside = AtomicFile(folder / EVENTS / name)
    try:
        with av.open(aside.file, "w", format="mp4") as out:
            stream = out.add_stream_from_template(template)
            last = -1
            for _, at_ns, packet in (first, *packets):
                moved = av.Packet(bytes(packet))
                moved.stream, moved.time_base, moved.is_keyframe = stream, packet.time_base, packet.is_keyframe
                last = moved.pts = moved.dts = max(round((at_ns - origin_ns) * 1e-9 / packet.time_base), last + 1)
                out.mux(moved)
        aside.commit()
    finally:
        aside.discard()
    return aside.target


def _packets(
    folder: Path, start_ns: int, end_ns: int
) -> Iterator[tuple[av.video.stream.VideoStream, int, av.Packet[av.video.stream.VideoStream]]]:
    """The packets of the fused track from the key frame before `start_ns` on, with their UTC times."""
    segments = [(_utc_ns(path), path) for path in sorted(folder.glob("*Z_fused.mp4"))]
    for number, (began_ns, path) in enumerate(segments):
        next_ns = segments[number + 1][0] if number + 1 < len(segments) else None
        if began_ns > end_ns or (next_ns is not None and next_ns <= start_ns):
            continue
        with av.open(str(path)) as source:
            stream = source.streams.video[0]
            held: list[tuple[int, av.Packet[av.video.stream.VideoStream]]] = []
            for packet in source.demux(stream):
                if packet.pts is None or packet.time_base is None or not packet.size:
                    continue
                at_ns = began_ns + round(packet.pts * packet.time_base * 1_000_000_000)
                if at_ns > end_ns:
                    break
                if at_ns < start_ns:  # of these only the last key frame and what follows it are needed
                    held = [(at_ns, packet)] if packet.is_keyframe else [*held, (at_ns, packet)]
                    continue
                for before_ns, before in held:
                    yield stream, before_ns, before
                held = []
                yield stream, at_ns, packet


def _utc_ns(path: Path) -> int:
    moment = datetime.strptime(path.name.partition("Z_")[0], _STAMP).replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000) * 1_000_000
