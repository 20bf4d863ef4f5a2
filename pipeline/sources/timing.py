"""Stored timestamps to capture times that strictly increase, with a count of every one that had to be changed."""

from __future__ import annotations

import time
from collections import deque
from fractions import Fraction
from typing import NamedTuple, Protocol

from .base import SourceHealth
from .clock import ClockMapper, Observation

_RESTART_S = 1
_NEAR_NS = 60_000_000_000
_DRIFT_EVERY_NS = 1_000_000_000  # it changes slowly and costs a millisecond
_SURE_NS = 2_000_000_000  # how long a clock is in doubt before it is reported

_CORRECTIONS = {
    "missing": "has frames without a timestamp: timed by decoding order and frame rate",
    "repeated": "has timestamps that repeat or go back: those frames are timed one tick after the one before",
    "restart": "has timestamps that start again: what follows is timed as if it continued",
}


class Stamp(NamedTuple):
    """time_ns: on the source's clock. pts: as stored, or corrected."""

    time_ns: int
    pts: int


class Stamper(Protocol):
    """Gives each frame of one source its capture time."""

    def stamp(self, pts: int | None, dts: int | None, time_base: Fraction, arrival_ns: int) -> Stamp:
        """Capture time of the next frame, in presentation order."""
        ...

    def observe(self, pts: int, time_base: Fraction, arrival_ns: int) -> None:
        """Observe a frame that will be stamped later."""
        ...


def to_ns(ticks: int, time_base: Fraction) -> int:
    """`ticks * time_base` seconds in whole nanoseconds, rounded to nearest without going through floats."""
    scaled = ticks * time_base.numerator * 1_000_000_000
    return (2 * scaled + time_base.denominator) // (2 * time_base.denominator)


class MediaTimes:
    """Times as stored in the file, not moved to zero.

    A missing timestamp is replaced by the decoding one, else by the predecessor's plus a period. One that repeats or
    steps back by up to 1 s becomes its predecessor's plus one tick. One that steps back further is taken for a
    restart (concatenated files): it continues one period after its predecessor, and later frames are shifted with it.
    Each corrected frame is counted in `health.retimed`, frames that are only shifted are not. Each kind of correction
    is reported once in `health.warnings`.
    """

    def __init__(
        self, spec: str, rate: Fraction | None, health: SourceHealth, pace: float = 1.0, origin_ns: int = 0
    ) -> None:
        """pace: true seconds per stored second from origin_ns on, if the stored frame rate is wrong."""
        self._spec = spec
        self._rate = rate
        self._pace, self._origin_ns = pace, origin_ns
        self.health = health
        self._last: int | None = None
        self._step = 0
        self._shift = 0

    def stamp(self, pts: int | None, dts: int | None, time_base: Fraction, arrival_ns: int) -> Stamp:
        """See `Stamper`. `arrival_ns` is ignored."""
        last = self._last
        stored = dts if pts is None else pts
        guessed = 0 if last is None else last + self._period(time_base)
        ticks = guessed if stored is None else stored + self._shift
        correction = "missing" if pts is None else None
        if last is not None and ticks <= last:
            if (last - ticks) * time_base > _RESTART_S:
                moved = last + self._period(time_base)
                self._shift += moved - ticks
                ticks, correction = moved, "restart"
            else:
                ticks, correction = last + 1, "repeated"
        if correction:
            self.health.retimed += 1
            line = f"{self._spec}: {_CORRECTIONS[correction]} (first at {float(ticks * time_base):.3f} s)"
            self.health.warn(correction, line)
        if last is not None:
            self._step = ticks - last
        self._last = ticks
        time_ns = to_ns(ticks, time_base)
        if self._pace != 1:
            time_ns = self._origin_ns + round((time_ns - self._origin_ns) * self._pace)
        return Stamp(time_ns, ticks)

    def observe(self, pts: int, time_base: Fraction, arrival_ns: int) -> None:
        """Do nothing: times are used as stored."""

    def _period(self, time_base: Fraction) -> int:
        return max(1, round(1 / (self._rate * time_base)) if self._rate else self._step)

    def report_slow_clock(self, pace: float) -> None:
        """Report once that stored times advance `pace` seconds per true second, and are replaced."""
        self.health.warn(
            "slow clock",
            f"{self._spec}: its timestamps advance {pace:.2f} s for each second of its frames' arrivals (a nominal "
            "frame rate, not a clock): timed by arrival",
        )


