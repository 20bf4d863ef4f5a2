"""Engines on plain torch, the reference for every compiled engine."""

from __future__ import annotations

import numpy as np
import torch

from ..base import Outputs, Pixels
from ..networks.io import Network
from ..networks.smoothing import State
from ..prompts.conditioning import OWN_CHOICE, StrengthSource
from ..warp import Shape, Warp
from .engine import BackendEngine
from .graph import ImagePath


class _Eager(ImagePath):
    """The image path of a network, on arrays."""

    def run(self, visible: Pixels, infrared: Pixels, warp: Warp, controls: State) -> Outputs:
        """See `engine.Ready`."""
        inputs = (torch.from_numpy(np.array(x, order="C"))[None] for x in (visible, infrared, *warp.parts))
        with torch.inference_mode():
            outputs = self(*inputs, torch.from_numpy(controls))
        return {name: np.array(x[0].numpy(), order="C") for name, x in zip(self.outputs, outputs, strict=True)}


class EagerEngine(BackendEngine[_Eager]):
    """A network run by eager torch on the CPU, in f32. Slow, deterministic; nothing is built."""

    def __init__(self, network_name: str, module: Network, strengths: StrengthSource = OWN_CHOICE) -> None:
        """network_name: for the engine's name. module: as in `networks`. strengths: of each task, for each frame."""
        super().__init__(f"{network_name}:torch:f32", strengths)
        self._module = module.eval()

    def _build(self, shape: Shape) -> _Eager:
        return _Eager(self._module, shape.reduce)
