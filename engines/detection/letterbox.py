"""Frames fitted into a network's input, and boxes back onto the frame, by Ultralytics' rules to the pixel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from ..base import Pixels

SIDE = 640
"""The longer side of the network's input in pixels."""
STRIDE = 32
GREY = 114
"""What the input holds beside the frame, as in training."""
Boxes = npt.NDArray[np.float32]
"""(N, 4): x1, y1, x2, y2 in pixels."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a frame lies in a network's input: scaled to SIDE at its longer side, then padded to multiples of STRIDE.

    Ultralytics calls it `rect`: the padding is the least that there is, not that to a square. frame: (width, height).
    inner: what the frame is scaled to. left, top: where it lies. width, height: of the input.
    """

    frame: tuple[int, int]
    inner: tuple[int, int]
    left: int
    top: int
    width: int
    height: int

    @staticmethod
    @lru_cache(maxsize=64)
    def of(width: int, height: int) -> Letterbox:
        """For frames of width x height pixels."""
        ratio = min(SIDE / height, SIDE / width)
        inner = max(round(width * ratio), 1), max(round(height * ratio), 1)
        spare_x, spare_y = (SIDE - inner[0]) % STRIDE, (SIDE - inner[1]) % STRIDE
        left, top = (
            round(spare_x / 2 - 0.1),
            round(spare_y / 2 - 0.1),
        )  # an odd pixel goes right, below
        return Letterbox((width, height), inner, left, top, inner[0] + spare_x, inner[1] + spare_y)

    def fill(self, image: Pixels, network_input: Pixels) -> None:
        """Write the frame, (H, W, C) uint8, and the grey around it into (height, width, C) uint8."""
        if self.inner != self.frame:
            image = np.asarray(cv2.resize(image, self.inner, interpolation=cv2.INTER_LINEAR), np.uint8)
        bottom, right = self.top + self.inner[1], self.left + self.inner[0]
        network_input[self.top : bottom, self.left : right] = image
        network_input[: self.top] = network_input[bottom:] = GREY
        network_input[:, : self.left] = network_input[:, right:] = GREY

    def back(self, boxes: Boxes) -> Boxes:
        """Boxes of the network's input as boxes of the frame, cut at its edges."""
        (width, height), (inner_width, inner_height) = self.frame, self.inner
        moved = boxes - np.array([self.left, self.top] * 2, np.float32)
        moved /= np.array([inner_width / width, inner_height / height] * 2, np.float32)
        return np.clip(moved, 0, np.array([width, height] * 2, np.float32))
