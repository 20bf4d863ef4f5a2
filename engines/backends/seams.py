"""The parts of `realtime` and `tiny` that OpenVINO has where they are split (see `split`), as torch modules."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from .. import physics
from ..networks.io import Memory
from ..networks.realtime import RealtimeFusion
from ..networks.realtime_constants import DARK_PART
from ..networks.smoothing import CONTROLS, STATE
from ..warp import Shape
from .split import Constants


class OnGrid(nn.Module):
    """The learned part of the core, between the priors and what is made of it, which are loops."""

    def __init__(self, network: RealtimeFusion) -> None:
        super().__init__()
        self.network = network

    def forward(self, seen: Tensor, infrared: Tensor, air: Tensor, controls: Tensor) -> tuple[Tensor, ...]:
        """seen, infrared, air: of `realtime_core.Prior`. controls: as for a network.

        Returns what `realtime_core.Found` has, and the steadied features of the whole frame, (1, STATE).
        """
        values = controls.reshape(1, CONTROLS, 1, 1)
        memory = Memory(values[:, -1 - STATE : -1], values[:, -1:])
        memory.steady(torch.zeros(1, 1, 1, 1))  # the places of infrared's floor and of the airlight
        memory.steady(torch.zeros(1, 3, 1, 1))
        return *self.network.core.found(seen, infrared, air, memory), memory.state()


class OnHead(nn.Module):
    """The head, its corrections as the last convolution gives them."""

    def __init__(self, network: RealtimeFusion) -> None:
        super().__init__()
        self.network = network

    def forward(self, planes: Tensor) -> Tensor:
        """See `Head`."""
        assert self.network.head is not None
        return cast(Tensor, self.network.head(planes))


def looped(network: RealtimeFusion) -> bool:
    """Whether loops compute what is around these parts: not for ablations, nor for even windows."""
    of = network.profile
    return of.haze and of.light and of.window % 2 == of.guide % 2 == 1


def constants(network: RealtimeFusion) -> Constants:
    """What the loops around these parts must know."""
    of = network.profile
    chosen = physics.places(physics.BRIGHTEST), physics.ALIKE, physics.places(DARK_PART)
    return Constants(
        of.window, of.guide, int(of.bounded), of.air, of.field, of.widths[2], physics.AIRLIGHT_GRID, *chosen
    )


def seams(network: RealtimeFusion, shape: Shape) -> dict[str, tuple[nn.Module, tuple[Tensor, ...]]]:
    """The modules by name, with inputs of the sizes for this shape."""
    step, factor, _ = network.steps(shape.height, shape.width)
    height, width = -(-shape.height // step), -(-shape.width // step)
    grid = -(-height // factor), -(-width // factor)
    parts: dict[str, tuple[nn.Module, tuple[Tensor, ...]]] = {
        "grid": (
            OnGrid(network),
            (torch.zeros(1, 10, *grid), torch.zeros(1, 2, *grid), torch.zeros(1, 3, 1, 1), torch.zeros(CONTROLS)),
        )
    }
    if network.head is not None:
        parts["head"] = OnHead(network), (torch.zeros(1, 4, height + height % 2, width + width % 2),)
    return parts
