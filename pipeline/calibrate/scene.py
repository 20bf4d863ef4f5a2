"""`fusecam calibrate scene`: from what both cameras see of a scene to a rig file, without a board."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.markup import escape

from ...calib.board import CalibrationError
from ...calib.rig import CameraModel, Rig, SceneRecord, save_rig
from ...calib.scene import SceneFit, align
from ..assemble import Streams, Tools, measure_alignment, open_streams
from ..config import OverlayConfig, RunConfig, SourceConfig, SyncConfig
from ..errors import InputError
from ..frames import FramePair, Pixels
from ..register import Registrar
from ..result import Result
from ..session import INTERRUPTED, interruptible, run_streams
from ..sinks.base import SinkHealth, StopRequested
from .capture import PassThrough

_LONGEST_S = 120.0  # of a recording that is looked at: enough for scenes to change
_SOONEST_S = 0.5  # between two pairs: sooner they show the same
_AGAIN_MS = 8.0  # a time offset that changes by more moves edges of passing things by a pixel: pair anew
_PASSES = 3  # wrongly paired frames of a moving rig bend the result, which bends the next offset less
_FEWEST = 3


@dataclass(frozen=True, slots=True)
class Order:
    """What the person asked for."""

    infrared: str
    visible: str
    out: Path
    pairs: int
    offset_ms: float | None


class PairSink:
    """Keeps pairs spread over time, of each stretch the one nearest in time; of folders every `step`-th.

    every_s: length of a stretch. `write` raises StopRequested once it has `most`.
    """

    def __init__(self, most: int, every_s: float, step: int) -> None:
        self.health = SinkHealth()
        self.visible: list[Pixels] = []
        self.infrared: list[Pixels] = []
        self._most, self._every_ns, self._step = most, round(every_s * 1e9), step
        self._seen = 0
        self._began_ns: int | None = None
        self._best: FramePair | None = None

    def write(self, result: Result) -> None:
        """Take the pair if it is one, new, and of the first pair's sizes."""
        pair = result.pair
        self.health.written += 1
        if pair.infrared is None:
            return
        if pair.visible.clock == "index":
            if self._seen % self._step == 0:
                self._keep(pair)
            self._seen += 1
            if len(self.visible) >= self._most:
                raise StopRequested
            return
        if self._began_ns is None:
            self._began_ns = pair.visible.time_ns
        if self._best is not None and pair.visible.time_ns - self._began_ns >= self._every_ns:
            self._began_ns = pair.visible.time_ns
            best, self._best = self._best, None
            self._keep(best)
            if len(self.visible) >= self._most:
                raise StopRequested
        if self._best is None or abs(pair.skew_ns) < abs(self._best.skew_ns):
            self._best = pair

    def close(self, complete: bool) -> None:
        """Keep the last stretch's pair too."""
        if complete and self._best is not None and len(self.visible) < self._most:
            self._keep(self._best)

    def _keep(self, pair: FramePair) -> None:
        assert pair.infrared is not None
        grey = np.asarray(cv2.cvtColor(pair.visible.pixels, cv2.COLOR_RGB2GRAY), np.uint8)
        self.visible.append(grey)
        self.infrared.append(pair.infrared.pixels.copy())


def calibrate_scene(order: Order, console: Console) -> int:
    """Collect pairs, align, measure the time offset with the result, write. Returns the exit code.

    Raises the sources' errors, and CalibrationError where the pairs do not single out one alignment; nothing is
    written then.
    """
    if order.out.is_dir() or not order.out.absolute().parent.is_dir():
        raise InputError(f"{order.out}: is no place for a file; give the name of one in an existing folder with --out")
    sync = SyncConfig() if order.offset_ms is None else SyncConfig(offset_ms=order.offset_ms)
    config = RunConfig(
        sources=SourceConfig(ir=order.infrared, vis=order.visible), sync=sync, overlay=OverlayConfig(enabled=False)
    )
    with console.status("opening both cameras"):
        streams = open_streams(config)
    recorded = streams.visible.info.kind == streams.infrared.info.kind == "video"
    offset = order.offset_ms
    found = _attempt(config, streams, order, console)
    for _ in range(_PASSES if recorded and order.offset_ms is None else 0):
        if found is None:
            break
        taken = streams.alignment.offset_ms
        offset = _measured_offset(config, streams, found[0], console)
        if offset is None or abs(offset - taken) <= _AGAIN_MS:
            break
        _say(console, f"time offset {offset:+.1f} ms, was taken as {taken:+.1f}: pairing anew")
        config = config.model_copy(update={"sync": SyncConfig(offset_ms=offset)})
        streams = open_streams(config)
        found = _attempt(config, streams, order, console)
    if found is None:
        return INTERRUPTED
    rig, fit = found
    if offset is not None:
        rig = rig.model_copy(update={"time_offset_ms": round(offset, 1)})
    save_rig(rig, order.out)
    _report(fit, rig, order, console)
    return 0


