"""Defaults and limits that pipeline/README.md states are those of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusecam.pipeline.batch.cluster import ATTEMPTS, Cluster
from fusecam.pipeline.config import DetectorConfig, RecordConfig, SourceConfig
from fusecam.pipeline.detection.track import PROVEN, REMEMBERED
from fusecam.pipeline.monitoring.site import MOST, UNKNOWN
from fusecam.pipeline.monitoring.watch import HEARTBEAT_S
from fusecam.pipeline.sinks.recording.track import RETRY_S
from fusecam.pipeline.sources.pipe import AHEAD
from fusecam.pipeline.sources.watchdog import FIRST_PAUSE_S, LONGEST_PAUSE_S

README = (Path(__file__).parents[2] / "pipeline" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("said", "figure"),
    [
        ("`sources.stall_s` ({:g} s)", SourceConfig().stall_s),
        ("with pauses of {:g}", FIRST_PAUSE_S),
        ("0.25 to {:g} s.", LONGEST_PAUSE_S),
        ("`sources.give_up_s` ({:g} s", SourceConfig().give_up_s),
        ("buffered up to {:g} MiB", AHEAD / 2**20),
        ("gaps of up to {} frames", REMEMBERED),
        ("found in {} frames", {5: "five"}.get(PROVEN)),
        ("`detector.coast_s` ({:g} s;", DetectorConfig().coast_s),
        ("`--ray-cores` ({})", Cluster("").cores),
        ("{} times at most", {3: "three"}.get(ATTEMPTS)),
        ("`record.segment_s` ({:g})", RecordConfig().segment_s),
        ("`record.quota_gb` ({:g})", RecordConfig().quota_gb),
        ("a retry every {:g} s", RETRY_S),
        ("At most {} connections", MOST),
        ("connections, {} unauthenticated", UNKNOWN),
        ("figures every {} seconds", {10.0: "ten"}.get(HEARTBEAT_S)),
    ],
)
def test_documented_figure_equals_the_code(said: str, figure: object) -> None:
    assert said.format(figure) in README