class ChunkTimes:
    """Presentation times for a container that stores only when packets are decoded (AVI): the n-th frame to be shown
    has the n-th of these times. FFmpeg's guesses there are late, and in the order of the packets.
    """

    def __init__(self) -> None:
        self._waiting: deque[int] = deque()
        self._most: int | None = None

    def add(self, dts: int | None) -> None:
        """Add the time of the next packet, before it is decoded."""
        if dts is not None:
            self._waiting.append(dts)

    def damaged(self) -> None:
        """The last packet gives no frame."""
        if self._waiting:
            self._waiting.pop()

    def next(self) -> int | None:
        """Time of the next decoded frame; None if it has none."""
        self._most = self._most or len(self._waiting)
        while len(self._waiting) > self._most:  # a packet gave no frame
            self._waiting.popleft()
        return self._waiting.popleft() if self._waiting else None


class NetworkTimes:
    """The sender's times mapped onto this host's CLOCK_MONOTONIC by the lower envelope of the arrival delays.

    A sender whose timestamps only count frames at a nominal rate is timed by arrival, which is reported once.
    """

    def __init__(self, media: MediaTimes) -> None:
        self._media = media
        self.mapper = ClockMapper()
        self._reported_ns = 0
        self._doubted_ns: int | None = None
        self._observed: deque[tuple[int, Observation]] = deque()

    def stamp(self, pts: int | None, dts: int | None, time_base: Fraction, arrival_ns: int) -> Stamp:
        """See the class."""
        repaired = self._media.stamp(pts, dts, time_base, arrival_ns)
        if pts is None:
            return Stamp(self.mapper.place_untimed(arrival_ns), repaired.pts)
        sender = to_ns(pts, time_base)
        if self._observed and self._observed[0][0] == sender and self._observed[0][1].arrival == arrival_ns:
            seen = self._observed.popleft()[1]
        else:
            seen = self.mapper.observe(sender, arrival_ns)
        if arrival_ns - self._reported_ns >= _DRIFT_EVERY_NS:
            self._reported_ns = arrival_ns
            self._media.health.drift_ppm = self.mapper.drift_ppm
            self._check_rate(arrival_ns)
        return Stamp(self.mapper.place(seen), repaired.pts)

    def observe(self, pts: int, time_base: Fraction, arrival_ns: int) -> None:
        """Add a frame's delay to the envelope before the frames ahead of it are stamped."""
        sender = to_ns(pts, time_base)
        self._observed.append((sender, self.mapper.observe(sender, arrival_ns)))

    def _check_rate(self, arrival_ns: int) -> None:
        if self.mapper.rate == 1:
            self._doubted_ns = None
        elif self._doubted_ns is None:
            self._doubted_ns = arrival_ns
        elif arrival_ns - self._doubted_ns >= _SURE_NS:
            self._media.report_slow_clock(1 / self.mapper.rate)


class CameraTimes:
    """A V4L2 driver's buffer times on CLOCK_MONOTONIC.

    The first frame shows which clock the driver uses: CLOCK_MONOTONIC (most drivers) is used as it is, wall-clock time
    is shifted by the current difference of the two clocks, and any other is mapped like a network sender's. A time that
    repeats, goes back or lies in the future is replaced by the arrival time and counted as retimed.
    """

    def __init__(self, media: MediaTimes) -> None:
        self._health = media.health
        self._network = NetworkTimes(media)
        self._clock: str | None = None
        self._last: int | None = None

    def stamp(self, pts: int | None, dts: int | None, time_base: Fraction, arrival_ns: int) -> Stamp:
        """See the class."""
        mapped = self._network.stamp(pts, dts, time_base, arrival_ns)
        if pts is None:
            stamped = mapped.time_ns
        else:
            stored = to_ns(pts, time_base)
            wall = time.time_ns() - time.monotonic_ns()
            if self._clock is None:
                near = {"monotonic": abs(arrival_ns - stored), "wall": abs(arrival_ns + wall - stored)}
                nearest = min(near, key=lambda clock: near[clock])
                self._clock = nearest if near[nearest] < _NEAR_NS else "unknown"
            stamped = {"monotonic": stored, "wall": stored - wall, "unknown": mapped.time_ns}[self._clock]
        if stamped > arrival_ns:
            self._health.retimed += 1
            stamped = arrival_ns
        if self._last is not None and stamped <= self._last:  # steps back are counted in MediaTimes
            stamped = max(arrival_ns, self._last + 1)
        self._last = stamped
        return Stamp(stamped, mapped.pts)

    def observe(self, pts: int, time_base: Fraction, arrival_ns: int) -> None:
        """As for a network sender, in case the driver's clock turns out to be unknown."""
        self._network.observe(pts, time_base, arrival_ns)
