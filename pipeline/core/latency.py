"""Latency of every stage, per run and over the last two seconds, in bounded memory.

Latencies are nanoseconds of the host's monotonic clock inside, milliseconds in every report. Jitter is the standard
deviation of the latency (population form), which is how camera-to-display figures are commonly published; it is not
the difference of neighbouring frames (RFC 3550).
"""

from __future__ import annotations

import math
import time
from array import array
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import accumulate
from threading import Lock
from typing import Any

import numpy as np
from rich.table import Table

EXACT = 8192
"""Number of samples of a stage up to which percentiles are exact; beyond, they come from the histogram."""
_MANTISSA_BITS = 7  # buckets are at most 1/128 of their value wide: their centre is within 0.4 % of any sample in them
_RECENT = 1024  # samples kept per stage for the rolling figures: the window of 2 s at up to 512 fps
_MS = 1e-6


@dataclass(frozen=True, slots=True)
class StageSummary:
    """One stage over the whole run. Milliseconds; percentiles as numpy.percentile's linear method.

    iqr_ms: p75 - p25.
    """

    count: int
    mean_ms: float
    p50_ms: float
    iqr_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    jitter_ms: float


@dataclass(frozen=True, slots=True)
class Histogram:
    """below: samples up to each bound, cumulative, the bound widened to the end of its bucket (0.8 % at most).

    count: all samples. total: their sum in nanoseconds.
    """

    below: tuple[int, ...]
    count: int
    total: int


