"""Plays recordings as two live cameras: frames come when they are due and are dropped if not taken."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from ..core.frames import Frame
from ..core.latency import LatencyRecorder
from ..run.capture import DECODE
from ..run.streams import Streams
from ..sources.base import Source
from ..timing.sync import Synchronizer

SOON_NS = 500_000_000
"""Time until the first frame in ns, for the start of the run."""


class PacedSource:
    """Plays a recording as a live source. A frame's age counts from its due time and includes decoding.

    Decoding is added to `recorder` under the same name as in a run over recordings. A run does not time it for live
    sources, where most of it is waiting.
    """

    def __init__(self, source: Source, fps: float, start_ns: int, recorder: LatencyRecorder) -> None:
        """start_ns: due time of the first frame, on CLOCK_MONOTONIC."""
        self.info = replace(
            source.info, live=True, clock="monotonic", frames=None, rate=Fraction(fps).limit_denominator(1000)
        )
        self.health = source.health
        self._source, self._recorder = source, recorder
        self._start_ns, self._period_ns = start_ns, 1e9 / fps
        self._stage = DECODE[source.info.camera]

    def __iter__(self) -> Iterator[Frame]:
        frames = iter(self._source)
        due = self._start_ns
        while True:
            time.sleep(max(0, due - time.monotonic_ns()) * 1e-9)
            began = time.monotonic_ns()
            frame = next(frames, None)
            if frame is None:
                return
            self._recorder.add(self._stage, time.monotonic_ns() - began)
            yield replace(frame, time_ns=due, arrival_ns=due, clock="monotonic")
            due = self._start_ns + round((frame.sequence + 1) * self._period_ns)

    def close(self) -> None:
        """See `Source.close`."""
        self._source.close()


def paced(streams: Streams, fps: float) -> LatencyRecorder:
    """Replace two recordings with equal times by two synchronous cameras. Returns the recorder of decoding times."""
    recorder, start = LatencyRecorder(), time.monotonic_ns() + SOON_NS
    streams.visible = PacedSource(streams.visible, fps, start, recorder)
    streams.infrared = PacedSource(streams.infrared, fps, start, recorder)
    streams.synchronizer = Synchronizer(live=True)
    return recorder
