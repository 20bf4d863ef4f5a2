"""A run to be watched, without a run: real counters and results, put in by the test."""

from __future__ import annotations

from fusecam.engines.prompts.conditioning import AdjustablePrompt
from fusecam.pipeline.core.health import Health
from fusecam.pipeline.core.latency import LatencyRecorder
from fusecam.pipeline.monitoring.switches import Switches
from fusecam.pipeline.monitoring.view import RunView


def run_view(
    warnings: list[str] | None = None,
    available: tuple[str, ...] = ("overlay", "detector"),
    prompt: AdjustablePrompt | None = None,
) -> RunView:
    told = [] if warnings is None else warnings
    names = (lambda: "tiny:openvino:f32"), (lambda: None), (lambda: list(told))
    return RunView(Health(), LatencyRecorder(), *names, Switches(), available, prompt)
