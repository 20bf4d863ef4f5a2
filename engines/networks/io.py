"""8-bit frames in and out of a network, inside its graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .realtime_constants import LUMA
from .smoothing import CONTROLS, STATE, STRENGTHS

# Casts stand at the very border of the graph: on uint8 TensorRT knows no other operation.


def from_rgb(pixels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """(1, H, W, 3) uint8 to (1, 3, H, W) floating point in [0, 1]."""
    return pixels.to(dtype).permute(0, 3, 1, 2) * (1 / 255)


def from_gray(pixels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """(1, H, W) uint8 to (1, 1, H, W) floating point in [0, 1]."""
    return pixels.to(dtype).unsqueeze(1) * (1 / 255)


def to_rgb(image: Tensor) -> Tensor:
    """(1, 3, H, W) to (1, H, W, 3) uint8, clamped and rounded."""
    return _levels(image).permute(0, 2, 3, 1).to(torch.uint8)


def to_gray(image: Tensor) -> Tensor:
    """(1, 1, H, W) to (1, H, W) uint8, clamped and rounded."""
    return _levels(image).squeeze(1).to(torch.uint8)


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
        """The next quantity, x + w (x_before - x); measured: x, (N, C, 1, 1).

        What is kept stays in float32 where the network computes in half precision: steps of a thirtieth, from frame to
        frame, would be lost in rounding, and the quantity would stop short of what is measured.
        """
        used = measured
        if self._before is not None:
            before = self._before[:, self._count : self._count + measured.shape[1]]
            used = measured + self._weight * (before - measured)
        self._count += measured.shape[1]
        self._kept.append(used)
        return used.to(measured.dtype)

    def state(self) -> Tensor:
        """All quantities of this frame, and zeros up to (N, STATE), float32."""
        kept = torch.cat(self._kept, dim=1).flatten(1).float()
        return torch.nn.functional.pad(kept, (0, STATE - self._count))


class Network(nn.Module):
    """What all fusion networks are. `half()` and `double()` set the type they compute in, with weights or without."""

    unlifted = False
    """Whether `forward` gives, before the state, the fused frame without lift as well; only for those that can."""
    _like: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("_like", torch.zeros(()), persistent=False)

    def steps(self, height: int, width: int) -> tuple[int, ...]:
        """What of the graph depends on the frame's size beyond the shapes: graphs of equal steps are one graph."""
        return ()

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return self._like.dtype

    def read(
        self, visible: Tensor, infrared: Tensor, coverage: Tensor, controls: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Memory]:
        """What `forward` takes, as the network computes with it.

        visible: (1, H, W, 3) uint8 RGB. infrared, coverage: (1, H, W) uint8; infrared may also be whole levels in
        floating point, as `graph` gives them. controls: (CONTROLS,) float32, see `steady`. Returns colour (1, 3, H, W),
        infrared and coverage (1, 1, H, W), all in [0, 1]; dehaze and lift, (1, 1, 1, 1) each; and the memory of the
        frames before.
        """
        dtype = self.dtype
        controls = controls.reshape(1, CONTROLS, 1, 1)
        dehaze, lift, _, before, weight = torch.split(controls, [1, 1, STRENGTHS - 2, STATE, 1], dim=1)
        frames = from_rgb(visible, dtype), from_gray(infrared, dtype), from_gray(coverage, dtype)
        return *frames, dehaze.to(dtype), lift.to(dtype), Memory(before, weight)


def _levels(image: Tensor) -> Tensor:
    # truncation after adding a half: every backend does that alike, rounding of ties they do not
    return image.clamp(0, 1) * 255 + 0.5
