"""A run from configuration to report: session, outputs, monitoring and terminal output."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Self

from rich.console import Console

from ..engines import create_engine
from ..engines.base import BuildStopped
from ..engines.host.terminal import say
from ..engines.registry import NAMES
from ..engines.warp import Shape
from .config import RunConfig
from .core.latency import LatencyRecorder
from .core.looks import Palette
from .core.result import Result
from .detection.detect import OwnDetector, create_detector
from .detection.track import Tracker
from .errors import InputError
from .monitoring.switches import Switches
from .monitoring.view import RunView
from .monitoring.watch import monitor_run
from .overlay import Overlay
from .overlay.views import apply_view
from .report import build_report, doubt_never_met, warnings
from .run.console import progress
from .run.resizing import Sizes
from .run.session import Session
from .run.streams import Streams, Tools, frame_size
from .run.writer import Writer
from .sinks import Outputs, Sink, close_all, is_video, open_sinks
from .sinks.mcap.sink import McapSink
from .sinks.recording.base import Recording
from .sinks.recording.sink import RecordSink
from .sources.base import SourceInfo

_MOST_PIXELS = 9_000_000  # 4K is 8.3


class Run:
    """A session whose results go to the outputs. A context manager that always ends it.

    A failed output is closed, and the others finish their files. What ended the run, or the first
    output that failed, is in the outcome, not raised. A KeyboardInterrupt removes what is unfinished.

    Attributes:
        outcome, report, recorder: the outcome, the report and the latencies, once `finish` was called.
    """

    def __init__(
        self,
        config: RunConfig,
        streams: Streams,
        tools: Tools,
        stop: threading.Event,
        console: Console,
        *,
        title: str = "fusing",
        more_sinks: Sequence[Sink] = (),
        keep_partial: bool = True,
    ) -> None:
        """Build the engine for these cameras and open the outputs. On an error the cameras are closed.

        stop: once set, from any thread, the run ends as interrupted. more_sinks: outputs beside those of `config`.
        keep_partial: a run that was interrupted, or lost a camera, keeps the frames it has as a whole, playable output.
        """
        self._config, self._streams, self._tools, self._console = config, streams, tools, console
        self._keep_partial = keep_partial
        self.report: dict[str, Any] = {}
        visible, infrared = streams.visible.info, streams.infrared.info
        sizes = frame_size(streams.visible), frame_size(streams.infrared)
        self.recorder, switches = LatencyRecorder(frame_log=config.output.frame_latencies), Switches()
        sinks: list[Sink] = []
        recording: Recording | None = None
        with ExitStack() as opened:
            opened.callback(streams.close)
            opened.callback(lambda: close_all(sinks, complete=False))
            if config.strict and streams.doubts:
                raise InputError(f"--strict: {next(iter(streams.doubts))}")
            _check_size(tools.engine.name, visible)
            shape = streams.registrar.warp(*sizes).shape
            inputs = [infrared.spec, visible.spec, *config.files_read]
            outputs = visible.rate, visible.pixel_aspect, visible.names, inputs
            files = config.output.model_copy(update={"send": [], "sinks": [], "show": False})
            close_all(open_sinks(files, *outputs), complete=False)  # what cannot be written is said before a long build
            recorded = partial(_recording, config, streams, switches, self.recorder)
            if config.record.is_file:
                recording = recorded()
                sinks.append(recording)
            built = self._build(shape, stop)
            if built:
                sinks += open_sinks(config.output, *outputs)
                if config.record.folder is not None and recording is None:
                    recording = recorded()
                    sinks.append(recording)
                sinks += more_sinks
            shown: Palette = "white-hot" if config.output.view == "fused" else config.output.palette
            overlay = Overlay(config.overlay, streams.drift, shown) if _draws_overlay(config) else None
            has = {"overlay": overlay, "detector": tools.detector, "recording": recording}
            self._view = RunView(
                streams.health,
                self.recorder,
                lambda: tools.engine.name,
                lambda: None if tools.detector is None else tools.detector.name,
                lambda: [*streams.doubts, *warnings(streams, tools, self._outputs)],
                switches,
                tuple(name for name, stage in has.items() if stage is not None),
                tools.prompt,
                doubts=lambda: list(streams.doubts),
                palette=config.output.palette,
                recorded=None if recording is None else recording.manifest,
                recorded_at=None if recording is None else recording.place,
            )
            watching = config.monitor.serve is not None
            self._outputs = Outputs(sinks, streams.health, watching, all_needed=not keep_partial)
            self._outputs.on_warning = partial(say, console, kind="warning")
            if streams.drift is not None:
                streams.drift.on_warning = self._outputs.on_warning
            self._sizes, self._stop = None, stop
            if (visible.live or infrared.live) and ":openvino:" in tools.engine.name:  # what is built is stored
                self._sizes = Sizes(shape, *sizes, partial(_build_aside, tools, config), self._outputs.warn)
            follows = tools.detector is not None and config.detector.track
            self._tracker = Tracker(config.detector.confidence, config.detector.coast_s) if follows else None
            self._session = Session(
                streams,
                tools,
                stop,
                tracker=self._tracker,
                recorder=self.recorder,
                switches=switches,
                sizes=self._sizes,
                tap=None if recording is None else recording.take,
                give_up_s=config.sources.give_up_s,
            )
            streams.doubts.follow(self._doubt)
            self._context = ExitStack()
            if built:
                self._context.enter_context(monitor_run(config.monitor, self._view, console))
            total = min((n for n in (visible.frames, config.max_frames) if n is not None), default=None)
            on_frame = self._context.enter_context(progress(console, title, total, self.recorder))
            opened.pop_all()
        self._began = time.perf_counter()
        look = partial(apply_view, view=config.output.view, palette=config.output.palette)
        self._writer = Writer(self._session, self._outputs, self._view, overlay, on_frame, look)
        self.outcome = self._writer.outcome

    def results(self) -> Iterator[Result]:
        """Every result, after it was handed to the outputs; without overlay."""
        session, limit = self._session, self._config.max_frames
        ended = "end of stream"
        try:
            for result in session.results():
                if not self._writer.put(result):
                    session.frames -= 1
                yield result
                if session.frames == limit:
                    ended = "frame limit reached"
                    break
        except Exception as error:  # cameras and outputs must be closed first
            session.fail(error)
        if not session.stop.is_set():
            self.outcome.ended = ended

    def finish(self) -> None:
        """Close the cameras, finish the outputs. Safe to call twice."""
        if self.report:
            return
        session, outputs, streams, outcome = self._session, self._outputs, self._streams, self.outcome
        with self._context:
            try:
                self._writer.end()
                session.close()
                if self._sizes is not None:
                    self._sizes.end(self._stop)
                whole = outcome.ended != "interrupted" and session.failure is None and not outputs.lost
                outcome.kept = outputs.close(whole or (self._keep_partial and outcome.frames > 0))
            except KeyboardInterrupt:
                self._abandon()
                raise
            outcome.seconds = time.perf_counter() - self._began
            doubt_never_met(streams.synchronizer.stats, streams.visible.info.live, streams.doubts)
            if session.failure is not None:
                outcome.ended = "failed"
            outcome.failure = session.failure or next(iter(outputs.lost), None)
        self.report = build_report(self._config, streams, self._tools, self._tracker, outcome, self._view, outputs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, KeyboardInterrupt):
            self._abandon()
        else:
            self.finish()

    def _abandon(self) -> None:
        self._writer.abandon()
        self._session.abandon()
        self._outputs.discard()
        self._context.close()

    def _build(self, shape: Shape, stop: threading.Event) -> bool:
        """Whether it was not interrupted. If it was, no frames will come, and nothing is opened for them."""
        detector, visible = self._tools.detector, self._streams.visible.info
        with self._console.status("building the engine for these frame sizes"):
            try:
                self._tools.engine.prepare(*shape)
                if detector is not None:
                    detector.prepare(visible.width, visible.height)
            except BuildStopped:
                stop.set()
                return False
        return True

    def _doubt(self, line: str) -> None:
        if self._config.strict:
            self._session.fail(InputError(f"--strict: {line}"))
        else:
            say(self._console, line, "doubtful")


def run_streams(
    config: RunConfig, streams: Streams, tools: Tools, stop: threading.Event, console: Console, **options: Any
) -> Run:
    """A `Run`, to its end."""
    with Run(config, streams, tools, stop, console, **options) as run:
        for _ in run.results():
            pass
    return run


def _check_size(engine: str, visible: SourceInfo) -> None:
    """Refuse frame sizes for which building a network takes minutes and gigabytes."""
    pixels = visible.width * visible.height
    if pixels > _MOST_PIXELS and engine.partition(":")[0] in {*NAMES} - {"average"}:
        raise InputError(
            f"{visible.spec}: pictures of {pixels / 1e6:.0f} megapixels are more than the {_MOST_PIXELS / 1e6:.0f} "
            "that a fusion network takes: crop them with sources.vis.crop, scale them down, or give --engine average"
        )


def _build_aside(tools: Tools, config: RunConfig, shape: Shape) -> None:
    """Build for another shape with separate engines; those of the run keep working and then find it in the store."""
    create_engine(tools.engine.name, unlifted=tools.detector is not None).prepare(*shape)
    if isinstance(tools.detector, OwnDetector):
        other = create_detector(config.detector)
        if other is not None:
            other.prepare(shape.width, shape.height)


def _recording(config: RunConfig, streams: Streams, switches: Switches, latencies: LatencyRecorder) -> Recording:
    waits = not (streams.visible.info.live or streams.infrared.info.live)
    run = streams.health, streams.doubts, lambda: switches.recording, waits
    if not config.record.is_file:
        return RecordSink(config.record, config.output, config.sources, *run)
    rig = streams.registrar.rig_for(frame_size(streams.visible), frame_size(streams.infrared))
    lag_ns = streams.synchronizer.lag_ns
    return McapSink(config.record.folder, config.record.counts, config.sources, rig, lag_ns, latencies, *run)


def _draws_overlay(config: RunConfig) -> bool:
    if config.overlay.enabled is not None:
        return config.overlay.enabled
    return config.output.out is None or is_video(config.output.out)