class _Stage:
    """One stage's samples: exact sums, a histogram with 128 buckets to the octave, the first and the latest samples."""

    __slots__ = ("count", "exact", "highest", "histogram", "lowest", "recent", "squares", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0
        self.squares = 0
        self.lowest = 0
        self.highest = 0
        self.exact: array[int] | None = array("q")
        self.histogram: Counter[int] = Counter()
        self.recent: deque[tuple[int, int]] = deque(maxlen=_RECENT)

    def add(self, ns: int, now: int) -> None:
        self.lowest = min(self.lowest, ns) if self.count else ns
        self.highest = max(self.highest, ns)
        self.count += 1
        self.total += ns
        self.squares += ns * ns
        self.histogram[_bucket(ns)] += 1
        self.recent.append((now, ns))
        if self.exact is not None:
            if self.count <= EXACT:
                self.exact.append(ns)
            else:
                self.exact = None

    def percentiles(self, wanted: tuple[float, ...]) -> list[float]:
        """In nanoseconds; the exact samples while they last, else order statistics read off the histogram."""
        if self.exact is not None:
            return [float(value) for value in np.percentile(np.array(self.exact), wanted)]
        buckets = sorted(self.histogram)
        cumulative = np.cumsum([self.histogram[bucket] for bucket in buckets])
        centres = np.array([_centre(bucket) for bucket in buckets])
        ranks = np.array(wanted) / 100 * (self.count - 1)
        low = centres[np.searchsorted(cumulative, np.floor(ranks), side="right")]
        high = centres[np.searchsorted(cumulative, np.ceil(ranks), side="right")]
        values = np.clip(low + (high - low) * (ranks - np.floor(ranks)), self.lowest, self.highest)
        return [float(value) for value in values]

    def below(self, bounds: Sequence[int]) -> list[int]:
        """How many samples are at most each bound, in nanoseconds, ascending."""
        ends = [_bucket(bound) for bound in bounds]
        counts = [0] * (len(bounds) + 1)
        for bucket, number in self.histogram.items():
            counts[bisect_left(ends, bucket)] += number
        return list(accumulate(counts))[:-1]

    def summary(self) -> StageSummary:
        # Integers of any size: the variance of millions of samples without cancellation.
        variance = (self.count * self.squares - self.total * self.total) / self.count**2
        p25, p50, p75, p95, p99 = self.percentiles((25, 50, 75, 95, 99))
        mean, deviation = self.total / self.count, math.sqrt(variance)
        figures = mean, p50, p75 - p25, p95, p99, self.highest, deviation
        return StageSummary(self.count, *(value * _MS for value in figures))


class LatencyRecorder:
    """Stage latencies, counters and throughput of one run. Every method may be called from any thread.

    frame_log: keep every frame's latencies for `as_dict`, 8 bytes for each stage and frame.
        Without it memory does not grow with the number of frames.
    """

    def __init__(self, frame_log: bool = False) -> None:
        self._lock = Lock()
        self._stages: dict[str, _Stage] = {}
        self._counters: Counter[str] = Counter()
        self._log: dict[str, array[int]] | None = {} if frame_log else None
        self._outputs: deque[int] = deque(maxlen=_RECENT)
        self._frames = 0
        self._first_output = 0

    @contextmanager
    def stage(self, name: str, frame: int | None = None) -> Iterator[None]:
        """A `with` block whose duration is a sample of stage `name`; `frame` as in `add`.

        A block that raises is not counted: its frame has no latency, it failed.
        """
        started = time.perf_counter_ns()
        yield
        self.add(name, time.perf_counter_ns() - started, frame)

    def add(self, name: str, ns: int, frame: int | None = None) -> None:
        """One latency of stage `name` in nanoseconds, at least 0.

        frame: the output frame's index, from 0 without large gaps, under which the per-frame log keeps it.
        """
        ns = int(ns)
        if ns < 0:
            raise ValueError(f"a latency cannot be negative: {name} {ns} ns")
        with self._lock:
            now = time.monotonic_ns()
            stage = self._stages.get(name)
            if stage is None:
                stage = self._stages[name] = _Stage()
            stage.add(ns, now)
            if self._log is not None and frame is not None:
                column = self._log.setdefault(name, array("q"))
                if frame >= len(column):
                    column.extend([-1] * (frame + 1 - len(column)))
                column[frame] = ns

    def count(self, name: str, increment: int = 1) -> None:
        """Raise a counter, for example `dropped_queue`. Counters never fall: a negative increment is a ValueError."""
        if increment < 0:
            raise ValueError(f"counters only rise: {name} {increment}")
        with self._lock:
            self._counters[name] += increment

    def output(self) -> None:
        """One frame has left the pipeline. Throughput is counted from these calls."""
        now = time.monotonic_ns()
        with self._lock:
            if self._frames == 0:
                self._first_output = now
            self._frames += 1
            self._outputs.append(now)

    def stages(self) -> list[str]:
        """The names of all stages so far, in the order of their first sample."""
        with self._lock:
            return list(self._stages)

    def summary(self, name: str) -> StageSummary | None:
        """One stage over the run; None when it has no samples."""
        with self._lock:
            stage = self._stages.get(name)
            return stage.summary() if stage else None

    def histograms(self, bounds: Sequence[int]) -> dict[str, Histogram]:
        """Every stage over the run so far, for counters that others read off. bounds: nanoseconds, ascending."""
        with self._lock:
            return {
                name: Histogram(tuple(stage.below(bounds)), stage.count, stage.total)
                for name, stage in self._stages.items()
            }

    def rolling(self, name: str, window_s: float = 2.0) -> tuple[float, float] | None:
        """(p50, p99) in ms of a stage's samples of the last `window_s` seconds (1024 at most); None without any."""
        since = time.monotonic_ns() - int(window_s * 1e9)
        with self._lock:
            stage = self._stages.get(name)
            recent = [ns for at, ns in stage.recent if at >= since] if stage else []
        if not recent:
            return None
        p50, p99 = np.percentile(recent, (50, 99))
        return float(p50) * _MS, float(p99) * _MS

    def fps(self, window_s: float | None = None) -> float:
        """Output frames per second over the run, or over the last `window_s` seconds; 0 before the second frame."""
        with self._lock:
            if window_s is None:
                intervals, first = self._frames - 1, self._first_output
            else:
                since = time.monotonic_ns() - int(window_s * 1e9)
                recent = [at for at in self._outputs if at >= since]
                intervals, first = len(recent) - 1, recent[0] if recent else 0
            elapsed = self._outputs[-1] - first if intervals > 0 else 0
        return intervals * 1e9 / elapsed if elapsed else 0.0

    def as_dict(self) -> dict[str, Any]:
        """The run for JSON: `frames`, `fps`, `stages` as StageSummary, `counters`, and with the log `frame_latencies`.

        Stages are in the order of their first sample.
        """
        fps = self.fps()
        with self._lock:
            report: dict[str, Any] = {
                "frames": self._frames,
                "fps": fps,
                "stages": {name: asdict(stage.summary()) for name, stage in self._stages.items()},
                "counters": dict(self._counters),
            }
            if self._log is not None:
                length = max((len(column) for column in self._log.values()), default=0)
                report["frame_latencies"] = [{"frame": index, **self._row(index)} for index in range(length)]
        return report

    def table(self, title: str = "Latency") -> Table:
        """The stages as a table for the terminal, counters and throughput in its caption."""
        report = self.as_dict()
        table = Table(title=f"{title} (ms)", title_justify="left", caption_justify="left")
        table.add_column("stage")
        columns = ("count", "mean", "p50", "p95", "p99", "max", "jitter")
        for column in columns:
            table.add_column(column, justify="right")
        for name, stage in report["stages"].items():
            figures = (stage[f"{column}_ms"] for column in columns[1:])
            table.add_row(name, str(stage["count"]), *(f"{figure:.2f}" for figure in figures))
        counted = "".join(f", {name} {value}" for name, value in report["counters"].items())
        table.caption = f"{report['frames']} frames, {report['fps']:.1f} fps{counted}"
        return table

    def _row(self, index: int) -> dict[str, float]:
        log = self._log or {}
        return {
            f"{name}_ms": column[index] * _MS
            for name, column in log.items()
            if index < len(column) and column[index] >= 0
        }


def _bucket(ns: int) -> int:
    """Exact below 256 ns, then 128 buckets to the octave."""
    shift = max(0, ns.bit_length() - _MANTISSA_BITS - 1)
    return (shift << _MANTISSA_BITS) + (ns >> shift)


def _centre(bucket: int) -> float:
    shift = max(0, (bucket >> _MANTISSA_BITS) - 1)
    return ((bucket - (shift << _MANTISSA_BITS)) << shift) + ((1 << shift) - 1) / 2
