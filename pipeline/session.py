"""One run from configuration to report, with progress in the terminal and Ctrl-C that finishes the files."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from ..calib.atomic import AtomicFile
from ..engines import create_engine
from ..engines.base import BuildStopped
from ..engines.build.process import stoppable
from ..engines.host.terminal import Terminal, markup
from ..engines.registry import NAMES
from ..engines.warp import Shape
from .config import RunConfig
from .core.doubts import DOUBTFUL
from .core.latency import LatencyRecorder
from .core.log import write_json_lines, writing
from .core.machine import has_display
from .core.paths import spare
from .detection.detect import OwnDetector, create_detector
from .detection.track import Tracker
from .errors import InputError
from .monitoring.switches import Switches
from .monitoring.view import RunView
from .monitoring.watch import check_watching, watched
from .overlay import Overlay
from .report import build_report, doubt_never_met, print_summary, warnings, write_report
from .run.resizing import Sizes
from .run.runner import Outcome, Runner, Stages
from .run.streams import Streams, Tools, build_tools, check_sources, open_streams
from .sinks import Outputs, Sink, close_all, is_video, lines_of, open_sinks
from .sinks.record import RecordSink
from .sources.base import SourceInfo

INTERRUPTED = 130
_ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
PROGRESS_S = 0.1
_MOST_PIXELS = 9_000_000  # 4K is 8.3


@dataclass(slots=True)
class Finished:
    """A run that is over: what happened, and everything to be told about it."""

    outcome: Outcome
    report: dict[str, Any]
    recorder: LatencyRecorder


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Ctrl-C, SIGTERM or a closed terminal sets the event instead of raising; a second one raises KeyboardInterrupt.

    An engine's build is ended by the event, see `stoppable`.
    """
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    # What nohup ignores stays ignored: a recording outlives its terminal.
    caught = [n for n in _ENDING if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in caught}
    try:
        with stoppable(stop):
            yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_session(config: RunConfig, console: Console) -> int:
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
    except BuildStopped:
        return INTERRUPTED
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
    spare(report, (config.sources.ir.source, config.sources.vis.source, config.rig), option="--report")
    if out is not None:
        spare(report, (out, lines_of(out)), "the output", "--report")


