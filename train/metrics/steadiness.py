"""How steady a fused video is, where nothing moves: flicker from frame to frame, and pumping over several frames."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt

from .arrays import Colour, Gray

MOVED = 2.0
"""Change of a 5x5 mean of either camera, in grey levels, from which a place is not still."""
SIDE = 16
"""Of a block in pixels, of which pumping is told: its mean has no noise to speak of."""
LAG = 10
"""Frames over which pumping is told: it takes several, and hides in the difference of two."""
VISIBLE, INFRARED = "visible only", "infrared only"

Levels = npt.NDArray[np.float32]


class Steadiness:
    """Feed every frame of a video to `add`; `scores` tells each method's figures, and those of both cameras."""

    def __init__(self) -> None:
        self._last: dict[str, Levels] = {}
        self._blocks: deque[dict[str, Levels]] = deque(maxlen=LAG)
        self._changes: dict[str, list[float]] = {}
        self._pumping: dict[str, list[Levels]] = {}
        self._still: list[float] = []

    def add(self, visible: Colour, infrared: Gray, methods: Mapping[str, Gray | Colour]) -> None:
        """The next frame of both cameras and what each method made of it, all of one size.

        visible: (H, W, 3) uint8 RGB. infrared: (H, W) uint8. methods: by name, (H, W) or (H, W, 3) uint8.
        """
        frames = {
            name: np.asarray(image, np.float32)
            for name, image in {VISIBLE: visible, INFRARED: infrared, **methods}.items()
        }
        blocks = {name: _blocks(image) for name, image in frames.items()}
        if self._last:
            still = np.ones(infrared.shape, bool)
            for camera in (VISIBLE, INFRARED):
                still &= (
                    _largest(np.asarray(cv2.blur(frames[camera] - self._last[camera], (5, 5)), np.float32)) <= MOVED
                )
            self._still.append(float(still.mean()))
            if still.any():
                for name, image in frames.items():
                    self._changes.setdefault(name, []).append(float(np.abs(image - self._last[name])[still].mean()))
        if len(self._blocks) == LAG:
            change = {name: _largest(mean - self._blocks[0][name]) for name, mean in blocks.items()}
            of_cameras = np.maximum(change[VISIBLE], change[INFRARED])
            for name, mean in change.items():
                excess = (mean - of_cameras).clip(min=0)
                self._pumping.setdefault(name, []).append(excess[of_cameras <= MOVED / 2])
        self._last = frames
        self._blocks.append(blocks)

    def scores(self) -> dict[str, dict[str, float]]:
        """By row, in grey levels; NaN where nothing stood still.

        flicker: mean change of a still pixel from frame to frame. flicker ratio: that over the larger of both cameras'.
        pumping: mean change of a still block over LAG frames beyond that of both cameras; pumping 99 %: of the worst.
        """
        mean = {name: float(np.mean(changes)) for name, changes in self._changes.items()}
        most = max(mean.get(VISIBLE, math.nan), mean.get(INFRARED, math.nan))
        found = {}
        for name in self._last:
            excess = np.concatenate(self._pumping.get(name, [np.empty(0, np.float32)]))
            flicker = mean.get(name, math.nan)
            found[name] = {
                "flicker": flicker,
                "flicker ratio": flicker / most if most > 0 else math.nan,
                "pumping": float(excess.mean()) if len(excess) else math.nan,
                "pumping 99 %": float(np.percentile(excess, 99)) if len(excess) else math.nan,
            }
        return found

    @property
    def still(self) -> float:
        """Mean share of the frame that stood still, 0 to 1."""
        return float(np.mean(self._still)) if self._still else 0.0


def _blocks(image: Levels) -> Levels:
    """Means of blocks of SIDE pixels, (h, w) or (h, w, 3)."""
    size = max(1, image.shape[1] // SIDE), max(1, image.shape[0] // SIDE)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)


def _largest(change: Levels) -> Levels:
    """Of a change its size, in the colour where it is largest."""
    size = np.abs(change)
    return np.asarray(size if size.ndim == 2 else size.max(axis=2), np.float32)
