"""State of a run for monitoring: newest result and all figures. Thread-safe."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, cast

from ...engines.host.terminal import redacted
from ...engines.prompts.conditioning import AdjustablePrompt
from ..core.health import Health
from ..core.latency import LatencyRecorder
from ..core.looks import Palette
from ..core.result import Result
from ..sinks.recording.manifest import Manifest
from .switches import Switches

_KEPT_TRACKS = 4096


@dataclass(slots=True)
class RunView:
    """Holds the newest result and counts over all results, without copying or encoding frames.

    latest: the newest result, not to be modified; None before the first. haze, illumination: its means, 0 to 1; None
    while the visible camera is lost.
    engine, detector: return the name in use, None without a detector. warnings: returns all warnings so far.
    available: names of the switches of this run. prompt: of the engine, None if it takes none. on_result: called in
    the output thread after every result; must not block. doubts: returns the warnings that make the result doubtful.
    palette: initial palette of infrared. recorded: manifest of the recorder, None without one or for a single file.
    recorded_at: folder or file of the recorder.
    """

    health_of_run: Health
    recorder: LatencyRecorder
    engine: Callable[[], str]
    detector: Callable[[], str | None]
    warnings: Callable[[], list[str]]
    switches: Switches
    available: tuple[str, ...] = ()
    prompt: AdjustablePrompt | None = None
    on_result: Callable[[], None] | None = None
    doubts: Callable[[], list[str]] = list
    palette: Palette = "white-hot"
    recorded: Manifest | None = None
    recorded_at: Path | None = None
    latest: Result | None = None
    haze: float | None = None
    illumination: float | None = None
    _lock: Lock = field(default_factory=Lock)
    _detections: Counter[str] = field(default_factory=Counter)
    _objects: Counter[str] = field(default_factory=Counter)
    _tracks: dict[int, None] = field(default_factory=dict)
    _seen: int = 0
    _sums: tuple[float, float] = (0.0, 0.0)

    def write(self, result: Result) -> None:
        """Store the next result and update the counts."""
        seen = result.pair.led_by == "visible"  # only the visible camera shows haze and darkness
        haze, illumination = (result.fused.haze, result.fused.light) if seen else (None, None)
        with self._lock:
            self.latest, self.haze, self.illumination = result, haze, illumination
            self._detections.update(result.found)
            self._count_objects(result)
            if seen:
                self._seen += 1
                self._sums = self._sums[0] + result.fused.haze, self._sums[1] + result.fused.light
        if self.on_result is not None:
            self.on_result()

    def _count_objects(self, result: Result) -> None:
        """Count each track once, under its first class."""
        for found in result.detections:
            if found.track is not None and found.track not in self._tracks:
                self._objects[found.label] += 1
                self._tracks[found.track] = None
                if len(self._tracks) > _KEPT_TRACKS:
                    del self._tracks[next(iter(self._tracks))]  # the oldest: track ids increase

    def temperature(self) -> dict[str, float | None] | None:
        """Temperatures of the newest result in degrees Celsius: `spot` at the image centre, `low` and `high` of the
        displayed range. None if the infrared camera measures no temperatures.
        """
        latest = self.latest
        if latest is None or latest.heat is None:
            return None
        low, high = latest.heat.celsius(latest.heat.shown)
        figures = {"spot": latest.spot, "low": float(low), "high": float(high)}
        return {name: None if value is None else round(value, 1) for name, value in figures.items()}

    def means(self) -> tuple[float, float]:
        """Mean haze density and illumination of all results with a visible frame, 0 to 1."""
        with self._lock:
            return self._sums[0] / max(self._seen, 1), self._sums[1] / max(self._seen, 1)

    def detections(self) -> dict[str, int]:
        """Number of boxes by class, over all results."""
        with self._lock:
            return dict(self._detections)

    def objects(self) -> dict[str, int]:
        """Number of tracked objects by class, over all results; empty without tracking."""
        with self._lock:
            return dict(self._objects)

    def recording(self) -> dict[str, Any] | None:
        """`on`: whether the recorder is on; `free_gb`: free disk space, None if unknown. None without a recorder."""
        if self.recorded_at is None:
            return None
        free = None
        with suppress(OSError):
            free = round(shutil.disk_usage(self.recorded_at).free / 1e9, 1)
        return {"on": self.switches.recording, "free_gb": free}

    def stages(self) -> dict[str, tuple[float, float]]:
        """(p50, p99) in ms of every stage over the last two seconds."""
        figures = {name: self.recorder.rolling(name) for name in self.recorder.stages()}
        return {name: pair for name, pair in figures.items() if pair is not None}

    def snapshot(self) -> dict[str, Any]:
        """Current figures for JSON, with secrets redacted. Ages in seconds, stages as [p50, p99] in ms."""
        switches = asdict(self.switches)
        figures = {
            "engine": self.engine(),
            "detector": self.detector(),
            "fps": round(self.recorder.fps(2.0), 2),
            "stages": {name: [round(value, 2) for value in pair] for name, pair in self.stages().items()},
            "haze": self.haze,
            "illumination": self.illumination,
            "temperature": self.temperature(),
            "shown_age_s": self.health_of_run.shown_age_s(),
            "detections": self.detections(),
            "objects": self.objects(),
            "warnings": self.warnings(),
            "prompt": None if self.prompt is None else self.prompt.prompt,
            "switches": {name: switches[name] for name in self.available},
            **self.health_of_run.snapshot(),
        }
        return cast(dict[str, Any], redacted(figures))
