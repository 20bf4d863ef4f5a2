"""`fusecam view-rig`: both cameras registered by a rig, for visual inspection."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from rich.console import Console

from ...calib.atomic import AtomicFile
from ...engines.base import Fused
from ...engines.host.terminal import markup, say
from ..config import OutputConfig
from ..core.frames import Frame, FramePair, Pixels
from ..core.machine import has_display
from ..core.paths import check_not_input
from ..core.result import Result
from ..errors import InputError
from ..registration.infrared_only import fuse_infrared_only
from ..run.console import INTERRUPTED, interruptible, pairs_seen
from ..run.session import Session
from ..run.streams import Streams, frame_size, open_streams
from ..sinks import Outputs, open_sinks
from ..sinks.contact_sheet import save
from .target import Cameras

Mode = Literal["blend", "blink", "side"]
MODES: tuple[Mode, ...] = get_args(Mode)
_BLINK_S = 0.5  # each camera; slow enough to look at, quick enough to see things jump
_STILL_S = 1.0  # how long a window shows each image of a folder
_LINES = 8  # of the grid over both halves of `side`
_LINE = np.array([255, 200, 0], np.uint8)


class RigPreview:
    """Overlays the registered cameras.

    blend: visible in cyan, infrared in red: what coincides has no coloured seams. blink: half a second visible, half
    a second infrared. side: (H, 2 W), visible and infrared under one grid. Beyond infrared's view: visible alone.
    paced: hold every frame as long as it lasts, for a window on recordings.
    """

    def __init__(self, mode: Mode, streams: Streams, paced: bool = False) -> None:
        self._mode, self._streams, self._paced = mode, streams, paced
        self._size = frame_size(streams.visible)
        self._before_ns: int | None = None
        self._shown_s = 0.0
        self._next = 0.0

    def result(self, pair: FramePair, index: int) -> Result:
        """Image to show, (H, W, 3) uint8 RGB, as frame `index` of the output."""
        registrar, drift = self._streams.registrar, self._streams.drift
        if pair.led_by == "infrared":
            pair, fused = fuse_infrared_only(pair, registrar, self._size)
            return Result(index, pair, fused, fused.image)
        self._size = pair.visible.size
        seconds = self._lasts_s(pair.visible)
        if self._paced:
            self._wait(_STILL_S if seconds is None else seconds)
        self._shown_s += seconds or 0.0
        infrared, warp = registrar.register(pair)
        if drift is not None:
            drift.update(pair)
        heat = warp.apply(infrared)
        image = self._draw(pair.visible.pixels, heat, warp.coverage)
        nothing = np.zeros((1, 1), np.uint8)
        return Result(index, pair, Fused(image, pair.visible.pixels, nothing, nothing, heat), image)

    def _lasts_s(self, visible: Frame) -> float | None:
        before, self._before_ns = self._before_ns, visible.time_ns
        return None if visible.clock == "index" or before is None else (visible.time_ns - before) * 1e-9

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


def view_rig(
    cameras: Cameras,
    rig: Path,
    distance: float | None,
    mode: str,
    out: Path | None,
    show: bool | None,
    console: Console,
) -> int:
    """Run the view. Returns the exit code."""
    if mode not in MODES:
        raise InputError(f"--mode {mode}: unknown; use one of {', '.join(MODES)}")
    picture = out is not None and out.suffix.lower() == ".png"
    show = out is None if show is None else show
    if show and out is None and not has_display():
        raise InputError("there is no display to show the cameras: give --out FILE (.png, .mp4, .mkv)")
    inputs = [str(each) for each in (cameras.infrared, cameras.visible, rig, cameras.pairs) if each is not None]
    if picture and out is not None:
        check_not_input(out, inputs)
        AtomicFile(out, InputError).discard()  # fail before the run if it cannot be written
    output = OutputConfig(out=None if picture else out, show=show)
    streams = open_streams(cameras.settings(rig=rig, distance=distance, output=output))
    with interruptible() as stop, Session(streams, stop=stop) as session:
        info = streams.visible.info
        if mode == "blink" and (picture or info.names is not None):
            raise InputError("--mode blink: one image cannot blink; use blend or side, or give videos or cameras")
        outputs = Outputs(open_sinks(output, info.rate, info.pixel_aspect, info.names, inputs), streams.health)
        outputs.on_warning = partial(say, console, kind="warning")
        if streams.drift is not None:
            streams.drift.on_warning = outputs.on_warning
        look = RigPreview(mode, streams, paced=show and not info.live)
        frames, image, whole = 0, None, False
        try:
            for pair in pairs_seen(session, streams, console, "viewing"):
                result = look.result(pair, frames)
                outputs.write(result)
                frames += 1
                if outputs.enough:
                    stop.set()
                if picture and pair.infrared is not None and pair.led_by == "visible":
                    image = result.image
                    break
            whole = not stop.is_set()
        except KeyboardInterrupt:
            outputs.discard()
            raise
        finally:
            outputs.close(whole or frames > 0)
    if outputs.lost:
        raise outputs.lost[0]
    if picture and out is not None and image is not None:
        save(image, out)
    elif picture and not stop.is_set():
        raise InputError(f"{out}: not written, no visible frame had an infrared one near it in time")
    if out is not None and (image is not None if picture else frames):
        console.print(f"wrote [bold]{markup(out)}[/]", highlight=False, soft_wrap=True)
    return INTERRUPTED if stop.is_set() and not show else 0
