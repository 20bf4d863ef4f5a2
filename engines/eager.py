"""Engines on plain torch: the reference that every compiled engine is compared with."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from .base import Fused, Pixels
from .inputs import check_pair, check_size
from .steady import Steady


class EagerEngine:
    """A network run by torch as it is written, on the CPU, in f32. Slow; any size; deterministic."""

    def __init__(self, network_name: str, module: nn.Module, dehaze: float = -1.0, lift: float = -1.0) -> None:
        """network_name: for the engine's name. module: as in `networks`. dehaze, lift: 0 to 1, negative for auto."""
        self._name = f"{network_name}:torch:f32"
        self._module = module.eval()
        self._strengths = np.array([dehaze, lift], np.float32)
        self._steady = Steady()

    @property
    def name(self) -> str:
        """NAME:BACKEND:PRECISION."""
        return self._name

    @property
    def notes(self) -> list[str]:
        """See `FusionEngine.notes`."""
        return []

    def prepare(self, width: int, height: int) -> None:
        """See `FusionEngine.prepare`. Nothing is built."""
        check_size(self._name, width, height)

    def fuse(self, visible: Pixels, infrared: Pixels, coverage: Pixels, elapsed_s: float | None = None) -> Fused:
        """See `FusionEngine.fuse`."""
        check_pair(self._name, visible, infrared, coverage)
        frames = (torch.from_numpy(np.array(x, order="C"))[None] for x in (visible, infrared, coverage))
        controls = np.append(self._strengths, self._steady.prior(visible, elapsed_s))
        with torch.inference_mode():
            *outputs, state = self._module(*frames, torch.from_numpy(controls))
        self._steady.keep(state.numpy())
        return Fused(*(np.array(x[0].numpy(), order="C") for x in outputs))
