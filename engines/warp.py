"""The map from the visible camera's grid to the infrared frame: made once per rig and sizes, applied in the graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple, cast

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]
STEPS = 256
"""Sub-pixel steps of the fixed-point coordinates. Pixel and step are integers, which no backend's precision rounds, as
f16 and bf16 would a large coordinate. The error is at most 1/512 pixel."""


class Shape(NamedTuple):
    """Sizes that a graph is built for: width and height of the visible frame; (width, height) of the infrared frame as
    the camera delivers it; and the side of its tiles that are averaged before it is sampled."""

    width: int
    height: int
    infrared: Size
    reduce: int

    @staticmethod
    def of(width: int, height: int, infrared: Size | None = None, reduce: int = 1) -> Shape:
        """infrared: None for the size of the visible frame."""
        return Shape(width, height, infrared or (width, height), reduce)

    def __str__(self) -> str:
        """`640x480`; with another infrared size `640x480 with infrared of 320x256`; with a reduction `... by 2`."""
        text = f"{self.width}x{self.height}"
        if self.infrared != (self.width, self.height) or self.reduce > 1:
            text += f" with infrared of {self.infrared[0]}x{self.infrared[1]}"
        return text + (f" by {self.reduce}" if self.reduce > 1 else "")


@dataclass(frozen=True, slots=True, eq=False)
class Warp:
    """Position in the infrared frame of every visible pixel, for bilinear sampling with a replicated border. Read-only.

    Attributes:
        map: (H, W, 2) float32, x and y in pixels of the infrared frame as the camera delivers it, pixel centres at
            integers.
        coverage: (H, W) uint8, 255 where infrared is valid, 0 where the result must be the visible frame alone.
        infrared: (width, height) of the infrared frame.
        reduce: Side of the infrared tiles that are averaged before sampling: bilinear sampling alone would alias where
            a visible pixel spans several infrared ones.
        index: (H, W) int32, `map` in fixed point: flat index of the pixel above left, in the reduced infrared frame.
        fractions: (2, H, W) uint8, the rest in x and y, in units of 1/STEPS.
    """

    map: npt.NDArray[np.float32]
    coverage: Pixels
    infrared: Size
    reduce: int
    index: npt.NDArray[np.int32]
    fractions: Pixels

    @staticmethod
    def of(
        map_x: npt.NDArray[np.float32],
        map_y: npt.NDArray[np.float32],
        coverage: Pixels,
        infrared: Size,
        reduce: int = 1,
    ) -> Warp:
        """map_x, map_y: (H, W) float32, as for `cv2.remap` on the full infrared frame. The rest as in the class."""
        width, height = infrared[0] // reduce, infrared[1] // reduce
        x, y = ((np.nan_to_num(grid) + 0.5) / reduce - 0.5 for grid in (map_x, map_y))
        steps = [
            np.floor(np.clip(grid, 0, side - 1) * STEPS + 0.5).astype(np.int32)
            for grid, side in ((x, width), (y, height))
        ]
        index = steps[1] // STEPS * width + steps[0] // STEPS
        fractions = np.stack([grid % STEPS for grid in steps]).astype(np.uint8)
        both = np.stack([map_x, map_y], axis=-1).astype(np.float32, copy=False)
        return Warp(_fixed(both), _fixed(coverage.copy()), infrared, reduce, _fixed(index), _fixed(fractions))

    @staticmethod
    def registered(coverage: Pixels) -> Warp:
        """The identity map, for infrared that is already registered. coverage: (H, W) uint8, copied."""
        return replace(_identity(coverage.shape[1], coverage.shape[0]), coverage=_fixed(coverage.copy()))

    @property
    def shape(self) -> Shape:
        """The sizes that a graph for this warp is built for."""
        return Shape(self.map.shape[1], self.map.shape[0], self.infrared, self.reduce)

    @property
    def parts(self) -> tuple[npt.NDArray[Any], ...]:
        """The arrays that a graph takes, in the order of its inputs: index, fractions, coverage."""
        return self.index, self.fractions, self.coverage

    def blank(self) -> Warp:
        """A copy with coverage 0 everywhere, for a pair without infrared."""
        return replace(self, coverage=_fixed(np.zeros_like(self.coverage)))

    def apply(self, infrared: Pixels) -> Pixels:
        """Warp infrared by OpenCV, outside a graph: (h, w) uint8 to (H, W) uint8. For previews and single pictures."""
        if self.reduce > 1:
            width, height = self.infrared[0] // self.reduce, self.infrared[1] // self.reduce
            whole = infrared[: height * self.reduce, : width * self.reduce]
            infrared = cast(Pixels, cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA))
        x, y = ((self.map[..., axis] + np.float32(0.5)) / self.reduce - np.float32(0.5) for axis in (0, 1))
        return cast(Pixels, cv2.remap(infrared, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


class WarpBuffers:
    """Remembers the warp in a graph's buffers, so that it is copied only when it changes."""

    def __init__(self) -> None:
        self._parts: list[npt.NDArray[Any] | None] = [None, None, None]

    def changed_parts(self, warp: Warp) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """Yield index and array of each part of `warp` that is not in the buffers yet; it then counts as held."""
        for index, part in enumerate(warp.parts):
            if part is not self._parts[index]:
                self._parts[index] = part
                yield index, part


@lru_cache(maxsize=8)
def _identity(width: int, height: int) -> Warp:
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return Warp.of(x, y, np.full((height, width), 255, np.uint8), (width, height))


def _fixed(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.flags.writeable = False
    return array
