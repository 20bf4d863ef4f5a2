"""`realtime` and `tiny` on a CPU: OpenVINO graphs for the convolutions, numba kernels for everything point-wise.

    neighbours, sample, parted or reduced, gridded     kernels: warp infrared, reduce both cameras to the core's grid
    prior                                              kernel: dark-channel prior, the input of the core
    grid                                               graph: the learned layers of the core
    analysed                                           kernel: planes of the core's grid
    restore                                            kernel: dehaze, lift and fuse at the working size, about 640x480
    head                                               graph, only of `realtime`
    composed or enlarged                               kernel: final images

As one OpenVINO graph, three quarters of the time would go into memory traffic between point-wise operations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from ...base import Outputs, Pixels
from ...networks.realtime_constants import DARK_TILE, FLOOR, HUE
from ...networks.smoothing import STRENGTHS, State
from ...warp import Shape, Warp
from ..kernels import loader
from ..kernels.bands import in_bands
from ..kernels.images import KEPT, KEPT_DARK

if TYPE_CHECKING:
    from .ov import ov

NETWORKS = ("realtime", "tiny")
"""Networks that this module runs."""
EMPTY_PLANES = np.zeros((0, 0, 0), np.float32)
EMPTY_IMAGE = np.zeros((0, 0, 0), np.uint8)
FEATURES_PLACE = 4
"""Index in the state of the frame's global features, after infrared's floor (1) and the prior's airlight (3)."""


class Constants(NamedTuple):
    """Parameters of the grid's kernels, from `networks.realtime_core.Profile` and `physics`."""

    window: int
    guide: int
    bounded: int
    air: float
    field: float
    features: int
    """Number of global features of the frame."""
    points: tuple[int, int]
    """`physics.AIRLIGHT_GRID`."""
    top: int
    """Number of these points that give the airlight."""
    alike: float
    """`physics.ALIKE`."""
    darkest: int
    """Number of these points that bound the airlight."""


