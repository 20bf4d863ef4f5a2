"""The floor that every engine must beat: the mean of both lumas, colours of the visible frame."""

from __future__ import annotations

from torch import Tensor

from .io import Network, luma, to_gray, to_rgb
from .smoothing import STATE


class Average(Network):
    """F = V + c (I - luma V) / 2, c the coverage. Neither dehazes nor lifts, whatever strengths are asked for."""

    def forward(self, visible: Tensor, infrared: Tensor, coverage: Tensor, controls: Tensor) -> tuple[Tensor, ...]:
        """See `Network`. Restored is the visible frame, illumination max(R, G, B); haze density and state are 0."""
        colour, thermal, valid, *_ = self.read(visible, infrared, coverage, controls)
        fused = colour + 0.5 * valid * (thermal - luma(colour))
        light = colour.amax(dim=1, keepdim=True)
        none = controls[-1 - STATE : -1].clamp(0, 0).unsqueeze(0)
        return to_rgb(fused), to_rgb(colour), to_gray(0 * light), to_gray(light), none
