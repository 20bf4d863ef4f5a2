"""Base of recordings: takes all frames of both cameras and all results, counts them, and reports missing ones."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

from ...config import SourceConfig
from ...core.doubts import Doubts
from ...core.frames import Camera, Frame
from ...core.health import Health
from ...core.result import Result
from ...errors import reason_of
from ...sources.as_recorded import note_of
from ..base import SinkHealth
from ..jsonl import CameraLine, record
from .backlog import Backlog, QueuedFrame
from .manifest import Manifest
from .segments import UtcClock

RETRY_S = 5.0


class Recording:
    """A sink of results that also takes what the cameras give.

    Attributes:
        place: what `--record` names.
        manifest: of what is removed when room is needed; None: nothing is.
    """

    manifest: Manifest | None = None
    _steady: ClassVar[bool] = False
    _remedy: ClassVar[str] = "give a quicker disk"
    _fused: Backlog
    _raw: dict[Camera, Backlog]

    def __init__(
        self,
        place: Path,
        counts: bool,
        sources: SourceConfig,
        health: Health,
        doubts: Doubts,
        on: Callable[[], bool],
    ) -> None:
        """counts: keep infrared of over 8 bits as it is. sources: how it is read. The rest as in `RecordSink`."""
        self.place = place
        self.health = SinkHealth()
        self._counts, self._sources, self._run, self._doubts, self._on = counts, sources, health, doubts, on
        self._clock = UtcClock(self._steady)

    def take(self, frame: Frame) -> None:
        """Record a frame as its camera gave it. From that camera's thread."""
        stream = self._raw[frame.camera]
        if not self._on():
            stream.pause()
            return
        self._saw(frame)
        utc_ns = self._clock.utc_ns(frame) + self._later_ns(frame)
        line: CameraLine = {"version": 1, "frame": frame.sequence, "time": round(frame.time_ns / 1e9, 6)}
        if self._counts and frame.counts is not None:
            note = note_of(self._sources, frame.temperature)
            stream.put(QueuedFrame(frame.counts, frame.time_ns, utc_ns, line, note=note))
        else:
            stream.put(QueuedFrame(frame.pixels, frame.time_ns, utc_ns, line))

    def write(self, result: Result) -> None:
        """Record a result."""
        if not self._on():
            self._fused.pause()
            return
        visible = result.pair.visible
        utc_ns = self._clock.utc_ns(visible)
        self._fused.put(QueuedFrame(result.fused.image, visible.time_ns, utc_ns, record(result), bool(result.found)))

    def close(self, complete: bool) -> None:
        """Record what waits; a recording is kept however the run ended."""
        with ExitStack() as every:  # whatever one of them raises
            for stream in (self._fused, *self._raw.values()):
                every.callback(stream.close)

    def _saw(self, frame: Frame) -> None:
        """Before a frame is left to its stream."""

    def _later_ns(self, frame: Frame) -> int:
        """To be added to a camera's time."""
        return 0

    def _count_fused(self, recorded: bool) -> None:
        self.health.written += recorded
        self._run.count_run("recorder_frames" if recorded else "recorder_frames_lost")
        self._check(recorded)

    def _count_raw(self, camera: Camera, recorded: bool) -> None:
        self._run.count(camera, "recorded" if recorded else "unrecorded")
        self._check(recorded)

    def _check(self, recorded: bool) -> None:
        if not recorded:
            self._doubts.add(
                f"--record {self.place}: the recording lacks frames, counted as unrecorded and recorder_frames_lost: "
                f"{self._remedy}"
            )

    def _broken(self, error: Exception) -> None:
        self._run.count_run("recorder_losses")
        self._doubts.add(
            f"--record {self.place}: recording broke off: {reason_of(error)}; up to a second before is lost; tried "
            f"again every {RETRY_S:g} s"
        )