class Grid(NamedTuple):
    """Buffers of the grid's kernels, float32, see `kernels.analysis`."""

    frame: Any
    """(5, h, w): R, G, B, infrared without its floor, coverage."""
    coefficients: Any
    planes: Any
    """See `networks.realtime.PLANES`."""
    scalars: Any
    scratch: Any
    small: Any
    points: Any
    tiles: Any

    @staticmethod
    def of(height: int, width: int, points: tuple[int, int], unlifted: bool) -> Grid:
        """Allocate for a grid of this size. points: `physics.AIRLIGHT_GRID`. unlifted: with the plane `around`."""
        shapes = [(5, height, width), (2, height, width), (12 + unlifted, height, width), (4,), (12, height, width)]
        shapes += [(3, -(-height // 2), -(-width // 2)), points]
        shapes += [(-(-height // DARK_TILE), -(-width // DARK_TILE))]
        return Grid(*(np.zeros(shape, np.float32) for shape in shapes))


class Split:
    """A network for one pair of frame sizes, with its buffers."""

    def __init__(
        self,
        graphs: Mapping[str, ov.InferRequest],
        shape: Shape,
        constants: Constants,
        step: int,
        factor: int,
        unlifted: bool,
    ) -> None:
        """graphs: `grid`, and `head` where the network has one. step, factor: of `Network.steps`. unlifted: whether to
        compute a detector's frame."""
        self._graphs, self._shape, self._constants = graphs, shape, constants
        self._step, self._factor, self._unlifted = step, factor, unlifted
        self._kernels = loader.compiled(step > 1)
        rows, columns = -(-shape.height // step), -(-shape.width // step)
        self._quads = np.zeros(shape.infrared[::-1], np.uint32)
        self._working: npt.NDArray[Any] = np.zeros((5, rows, columns), np.uint8 if step == 1 else np.float32)
        self._sums = np.zeros((rows, 2))
        count = 5 if step == 1 else KEPT_DARK if unlifted else KEPT
        self._kept = np.zeros((count, rows, columns), np.float32)
        self._grid = Grid.of(-(-rows // factor), -(-columns // factor), constants.points, unlifted)

    def run(self, visible: Pixels, infrared: Pixels, warp: Warp, controls: State) -> Outputs:
        """See `engine.Ready`."""
        kernels, step, working, kept = self._kernels, self._step, self._working, self._kept
        height, width = self._shape.height, self._shape.width
        _, rows, columns = working.shape
        visible, infrared = np.ascontiguousarray(visible), np.ascontiguousarray(infrared)
        registered = np.empty((height, width), np.uint8)
        kernels.neighbours.of(infrared, self._quads)()
        quads, coverage = self._quads.reshape(-1).view(np.int32), warp.coverage
        sample = kernels.sample.of(quads, warp.index, warp.fractions, registered)
        if step == 1:
            parted = kernels.parted.of(registered, coverage, working, self._sums)
        else:
            pixels = visible.reshape(height, -1)
            reduced = kernels.reduced.of(pixels, registered, coverage, step, working, self._sums)

        def read(first: int, last: int) -> None:
            sample(first * step, min(last * step, height), np.empty(width, np.int32))
            if step == 1:
                cv2.split(visible[first:last], list(working[:3, first:last]))
                parted(first, last)
            else:
                reduced(first, last, np.empty(5 * width, np.uint16))

        in_bands(read, rows)
        floor = self._floor(controls)
        scale = np.float32(1 / 255 if step == 1 else 1)
        grid = self._grid
        gridded = kernels.gridded.of(working, scale, self._factor, floor, grid.frame)
        in_bands(lambda first, last: gridded(first, last, np.empty((5, columns), np.float32)), grid.frame.shape[1])
        density, light, state = self._analyse(controls, floor)
        planes, hue = grid.planes, controls[STRENGTHS - 1]
        scalars = np.array([*grid.scalars, HUE if hue < 0 else min(hue, 1), floor], np.float32)

        head = self._graphs.get("head")
        head_input = EMPTY_PLANES if head is None else head.get_input_tensor(0).data[0]
        fused, restored = np.empty_like(visible), np.empty_like(visible)
        unlifted = np.empty_like(visible) if self._unlifted else EMPTY_IMAGE
        restore = kernels.restore.of(working, scale, planes, self._factor, scalars, step, kept, head_input)

        def finisher(corrections: npt.NDArray[np.float32]) -> Callable[[int, int], None]:
            """The last pass over a band. corrections: (16, H', W'), the head's output; empty without a head."""
            images = [restored, fused, unlifted] if step > 1 and self._unlifted else [restored, fused]
            if step == 1:
                kernel, lines = kernels.composed.of(working, kept, corrections, scalars), 2
            else:
                kernel = kernels.enlarged.of(registered, coverage, working, kept, corrections, scalars, step)
                lines = 2 * len(kept) + 5

            def finish(first: int, last: int) -> None:
                scratch, out = np.zeros((lines, width + 4), np.float32), _planes(3 * len(images), first, last, width)
                if step == 1:
                    kernel(first, last, scratch, out)
                else:
                    colours = _planes(3, first, last, width)
                    cv2.split(visible[first:last], list(colours))
                    kernel(first, last, scratch, colours, out)
                for image, image_planes in zip(images, np.split(out, len(images)), strict=True):
                    cv2.merge(list(image_planes), image[first:last])

            return finish

        # without a head the last pass runs right after `restore`, while the band is in the processor's cache
        finish_band = finisher(EMPTY_PLANES) if step == 1 and head is None else None

        def restore_band(first: int, last: int) -> None:
            unlifted_planes = _planes(3, first, last, columns) if step == 1 and self._unlifted else EMPTY_IMAGE
            restore(first, last, np.empty((2 * len(planes) + 8, columns), np.float32), unlifted_planes)
            if len(unlifted_planes):
                cv2.merge(list(unlifted_planes), unlifted[first:last])
            if finish_band is not None:
                finish_band(first, last)

        in_bands(restore_band, rows)
        if head is not None:
            head.infer()
        if finish_band is None:
            in_bands(finisher(EMPTY_PLANES if head is None else head.get_output_tensor(0).data[0]), height)
        outputs = {
            "fused": fused,
            "restored": restored,
            "haze_density": density,
            "illumination": light,
            "registered": registered,
        }
        return outputs | ({"unlifted": unlifted} if self._unlifted else {}) | {"state": state}

    def _analyse(self, controls: State, floor: np.float32) -> tuple[Pixels, Pixels, State]:
        """`RealtimeFusion.analyse`, into the buffers of the grid.

        Returns haze density and illumination, (h, w) uint8, and the state, (STATE,) float32.
        """
        kernels, constants, grid, core = self._kernels, self._constants, self._grid, self._graphs["grid"]
        seen, infrared, air, graph_controls = (tensor.data for tensor in core.input_tensors)
        before, weight = controls[STRENGTHS:-1], controls[-1]
        kernels.prior.of(
            *(grid.frame, before, weight, constants.window, constants.guide, constants.bounded),
            *(constants.top, constants.alike),
            *(seen[0], infrared[0], air.reshape(3), grid.coefficients, grid.scratch, grid.points),
        )()
        np.copyto(graph_controls, controls)
        core.infer()
        corrections, air_field, frame_corrections, state = (tensor.data for tensor in core.output_tensors)
        density, light = (np.empty(grid.frame.shape[1:], np.uint8) for _ in range(2))
        state = state[0].copy()
        state[0], state[1:4] = floor, air.reshape(3)
        place = FEATURES_PLACE + constants.features
        kernels.analysed.of(
            *(grid.frame, corrections[0], air_field[0], frame_corrections.reshape(-1), air.reshape(3)),
            *(grid.coefficients, controls, place, constants.guide, constants.bounded, self._factor),
            *(constants.air, constants.field, constants.darkest),
            *(grid.planes, grid.scalars, density, light, state, grid.scratch, grid.small, grid.points, grid.tiles),
        )()
        return density, light, state

    def _floor(self, controls: State) -> np.float32:
        """Floor of infrared, `networks.realtime_rules.floor_of`, smoothed over time."""
        both, alone = self._sums.sum(axis=0) / (self._working.shape[1] * self._working.shape[2])
        measured = min(max(both / max(alone, 1e-2) - FLOOR, 0), 0.9)
        before, weight = controls[STRENGTHS], controls[-1]
        return np.float32(measured + weight * (before - measured))


def _planes(count: int, first: int, last: int, width: int) -> Pixels:
    """Empty uint8 planes for a band: OpenCV splits and merges interleaved pixels several times as fast as a kernel."""
    return np.empty((count, last - first, width), np.uint8)
