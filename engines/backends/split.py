"""`realtime` and `tiny` on a CPU, split: graphs for the grid and the head, compiled loops for what is point-wise.

    neighbours, sample, parted or reduced, gridded     loops: infrared warped; both cameras on the core's grid
    prior                                              loop: what the core sees
    grid                                               graph: what is learned on the grid
    analysed                                           loop: all that is made of it there
    restore                                            loop: at about 640x480
    head                                               graph, where there is one
    composed or enlarged                               loop: the results

OpenVINO alone writes and reads every plane of every point-wise step, three quarters of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from ..base import Outputs, Pixels
from ..networks.realtime_constants import DARK_TILE, FLOOR, HUE
from ..networks.smoothing import STRENGTHS, State
from ..warp import Shape, Warp
from . import kernels
from .pointwise import KEPT, KEPT_DARK

if TYPE_CHECKING:
    from .ov import ov

NETWORKS = ("realtime", "tiny")
"""Those that are split."""
NONE = np.zeros((0, 0, 0), np.float32)
AIR_PLACE = 4
"""Place in the state after infrared's floor and the first airlight; then come the features of the whole frame."""
NO_IMAGE = np.zeros((0, 0, 0), np.uint8)


class Constants(NamedTuple):
    """For the loops on the grid: of a profile, see `networks.realtime_core.Profile`, and of `physics.brightest`."""

    window: int
    guide: int
    bounded: int
    air: float
    field: float
    features: int
    """Of the frame as a whole."""
    points: tuple[int, int]
    top: int
    alike: float
    darkest: int


