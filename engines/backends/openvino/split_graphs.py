"""The parts of `realtime` and `tiny` that OpenVINO runs in the split engine (see `split`), as torch modules."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from ... import physics
from ...networks.io import Memory
from ...networks.realtime import RealtimeFusion
from ...networks.realtime_constants import DARK_PART
from ...networks.smoothing import CONTROLS, STATE
from ...warp import Shape
from .split import Constants


class GridLayers(nn.Module):
    """The learned layers of the core; kernels compute the prior before them and the planes after them."""

    def __init__(self, network: RealtimeFusion) -> None:
        super().__init__()
        self.network = network

    def forward(self, seen: Tensor, infrared: Tensor, air: Tensor, controls: Tensor) -> tuple[Tensor, ...]:
        """seen, infrared, air: of `realtime_core.Prior`. controls: (CONTROLS,), as for a network.

        Returns the fields of `realtime_core.Corrections`, and the state with the smoothed global features, (1, STATE).
        """
        values = controls.reshape(1, CONTROLS, 1, 1)
        memory = Memory(values[:, -1 - STATE : -1], values[:, -1:])
        memory.steady(torch.zeros(1, 1, 1, 1))  # skip infrared's floor in the state: kernels smooth it
        memory.steady(torch.zeros(1, 3, 1, 1))  # and the prior's airlight
        return *self.network.core.correct(seen, infrared, air, memory), memory.state()


class HeadLayers(nn.Module):
    """The head; its corrections stay folded, as the last convolution returns them."""

    def __init__(self, network: RealtimeFusion) -> None:
        super().__init__()
        self.network = network

    def forward(self, planes: Tensor) -> Tensor:
        """See `Head.forward`."""
        assert self.network.head is not None
        return cast(Tensor, self.network.head(planes))


def has_kernels(network: RealtimeFusion) -> bool:
    """Whether there are kernels for the profile of this network; not for ablations and even windows."""
    profile = network.profile
    return profile.haze and profile.light and profile.window % 2 == profile.guide % 2 == 1


def constants(network: RealtimeFusion) -> Constants:
    """Parameters of the grid's kernels."""
    profile = network.profile
    return Constants(
        window=profile.window,
        guide=profile.guide,
        bounded=int(profile.bounded),
        air=profile.air,
        field=profile.field,
        features=profile.widths[2],
        points=physics.AIRLIGHT_GRID,
        top=physics.places(physics.BRIGHTEST),
        alike=physics.ALIKE,
        darkest=physics.places(DARK_PART),
    )


def modules(network: RealtimeFusion, shape: Shape) -> dict[str, tuple[nn.Module, tuple[Tensor, ...]]]:
    """The modules by name, each with example inputs (zeros) of the sizes for this shape."""
    step, factor, _ = network.steps(shape.height, shape.width)
    height, width = -(-shape.height // step), -(-shape.width // step)
    grid = -(-height // factor), -(-width // factor)
    parts: dict[str, tuple[nn.Module, tuple[Tensor, ...]]] = {
        "grid": (
            GridLayers(network),
            (torch.zeros(1, 10, *grid), torch.zeros(1, 2, *grid), torch.zeros(1, 3, 1, 1), torch.zeros(CONTROLS)),
        )
    }
    if network.head is not None:
        parts["head"] = HeadLayers(network), (torch.zeros(1, 4, height + height % 2, width + width % 2),)
    return parts
