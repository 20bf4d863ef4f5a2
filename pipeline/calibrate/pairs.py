"""Collects pairs of a scene, spread over time, for calibration without a board."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import cv2
import numpy as np
from rich.console import Console

from ...calib.board import CalibrationError
from ...engines.host.terminal import say
from ..core.frames import FramePair, Pixels
from ..run.console import interruptible, pairs_seen
from ..run.session import Session
from ..run.streams import Streams

_LONGEST_S = 120.0  # length of a recording that is used
_SHORTEST_S = 0.5  # between two pairs; closer ones show the same
_FEWEST = 3


def collected(
    streams: Streams, most: int, console: Console, *, fewest: int = _FEWEST, colour: bool = False
) -> tuple[list[Pixels], list[Pixels]] | None:
    """Up to `most` pairs: visible, (H, W) uint8 grey, (H, W, 3) where `colour`, and infrared. None where the person
    interrupted a recording.

    Raises the sources' errors, and CalibrationError where there are fewer than `fewest`.
    """
    live = streams.visible.info.live
    if live:
        say(console, f"taking {most} pairs; the more the scene changes, the better; Ctrl-C ends the capture")
    visible: list[Pixels] = []
    infrared: list[Pixels] = []
    with interruptible() as stop, Session(streams, stop=stop) as session:
        pairs = pairs_seen(session, streams, console, "collecting pairs")
        for pair in islice(_spread(pairs, *_spacing(streams, most)), most):
            assert pair.infrared is not None
            image = pair.visible.pixels
            visible.append(image.copy() if colour else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8))
            infrared.append(pair.infrared.pixels.copy())
        if stop.is_set() and not live and len(visible) < most:
            return None
    if len(visible) < fewest:
        raise CalibrationError(
            f"scene: {len(visible)} pairs of {streams.synchronizer.stats.visible} visible frames, at least {fewest} "
            "needed: the streams must overlap in time"
        )
    return visible, infrared


def _spread(pairs: Iterable[FramePair], every_s: float, step: int) -> Iterator[FramePair]:
    """Selects pairs spread over time: the one with the smallest skew of each interval; of folders every `step`-th."""
    seen, began_ns = 0, 0
    best: FramePair | None = None
    for pair in pairs:
        if pair.infrared is None or pair.led_by == "infrared":
            continue
        if pair.visible.clock == "index":
            if seen % step == 0:
                yield pair
            seen += 1
            continue
        if best is None or pair.visible.time_ns - began_ns >= every_s * 1e9:
            if best is not None:
                yield best
            began_ns, best = pair.visible.time_ns, None
        if best is None or abs(pair.skew_ns) < abs(best.skew_ns):
            best = pair
    if best is not None:
        yield best


def _spacing(streams: Streams, pairs: int) -> tuple[float, int]:
    """Seconds between pairs of videos, images between pairs of folders."""
    info = streams.visible.info
    if info.names is not None:
        return 0.0, max(1, len(info.names) // pairs)
    seconds = float(info.frames / info.rate) if info.frames and info.rate and not info.live else 0.0
    return max(min(seconds, _LONGEST_S) / pairs, 0.1 if seconds else _SHORTEST_S), 1
