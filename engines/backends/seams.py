"""The parts of `realtime` and `tiny` that OpenVINO has where they are split (see `split`), as torch modules."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from ..networks.io import Memory, to_gray
from ..networks.realtime import RealtimeFusion
from ..networks.smoothing import CONTROLS, STATE
from ..warp import Shape


class OnGrid(nn.Module):
    """`RealtimeFusion.analyse`, from the frames on the core's grid."""

    def __init__(self, network: RealtimeFusion, factor: int) -> None:
        super().__init__()
        self.network, self.factor = network, factor

    def forward(self, frame: Tensor, floor: Tensor, controls: Tensor) -> tuple[Tensor, ...]:
        """frame: (1, 5, h, w): colour, infrared without its floor, coverage. floor: measured, (1, 1, 1, 1). controls:
        as for a network.

        Returns the planes, (1, C, h, w); the airlight's colour and the strength of dehazing, (4,); haze density and
        illumination, (1, h, w) uint8; and the state.
        """
        values = controls.reshape(1, CONTROLS, 1, 1)
        memory = Memory(values[:, -1 - STATE : -1], values[:, -1:])
        memory.steady(floor)
        colour, thermal, valid = torch.split(frame, [3, 1, 1], dim=1)
        found = self.network.analyse(colour, thermal, valid, values[:, :1], values[:, 1:2], self.factor, memory)
        whole = torch.cat([found.maps.whole_air, found.dehaze], dim=1).flatten()
        return found.planes, whole, to_gray(1 - found.maps.t), to_gray(found.maps.light), memory.state()


class OnHead(nn.Module):
    """The head, its corrections as the last convolution gives them."""

    def __init__(self, network: RealtimeFusion) -> None:
        super().__init__()
        self.network = network

    def forward(self, planes: Tensor) -> Tensor:
        """See `Head`."""
        assert self.network.head is not None
        return cast(Tensor, self.network.head(planes))


def seams(network: RealtimeFusion, shape: Shape) -> dict[str, tuple[nn.Module, tuple[Tensor, ...]]]:
    """The modules by name, with inputs of the sizes for this shape."""
    step, factor, _ = network.steps(shape.height, shape.width)
    height, width = -(-shape.height // step), -(-shape.width // step)
    frame = torch.zeros(1, 5, -(-height // factor), -(-width // factor))
    parts: dict[str, tuple[nn.Module, tuple[Tensor, ...]]] = {
        "grid": (OnGrid(network, factor), (frame, torch.zeros(1, 1, 1, 1), torch.zeros(CONTROLS)))
    }
    if network.head is not None:
        parts["head"] = OnHead(network), (torch.zeros(1, 4, height + height % 2, width + width % 2),)
    return parts
