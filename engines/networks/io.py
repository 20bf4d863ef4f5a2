"""Base class of the networks, and conversions of 8-bit frames inside their graphs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .realtime_constants import LUMA
from .smoothing import CONTROLS, STATE, STRENGTHS

# Casts come first and last in the graph: TensorRT supports no other operation on uint8.


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
    """Luma, BT.601. image: (N, 3, H, W) RGB. Returns (N, 1, H, W)."""
    red, green, blue = image.chunk(3, dim=1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


class Memory:
    """Exponential smoothing over time of a network's global quantities, such as the airlight, inside its graph.

    Quantities are identified by their order, so a network must smooth the same ones in each frame.
    """

    def __init__(self, before: Tensor | None = None, weight: Tensor | float = 0.0) -> None:
        """before: `state` of the previous frame, (1, STATE, 1, 1); None without one. weight: its weight w, 0 to 1."""
        self._before, self._weight = before, weight
        self._kept: list[Tensor] = []
        self._count = 0

    def steady(self, measured: Tensor) -> Tensor:
        """Smooth the next quantity: x + w (x_before - x). measured: x, (N, C, 1, 1).

        The state stays float32 if the network computes in half precision, where the small steps between frames would be
        rounded away before the quantity reaches its measured value.
        """
        used = measured
        if self._before is not None:
            before = self._before[:, self._count : self._count + measured.shape[1]]
            used = measured + self._weight * (before - measured)
        self._count += measured.shape[1]
        self._kept.append(used)
        return used.to(measured.dtype)

    def state(self) -> Tensor:
        """The smoothed quantities of this frame, padded with zeros to (N, STATE), float32."""
        kept = torch.cat(self._kept, dim=1).flatten(1).float()
        return torch.nn.functional.pad(kept, (0, STATE - self._count))


class Network(nn.Module):
    """Base class of the fusion networks. `half()` and `double()` set the dtype, also of a network without weights."""

    unlifted = False
    """Whether `forward` also returns the fused frame without lift, before the state; only for networks that can."""
    _like: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("_like", torch.zeros(()), persistent=False)

    def steps(self, height: int, width: int) -> tuple[int, ...]:
        """Constants in the graph that depend on the frame's size: sizes with equal steps can share a graph."""
        return ()

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the computation."""
        return self._like.dtype

    def forward(self, visible: Tensor, infrared: Tensor, coverage: Tensor, controls: Tensor) -> tuple[Tensor, ...]:
        """Fuse one pair.

        Args:
            visible: (1, H, W, 3) uint8 RGB.
            infrared: (1, H, W) uint8, registered; or integer levels in floating point, as from `graph.ImagePath`.
            coverage: (1, H, W) uint8, of infrared.
            controls: (CONTROLS,) float32: strengths, 0 to 1, negative: automatic; then the state of the previous frame
                and its weight, see `smoothing`.

        Returns:
            fused and restored (1, H, W, 3), RGB; haze density and illumination (1, h, w), which may be smaller; if
            `unlifted` is set, the fused frame without lift (1, H, W, 3), RGB; all uint8; the state (1, STATE), float32.
        """
        raise NotImplementedError

    def read(
        self, visible: Tensor, infrared: Tensor, coverage: Tensor, controls: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Memory]:
        """Convert the inputs of `forward` to the network's dtype and layout.

        Returns colour (1, 3, H, W), infrared and coverage (1, 1, H, W), all in [0, 1]; the strengths of dehazing and
        lift, (1, 1, 1, 1) each; and the memory of the previous frames.
        """
        dtype = self.dtype
        controls = controls.reshape(1, CONTROLS, 1, 1)
        dehaze, lift, _, before, weight = torch.split(controls, [1, 1, STRENGTHS - 2, STATE, 1], dim=1)
        frames = from_rgb(visible, dtype), from_gray(infrared, dtype), from_gray(coverage, dtype)
        return *frames, dehaze.to(dtype), lift.to(dtype), Memory(before, weight)


def _levels(image: Tensor) -> Tensor:
    # add 0.5, then truncate: backends differ in rounding ties, not in truncation
    return image.clamp(0, 1) * 255 + 0.5
