"""The Python API, exported by the package `fusecam`."""

from __future__ import annotations

import math
import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from numbers import Real
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..calib.rig import load_rig
from ..engines import create_engine
from ..engines.base import EngineError, Fused, Strength
from ..engines.build.process import stoppable
from ..engines.host.terminal import Terminal
from .config import RunConfig, load
from .core.detections import Detection
from .core.frames import Pixels
from .core.result import Result
from .errors import InputError
from .registration.register import Registrar
from .run.streams import build_tools, open_streams
from .running import Run


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Frame:
    """One fused frame. Images are uint8, colour is RGB. Iterating gives the fields in order.

    Raises:
        ValueError: a shape or dtype differs from the documented one.
    """

    image: Pixels
    """(H, W, 3), the fused frame, without overlay."""
    restored: Pixels
    """(H, W, 3), the visible frame, dehazed and enhanced."""
    haze: Pixels
    """(h, w), haze density (1 - transmission) times 255; may be smaller than the frame."""
    illumination: Pixels
    """(h, w), Retinex illumination times 255; may be smaller than the frame."""
    infrared: Pixels
    """(H, W), infrared on the visible frame's grid."""
    detections: list[Detection] = field(default_factory=list)
    """Boxes in pixels of `image`; none without a detector."""
    time: float = 0.0
    """Capture time of the visible frame in seconds: since a recording's start, or on CLOCK_MONOTONIC of a camera."""
    skew_ms: float | None = None
    """Capture time of infrared minus that of visible in milliseconds, offset removed; None without infrared."""

    def __post_init__(self) -> None:
        shape = self.image.shape[:2]
        for name, dims, same in (
            ("image", 3, True), ("restored", 3, True), ("haze", 2, False), ("illumination", 2, False),
            ("infrared", 2, True),
        ):  # fmt: skip
            value = getattr(self, name)
            if value.dtype != np.uint8 or value.ndim != dims or (same and value.shape[:2] != shape):
                raise ValueError(f"{name}: {value.dtype} {value.shape} does not fit an image of {self.image.shape}")

    def __iter__(self) -> Iterator[Any]:
        return (getattr(self, each.name) for each in fields(self))

    def __repr__(self) -> str:
        shapes = ", ".join(
            f"{name} {'x'.join(str(n) for n in getattr(self, name).shape)}"
            for name in ("image", "restored", "haze", "illumination", "infrared")
        )
        skew = "visible only" if self.skew_ms is None else f"skew {self.skew_ms:+.1f} ms"
        return f"Frame({shapes}, {len(self.detections)} detections, time {self.time:.3f} s, {skew})"


def open(
    ir: str | Path | None = None,
    vis: str | Path | None = None,
    rig: str | Path | None = None,
    detect: bool | None = None,
    *,
    engine: str | None = None,
    track: bool | None = None,
    settings: str | Path | Mapping[str, Any] | None = None,
) -> Stream:
    """Open both cameras as one stream of fused frames.

    Args:
        ir: infrared: camera (`dev0`, `/dev/video0`), video file, folder or glob of images, rtsp:// or http:// address,
            named pipe.
        vis: visible, likewise.
        rig: rig file, or another tool's calibration; None: infrared is scaled onto visible.
        detect: detect people, bicycles and cars; None: if detector weights are available.
        engine: NAME[:BACKEND[:PRECISION]], for example `tiny`; None: `realtime` on the best backend of this machine.
        track: number the objects over time.
        settings: a run file, or the same as a mapping, for everything else; arguments override it.

    Returns:
        A context manager to iterate over, once. It owns cameras, engine and detector, and closes them.

    Raises:
        InputError, RigError, EngineError: one line: what is wrong with which file or setting, and what to do.
    """
    given = {
        "sources": {side: {"source": str(source)} for side, source in (("ir", ir), ("vis", vis)) if source is not None},
        "engine": {} if engine is None else {"name": engine},
        "detector": {key: value for key, value in (("enabled", detect), ("track", track)) if value is not None},
        **({} if rig is None else {"rig": rig}),
    }
    return Stream(load(Path(settings) if isinstance(settings, str) else settings, given))


