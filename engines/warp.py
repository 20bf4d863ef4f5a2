"""How infrared lies on the visible camera's grid: made once for a rig and two sizes, applied in the engine's graph."""

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
"""Places between two infrared pixels. A coordinate is kept as whole numbers, pixel and step, which no precision of a
backend rounds: half precision knows no 300.5, let alone bf16. Off by 1/512 of a pixel at most."""


class Shape(NamedTuple):
    """What a graph is built for: width and height of the visible frame, (width, height) of the infrared frame as it
    comes, and the side of the tiles of it that are averaged before it is sampled."""

    width: int
    height: int
    infrared: Size
    reduce: int

    @staticmethod
    def of(width: int, height: int, infrared: Size | None = None, reduce: int = 1) -> Shape:
        """infrared: None for that of the visible frame."""
        return Shape(width, height, infrared or (width, height), reduce)

    def __str__(self) -> str:
        """`640x480`; of another infrared size `640x480 with infrared of 320x256`, of a reduced one `... by 2`."""
        text = f"{self.width}x{self.height}"
        if self.infrared != (self.width, self.height) or self.reduce > 1:
            text += f" with infrared of {self.infrared[0]}x{self.infrared[1]}"
        return text + (f" by {self.reduce}" if self.reduce > 1 else "")


@dataclass(frozen=True, slots=True, eq=False)
class Warp:
    """For every visible pixel the place in the infrared frame, bilinear, replicated beyond its border. Read-only.

    map: (H, W, 2) float32, x and y in pixels of the infrared frame as it comes, centres at integers.
    coverage: (H, W) uint8, 255 where infrared is valid, 0 where the result must be the visible frame alone.
    infrared: (width, height) of the infrared frame. reduce: side of the tiles of it that are averaged first, because
    bilinear sampling would alias where a visible pixel spans several infrared ones.
    index: (H, W) int32, fractions: (2, H, W) uint8: the map as a graph takes it, see `graph.ImagePath`.
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
        """map_x, map_y: (H, W) float32, as for cv2.remap on the whole infrared frame. The rest as in the class."""
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
        """Of infrared frames that lie on the visible grid already. coverage: (H, W) uint8, copied."""
        return replace(_identity(coverage.shape[1], coverage.shape[0]), coverage=_fixed(coverage.copy()))

    @property
    def shape(self) -> Shape:
        """What the graph that takes it is built for."""
        return Shape(self.map.shape[1], self.map.shape[0], self.infrared, self.reduce)

    @property
    def parts(self) -> tuple[npt.NDArray[Any], ...]:
        """What a graph keeps of it, in the order of its inputs."""
        return self.index, self.fractions, self.coverage

    def blank(self) -> Warp:
        """The same for a pair without infrared: coverage 0 everywhere."""
        return replace(self, coverage=_fixed(np.zeros_like(self.coverage)))

    def apply(self, infrared: Pixels) -> Pixels:
        """What the graph does to infrared, outside it: (h, w) uint8 to (H, W) uint8, for small images and pictures."""
        if self.reduce > 1:
            width, height = self.infrared[0] // self.reduce, self.infrared[1] // self.reduce
            whole = infrared[: height * self.reduce, : width * self.reduce]
            infrared = cast(Pixels, cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA))
        x, y = ((self.map[..., axis] + np.float32(0.5)) / self.reduce - np.float32(0.5) for axis in (0, 1))
        return cast(Pixels, cv2.remap(infrared, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


class Held:
    """Which warp lies in a graph's buffers, so that it is written there once and not with every frame."""

    def __init__(self) -> None:
        self._parts: list[npt.NDArray[Any] | None] = [None, None, None]

    def take(self, warp: Warp) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """The parts of `warp` that are to be written, by their places in it; they then count as held."""
        for place, part in enumerate(warp.parts):
            if part is not self._parts[place]:
                self._parts[place] = part
                yield place, part


@lru_cache(maxsize=8)
def _identity(width: int, height: int) -> Warp:
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return Warp.of(x, y, np.full((height, width), 255, np.uint8), (width, height))


def _fixed(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.flags.writeable = False
    return array
