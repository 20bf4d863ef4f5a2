"""Temporal stability of fused videos in static areas: flicker between frames, and brightness pumping over several."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt

from .arrays import Colour, Gray

MOVED = 2.0
"""Threshold of motion: change of the 5x5 mean of a camera between frames, in grey levels."""
SIDE = 16
"""Side in pixels of the blocks for pumping; averaging over a block suppresses noise."""
LAG = 10
"""Number of frames over which pumping is measured; it is slow and small between two frames."""
VISIBLE, INFRARED = "visible only", "infrared only"

Levels = npt.NDArray[np.float32]


class Steadiness:
    """Accumulates the frames of a video with `add`; `scores` returns the metrics of each method and camera."""

    def __init__(self) -> None:
        self._last: dict[str, Levels] = {}
        self._blocks: deque[dict[str, Levels]] = deque(maxlen=LAG)
        self._changes: dict[str, list[float]] = {}
        self._pumping: dict[str, list[Levels]] = {}
        self._still: list[float] = []

    def add(self, visible: Colour, infrared: Gray, methods: Mapping[str, Gray | Colour]) -> None:
        """Add the next frame of both cameras and the fused frames of all methods, all of equal size.

        visible: (H, W, 3) uint8 RGB. infrared: (H, W) uint8. methods: by name, (H, W) or (H, W, 3) uint8.
        """
        images = {VISIBLE: visible, INFRARED: infrared, **methods}
        frames = {name: np.asarray(image, np.float32) for name, image in images.items()}
        blocks = {name: _blocks(image) for name, image in frames.items()}
        if self._last:
            still = np.ones(infrared.shape, bool)
            for camera in (VISIBLE, INFRARED):
                change = cv2.blur(frames[camera] - self._last[camera], (5, 5))
                still &= _largest(np.asarray(change, np.float32)) <= MOVED
            self._still.append(float(still.mean()))
            if still.any():
                for name, image in frames.items():
                    self._changes.setdefault(name, []).append(float(np.abs(image - self._last[name])[still].mean()))
        if len(self._blocks) == LAG:
            changes = {name: _largest(mean - self._blocks[0][name]) for name, mean in blocks.items()}
            camera_change = np.maximum(changes[VISIBLE], changes[INFRARED])
            for name, mean in changes.items():
                excess = (mean - camera_change).clip(min=0)
                self._pumping.setdefault(name, []).append(excess[camera_change <= MOVED / 2])
        self._last = frames
        self._blocks.append(blocks)

    def scores(self) -> dict[str, dict[str, float]]:
        """Metrics by row, in grey levels; NaN if nothing was static.

        flicker: mean absolute change of static pixels between frames. flicker ratio: flicker divided by the larger
        flicker of both cameras. pumping: mean change of static blocks over LAG frames in excess of that of both
        cameras. pumping 99 %: its 99th percentile.
        """
        mean = {name: float(np.mean(changes)) for name, changes in self._changes.items()}
        largest = max(mean.get(VISIBLE, math.nan), mean.get(INFRARED, math.nan))
        scores = {}
        for name in self._last:
            excess = np.concatenate(self._pumping.get(name, [np.empty(0, np.float32)]))
            flicker = mean.get(name, math.nan)
            scores[name] = {
                "flicker": flicker,
                "flicker ratio": flicker / largest if largest > 0 else math.nan,
                "pumping": float(excess.mean()) if len(excess) else math.nan,
                "pumping 99 %": float(np.percentile(excess, 99)) if len(excess) else math.nan,
            }
        return scores

    @property
    def still(self) -> float:
        """Mean share of static pixels, 0 to 1."""
        return float(np.mean(self._still)) if self._still else 0.0


def _blocks(image: Levels) -> Levels:
    """Means of blocks of about SIDE x SIDE pixels, (h, w) or (h, w, 3)."""
    size = max(1, image.shape[1] // SIDE), max(1, image.shape[0] // SIDE)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)


def _largest(change: Levels) -> Levels:
    """Absolute change, maximum over the channels, (H, W)."""
    size = np.abs(change)
    return np.asarray(size if size.ndim == 2 else size.max(axis=2), np.float32)
