"""Time segments of a recording, shared by all its tracks."""

from __future__ import annotations

import time
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Condition, Lock

from ...core.frames import Camera, Frame
from .manifest import Manifest
from .retention import Retention

_PATIENCE_S = 0.5  # for the other camera's first frame
_SLACK_NS = 1_000_000_000  # by which the cameras' frames may differ in time when a segment begins


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time from `start_ns` on the source's clock, `utc_ns` since 1970. stem: TIME in its files' names."""

    start_ns: int
    utc_ns: int
    stem: str


class UtcClock:
    """Gives the UTC capture times of frames. Its method may be called from any thread."""

    def __init__(self, steady: bool = False) -> None:
        """steady: read the wall clock only once, so that setting it during the run does not change the spacing."""
        self._steady_ns = _since_boot_ns() if steady else None
        self._zero_ns: int | None = None
        self._lock = Lock()

    def utc_ns(self, frame: Frame) -> int:
        """Capture time of a frame in ns since 1970 UTC.

        A recording's clock has no date: its first frame gets the time at which it was read, later ones keep their
        distance to it as stored, even if the recording is processed faster or slower than real time.
        """
        since_boot_ns = _since_boot_ns() if self._steady_ns is None else self._steady_ns
        if frame.clock == "monotonic":
            return since_boot_ns + frame.time_ns
        with self._lock:
            if self._zero_ns is None:
                self._zero_ns = since_boot_ns + frame.arrival_ns - frame.time_ns
            return self._zero_ns + frame.time_ns


class Segments:
    """Cuts time into segments of `length_s`. The first begins with the earlier of both cameras' first frames."""

    def __init__(self, manifest: Manifest, retention: Retention, length_s: float) -> None:
        self._manifest, self._retention = manifest, retention
        self._length_ns = round(length_s * 1e9)
        self._known: list[Segment] = []
        self._firsts: dict[Camera, int] = {}
        self._both_by: float | None = None
        self._changed = Condition()

    def note_first(self, frame: Frame) -> None:
        """Note a camera's first frame."""
        if frame.camera in self._firsts:
            return
        with self._changed:
            self._firsts[frame.camera] = frame.time_ns
            self._changed.notify_all()

    def at(self, time_ns: int, utc_ns: int, ended: Segment | None = None) -> Segment:
        """Segment of a frame; a new one is begun if necessary.

        Args:
            time_ns: time of the frame on the source's clock.
            utc_ns: the same time in ns since 1970 UTC.
            ended: segment that this track has finished. A later one is returned, which another track may have begun.

        Raises:
            OSError: the manifest cannot be written.
        """
        with self._changed:
            segment = self._of(time_ns, utc_ns)
            if ended is None or segment.start_ns > ended.start_ns:
                return segment
            begun = bisect_right(self._known, ended.start_ns, key=lambda known: known.start_ns)
            for following in self._known[begun:]:
                if following.start_ns - time_ns < _SLACK_NS:
                    return following
            return self._begin(time_ns, utc_ns)

    def _of(self, time_ns: int, utc_ns: int) -> Segment:
        if not self._known:
            self._changed.wait_for(lambda: len(self._firsts) > 1, _PATIENCE_S)
        if not self._known:
            start_ns = min((time_ns, *self._firsts.values()))
            if time_ns - start_ns >= self._length_ns:
                start_ns = time_ns
            return self._begin(start_ns, utc_ns - (time_ns - start_ns))
        number = bisect_right(self._known, time_ns, key=lambda segment: segment.start_ns) - 1
        if number < 0 and self._known[0].start_ns - time_ns < _SLACK_NS:
            return self._known[0]
        since_end_ns = time_ns - self._known[number].start_ns - self._length_ns if number >= 0 else None
        if since_end_ns is not None and since_end_ns < 0:
            return self._known[number]
        # The start does not depend on which track comes first. After a longer pause it is the time of the first frame.
        late_ns = since_end_ns if since_end_ns is not None and since_end_ns < _SLACK_NS else 0
        return self._begin(time_ns - late_ns, utc_ns - late_ns)

    def _begin(self, start_ns: int, utc_ns: int) -> Segment:
        stem = self._manifest.claim(lambda number: stamp(utc_ns + number * 1_000_000))
        segment = Segment(start_ns, utc_ns, stem)
        self._known.insert(bisect_right(self._known, start_ns, key=lambda known: known.start_ns), segment)
        self._retention.newest = stem
        self._retention.enforce()
        return segment


def _since_boot_ns() -> int:
    return time.time_ns() - time.monotonic_ns()


def stamp(at_ns: int) -> str:
    """UTC time for file names, to the millisecond."""
    return datetime.fromtimestamp(at_ns / 1e9, UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"


def iso(at_ns: int) -> str:
    """ISO 8601 with microseconds."""
    return datetime.fromtimestamp(at_ns / 1e9, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
