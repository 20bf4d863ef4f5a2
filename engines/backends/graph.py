"""The image path as one torch module: camera frames in; fused frame, maps and registered infrared out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..networks.io import Network
from ..networks.smoothing import CONTROLS
from ..warp import STEPS, Shape

INPUTS = ("visible", "infrared", "index", "fractions", "coverage", "controls")
OUTPUTS = ("fused", "restored", "haze_density", "illumination", "registered", "state")
"""Outputs of every network, see `ImagePath.outputs`."""
KEPT = slice(2, 5)
"""Inputs that change only with the warp."""


class ImagePath(nn.Module):
    """A network preceded by the warp, so that every network and backend takes infrared as the camera delivers it."""

    def __init__(self, network: Network, reduce: int = 1, planar: bool = False) -> None:
        """network: takes registered infrared. reduce: see `Warp`. planar: colour inputs and outputs are (1, 3, H, W),
        for backends that are slow at interleaving bytes.
        """
        super().__init__()
        self.network = network
        self.reduce = reduce
        self.planar = planar

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs of `forward`: OUTPUTS, with `unlifted` before the state if the network computes it."""
        return (*OUTPUTS[:-1], *["unlifted"] * self.network.unlifted, OUTPUTS[-1])

    def forward(
        self, visible: Tensor, infrared: Tensor, index: Tensor, fractions: Tensor, coverage: Tensor, controls: Tensor
    ) -> tuple[Tensor, ...]:
        """Warp and fuse one pair.

        visible: (1, H, W, 3) uint8 RGB. infrared: (1, h, w) uint8, as the camera delivers it. index: (1, H, W) int32,
        fractions: (1, 2, H, W) uint8, coverage: (1, H, W) uint8, of `Warp`. controls: (CONTROLS,) float32, see
        `networks.smoothing`. Returns `outputs`: those of the network, and infrared on the visible grid, (1, H, W)
        uint8.
        """
        levels = self.sampled(infrared, index, fractions)
        if self.planar:
            visible = visible.permute(0, 2, 3, 1)
        fused, restored, density, light, *unlifted, state = self.network(visible, levels, coverage, controls)
        if self.planar:
            fused, restored, *unlifted = (image.permute(0, 3, 1, 2) for image in (fused, restored, *unlifted))
        return fused, restored, density, light, levels.to(torch.uint8), *unlifted, state

    def sampled(self, infrared: Tensor, index: Tensor, fractions: Tensor) -> Tensor:
        """Warp infrared onto the visible grid: (1, H, W), integer grey levels 0 to 255 in the network's dtype.

        Gathers at fixed-point coordinates and two linear interpolations, whose positions half precision cannot shift.
        Floating point because TensorRT supports uint8 only as inputs and outputs of a graph.
        """
        dtype = self.network.dtype
        if self.reduce > 1:
            infrared = F.avg_pool2d(infrared.to(dtype).unsqueeze(1) * (1 / 255), self.reduce).squeeze(1) * 255
        elif dtype == torch.float16:
            infrared = infrared.to(dtype)  # for TensorRT
        width = infrared.shape[2]
        # padding: the neighbours of the last row and column have weight 0, but must exist
        flat, at = F.pad(infrared.reshape(-1), (0, width + 1)), index.reshape(-1)
        if infrared.dtype == torch.uint8:
            # a pixel and its right neighbour packed into one number: half the gathers
            pairs = flat.to(dtype) + 256 * flat.roll(-1).to(dtype)
            both = [pairs.index_select(0, at + step).reshape(index.shape) for step in (0, width)]
            b, d = ((pair * (1 / 256)).floor() for pair in both)
            a, c = both[0] - 256 * b, both[1] - 256 * d
        else:
            near = (flat.index_select(0, at + step).to(dtype) for step in (0, 1, width, width + 1))
            a, b, c, d = (plane.reshape(index.shape) for plane in near)
        # split uint8 planes without a copy where the backend can; TensorRT can only cast them
        steps = fractions if infrared.dtype == torch.uint8 else fractions.to(dtype)
        right, down = (part.squeeze(1).to(dtype) * (1 / STEPS) for part in steps.chunk(2, dim=1))
        above, below = a + right * (b - a), c + right * (d - c)
        return (above + down * (below - above) + 0.5).floor()


def examples(shape: Shape, planar: bool = False) -> tuple[Tensor, ...]:
    """Example inputs: zeros with the shapes and dtypes of INPUTS. planar: see `ImagePath`."""
    height, width = shape.height, shape.width
    visible = (1, 3, height, width) if planar else (1, height, width, 3)
    return (
        torch.zeros(visible, dtype=torch.uint8),
        torch.zeros(1, *shape.infrared[::-1], dtype=torch.uint8),
        torch.zeros(1, height, width, dtype=torch.int32),
        torch.zeros(1, 2, height, width, dtype=torch.uint8),
        torch.zeros(1, height, width, dtype=torch.uint8),
        torch.zeros(CONTROLS),
    )
