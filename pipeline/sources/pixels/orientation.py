"""Rotation and mirroring of a stored image, in one representation for EXIF, display matrices and settings."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...config import SideConfig


@dataclass(frozen=True, slots=True)
class Orientation:
    """Mirrored left to right first if `mirrored`, then turned counterclockwise by `turns` quarters."""

    turns: int = 0
    mirrored: bool = False

    def apply(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(H, W, ...) as it is to be seen, contiguous."""
        if self == UPRIGHT:
            return pixels
        seen = pixels[:, ::-1] if self.mirrored else pixels
        return np.ascontiguousarray(np.rot90(seen, self.turns))

    def then(self, after: Orientation) -> Orientation:
        """Both, one after the other. A mirror reverses the turns that came before it."""
        turns = -self.turns if after.mirrored else self.turns
        return Orientation((turns + after.turns) % 4, self.mirrored != after.mirrored)


UPRIGHT = Orientation()
_EXIF = {
    2: Orientation(0, True),
    3: Orientation(2),
    4: Orientation(2, True),
    5: Orientation(1, True),
    6: Orientation(3),
    7: Orientation(3, True),
    8: Orientation(1),
}


def of_exif(value: int | None) -> Orientation:
    """Orientation from EXIF's and TIFF's tag 274; other values than 2 to 8 are upright."""
    return _EXIF.get(value or 1, UPRIGHT)


def of_display_matrix(data: bytes) -> Orientation | None:
    """Orientation from FFmpeg's AV_FRAME_DATA_DISPLAYMATRIX, nine int32, row by row; None if it is not a
    multiple of 90 degrees."""
    if len(data) < 36:
        return UPRIGHT
    a, b, _, c, d, *_ = struct.unpack("=9i", data[:36])  # display x = a x + c y, y = b x + d y
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    if min(abs(a), abs(b)) > 0.01 * max(abs(a), abs(b)):
        return None
    turns = (0 if a > 0 else 2) if abs(a) > abs(b) else (1 if b < 0 else 3)
    return Orientation(turns, mirrored)


def of_settings(side: SideConfig) -> Orientation:
    """Orientation from `rotate` (clockwise) and `flip`, in this order."""
    flips = {"none": UPRIGHT, "horizontal": Orientation(0, True), "vertical": Orientation(2, True)}
    return Orientation(-side.rotate // 90 % 4).then(flips[side.flip])