def run_streams(
    config: RunConfig,
    streams: Streams,
    tools: Tools,
    stop: threading.Event,
    console: Console,
    *,
    title: str = "fusing",
    more_sinks: Sequence[Sink] = (),
    keep_partial: bool = True,
) -> Finished:
    """Open the outputs, run to the end under a progress bar, close everything.

    keep_partial: a run that was interrupted, or lost a camera, keeps the frames it has as a whole, playable output.
    Raises BuildStopped where it was interrupted before the first frame.
    """
    visible, infrared = streams.visible.info, streams.infrared.info
    health, switches = streams.health, Switches()
    sinks: list[Sink] = []
    runner: Runner | None = None

    def on_doubt(line: str) -> None:
        if not config.strict:
            console.print(f"[bold yellow]doubtful:[/] {markup(line)}", highlight=False, soft_wrap=True)
        elif runner is None:
            raise InputError(f"--strict: {line}")
        else:
            runner.fail(InputError(f"--strict: {line}"))

    try:
        if config.strict:
            for line in streams.doubts:
                on_doubt(line)
        names = visible.names
        inputs = [infrared.spec, visible.spec, *([] if config.rig is None else [str(config.rig)])]
        _check_size(tools.engine.name, visible)
        with console.status("building the engine for these frame sizes"):
            warp = streams.registrar.warp((visible.width, visible.height), (infrared.width, infrared.height))
            tools.engine.prepare(*warp.shape)
            if tools.detector is not None:
                tools.detector.prepare(visible.width, visible.height)
        follows = tools.detector is not None and config.detector.track
        tracker = Tracker(config.detector.confidence, config.detector.coast_s) if follows else None
        sinks += open_sinks(config.output, visible.rate, visible.pixel_aspect, names, inputs)
        recording = _recording(config, streams, switches)
        sinks += [*([] if recording is None else [recording]), *more_sinks]
        streams.doubts.follow(on_doubt)
    except BaseException:
        streams.close()
        close_all(sinks, complete=False)
        raise
    recorder = LatencyRecorder(frame_log=config.output.frame_latencies)
    overlay = Overlay(config.overlay, streams.drift) if _draws_overlay(config) else None

    def say(line: str) -> None:
        console.print(f"[yellow]warning:[/] {markup(line)}", soft_wrap=True, highlight=False)

    if streams.drift is not None:
        streams.drift.on_warning = say
    has = {"overlay": overlay, "detector": tools.detector, "recording": recording}
    view = RunView(
        health,
        recorder,
        lambda: tools.engine.name,
        lambda: None if tools.detector is None else tools.detector.name,
        lambda: [*streams.doubts, *warnings(streams, tools, outputs)],
        switches,
        tuple(name for name, stage in has.items() if stage is not None),
        tools.prompt,
    )
    watched_too = config.monitor.serve is not None
    outputs = Outputs(sinks, health, view, watched_too, all_needed=not keep_partial)
    outputs.on_warning = say
    sizes = None
    if (visible.live or infrared.live) and ":openvino:" in tools.engine.name:  # what is built lands in the store
        known = (visible.width, visible.height), (infrared.width, infrared.height)
        sizes = Sizes(warp.shape, *known, partial(_build_aside, tools, config), outputs.warn)
    stages = Stages(
        streams.infrared,
        streams.visible,
        streams.synchronizer,
        streams.registrar,
        tools.engine,
        tools.detector,
        tracker,
        overlay,
        outputs,
        switches,
        health,
        streams.drift,
        None if recording is None else recording.take,
        sizes,
    )
    total = min((n for n in (visible.frames, config.max_frames) if n is not None), default=None)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with ExitStack() as watching:
        try:
            watching.enter_context(watched(config.monitor, view, console))
        except BaseException:
            streams.close()
            close_all(sinks, complete=False)
            raise
        bar = Progress(*columns, TextColumn("{task.fields[rate]}"), console=console, transient=True)
        progress = watching.enter_context(bar)
        task = progress.add_task(markup(title), total=total, rate="")

        shown = time.monotonic()

        def on_frame(done: int) -> None:
            nonlocal shown
            if time.monotonic() - shown >= PROGRESS_S:
                shown = time.monotonic()
                progress.update(task, completed=done, rate=f"{recorder.fps(2.0):.0f} fps")

        runner = Runner(stages, recorder, stop, config.max_frames, on_frame, keep_partial, config.sources.give_up_s)
        outcome = runner.run()
        doubt_never_met(streams.synchronizer.stats, visible.live, streams.doubts)
    report = build_report(config, streams, tools, tracker, outcome, recorder, outputs)
    return Finished(outcome, report, recorder)


def _check_size(engine: str, visible: SourceInfo) -> None:
    """Refuse at once what a network would take minutes and gigabytes to be built for."""
    pixels = visible.width * visible.height
    if pixels > _MOST_PIXELS and engine.partition(":")[0] in {*NAMES} - {"average"}:
        raise InputError(
            f"{visible.spec}: pictures of {pixels / 1e6:.0f} megapixels are more than the {_MOST_PIXELS / 1e6:.0f} "
            "that a fusion network takes: crop them with sources.vis.crop, scale them down, or give --engine average"
        )


def _build_aside(tools: Tools, config: RunConfig, shape: Shape) -> None:
    """Build for another shape with engines of their own, so that those of the run work on and find it in the store."""
    create_engine(tools.engine.name, unlifted=tools.detector is not None).prepare(*shape)
    if isinstance(tools.detector, OwnDetector):
        other = create_detector(config.detector)
        if other is not None:
            other.prepare(shape.width, shape.height)


def _recording(config: RunConfig, streams: Streams, switches: Switches) -> RecordSink | None:
    if config.record.folder is None:
        return None
    live = streams.visible.info.live or streams.infrared.info.live
    return RecordSink(
        config.record,
        config.output,
        streams.health,
        streams.doubts,
        on=lambda: switches.recording,
        lossless=not live,
    )


def _with_window_decided(config: RunConfig) -> RunConfig:
    """Without any output asked for, the result goes to a window; without a display that is an error."""
    output = config.output
    if output.show is not None or any(
        (output.out, output.sinks, output.report, config.record.folder, config.monitor.serve)
    ):
        return config
    if not has_display():
        raise InputError("nowhere to show the result: there is no display, so give --out FILE or --serve :8080")
    return config.model_copy(update={"output": output.model_copy(update={"show": True})})


def _draws_overlay(config: RunConfig) -> bool:
    if config.overlay.enabled is not None:
        return config.overlay.enabled
    return config.output.out is None or is_video(config.output.out)
