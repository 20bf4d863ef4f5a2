"""The default chain at full speed under random faults: `python -m tests.e2e.soak --faults --frames 200000`.

Fusion by the default engine, its detector where there are weights, tracking, overlay, H.264 output, recording; two
simulated cameras that break (see `faulty`), an output that is slow now and then, an engine that breaks down. At the
end every frame has exactly one counted fate, and memory did not grow.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console

from fusecam.engines import create_engine
from fusecam.engines.base import Fused, FusionEngine
from fusecam.engines.fallback import FallbackEngine
from fusecam.pipeline.config import RunConfig
from fusecam.pipeline.core.health import CAMERAS, FATES, Health
from fusecam.pipeline.core.result import Result
from fusecam.pipeline.registration.register import Registrar
from fusecam.pipeline.run.streams import Alignment, Streams, Tools, build_tools
from fusecam.pipeline.running import run_streams
from fusecam.pipeline.sinks import SinkHealth
from fusecam.pipeline.sources.watchdog import WatchedSource
from fusecam.pipeline.timing.sync import Synchronizer

from .faulty import STALL_S, Device, Trigger

WARM = 0.2  # of the run, after which memory counts
GROWTH = 0.05


class Breaking:
    """A real engine that breaks down after `lasts` frames, as a GPU does that falls off its bus."""

    def __init__(self, engine: FusionEngine, lasts: int) -> None:
        self._engine, self._lasts = engine, lasts
        self.name, self.notes = engine.name, engine.notes

    def prepare(self, *sizes: Any) -> None:
        """See `FusionEngine`."""
        self._engine.prepare(*sizes)

    def fuse(self, *frames: Any) -> Fused:
        """See `FusionEngine`."""
        self._lasts -= 1
        if self._lasts < 0:
            raise RuntimeError("CUDA error: unspecified launch failure")
        return self._engine.fuse(*frames)


@dataclass
class Watch:
    """A sink that looks at the memory every `every_s`, and is slow now and then. black: frames that were all but black.

    By time, not by frames: few of those that the cameras give are fused, and of too few samples nothing can be told.
    """

    every_s: float
    random: random.Random
    health: SinkHealth = field(default_factory=SinkHealth)
    memory: list[float] = field(default_factory=list)
    slow: int = 0
    black: int = 0
    backwards: int = 0
    led: int = 0
    _last_ns: int = 0
    _looked_s: float = 0.0
    _process: psutil.Process = field(default_factory=psutil.Process)

    def write(self, result: Result) -> None:
        """Take a result."""
        self.health.written += 1
        self.black += int(result.fused.image.max()) < 8
        self.led += result.pair.led_by == "infrared"
        self.backwards += result.pair.visible.time_ns <= self._last_ns
        self._last_ns = result.pair.visible.time_ns
        if time.monotonic() - self._looked_s >= self.every_s:
            self._looked_s = time.monotonic()
            self.memory.append(self._process.memory_info().rss / 2**20)
        if self.random.random() < 0.002:
            self.slow += 1
            time.sleep(0.3)

    def close(self, complete: bool) -> None:
        """Nothing is open."""


def soak(
    frames: int,
    samples: Path,
    folder: Path,
    console: Console,
    engine: str,
    seed: int,
    every: int,
    rate: float,
    size: tuple[int, int] | None = None,
) -> list[str]:
    """Run and print; returns what was not as it must be, nothing if all was. frames: of each camera, `rate`
    a second. size: theirs."""
    config = RunConfig.model_validate(
        {
            "sources": {"ir": "infrared", "vis": "visible", "give_up_s": None},
            "engine": {"name": engine},
            "overlay": {"enabled": True, "inset": True},
            # an .mp4 keeps its index in memory to the end: 14 MB for 200,000 frames
            "output": {"out": folder / "out.mkv", "show": False},
            "record": {"folder": folder / "record", "segment_s": 5, "quota_gb": 0.05},
        }
    )
    health, chance = Health(), random.Random(seed)
    trigger = Trigger(rate)
    infrared, visible = (
        Device(samples / f"fog_day_{name}.mp4", camera, frames, every, trigger, seed + k, size)
        for k, (name, camera) in enumerate((("ir", "infrared"), ("vis", "visible")))
    )
    streams = Streams(
        WatchedSource(infrared.open(), infrared.open, STALL_S, health),
        WatchedSource(visible.open(), visible.open, STALL_S, health),
        Registrar(None),
        Synchronizer(live=True),
        Alignment(0.0, 0.0, "given"),
        health=health,
    )
    breaks = max(1, frames // (20 * every))
    longest = every + frames // (breaks + 1)
    # the next one has another precision, as the next best has: the loss of an engine is told by its name
    makers = [
        lambda name=name: Breaking(create_engine(name), chance.randint(every, longest))
        for name in islice(cycle((engine, f"{engine}:openvino:f32")), breaks)
    ]
    tools = Tools(
        FallbackEngine([*makers, lambda: create_engine(engine)]), build_tools(config.engine, config.detector).detector
    )
    watch, stop = Watch(frames / rate / 50, random.Random(seed)), threading.Event()

    def end() -> None:
        infrared.over.wait()
        visible.over.wait()
        time.sleep(1.0)
        stop.set()

    threading.Thread(target=end, daemon=True).start()
    finished = run_streams(config, streams, tools, stop, console, more_sinks=[watch])
    for device in (infrared, visible):
        console.print(f"{device.camera}: {_told(device.faults)}", highlight=False)
    for camera in CAMERAS:
        console.print(f"{camera}: {_told(Counter(health.counters(camera)))}", highlight=False)
    console.print(f"run: {_told(Counter(health.run_counters()))}; slow outputs {watch.slow}; led {watch.led}")
    seconds = finished.outcome.seconds
    console.print(f"{watch.health.written} frames out in {seconds:.0f} s, {watch.health.written / seconds:.1f} fps")
    console.print(f"resident MiB: {', '.join(f'{m:.0f}' for m in watch.memory[:: max(1, len(watch.memory) // 10)])}")
    return _wrong(health, watch, finished.outcome.failure)


def _wrong(health: Health, watch: Watch, failure: Exception | None) -> list[str]:
    found = [] if failure is None else [f"the run failed: {failure}"]
    for camera in CAMERAS:
        counters = health.counters(camera)
        fates = sum(counters[name] for name in FATES)
        if counters["frames"] != fates:
            found.append(f"{camera}: {counters['frames']} frames, {fates} with a fate")
    run = health.run_counters()
    if run["fused"] != run["out"] + run["dropped_output"]:
        found.append(f"{run['fused']} fused, {run['out']} out, {run['dropped_output']} dropped at the output")
    if watch.health.written != run["out"]:
        found.append(f"{run['out']} out, {watch.health.written} seen by the outputs")
    found += [f"{number} {what}" for number, what in ((watch.black, "black"), (watch.backwards, "backwards")) if number]
    settled = watch.memory[int(len(watch.memory) * WARM) :]
    if len(settled) < 10:
        found.append(f"memory was seen {len(watch.memory)} times only: run it for longer")
    else:
        third = len(settled) // 3
        before, after = float(np.median(settled[:third])), float(np.median(settled[-third:]))
        if after > before * (1 + GROWTH):
            found.append(f"memory grew from {before:.0f} to {after:.0f} MiB")
    return found


def _told(counts: Counter[Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count) or "nothing"