class Grid(NamedTuple):
    """Buffers of the loops on the core's grid, float32."""

    frame: Any
    """(5, h, w): colour, infrared without its floor, coverage."""
    coefficients: Any
    planes: Any
    """See `networks.realtime.PLANES`."""
    whole: Any
    room: Any
    small: Any
    points: Any
    tiles: Any

    @staticmethod
    def of(height: int, width: int, points: tuple[int, int], unlifted: bool) -> Grid:
        """Those of a grid of this size. points: of `physics.AIRLIGHT_GRID`."""
        shapes = [(5, height, width), (2, height, width), (12 + unlifted, height, width), (4,), (12, height, width)]
        shapes += [(3, -(-height // 2), -(-width // 2)), points]
        shapes += [(-(-height // DARK_TILE), -(-width // DARK_TILE))]
        return Grid(*(np.zeros(shape, np.float32) for shape in shapes))


@dataclass(slots=True)
class Split:
    """The parts of a network for one pair of sizes, with their buffers. graphs: `grid`, and `head` where there is one.

    step, factor: of `Network.steps`. unlifted: whether it gives a detector's frame.
    """

    graphs: Mapping[str, ov.InferRequest]
    shape: Shape
    constants: Constants
    step: int
    factor: int
    unlifted: bool
    _loops: Any = field(init=False)
    _quads: npt.NDArray[np.uint32] = field(init=False)
    _working: npt.NDArray[Any] = field(init=False)
    _sums: npt.NDArray[np.float64] = field(init=False)
    _kept: npt.NDArray[np.float32] = field(init=False)
    _grid: Grid = field(init=False)

    def __post_init__(self) -> None:
        self._loops = kernels.compiled(self.step > 1)
        rows, columns = self._size
        self._quads = np.zeros(self.shape.infrared[::-1], np.uint32)
        self._working = np.zeros((5, rows, columns), np.uint8 if self.step == 1 else np.float32)
        self._sums = np.zeros((rows, 2))
        count = 5 if self.step == 1 else KEPT_DARK if self.unlifted else KEPT
        self._kept = np.zeros((count, rows, columns), np.float32)
        self._grid = Grid.of(-(-rows // self.factor), -(-columns // self.factor), self.constants.points, self.unlifted)

    @property
    def _size(self) -> tuple[int, int]:
        """Of what is worked on, rows and columns."""
        return -(-self.shape.height // self.step), -(-self.shape.width // self.step)

    def run(self, visible: Pixels, infrared: Pixels, warp: Warp, controls: State) -> Outputs:
        """Every output for one pair by these controls, as `graph.ImagePath` gives them."""
        loops, step, working, kept = self._loops, self.step, self._working, self._kept
        height, width = self.shape.height, self.shape.width
        rows, columns = self._size
        visible, infrared = np.ascontiguousarray(visible), np.ascontiguousarray(infrared)
        registered = np.empty((height, width), np.uint8)
        loops.neighbours.of(infrared, self._quads)()
        quads, given = self._quads.reshape(-1).view(np.int32), (visible, registered, warp.coverage)
        sample = loops.sample.of(quads, warp.index, warp.fractions, registered)
        if step == 1:
            parted = loops.parted.of(*given[1:], working, self._sums)
        else:
            reduced = loops.reduced.of(visible.reshape(height, -1), *given[1:], step, working, self._sums)

        def read(first: int, last: int) -> None:
            sample(first * step, min(last * step, height), np.empty(width, np.int32))
            if step == 1:
                cv2.split(visible[first:last], list(working[:3, first:last]))
                parted(first, last)
            else:
                reduced(first, last, np.empty(5 * width, np.uint16))

        kernels.in_bands(read, rows)
        used = self._floor(controls)
        scale = np.float32(1 / 255 if step == 1 else 1)
        grid = self._grid
        gridded = loops.gridded.of(working, scale, self.factor, used, grid.frame)
        kernels.in_bands(
            lambda first, last: gridded(first, last, np.empty((5, columns), np.float32)), grid.frame.shape[1]
        )
        density, light, state = self._analyse(controls, used)
        planes, hue = grid.planes, controls[STRENGTHS - 1]
        whole = np.array([*grid.whole, HUE if hue < 0 else min(hue, 1), used], np.float32)

        head = self.graphs.get("head")
        into = NONE if head is None else head.get_input_tensor(0).data[0]
        fused, restored = np.empty_like(visible), np.empty_like(visible)
        dark = np.empty_like(visible) if self.unlifted else NO_IMAGE
        brought = loops.restore.of(working, scale, planes, self.factor, whole, step, kept, into)

        def finishing(corrections: npt.NDArray[np.float32]) -> Callable[[int, int], None]:
            images = [restored, fused, dark] if step > 1 and self.unlifted else [restored, fused]
            if step == 1:
                finish, lines = loops.composed.of(working, kept, corrections), 2
            else:
                finish = loops.enlarged.of(*given[1:], working, kept, corrections, whole, step)
                lines = 2 * len(kept) + 5

            def finished(first: int, last: int) -> None:
                room, made = np.zeros((lines, width + 4), np.float32), _planes(3 * len(images), first, last, width)
                if step == 1:
                    finish(first, last, room, made)
                else:
                    colours = _planes(3, first, last, width)
                    cv2.split(visible[first:last], list(colours))
                    finish(first, last, room, colours, made)
                for image, part in zip(images, np.split(made, len(images)), strict=True):
                    cv2.merge(list(part), image[first:last])

            return finished

        # what was restored is still in the processor's cache
        at_once = finishing(NONE) if step == 1 and head is None else None

        def restore(first: int, last: int) -> None:
            small_dark = _planes(3, first, last, columns) if step == 1 and self.unlifted else NO_IMAGE
            brought(first, last, np.empty((2 * len(planes) + 8, columns), np.float32), small_dark)
            if len(small_dark):
                cv2.merge(list(small_dark), dark[first:last])
            if at_once is not None:
                at_once(first, last)

        kernels.in_bands(restore, rows)
        if head is not None:
            head.infer()
        if at_once is None:
            kernels.in_bands(finishing(NONE if head is None else head.get_output_tensor(0).data[0]), height)
        outputs = {
            "fused": fused,
            "restored": restored,
            "haze_density": density,
            "illumination": light,
            "registered": registered,
        }
        return outputs | ({"unlifted": dark} if self.unlifted else {}) | {"state": state}

    def _analyse(self, controls: State, floor: np.float32) -> tuple[Pixels, Pixels, State]:
        """`RealtimeFusion.analyse` of the frame on the grid: haze density, illumination and state; the rest stays."""
        loops, of, at, core = self._loops, self.constants, self._grid, self.graphs["grid"]
        seen, infrared, air, given = (tensor.data for tensor in core.input_tensors)
        before, weight = controls[STRENGTHS:-1], controls[-1]
        loops.prior.of(
            *(at.frame, before, weight, of.window, of.guide, of.bounded, of.top, of.alike),
            *(seen[0], infrared[0], air.reshape(3), at.coefficients, at.room, at.points),
        )()
        np.copyto(given, controls)
        core.infer()
        corrections, air_field, found, state = (tensor.data for tensor in core.output_tensors)
        density, light = (np.empty(at.frame.shape[1:], np.uint8) for _ in range(2))
        state = state[0].copy()
        state[0], state[1:4] = floor, air.reshape(3)
        place = AIR_PLACE + of.features
        loops.analysed.of(
            *(at.frame, corrections[0], air_field[0], found.reshape(-1), air.reshape(3), at.coefficients, controls),
            *(place, of.guide, of.bounded, self.factor, of.air, of.field, of.darkest),
            *(at.planes, at.whole, density, light, state, at.room, at.small, at.points, at.tiles),
        )()
        return density, light, state

    def _floor(self, controls: State) -> np.float32:
        """Infrared's floor as `networks.realtime_rules.floor_of` measures it, steadied over time."""
        both, alone = self._sums.sum(axis=0) / (self._working.shape[1] * self._working.shape[2])
        measured = min(max(both / max(alone, 1e-2) - FLOOR, 0), 0.9)
        before, weight = controls[STRENGTHS], controls[-1]
        return np.float32(measured + weight * (before - measured))


def _planes(count: int, first: int, last: int, width: int) -> Pixels:
    """Room for planes of some rows: OpenCV puts pixels together and apart several times as fast as a loop."""
    return np.empty((count, last - first, width), np.uint8)
