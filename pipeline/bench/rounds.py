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
    """A row on its way. row: what names it. stage: what its times are called. label: for people. cache: name of the
    folder that its processes cache in; cached: whether they do. job: what a round does, but for the number of its
    repeats. error: why it came to nothing."""

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
        """The row: `cold`, the start with an empty cache, None where nothing is cached, and the rounds `together`."""
        if self.error is not None:
            return self.row | {"error": self.error}
        cold = None if self.cold is None else {name: self.cold[name] for name in ("first_frame_s", "peak_mib")}
        return self.row | {"cold": cold} | together(self.rounds, self.stage)


def together(rounds: Sequence[Row], stage: str) -> Row:
    """The rounds of `measure_engine` or `measure_detector` as one, at least one of them.

    `stage`: StageSummary of all repeats; `rounds_ms`: the median of each round. Of the rest the median of
    first_frame_s, the sum of cpu_s, the highest of peak_mib, the mean of page_faults and of others; busy goes by that.
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
