"""Building blocks of LURE: encoder and decoder blocks, text-guided attention, cross attention, prior rule."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import physics

EPS = 1e-4
"""Added to variances and squared norms; large enough for half precision."""


class ChannelNorm(nn.Module):
    """Layer norm over channels, per pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape. The mean is subtracted before squaring, which avoids cancellation in fp16."""
        x = x - x.mean(dim=1, keepdim=True)
        return x * ((x * x).mean(dim=1, keepdim=True) + EPS).rsqrt() * self.scale + self.shift


class NAFBlock(nn.Module):
    """Block of NAFNet: gated depth-wise convolution with channel attention, then a gated feed-forward of 1x1 layers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.spread = nn.Conv2d(channels, 2 * channels, 1)
        self.around = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.attend = nn.Conv2d(channels, channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)
        self.spread2 = nn.Conv2d(channels, 2 * channels, 1)
        self.project2 = nn.Conv2d(channels, channels, 1)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H, W)."""
        y = _gated(self.around(self.spread(self.norm(x))))
        y = y * self.attend(y.mean(dim=(2, 3), keepdim=True))
        x = x + self.beta * self.project(y)
        return torch.as_tensor(x + self.gamma * self.project2(_gated(self.spread2(self.norm2(x)))))


class BaseBlock(nn.Module):
    """NAFBlock whose input has a learned embedding of the modality added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.modality = nn.Parameter(0.02 * torch.randn(2, channels, 1, 1))
        self.block = NAFBlock(channels)

    def forward(self, x: Tensor, modality: Tensor) -> Tensor:
        """x: (N, C, H, W). modality: (N,) int64, VISIBLE or INFRARED. Returns (N, C, H, W)."""
        return torch.as_tensor(self.block(x + self.modality[modality]))


class TextGuidedAttention(nn.Module):
    """TGA: attention of a text query to all pixels; image statistics weight the channels of the query.

    q = σ(W GAP(x)) ⊙ W_q c; in each head, the value of a pixel is multiplied by σ(τ <q, k>), q and k normalised. The
    paper's figure shows a sigmoid; unlike those of a softmax over pixels, its weights do not depend on the frame size.
    `gate`: the paper's ablation, x ⊙ σ(W c).
    """

    def __init__(self, channels: int, text: int, heads: int, gate: bool) -> None:
        super().__init__()
        self.heads, self.gate = heads, gate
        self.query = nn.Conv2d(text, channels, 1)
        if not gate:
            self.weigh = nn.Conv2d(channels, channels, 1)
            self.key_value = nn.Conv2d(channels, 2 * channels, 1)
            self.key_value_around = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
            self.sharpness = nn.Parameter(torch.full((1, heads, 1, 1, 1), 4.0))
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """x: (N, C, H, W). text: (N, text, 1, 1). Returns (N, C, H, W)."""
        query = self.query(text)
        if self.gate:
            return torch.as_tensor(self.project(x * torch.sigmoid(query)))
        query = query * torch.sigmoid(self.weigh(x.mean(dim=(2, 3), keepdim=True)))
        key, value = self.key_value_around(self.key_value(x)).unflatten(1, (2 * self.heads, -1)).chunk(2, dim=1)
        similarity = (_unit(query.unflatten(1, (self.heads, -1))) * _unit(key)).sum(dim=2, keepdim=True)
        return torch.as_tensor(self.project((value * torch.sigmoid(self.sharpness * similarity)).flatten(1, 2)))


class TGABlock(nn.Module):
    """Pre-norm transformer block: TGA, then a gated depth-wise feed-forward (GDFN)."""

    def __init__(self, channels: int, text: int, heads: int, gate: bool) -> None:
        super().__init__()
        hidden = int(2.66 * channels)
        self.norm, self.norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.tga = TextGuidedAttention(channels, text, heads, gate)
        self.spread = nn.Conv2d(channels, 2 * hidden, 1)
        self.around = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden)
        self.project = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """x: (N, C, H, W). text: (N, text, 1, 1). Returns (N, C, H, W)."""
        x = x + self.tga(self.norm(x), text)
        gate_input, linear_input = self.around(self.spread(self.norm2(x))).chunk(2, dim=1)
        return torch.as_tensor(x + self.project(F.gelu(gate_input) * linear_input))


class BottleNeck(nn.Module):
    """NAFBlock, and a 1x1 convolution that reduces the channels to text-related features."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.block, self.reduce = NAFBlock(channels), nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, out, H, W)."""
        return torch.as_tensor(self.reduce(self.block(x)))


class CrossAttention(nn.Module):
    """Cross attention between channels, as in Restormer: memory is linear in the number of pixels."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_query, self.norm = ChannelNorm(channels), ChannelNorm(channels)
        self.query = nn.Conv2d(channels, channels, 1)
        self.key_value = nn.Conv2d(channels, 2 * channels, 1)
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        """x: (N, C, H, W), queries. other: features of the other camera, alike. Returns x + attention(x, other)."""
        key, value = self.key_value(self.norm(other)).chunk(2, dim=1)
        query = self.query(self.norm_query(x))
        query, key, value = (y.unflatten(1, (self.heads, -1)).flatten(3) for y in (query, key, value))
        # normalised by the mean square over pixels, since the sum of squares would overflow half precision
        query, key = (y * ((y * y).mean(dim=-1, keepdim=True) + EPS).rsqrt() for y in (query, key))
        norm = query.shape[-1] ** -0.5
        similarity = (query * norm) @ (key * norm).transpose(2, 3)
        attended = torch.softmax(similarity * self.temperature, dim=-1) @ value
        return torch.as_tensor(x + self.project(attended.reshape(x.shape)))


def prior_rule(visible: Tensor, infrared: Tensor, rule: Literal["l1", "addition"] = "l1") -> Tensor:
    """Fusion rules of DenseFuse. visible, infrared: codes, (N, C, H, W). Returns the same shape.

    rule: `l1`: mean weighted by the l1 norm over channels, averaged over 3x3; `addition`: mean, rather than the sum, so
    that the range of codes stays the same.
    """
    if rule == "addition":
        return (visible + infrared) / 2
    activity = [physics.box(z.abs().mean(dim=1, keepdim=True), 3) for z in (visible, infrared)]
    weight = (activity[0] + EPS) / (activity[0] + activity[1] + 2 * EPS)
    return infrared + weight * (visible - infrared)


def _gated(x: Tensor) -> Tensor:
    """Product of the two halves of the channels, (N, 2 C, H, W) to (N, C, H, W)."""
    first, second = x.chunk(2, dim=1)
    return first * second


def _unit(x: Tensor) -> Tensor:
    """Normalise along the channels of each head, (N, heads, C, H, W)."""
    return x * ((x * x).sum(dim=2, keepdim=True) + EPS).rsqrt()