class Stream:
    """Fused frames of two cameras, in order. See `open`.

    Recordings are read without loss, as fast as the caller iterates. Cameras give their newest frames; frames that the
    caller is too slow for are dropped and counted.

    Attributes:
        report: once it has ended: latencies, counts, time offset and doubts, as `fusecam --report` writes them.
    """

    def __init__(self, config: RunConfig) -> None:
        """See `open`."""
        self.report: dict[str, Any] | None = None
        self._config = config.model_copy(update={"output": config.output.model_copy(update={"show": False})})
        self._stop = threading.Event()
        self._streams = open_streams(self._config)
        try:
            self._tools = build_tools(self._config.engine, self._config.detector)
        except BaseException:
            self._streams.close()
            raise
        self._run: Run | None = None
        self._read = False
        self._busy = threading.RLock()  # `close` may be called from another thread
        self._told = 0

    @property
    def doubts(self) -> list[str]:
        """Why the result may be wrong: one line for each assumption, with the setting that changes it."""
        return list(self._streams.doubts)

    def __iter__(self) -> Iterator[Frame]:
        if self._read or self._stop.is_set():
            raise InputError("this stream was read already: open it again")
        _check_process()
        self._read = True
        with self._busy, stoppable(self._stop):
            self._run = Run(self._config, self._streams, self._tools, self._stop, Terminal(quiet=True))
        results = self._run.results()
        try:
            while (result := self._next(results)) is not None:
                self._tell()
                yield _frame(result.fused, result)
        finally:
            left = self._stop.is_set()
            self.close()
        self._tell()
        failure = self._run.outcome.failure
        if failure is not None and not left:
            raise failure

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """End the run and close cameras and outputs. Safe to call twice, and before the end of the stream."""
        self._stop.set()
        with self._busy:
            if self._run is None:
                self._streams.close()
            else:
                self._run.finish()
                self.report = self._run.report

    def _next(self, results: Iterator[Result]) -> Result | None:
        with self._busy, stoppable(self._stop):
            return next(results, None)

    def _tell(self) -> None:
        doubts = self.doubts
        for line in doubts[self._told :]:
            warnings.warn(f"doubtful: {line}", stacklevel=3)
        self._told = len(doubts)


class Engine:
    """A fusion engine for the caller's own frames. It is built once for each frame size, which takes seconds."""

    def __init__(self, name: str, rig: str | Path | None, dehaze: Strength, lift: Strength, hue: Strength) -> None:
        """See `load_engine`."""
        self._engine = create_engine(name, dehaze, lift, hue=hue)
        self._registrar = Registrar(None if rig is None else load_rig(Path(rig)))
        self._before: float | None = None

    @property
    def name(self) -> str:
        """NAME:BACKEND:PRECISION of the engine in use."""
        return self._engine.name

    def fuse(self, visible: Pixels, infrared: Pixels, time: float | None = None) -> Frame:
        """Fuse a visible and an infrared image taken at the same time.

        Args:
            visible: (H, W, 3) uint8 RGB.
            infrared: (h, w) uint8, white-hot; any size, registered by the rig, or scaled onto visible without one.
            time: capture time in seconds, for video: whole-frame estimates of haze and light are smoothed over time.
                None: a single image.

        Raises:
            EngineError: a shape or dtype is wrong, or the engine cannot be built.
        """
        for label, image in (("visible", visible), ("infrared", infrared)):
            if not isinstance(image, np.ndarray) or image.ndim < 2 or image.size == 0:
                raise EngineError(f"{label} is no image: give a uint8 array")
            if np.ma.is_masked(image):
                raise EngineError(f"{label} has masked pixels, which no engine can leave out: fill them")
        if time is not None and not (isinstance(time, Real) and math.isfinite(time)):
            raise EngineError(f"time {time!r}: give seconds, or None for a single image")
        _check_process()
        # masked arrays reckon differently, even with empty masks
        visible, infrared = np.asarray(visible), np.asarray(infrared)
        elapsed = None if time is None or self._before is None else max(time - self._before, 0.0)
        self._before = time
        warp = self._registrar.warp(visible.shape[1::-1], infrared.shape[1::-1])
        return _frame(self._engine.fuse(visible, infrared, warp, elapsed), time=time or 0.0)


def load_engine(
    name: str = "realtime",
    *,
    rig: str | Path | None = None,
    dehaze: Strength = "auto",
    lift: Strength = "auto",
    hue: Strength = "auto",
) -> Engine:
    """Load a fusion engine by name.

    Args:
        name: NAME[:BACKEND[:PRECISION]]; `fusecam doctor` lists what runs on this machine.
        rig: rig file, or another tool's calibration; None: infrared is scaled onto visible.
        dehaze: strength of haze removal, 0 to 1, or `auto`.
        lift: strength of low-light enhancement, likewise.
        hue: strength of the amber colour of warm objects, likewise.

    Raises:
        EngineError, RigError: the engine or the rig is unknown or cannot be used here.
    """
    return Engine(name, rig, dehaze, lift, hue)


def fuse(visible: Pixels, infrared: Pixels, engine: str = "realtime") -> Frame:
    """Fuse two images that show the same view. Arguments and errors: see `Engine.fuse`. The engine stays loaded."""
    return _kept(engine).fuse(visible, infrared)


@lru_cache(maxsize=1)
def _process() -> int:
    """The process in which the first engine ran; also in its forks, where the threads of the engines are missing."""
    return os.getpid()


def _check_process() -> None:
    if os.getpid() != _process():
        raise EngineError(
            "an engine ran in this process before it was forked, so that none can run in the fork: start processes "
            "with multiprocessing's method spawn, or before the first frame is fused"
        )


@lru_cache(maxsize=2)
def _kept(name: str) -> Engine:
    return load_engine(name)


def _frame(fused: Fused, result: Result | None = None, time: float = 0.0) -> Frame:
    maps = fused.image, fused.restored, fused.haze_density, fused.illumination, fused.infrared
    if result is None:
        return Frame(*maps, time=time, skew_ms=0.0)
    skew = None if result.pair.infrared is None else result.pair.skew_ns / 1e6
    return Frame(*maps, result.detections, result.time, skew)
