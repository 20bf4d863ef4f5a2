"""8-bit frames in and out of a network, inside its graph."""

from __future__ import annotations

import torch
from torch import Tensor

from ..steady import CONTROLS, STATE

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


class Memory:
    """Global quantities steadied over time: each is drawn to what it was with the frames before.

    Quantities are known by their order, so a network asks for the same ones at every frame.
    """

    def __init__(self, before: Tensor | None = None, weight: Tensor | float = 0.0) -> None:
        """before: what `state` returned with the frame before, (1, STATE, 1, 1), None without one. weight: of it."""
        self._before, self._weight = before, weight
        self._kept: list[Tensor] = []
        self._count = 0

    def steady(self, measured: Tensor) -> Tensor:
        """The next quantity, x + w (x_before - x); measured: x, (N, C, 1, 1)."""
        if self._before is not None:
            before = self._before[:, self._count : self._count + measured.shape[1]]
            measured = measured + self._weight * (before - measured)
        self._count += measured.shape[1]
        self._kept.append(measured)
        return measured

    def state(self) -> Tensor:
        """All quantities of this frame, and zeros up to (N, STATE), float32."""
        kept = torch.cat(self._kept, dim=1).flatten(1).float()
        return torch.nn.functional.pad(kept, (0, STATE - self._count))


def read_controls(controls: Tensor) -> tuple[Tensor, Tensor, Memory]:
    """(CONTROLS,) float32 to dehaze and lift, (1, 1, 1, 1) each, and the memory of the frames before; see `steady`."""
    controls = controls.reshape(1, CONTROLS, 1, 1)
    return controls[:, :1], controls[:, 1:2], Memory(controls[:, 2:-1], controls[:, -1:])


def _quantise(image: Tensor) -> Tensor:
    # truncation after adding a half: every backend does that alike, rounding of ties they do not
    return (image.clamp(0, 1) * 255 + 0.5).to(torch.uint8)
