"""Pairs of a scene, spread over time, for what is measured from the scene itself."""

from __future__ import annotations

import cv2
import numpy as np
from rich.console import Console

from ...calib.board import CalibrationError
from ...engines.host.terminal import markup
from ..config import RunConfig
from ..core.frames import FramePair, Pixels
from ..core.result import Result
from ..run.streams import Streams, Tools
from ..session import interruptible, run_streams
from ..sinks.base import SinkHealth
from .capture import PassThrough

_LONGEST_S = 120.0  # of a recording that is looked at: enough for scenes to change
_SOONEST_S = 0.5  # between two pairs: sooner they show the same
_FEWEST = 3


class PairSink:
    """Keeps pairs spread over time, of each stretch the one nearest in time; of folders every `step`-th.

    every_s: length of a stretch. Has enough with `most`.
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
                self.health.enough = True
            return
        if self._began_ns is None:
            self._began_ns = pair.visible.time_ns
        if self._best is not None and pair.visible.time_ns - self._began_ns >= self._every_ns:
            self._began_ns = pair.visible.time_ns
            best, self._best = self._best, None
            self._keep(best)
            if len(self.visible) >= self._most:
                self.health.enough = True
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


def collected(
    config: RunConfig, streams: Streams, most: int, console: Console
) -> tuple[list[Pixels], list[Pixels]] | None:
    """Up to `most` pairs: visible, (H, W) uint8 grey, and infrared. None where the person interrupted a recording.

    Raises the sources' errors, and CalibrationError where there are fewer than three.
    """
    sink = PairSink(most, *_spacing(streams, most))
    live = streams.visible.info.live
    if live:
        line = f"taking {most} pairs; the more the scene changes meanwhile, the better; Ctrl-C ends it"
        console.print(markup(line), highlight=False, soft_wrap=True)
    with interruptible() as stop:
        finished = run_streams(
            config, streams, Tools(PassThrough(), None), stop, console, title="collecting pairs", more_sinks=[sink]
        )
    outcome = finished.outcome
    if outcome.failure is not None:
        raise outcome.failure
    if outcome.ended == "interrupted" and not live and len(sink.visible) < most:
        return None
    if len(sink.visible) < _FEWEST:
        raise CalibrationError(
            f"scene: {len(sink.visible)} pairs of {outcome.frames} visible frames, at least {_FEWEST} are needed: "
            "the streams must overlap in time"
        )
    return sink.visible, sink.infrared


def _spacing(streams: Streams, pairs: int) -> tuple[float, int]:
    """Seconds between pairs of videos, images between pairs of folders."""
    info = streams.visible.info
    if info.names is not None:
        return 0.0, max(1, len(info.names) // pairs)
    seconds = float(info.frames / info.rate) if info.frames and info.rate and not info.live else 0.0
    return max(min(seconds, _LONGEST_S) / pairs, 0.1 if seconds else _SOONEST_S), 1
