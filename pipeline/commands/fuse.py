"""`fusecam --ir --vis`: both cameras fused into the outputs that are asked for."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from ...calib.atomic import AtomicFile
from ...engines.host.terminal import Terminal
from ..config import RunConfig
from ..core.doubts import DOUBTFUL
from ..core.log import write_json_lines, writing
from ..core.machine import has_display
from ..core.paths import check_not_input
from ..errors import InputError
from ..monitoring.watch import check_watching
from ..report import print_summary, write_report
from ..run.console import INTERRUPTED, interruptible
from ..run.streams import build_tools, check_sources, open_streams
from ..running import run_streams
from ..sinks import check_display, lines_of


def run_fuse(config: RunConfig, console: Console) -> int:
    """The plain `fusecam` command. Returns the exit code. Raises the expected errors of the stages."""
    check_sources(config.sources)
    if config.monitor.log_json:
        write_json_lines()
    check_watching(config.monitor)
    if writing():
        console = Terminal(stderr=True, quiet=True)
    config = _with_window_decided(config)
    if config.output.report is not None:
        _spare_report(config, config.output.report)
        # A place that cannot be written to is better known before the run.
        AtomicFile(config.output.report, InputError).discard()
    try:
        with console.status("opening both cameras") as status:
            streams = open_streams(config)
            status.update("building the engine")
            try:
                tools = build_tools(config.engine, config.detector)
            except BaseException:
                streams.close()
                raise
    except KeyboardInterrupt:
        return INTERRUPTED
    try:
        with interruptible() as stop:
            finished = run_streams(config, streams, tools, stop, console)
    except KeyboardInterrupt:
        console.print("stopped at once: what was unfinished is removed, recordings are kept", highlight=False)
        return INTERRUPTED
    if config.output.report is not None:
        write_report(finished.report, config.output.report)
    if finished.outcome.kept:
        print_summary(finished.report, finished.recorder, config, console)
    if finished.outcome.failure is not None:
        raise finished.outcome.failure
    if finished.outcome.ended == "interrupted":
        return INTERRUPTED
    return DOUBTFUL if finished.report["doubts"] else 0


def _spare_report(config: RunConfig, report: Path) -> None:
    out = config.output.out
    sources = config.sources.ir.source, config.sources.vis.source
    check_not_input(report, (*sources, *config.files_read), option="--report")
    if out is not None:
        check_not_input(report, (out, lines_of(out)), "the output", "--report")


def _with_window_decided(config: RunConfig) -> RunConfig:
    """Without any output asked for, the result goes to a window; without a display that is an error."""
    output = config.output
    if output.show:
        check_display()
    if output.show is not None or any(
        (output.out, output.send, output.sinks, output.report, config.record.folder, config.monitor.serve)
    ):
        return config
    if not has_display():
        raise InputError("there is no display to show the result: give --out FILE or --serve :8080")
    return config.model_copy(update={"output": output.model_copy(update={"show": True})})
