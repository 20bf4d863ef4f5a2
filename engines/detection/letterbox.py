"""Letterboxing of frames to the network's input, and the inverse for boxes; the same to the pixel as Ultralytics."""

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
"""Stride of the network in pixels; its input size is a multiple."""
GREY = 114
"""Grey level of the padding, as in training."""
Boxes = npt.NDArray[np.float32]
"""(N, 4): x1, y1, x2, y2 in pixels."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Placement of a frame in the network's input: scaled to SIDE at its longer side, padded to multiples of STRIDE.

    The padding is minimal, not to a square; Ultralytics calls it `rect`.

    Attributes:
        frame: Width and height of the frame.
        inner: Width and height of the scaled frame.
        left, top: Position of the scaled frame in the input.
        width, height: Of the input.
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
        """Compute the placement for frames of width x height pixels."""
        ratio = min(SIDE / height, SIDE / width)
        inner = max(round(width * ratio), 1), max(round(height * ratio), 1)
        pad_x, pad_y = (SIDE - inner[0]) % STRIDE, (SIDE - inner[1]) % STRIDE
        left, top = round(pad_x / 2 - 0.1), round(pad_y / 2 - 0.1)  # an odd pixel is padded right, below
        return Letterbox((width, height), inner, left, top, inner[0] + pad_x, inner[1] + pad_y)

    def fill(self, image: Pixels, network_input: Pixels) -> None:
        """Write the scaled frame and its padding. image: (H, W, C) uint8. network_input: (height, width, C) uint8."""
        if self.inner != self.frame:
            image = np.asarray(cv2.resize(image, self.inner, interpolation=cv2.INTER_LINEAR), np.uint8)
        bottom, right = self.top + self.inner[1], self.left + self.inner[0]
        network_input[self.top : bottom, self.left : right] = image
        network_input[: self.top] = network_input[bottom:] = GREY
        network_input[:, : self.left] = network_input[:, right:] = GREY

    def to_image(self, boxes: Boxes) -> Boxes:
        """Convert boxes from input to frame coordinates, clipped to the frame. (N, 4) to (N, 4)."""
        (width, height), (inner_width, inner_height) = self.frame, self.inner
        moved = boxes - np.array([self.left, self.top] * 2, np.float32)
        moved /= np.array([inner_width / width, inner_height / height] * 2, np.float32)
        return np.clip(moved, 0, np.array([width, height] * 2, np.float32))
