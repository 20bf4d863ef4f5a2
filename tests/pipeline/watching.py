"""A run to be watched, without a run: real counters and results, put in by the test."""

from __future__ import annotations

from fusecam.engines.prompts.asked import Spoken
from fusecam.pipeline.health import Health
from fusecam.pipeline.latency import LatencyRecorder
from fusecam.pipeline.monitor.switches import Switches
from fusecam.pipeline.monitor.view import RunView


def run_view(
    warnings: list[str] | None = None,
    available: tuple[str, ...] = ("overlay", "detector"),
    prompt: Spoken | None = None,
) -> RunView:
    told = [] if warnings is None else warnings
    names = (lambda: "tiny:openvino:f32"), (lambda: None), (lambda: list(told))
    return RunView(Health(), LatencyRecorder(), *names, Switches(), available, prompt)
