"""Engines on plain torch, the reference for every compiled engine."""

from __future__ import annotations

import numpy as np
import torch

from ..base import Fused, Outputs, Pixels
from ..networks.io import Network
from ..networks.smoothing import State, Steady
from ..prompts.conditioning import OWN_CHOICE, StrengthSource
from ..warp import Size, Warp
from .graph import ImagePath
from .inputs import check_pair, check_shape


class EagerEngine:
    """A network run by eager torch on the CPU, in f32. Slow, deterministic, for any frame size."""

    def __init__(self, network_name: str, module: Network, strengths: StrengthSource = OWN_CHOICE) -> None:
        """network_name: for the engine's name. module: as in `networks`. strengths: of each task, for each frame."""
        self._name = f"{network_name}:torch:f32"
        self._module = module.eval()
        self._strengths = strengths
        self._steady = Steady()

    @property
    def name(self) -> str:
        """NAME:BACKEND:PRECISION."""
        return self._name

    @property
    def notes(self) -> list[str]:
        """See `FusionEngine.notes`."""
        return [self._strengths.note] if self._strengths.note else []

    def prepare(self, width: int, height: int, infrared: Size | None = None, reduce: int = 1) -> None:
        """See `FusionEngine.prepare`. Nothing is built."""
        check_shape(self._name, width, height, infrared, reduce)

    def fuse(self, visible: Pixels, infrared: Pixels, warp: Warp | Pixels, elapsed_s: float | None = None) -> Fused:
        """See `FusionEngine.fuse`."""
        warp = check_pair(self._name, visible, infrared, warp)
        controls = np.append(self._strengths(visible, infrared, elapsed_s), self._steady.prior(visible, elapsed_s))
        outputs = self.run(visible, infrared, warp, controls)
        self._steady.keep(outputs["state"])
        return Fused.of(outputs)

    def run(self, visible: Pixels, infrared: Pixels, warp: Warp, controls: State) -> Outputs:
        """Fuse one pair, statelessly. controls: (CONTROLS,) float32. Returns `graph.ImagePath.outputs` by name."""
        path = ImagePath(self._module, warp.reduce)
        inputs = (torch.from_numpy(np.array(x, order="C"))[None] for x in (visible, infrared, *warp.parts))
        with torch.inference_mode():
            outputs = path(*inputs, torch.from_numpy(controls))
        return {name: np.array(x[0].numpy(), order="C") for name, x in zip(path.outputs, outputs, strict=True)}
