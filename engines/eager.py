"""Engines on plain torch: the reference that every compiled engine is compared with."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from .base import Fused, Pixels
from .inputs import check_pair


class EagerEngine:
    """A network run by torch as it is written, on the CPU, in f32. Slow; any size; deterministic."""

    def __init__(self, network_name: str, module: nn.Module, dehaze: float = -1.0, lift: float = -1.0) -> None:
        """network_name: for the engine's name. module: as in `networks`. dehaze, lift: 0 to 1, negative for auto."""
        self._name = f"{network_name}:torch:f32"
        self._module = module.eval()
        self._strengths = torch.tensor([dehaze, lift], dtype=torch.float32)

    @property
    def name(self) -> str:
        """NAME:BACKEND:PRECISION."""
        return self._name

    def fuse(self, visible: Pixels, infrared: Pixels, coverage: Pixels) -> Fused:
        """See `FusionEngine.fuse`."""
        check_pair(self._name, visible, infrared, coverage)
        frames = (torch.from_numpy(np.array(x, order="C"))[None] for x in (visible, infrared, coverage))
        with torch.inference_mode():
            outputs = self._module(*frames, self._strengths)
        return Fused(*(np.array(x[0].numpy(), order="C") for x in outputs))
