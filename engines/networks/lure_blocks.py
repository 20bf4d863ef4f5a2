"""What LURE is made of: blocks of the encoder and decoder, text-guided attention, cross attention, the prior rule."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import physics

EPS = 1e-4
"""Of variances and norms, large enough for half precision."""


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each position. (N, C, H, W) to (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Centred before it is squared, so that half precision has no difference of large numbers to form."""
        x = x - x.mean(dim=1, keepdim=True)
        return x * ((x * x).mean(dim=1, keepdim=True) + EPS).rsqrt() * self.scale + self.shift


class NAFBlock(nn.Module):
    """The block of NAFNet: a gated depth-wise convolution with channel attention, then a gated pair of 1x1 layers."""

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
    """NAFBlock with a modality embedding, added before it: a learned vector for each camera."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.modality = nn.Parameter(0.02 * torch.randn(2, channels, 1, 1))
        self.block = NAFBlock(channels)

    def forward(self, x: Tensor, modality: Tensor) -> Tensor:
        """x: (N, C, H, W). modality: (N,) int64, VISIBLE or INFRARED."""
        return torch.as_tensor(self.block(x + self.modality[modality]))


class TextGuidedAttention(nn.Module):
    """TGA: text, its channels weighted by what the image holds, is the query that attends to all positions.

    q = σ(W GAP(x)) ⊙ W_q c; every position's value is weighed by σ(τ <q, k>), q and k of unit length, in each head.
    A sigmoid (the figure has one) instead of a softmax over positions: its weights do not shrink with the frame's size.
    `gate`: what the paper compares with, x ⊙ σ(W c).
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
        """x: (N, C, H, W). text: (N, text, 1, 1)."""
        query = self.query(text)
        if self.gate:
            return torch.as_tensor(self.project(x * torch.sigmoid(query)))
        query = query * torch.sigmoid(self.weigh(x.mean(dim=(2, 3), keepdim=True)))
        key, value = self.key_value_around(self.key_value(x)).unflatten(1, (2 * self.heads, -1)).chunk(2, dim=1)
        agree = (_unit(query.unflatten(1, (self.heads, -1))) * _unit(key)).sum(dim=2, keepdim=True)
        return torch.as_tensor(self.project((value * torch.sigmoid(self.sharpness * agree)).flatten(1, 2)))


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
        """x: (N, C, H, W). text: (N, text, 1, 1)."""
        x = x + self.tga(self.norm(x), text)
        bent, straight = self.around(self.spread(self.norm2(x))).chunk(2, dim=1)
        return torch.as_tensor(x + self.project(F.gelu(bent) * straight))


class BottleNeck(nn.Module):
    """NAFBlock and a 1x1 convolution that keeps what concerns the text, in fewer channels."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.block, self.reduce = NAFBlock(channels), nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, out, H, W)."""
        return torch.as_tensor(self.reduce(self.block(x)))


class CrossAttention(nn.Module):
    """Cross attention between channels (as Restormer's): memory grows with the frame, not with its square."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_query, self.norm = ChannelNorm(channels), ChannelNorm(channels)
        self.query = nn.Conv2d(channels, channels, 1)
        self.key_value = nn.Conv2d(channels, 2 * channels, 1)
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        """What x, (N, C, H, W), finds in the other camera's features, added to it."""
        key, value = self.key_value(self.norm(other)).chunk(2, dim=1)
        query = self.query(self.norm_query(x))
        query, key, value = (y.unflatten(1, (self.heads, -1)).flatten(3) for y in (query, key, value))
        # unit vectors over all positions by their mean square: a sum of squares would leave half precision's range
        query, key = (y * ((y * y).mean(dim=-1, keepdim=True) + EPS).rsqrt() for y in (query, key))
        share = query.shape[-1] ** -0.5
        agree = (query * share) @ (key * share).transpose(2, 3)
        found = torch.softmax(agree * self.temperature, dim=-1) @ value
        return torch.as_tensor(x + self.project(found.reshape(x.shape)))


def prior_rule(visible: Tensor, infrared: Tensor, rule: Literal["l1", "addition"] = "l1") -> Tensor:
    """DenseFuse's: `l1`, weighted by the l1 norm over channels, averaged over 3x3; or `addition`, as a mean.

    The mean instead of the sum keeps codes in the range that the decoder knows.
    """
    if rule == "addition":
        return (visible + infrared) / 2
    activity = [physics.box(z.abs().mean(dim=1, keepdim=True), 3) for z in (visible, infrared)]
    share = (activity[0] + EPS) / (activity[0] + activity[1] + 2 * EPS)
    return infrared + share * (visible - infrared)


def _gated(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=1)
    return first * second


def _unit(x: Tensor) -> Tensor:
    """Unit vectors along the channels of each head, (N, heads, C, H, W)."""
    return x * ((x * x).sum(dim=2, keepdim=True) + EPS).rsqrt()
