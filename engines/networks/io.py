"""8-bit frames in and out of a network, inside its graph."""

from __future__ import annotations

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""BT.601 weights of R, G, B."""


def from_rgb(pixels: Tensor) -> Tensor:
    """(1, H, W, 3) uint8 to (1, 3, H, W) floating point in [0, 1]."""
    return pixels.permute(0, 3, 1, 2).float() * (1 / 255)


def from_gray(pixels: Tensor) -> Tensor:
    """(1, H, W) uint8 to (1, 1, H, W) floating point in [0, 1]."""
    return pixels.unsqueeze(1).float() * (1 / 255)


def to_rgb(image: Tensor) -> Tensor:
    """(1, 3, H, W) to (1, H, W, 3) uint8, clamped and rounded."""
    return _quantise(image).permute(0, 2, 3, 1)


def to_gray(image: Tensor) -> Tensor:
    """(1, 1, H, W) to (1, H, W) uint8, clamped and rounded."""
    return _quantise(image).squeeze(1)


def luma(image: Tensor) -> Tensor:
    """Luma of (1, 3, H, W), as (1, 1, H, W)."""
    red, green, blue = image.chunk(3, dim=1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def read_controls(controls: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(6,) float32 to dehaze, lift, airlight before, its weight: (1, 1, 1, 1), but the airlight (1, 3, 1, 1)."""
    dehaze, lift, red, green, blue, weight = controls.reshape(6, 1, 1, 1, 1).unbind(0)
    return dehaze, lift, torch.cat([red, green, blue], dim=1), weight


def _quantise(image: Tensor) -> Tensor:
    # truncation after adding a half: every backend does that alike, rounding of ties they do not
    return (image.clamp(0, 1) * 255 + 0.5).to(torch.uint8)
