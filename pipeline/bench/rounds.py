"""A row of the report, measured in rounds: engines take turns, so that a slow minute affects all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import mean, median
from typing import Any

from ..core.latency import LatencyRecorder
from .jobs import DetectJob, FuseJob
from .watch import BUSY

Row = dict[str, Any]


@dataclass(slots=True)
class Entry:
    """A row that is being measured.

    Attributes:
        row: the keys that identify it.
        stage: name of its timings.
        label: display name.
        cache: name of the cache folder of its processes.
        cached: whether they use it.
        job: job of each round, except for the number of repeats.
        cold: result of the start with an empty cache.
        rounds: results so far.
        error: message if it failed.
    """

    row: Row
    stage: str
    label: str
    cache: str
    cached: bool
    job: FuseJob | DetectJob
    cold: Row | None = None
    rounds: list[Row] = field(default_factory=list)
    error: str | None = None

    def report(self) -> Row:
        """The row of the report: `cold`, the start with an empty cache (None if nothing is cached), and `together`."""
        if self.error is not None:
            return self.row | {"error": self.error}
        cold = None if self.cold is None else {name: self.cold[name] for name in ("first_frame_s", "peak_mib")}
        return self.row | {"cold": cold} | together(self.rounds, self.stage)


def together(rounds: Sequence[Row], stage: str) -> Row:
    """Combine one or more rounds of `measure_engine` or `measure_detector`.

    `stage`: StageSummary of all repeats. `rounds_ms`: median of each round. first_frame_s: median. cpu_s: sum.
    peak_mib: maximum. page_faults, others: mean. busy: from that mean of others.
    """
    recorder = LatencyRecorder()
    for ns in (ns for row in rounds for ns in row["samples_ns"]):
        recorder.add(stage, ns)
    summary = recorder.summary(stage)
    assert summary is not None  # every round has repeats
    others = round(mean(row["others"] for row in rounds), 3)
    return {name: value for name, value in rounds[0].items() if name != "samples_ns"} | {
        stage: asdict(summary),
        "rounds_ms": [round(median(row["samples_ns"]) * 1e-6, 3) for row in rounds],
        "first_frame_s": round(median(row["first_frame_s"] for row in rounds), 3),
        "others": others,
        "busy": others >= BUSY,
        "cpu_s": round(sum(row["cpu_s"] for row in rounds), 3),
        "page_faults": round(mean(row["page_faults"] for row in rounds), 1),
        "peak_mib": max(row["peak_mib"] for row in rounds),
    }