def _measured_offset(config: RunConfig, streams: Streams, rig: Rig, console: Console) -> float | None:
    """In ms, with the rig just found, which tells it better than none; None, said, where it cannot be told."""
    notes: list[str] = []
    with console.status("measuring the time offset"):
        infos = streams.infrared.info, streams.visible.info
        alignment = measure_alignment(config.sources, *infos, Registrar(rig), notes)
    for note in notes:
        _say(console, note)
    return None if notes else alignment.offset_ms


def _attempt(config: RunConfig, streams: Streams, order: Order, console: Console) -> tuple[Rig, SceneFit] | None:
    """Pairs of both streams, aligned. None where the person interrupted."""
    sink = PairSink(order.pairs, *_spacing(streams, order.pairs))
    live = streams.visible.info.live
    if live:
        _say(console, f"taking {order.pairs} pairs; the more the scene changes meanwhile, the better; Ctrl-C ends it")
    with interruptible() as stop:
        finished = run_streams(
            config, streams, Tools(PassThrough(), None), stop, console, title="collecting pairs", more_sinks=[sink]
        )
    outcome = finished.outcome
    if outcome.failure is not None:
        raise outcome.failure
    if outcome.ended == "interrupted" and not live and len(sink.visible) < order.pairs:
        return None
    if len(sink.visible) < _FEWEST:
        raise CalibrationError(
            f"scene: {len(sink.visible)} pairs of {outcome.frames} visible frames, at least {_FEWEST} are needed: "
            "the streams must overlap in time"
        )
    with console.status(f"aligning {len(sink.visible)} pairs"):
        fit = align(sink.visible, sink.infrared)
    agreement = fit.agreement
    record = SceneRecord(
        pairs=agreement.pairs,
        used=agreement.used,
        parts=agreement.cells,
        error_px=agreement.error_px,
        partners=agreement.partners,
    )
    cameras = [
        CameraModel(width=pictures[0].shape[1], height=pictures[0].shape[0])
        for pictures in (sink.visible, sink.infrared)
    ]
    rows = tuple(tuple(float(x) for x in row) for row in fit.homography)
    rig = Rig.model_validate({"visible": cameras[0], "infrared": cameras[1], "homography": rows, "scene": record})
    return rig, fit


def _spacing(streams: Streams, pairs: int) -> tuple[float, int]:
    """Seconds between pairs of videos, images between pairs of folders."""
    info = streams.visible.info
    if info.names is not None:
        return 0.0, max(1, len(info.names) // pairs)
    seconds = float(info.frames / info.rate) if info.frames and info.rate and not info.live else 0.0
    return max(min(seconds, _LONGEST_S) / pairs, 0.1 if seconds else _SOONEST_S), 1


def _report(fit: SceneFit, rig: Rig, order: Order, console: Console) -> None:
    agreement = fit.agreement
    error = "not known from so few" if agreement.error_px is None else f"{agreement.error_px:.1f} px"
    _say(console, f"{agreement.used} of {agreement.pairs} pairs agree, {agreement.cells:.0%} of the image's parts")
    _say(console, f"error at the visible image's corners: {error} (standard error, from halves of the pairs)")
    if agreement.partners is not None:
        _say(console, f"true partners lead exchanged ones by {agreement.partners:.0f} standard deviations")
    if rig.time_offset_ms is not None:
        _say(
            console,
            f"time offset: {rig.time_offset_ms:+.1f} ms, kept in the rig; take it out of the file for recordings that "
            "are started by hand",
        )
    _say(console, f"rig: {order.out}; judge it by eye: fusecam view-rig --rig {order.out}")


def _say(console: Console, line: str) -> None:
    console.print(escape(line), highlight=False, soft_wrap=True)
