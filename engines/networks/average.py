"""The floor that every engine must beat: the mean of both lumas, colours of the visible frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .io import from_gray, from_rgb, luma, to_rgb


class Average(nn.Module):
    """F = V + c (I - luma V) / 2, c the coverage. Neither dehazes nor lifts, whatever strengths are asked for."""

    def forward(
        self, visible: Tensor, infrared: Tensor, coverage: Tensor, controls: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Fuse one pair.

        visible: (1, H, W, 3) uint8 RGB. infrared, coverage: (1, H, W) uint8. controls: (CONTROLS,) float32, without
        effect. Returns fused (1, H, W, 3); restored (1, H, W, 3), the visible frame; haze density (1, H, W), all 0; and
        illumination (1, H, W), max(R, G, B); all uint8; and the state (1, STATE) float32, all 0.
        """
        colour = from_rgb(visible)
        difference = from_gray(infrared) - luma(colour)
        fused = colour + 0.5 * from_gray(coverage) * difference
        light = visible.amax(dim=3)
        none = controls[2:-1].clamp(0, 0).unsqueeze(0)
        return to_rgb(fused), visible.clone(), torch.zeros_like(light), light, none
