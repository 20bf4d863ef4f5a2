"""The report of a run: JSON, and a summary and latency table for the terminal."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from ..calib.atomic import write_atomic
from ..engines.host.terminal import markup, redacted, say
from .config import RunConfig
from .core import machine
from .core.doubts import Doubts
from .core.health import Health
from .core.latency import LatencyRecorder
from .detection.track import Tracker
from .errors import InputError
from .monitoring.view import RunView
from .run.streams import Streams, Tools
from .run.writer import Outcome
from .sinks import Outputs
from .sources.base import Source
from .sources.pixels.polarity import ASSUMED
from .timing.sync import SyncStats


def build_report(
    config: RunConfig,
    streams: Streams,
    tools: Tools,
    tracker: Tracker | None,
    outcome: Outcome,
    view: RunView,
    outputs: Outputs,
) -> dict[str, Any]:
    """Everything known of a finished run, ready for JSON: see `commands.schema.Report`."""
    haze, illumination = view.means()
    return {
        "version": 1,
        "ended": outcome.ended,
        "failure": None if outcome.failure is None else str(outcome.failure),
        "frames": outcome.frames,
        "seconds": round(outcome.seconds, 3),
        "engine": tools.engine.name,
        "haze": round(haze, 4),
        "illumination": round(illumination, 4),
        "detector": None if tools.detector is None else tools.detector.name,
        "detections": None if tools.detector is None else dict(sorted(view.detections().items())),
        "tracks": None if tracker is None else tracker.counts,
        "sources": {
            source.info.camera: _source(source, streams.health) for source in (streams.infrared, streams.visible)
        },
        "sync": asdict(streams.alignment) | asdict(streams.synchronizer.stats),
        "health": streams.health.snapshot(),
        "registration": None if streams.drift is None else streams.drift.account(),
        "latency": view.recorder.as_dict(),
        "warnings": warnings(streams, tools, outputs),
        "doubts": list(streams.doubts),
        "machine": machine.describe(),
        "config": config.model_dump(mode="json"),
    }


def _source(source: Source, run: Health) -> dict[str, Any]:
    info, health, counted = source.info, source.health, run.counters(source.info.camera)
    return {
        "source": info.spec,
        "kind": info.kind,
        "size": [info.width, info.height],
        "rate": None if info.rate is None else float(info.rate),
        "delivered": health.delivered,
        "corrupt": health.corrupt,
        "retimed": health.retimed,
        "clock_drift_ppm": health.drift_ppm,
        "polarity": health.polarity,
        "dropped_queue": counted["dropped_queue"],
        "unread": None if info.frames is None else max(info.frames - health.delivered - health.corrupt, 0),
        "unprocessed": counted["unprocessed"],
    }


def warnings(streams: Streams, tools: Tools, outputs: Outputs) -> list[str]:
    """Every reported fallback of the run, once each."""
    found = [*streams.notes, *tools.engine.notes, *streams.registrar.warnings]
    found += streams.infrared.health.warnings + streams.visible.health.warnings
    return list(dict.fromkeys([*found, *outputs.warnings]))


def doubt_never_met(stats: SyncStats, live: bool, doubts: Doubts) -> None:
    """Said at the end of a run: until then the cameras may still find each other. Of live ones the Synchronizer has
    said before that they rarely do; one may also have been away."""
    decided = stats.paired + stats.visible_alone
    if not decided or stats.paired >= (1 if live else max(stats.visible_alone, 1)):
        return
    if not stats.infrared:
        doubts.add(f"none of {decided} visible frames was fused: there was no infrared frame to use, see --ir's source")
        return
    found = f"only {stats.paired}" if stats.paired else "none"
    doubts.add(
        f"{found} of {decided} visible frames had an infrared one within "
        f"{stats.tolerance_ms:.0f} ms, the others were not fused; see that both recordings are of the same time, or "
        "give their offset with --offset-ms"
    )


def write_report(report: dict[str, Any], path: Path) -> None:
    """Write the report as JSON, whole or not at all. Raises InputError naming the file."""
    write_atomic(path, encoded(report), InputError)


def encoded(report: dict[str, Any]) -> bytes:
    """The report as JSON, without secrets."""
    return (json.dumps(redacted(report), indent=2, allow_nan=False) + "\n").encode()


def print_summary(report: dict[str, Any], recorder: LatencyRecorder, config: RunConfig, console: Console) -> None:
    """The latency table, then the account."""
    console.print(recorder.table())
    print_account(report, config, console)


def print_account(report: dict[str, Any], config: RunConfig, console: Console) -> None:
    """Print the frame counts, the time offset, all warnings, and the location of the result."""
    sync = report["sync"]
    unread = report["sources"]["infrared"]["unread"]
    tail = f", {unread} not read after the visible end" if unread and report["ended"] == "end of stream" else ""
    drift = f", drift {sync['drift_ppm']:+.1f} ppm" if sync["drift_ppm"] else ""
    say(
        console,
        f"{report['frames']} frames out ({report['ended']}); infrared paired {sync['paired']}, "
        f"visible alone {sync['visible_alone']}, infrared unused {sync['infrared_unused']}{tail}; "
        f"offset {sync['offset_ms']:+.1f} ms{drift} ({sync['origin']})",
    )
    if report["detections"] is not None:
        say(console, f"detected by {report['detector']}: {_found(report)}")
    told = (report["registration"] or {}).get("warning")  # when it happened
    for line in report["warnings"]:
        if line != told:
            say(console, line, "warning")
    if report["sources"]["infrared"]["polarity"] == ASSUMED:
        say(console, "infrared taken as white-hot; if hot things are dark in it, set sources.ir.polarity to black-hot")
    if doubts := len(report["doubts"]):
        say(
            console,
            f"the result rests on {doubts} assumption{'s' if doubts > 1 else ''} that may be wrong, listed above "
            "(--strict refuses such a result)",
            "doubtful",
        )
    if config.output.out is not None and report["frames"] and not report["health"]["run"]["output_losses"]:
        console.print(f"wrote [bold]{markup(config.output.out)}[/]", highlight=False, soft_wrap=True)


def _found(report: dict[str, Any]) -> str:
    """For example `person 431 (9 tracked), car 260 (4 tracked)`."""
    if not report["detections"]:
        return "nothing"
    tracks = report["tracks"]
    return ", ".join(
        f"{label} {count}" + ("" if tracks is None else f" ({tracks.get(label, 0)} tracked)")
        for label, count in report["detections"].items()
    )
