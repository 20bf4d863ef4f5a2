"""`fusecam batch`: runs folders of clips, sequentially on this machine or on a Ray cluster; skips finished ones."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ...engines.host.terminal import markup, say
from ..config import MonitorConfig, RunConfig
from ..core.doubts import DOUBTFUL
from ..errors import InputError
from ..run.console import INTERRUPTED, interruptible
from .clips import Clip, Row, Work, find_clips, run_clip, status_line, summary_table
from .cluster import Cluster, run_clips


def run_batch(
    ir_source: str,
    vis_source: str,
    out: Path,
    config: RunConfig,
    force: bool,
    console: Console,
    cluster: Cluster | None = None,
) -> int:
    """Run every pair of clips. A clip that fails is reported and does not stop the others.

    cluster: where to run them, None for sequentially on this machine. Returns the exit code: 0 all done, 3 done with
    doubts, 1 a clip failed or has no partner, 130 interrupted. Raises InputError if there is nothing to run.
    """
    if ignored := sorted(config.monitor.model_fields_set - {"drift"}):
        told = ", ".join(f"monitor.{name}" for name in ignored)
        console.print(f"[yellow]ignored:[/] {told}, which watch a single run", highlight=False)
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; give a folder for the results")
    clips, alone, doubts = find_clips(ir_source, vis_source, out.absolute(), config.sources.pairs)
    config = _settled(config)
    for path in alone:
        console.print(f"[yellow]no partner:[/] {markup(path)}", highlight=False, soft_wrap=True)
    for line in doubts:
        if config.strict:
            raise InputError(f"--strict: {line}")
        say(console, line, "doubtful")
    with interruptible() as stop:
        if cluster is None:
            rows = _run_here(clips, config, force, stop, console)
        else:
            rows = run_clips(clips, config, force, stop, console, cluster)
    console.print(summary_table(rows, len(clips), len(alone), len(doubts)))
    if stop.is_set():
        return INTERRUPTED
    if alone or len(rows) < len(clips) or any(row.status == "failed" for row in rows):
        return 1
    return DOUBTFUL if doubts or any(row.figures is not None and row.figures.doubts for row in rows) else 0


def _settled(config: RunConfig) -> RunConfig:
    """Configuration for every clip: absolute paths, no overlay unless requested."""
    weights = config.detector.weights
    update: dict[str, Any] = {
        "overlay": config.overlay.model_copy(update={"enabled": bool(config.overlay.enabled)}),
        "detector": config.detector.model_copy(update={"weights": None if weights is None else weights.absolute()}),
        "rig": None if config.rig is None else config.rig.absolute(),
        "sources": config.sources.model_copy(update={"pairs": None}),  # the clips are paired already
        "monitor": MonitorConfig(drift=config.monitor.drift),  # the rest applies to a single run only
    }
    return config.model_copy(update=update)


def _run_here(
    clips: Sequence[Clip], config: RunConfig, force: bool, stop: threading.Event, console: Console
) -> list[Row]:
    with console.status("building the engine"):
        work = Work.prepare(config, force)
    rows: list[Row] = []
    for number, clip in enumerate(clips, 1):
        row = run_clip(clip, work, stop, console, f"{number}/{len(clips)} {clip.name}")
        rows.append(row)
        console.print(status_line(row), highlight=False, soft_wrap=True)
        if stop.is_set():
            break
    return rows
