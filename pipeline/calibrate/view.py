"""`fusecam view-rig`: both cameras registered by a rig, shown so that a person can judge it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from rich.console import Console

from ...calib.atomic import AtomicFile, write_atomic
from ...engines.backends.inputs import check_pair
from ...engines.base import Fused
from ...engines.warp import Size, Warp
from ..config import OutputConfig, OverlayConfig, RunConfig, SourceConfig
from ..core.frames import Pixels
from ..core.machine import has_display
from ..core.result import Result
from ..errors import InputError
from ..run.streams import Tools, open_streams
from ..session import INTERRUPTED, interruptible, run_streams
from ..sinks.base import SinkHealth

Mode = Literal["blend", "blink", "side"]
MODES: tuple[Mode, ...] = get_args(Mode)
_BLINK_S = 0.5  # each camera; slow enough to look at, quick enough to see things jump
_STILL_S = 1.0  # how long a window shows each image of a folder
_LINES = 8  # of the grid over both halves of `side`
_LINE = np.array([255, 200, 0], np.uint8)


class RigView:
    """Stands where a fusion engine would and lays the registered cameras over each other.

    blend: visible in cyan, infrared in red: what coincides has no coloured seams. blink: half a second visible, half
    a second infrared. side: (H, 2 W), visible and infrared under one grid. Beyond infrared's view: visible alone.
    paced: hold every frame as long as it lasts, for a window on recordings.
    """

    name = "rig view"

    def __init__(self, mode: Mode, paced: bool = False) -> None:
        self._mode, self._paced = mode, paced
        self._shown_s = 0.0
        self._next = 0.0

    @property
    def notes(self) -> list[str]:
        """None."""
        return []

    def prepare(self, width: int, height: int, infrared: Size | None = None, reduce: int = 1) -> None:
        """Nothing to build."""

    def fuse(self, visible: Pixels, infrared: Pixels, warp: Warp | Pixels, elapsed_s: float | None = None) -> Fused:
        """The picture to show; arguments as in FusionEngine."""
        if self._paced:
            self._wait(_STILL_S if elapsed_s is None else elapsed_s)
        self._shown_s += elapsed_s or 0.0
        warp = check_pair(self.name, visible, infrared, warp)
        heat = warp.apply(infrared)
        image = self._draw(visible, heat, warp.coverage)
        nothing = np.zeros((1, 1), np.uint8)
        return Fused(image, visible, nothing, nothing, heat)

    def _draw(self, visible: Pixels, infrared: Pixels, coverage: Pixels) -> Pixels:
        seen = (coverage > 0)[..., None]
        heat = np.where(seen, infrared[..., None].repeat(3, axis=2), visible)
        if self._mode == "blink":
            return heat if int(self._shown_s / _BLINK_S) % 2 else visible.copy()
        if self._mode == "side":
            pair = np.concatenate([visible, np.where(seen, heat, 0).astype(np.uint8)], axis=1)
            height, width = visible.shape[:2]
            for k in range(1, _LINES):
                pair[k * height // _LINES] = _LINE
                pair[:, [k * width // _LINES, width + k * width // _LINES]] = _LINE
            return pair
        grey = np.asarray(cv2.cvtColor(visible, cv2.COLOR_RGB2GRAY), np.uint8)
        return np.where(seen, np.dstack([infrared, grey, grey]), visible)

    def _wait(self, seconds: float) -> None:
        now = time.monotonic()
        time.sleep(max(0.0, self._next - now))
        self._next = max(now, self._next) + seconds


class PictureSink:
    """Keeps the first frame that has an infrared partner, as one PNG."""

    def __init__(self, target: Path) -> None:
        self.health = SinkHealth()
        self._target = target
        self._image: Pixels | None = None

    def write(self, result: Result) -> None:
        """Take the frame, if it is of both cameras; the run then ends."""
        if result.pair.infrared is not None:
            self._image = result.image
            self.health.written += 1
            self.health.enough = True

    def close(self, complete: bool) -> None:
        """Write the file. Complete without any pair is an InputError."""
        if not complete:
            return
        if self._image is None:
            raise InputError(f"{self._target}: not written, no visible frame had an infrared one near it in time")
        _, encoded = cv2.imencode(".png", cv2.cvtColor(self._image, cv2.COLOR_RGB2BGR))
        write_atomic(self._target, encoded.tobytes(), InputError)


def view_rig(
    infrared: str,
    visible: str,
    rig: Path,
    distance: float | None,
    mode: str,
    out: Path | None,
    show: bool | None,
    offset_ms: float | None,
    pairs: Path | None,
    console: Console,
) -> int:
    """Run the view. Returns the exit code."""
    if mode not in MODES:
        raise InputError(f"--mode {mode}: unknown; use one of {', '.join(MODES)}")
    picture = out is not None and out.suffix.lower() == ".png"
    show = out is None if show is None else show
    if show and out is None and not has_display():
        raise InputError("nowhere to show the cameras: there is no display, so give --out FILE (.png, .mp4, .mkv)")
    if picture and out is not None:
        AtomicFile(out, InputError).discard()  # a place that cannot be written to is better known before the run
    config = RunConfig(
        sources=SourceConfig(ir=infrared, vis=visible, pairs=pairs),
        rig=rig,
        distance=distance,
        overlay=OverlayConfig(enabled=False),
        output=OutputConfig(out=None if picture else out, show=show),
    )
    if offset_ms is not None:
        config.sync.offset_ms = offset_ms
    streams = open_streams(config)
    stills = streams.visible.info.names is not None
    if mode == "blink" and (picture or stills):
        streams.close()
        raise InputError("--mode blink: one picture cannot blink; use blend or side, or give videos or cameras")
    engine = RigView(mode, paced=show and not streams.visible.info.live)
    sinks = [PictureSink(out)] if picture and out is not None else []
    with interruptible() as stop:
        finished = run_streams(config, streams, Tools(engine, None), stop, console, title="viewing", more_sinks=sinks)
    if finished.outcome.failure is not None:
        raise finished.outcome.failure
    return INTERRUPTED if finished.outcome.ended == "interrupted" and not (show or picture) else 0
