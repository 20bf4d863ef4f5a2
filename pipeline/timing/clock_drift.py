"""The time offset of two recordings over their whole length: constant, changing evenly (drift), or not evenly.

Windows of some seconds at both ends tell whether it is constant. If not, windows between them tell how it changes: the
nearer ones predict where the further ones have to search, so that a false frame rate is found in recordings of hours.
A short recording whose ends tell nothing is left at that: reading takes time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ..core.frames import Frame
from ..registration.register import Registrar
from .offset import OffsetEstimate, measure_offset

_NEAREST_S = 15.0  # between windows that are compared
_REACH_S = 60.0  # after which clocks 2 % apart differ by less than is searched
_FURTHER = 10  # times as far the offset is predicted by the windows so far
_LONG_S = 120.0  # over which small differences are those of clocks; over less, of the measurement
_HALF_FRAME_MS = 20.0  # at 25 fps; smaller changes do no harm

Point = tuple[float, float, float]
"""Time in s, offset in ms, its uncertainty in ms (95 %)."""


@dataclass(frozen=True, slots=True)
class DriftEstimate:
    """Offset and drift over a recording.

    offset_ms: at `begun_s`, as Synchronizer takes it; 0 unless `ok`. ppm: 0 where the recording is too short to tell or
    no drift explains the windows. steady: whether offset and drift explain all windows. windows: (infrared time of the
    middle in seconds from `begun_s`, estimate) of each.
    """

    offset_ms: float
    ppm: float
    ok: bool
    steady: bool
    reason: str
    windows: tuple[tuple[float, OffsetEstimate], ...]


class FrameSource(Protocol):
    """A readable recording: frames in order, closed afterwards. Every Source is one."""

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Release the file."""
        ...


Opener = Callable[[float], FrameSource]
"""Opens a recording at, or anywhere before, that many seconds after its start, with times as from the start."""


def measure_drift(
    open_visible: Opener,
    open_infrared: Opener,
    duration_s: float,
    registrar: Registrar,
    seconds: float = 10.0,
    search_ms: float = 1500,
    begun_s: float = 0.0,
) -> DriftEstimate:
    """Measure the offset in windows over a recording of `duration_s` from `begun_s` on, and the drift.

    Short recordings are measured once. Raises as `measure_offset`.
    """
    found: dict[float, tuple[float, OffsetEstimate]] = {}

    def points(before_s: float = np.inf) -> list[Point]:
        told = [found[start_s] for start_s in sorted(found) if start_s < before_s]
        return [(t, e.offset_ms, e.error_ms or 0.0) for t, e in told if e.ok]

    def measure(start_s: float) -> None:
        slope, at_begin = _line(points(start_s))  # in ms per s, ms
        visible = open_visible(begun_s + start_s)
        infrared = open_infrared(begun_s + start_s - (at_begin + slope * start_s) / 1000)
        lagging = (
            replace(frame, time_ns=frame.time_ns + round(1e6 * (at_begin + slope * (frame.time_ns * 1e-9 - begun_s))))
            for frame in infrared
        )
        try:
            estimate = measure_offset(visible, lagging, registrar, seconds, search_ms, begun_s + start_s)
        finally:
            visible.close()
            infrared.close()
        middle_s = start_s + seconds / 2 - (at_begin + slope * start_s) / 1000
        if estimate.ok:
            estimate = replace(estimate, offset_ms=estimate.offset_ms + at_begin + slope * middle_s)
        if estimate.ok or start_s not in found:
            found[start_s] = middle_s, estimate

    last = duration_s - seconds - search_ms / 1000
    measure(0.0)
    if last >= _NEAREST_S:
        measure(last)
        ends, long = points(), last >= _LONG_S
        if _differ(ends[0], ends[1], 0.0) if len(ends) == 2 else ends or long:
            nearer = _REACH_S if long else last / 2
            while nearer < last:
                measure(nearer)
                nearer *= _FURTHER if long else 2
            if abs(_line(points(last))[0] * last) > search_ms / 4:
                measure(last)
    windows = tuple(found[start_s] for start_s in sorted(found))
    told = points()
    if not told:
        return DriftEstimate(0.0, 0.0, False, True, windows[0][1].reason, windows)
    ppm = estimate_drift(told)
    if ppm is None:
        reason = next(estimate.reason for _, estimate in windows if estimate.ok)
        steady = not any(_differ(a, b) for a in told for b in told)
        return DriftEstimate(told[0][1], 0.0, True, steady, reason, windows)
    reason = f"measured in {len(told)} of {len(windows)} windows"
    return DriftEstimate(_line(told)[1], ppm, True, True, reason, windows)


def estimate_drift(points: Sequence[Point]) -> float | None:
    """Drift in ppm: the slope of the weighted straight line.

    None with fewer than two points, where one lies off the line, or where a slope over less than two minutes may come
    from the measurement.
    """
    if len(points) < 2:
        return None
    slope, at_zero = _line(points)
    if any(abs(offset - at_zero - slope * t) > max(_HALF_FRAME_MS, error) for t, offset, error in points):
        return None
    first, last = min(points), max(points)
    return slope * 1000 if last[0] - first[0] >= _LONG_S or _differ(first, last) else None


def _line(points: Sequence[Point]) -> tuple[float, float]:
    """Slope and value at 0 of the straight line through the points; a level one through fewer than two."""
    if len(points) < 2:
        return 0.0, points[0][1] if points else 0.0
    t, offset, error = np.array(points, np.float64).T
    slope, at_zero = np.polyfit(t, offset, 1, w=1 / np.maximum(error, 1.0))
    return float(slope), float(at_zero)


def _differ(a: Point, b: Point, by_ms: float = _HALF_FRAME_MS) -> bool:
    return abs(a[1] - b[1]) > by_ms + float(np.hypot(a[2], b[2]))
