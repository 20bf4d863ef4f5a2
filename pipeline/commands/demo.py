"""`fusecam demo`: runs the sample clips through the whole chain and writes videos, a contact sheet and latencies."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import as_file, files
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ...calib.atomic import write_atomic
from ...engines.host.terminal import Terminal, markup
from ..config import DetectorConfig, RunConfig
from ..core.doubts import DOUBTFUL
from ..errors import InputError
from ..report import print_account, write_report
from ..run.console import INTERRUPTED, interruptible
from ..run.streams import build_tools, open_streams
from ..running import run_streams
from ..sinks.contact_sheet import ContactSheet, compose, save

SCENES = {"fog_day": "fog by day", "clear_night": "clear night", "fog_night": "fog by night"}
SHOWN = 0.55  # of each clip: where the frame on the contact sheet is taken


def run_demo(out: Path, weights: Path | None, console: Console) -> int:
    """Run the three sample scenes; leave videos, JSON lines, contact sheet, latency table and reports in `out`."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; give a folder with --out")
    follow = DetectorConfig(weights=weights).wanted
    base = RunConfig.model_validate(
        {"detector": {"weights": weights, "track": follow}, "overlay": {"inset": True, "trails": follow}}
    )
    with console.status("building the engine"):
        tools = build_tools(base.engine, base.detector)
    if tools.detector is None:
        console.print("No detector weights are installed: the demo runs without detection (--detector FILE adds it).")
    rows, tables, doubtful = [], [], False
    with as_file(files("fusecam.samples")) as samples, interruptible() as stop:
        for scene, title in SCENES.items():
            config = base.model_copy(
                update={
                    "rig": samples / "rig.yaml",
                    "sources": base.sources.reading(samples / f"{scene}_ir.mp4", samples / f"{scene}_vis.mp4"),
                    "output": base.output.model_copy(update={"out": out / f"{scene}.mp4", "show": False}),
                }
            )
            streams = open_streams(config)
            sheet = ContactSheet([int(SHOWN * (streams.visible.info.frames or 0))])
            finished = run_streams(config, streams, tools, stop, console, title=title, more_sinks=[sheet])
            if finished.outcome.failure is not None:
                raise finished.outcome.failure
            if stop.is_set():
                return INTERRUPTED
            write_report(finished.report, out / f"{scene}.report.json")
            rows += [(title, images) for images in sheet.rows]
            tables.append(finished.recorder.table(f"{title}: latency"))
            console.print(tables[-1])
            print_account(finished.report, config, console)
            doubtful |= bool(finished.report["doubts"])
    save(compose(rows), out / "contact_sheet.png")
    write_atomic(out / "latency.txt", _as_text(tables).encode(), InputError)
    console.print(f"Look at [bold]{markup(out)}/contact_sheet.png[/] and the three videos beside it.", highlight=False)
    return DOUBTFUL if doubtful else 0


def _as_text(tables: Sequence[Table]) -> str:
    text = StringIO()
    page = Terminal(file=text, width=120, color_system=None)
    for table in tables:
        page.print(table)
    return text.getvalue()
