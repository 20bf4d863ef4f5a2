"""Window attention and transformer blocks of DehazeFormer, used by IASSF.

Maps are (N, C, H, W) of any size, padded by reflection to whole windows. Control flow does not depend on data, so all
modules can be exported; global means are computed axis by axis, so that no sum overflows half precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WINDOW = 8
"""Height and width of the attention windows in pixels of the map."""


def global_mean(x: Tensor) -> Tensor:
    """Mean over channels, rows and columns, one axis after the other. (N, C, H, W) to (N, 1, 1, 1)."""
    return x.mean(dim=3, keepdim=True).mean(dim=2, keepdim=True).mean(dim=1, keepdim=True)


class RescaledNorm(nn.Module):
    """Layer norm over (C, H, W), which also returns scale and bias to undo it after the branch that follows."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.rescale = nn.Conv2d(1, channels, 1)
        self.rebias = nn.Conv2d(1, channels, 1)
        for layer, start in ((self.rescale, 1.0), (self.rebias, 0.0)):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            assert layer.bias is not None
            nn.init.constant_(layer.bias, start)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the normalised map, (N, C, H, W), and scale and bias for the output of the branch, (N, C, 1, 1)."""
        mean = global_mean(x)
        centred = x - mean
        deviation = (global_mean(centred * centred) + 1e-5).sqrt()
        return centred / deviation * self.scale + self.shift, self.rescale(deviation), self.rebias(mean)

    def around(self, branch: nn.Module, x: Tensor) -> Tensor:
        """The residual sum of x and a branch that sees it normalised. (N, C, H, W) to (N, C, H, W)."""
        normed, rescale, rebias = self(x)
        return cast(Tensor, x + (branch(normed) * rescale + rebias))


class WindowAttention(nn.Module):
    """Self-attention in 8x8 windows with a learned relative position bias; optionally a parallel 5x5 convolution.

    softmax(q kᵀ / √d + b) v, b = MLP(sign(Δ) log(1 + |Δ|)), Δ: offset between two pixels of a window.
    """

    offsets: Tensor

    def __init__(
        self, channels: int, heads: int, shift: int = 0, attends: bool = True, convolves: bool = False
    ) -> None:
        """shift: of the windows, in pixels. attends, convolves: whether there is attention, a convolution."""
        super().__init__()
        self.heads, self.shift = heads, shift
        self.value = nn.Conv2d(channels, channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)
        self.convolution = None
        if convolves:
            self.convolution = nn.Conv2d(channels, channels, 5, padding=2, groups=channels, padding_mode="reflect")
        self.query_key = nn.Conv2d(channels, 2 * channels, 1) if attends else None
        if attends:
            self.bias = nn.Sequential(nn.Linear(2, 256), nn.ReLU(), nn.Linear(256, heads))
            at = torch.stack(torch.meshgrid(torch.arange(WINDOW), torch.arange(WINDOW), indexing="ij")).flatten(1)
            offset = (at[:, :, None] - at[:, None, :]).permute(1, 2, 0).float()
            self.register_buffer("offsets", offset.sign() * offset.abs().log1p(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H, W)."""
        value = self.value(x)
        parts = []
        if self.convolution is not None:
            parts.append(self.convolution(value))
        if self.query_key is not None:
            parts.append(self._attend(torch.cat([self.query_key(x), value], dim=1)))
        return cast(Tensor, self.project(sum(parts[1:], parts[0])))

    def _attend(self, joined: Tensor) -> Tensor:
        batch, channels, height, width = joined.shape
        down, right = -height % WINDOW, -width % WINDOW
        left = self.shift
        if left:  # windows start `shift` pixels before the top left corner
            down, right = (WINDOW - left + down) % WINDOW, (WINDOW - left + right) % WINDOW
        joined = F.pad(joined, (left, right, left, down), mode="reflect")
        rows, columns = joined.shape[2] // WINDOW, joined.shape[3] // WINDOW
        head_channels = channels // 3 // self.heads
        # (N, 3, heads, d, rows, 8, columns, 8) to three of (N rows columns, heads, 64, d)
        windows = joined.reshape(batch, 3, self.heads, head_channels, rows, WINDOW, columns, WINDOW)
        windows = windows.permute(1, 0, 4, 6, 2, 5, 7, 3)
        windows = windows.reshape(3, batch * rows * columns, self.heads, WINDOW * WINDOW, head_channels)
        query, key, value = windows.unbind(0)
        scores = (query * head_channels**-0.5) @ key.transpose(-2, -1) + self.bias(self.offsets).permute(2, 0, 1)
        attended = torch.softmax(scores, dim=-1) @ value
        attended = attended.reshape(batch, rows, columns, self.heads, WINDOW, WINDOW, head_channels)
        attended = attended.permute(0, 3, 6, 1, 4, 2, 5).reshape(batch, channels // 3, rows * WINDOW, columns * WINDOW)
        return attended[:, :, left : left + height, left : left + width]


def mlp(channels: int, hidden: int) -> nn.Sequential:
    """1x1 convolution, ReLU, 1x1 convolution."""
    return nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))


class RestorationBlock(nn.Module):
    """Residual window attention with `RescaledNorm`, or only its convolution, without norm; then a residual MLP."""

    def __init__(self, channels: int, heads: int, ratio: float, shift: int, attends: bool) -> None:
        super().__init__()
        self.norm = RescaledNorm(channels) if attends else None
        self.attention = WindowAttention(channels, heads, shift, attends, convolves=True)
        self.mlp = mlp(channels, int(channels * ratio))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H, W)."""
        x = x + self.attention(x) if self.norm is None else self.norm.around(self.attention, x)
        return x + cast(Tensor, self.mlp(x))


def stage(channels: int, depth: int, heads: int, ratio: float, attending: float) -> nn.Sequential:
    """`depth` blocks, the last fraction `attending` of them with attention; every second block shifts windows by 4."""
    first = depth - int(attending * depth)
    return nn.Sequential(
        *(RestorationBlock(channels, heads, ratio, i % 2 * WINDOW // 2, i >= first) for i in range(depth))
    )


class TransformerEncoder(nn.Module):
    """1x1 convolution to `features`, then pre-norm window attention and a pre-norm MLP with expansion 2.66."""

    def __init__(self, channels: int, features: int, heads: int = 1) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, features, 1)
        self.norm = RescaledNorm(features)
        self.attention = WindowAttention(features, heads)
        self.norm2 = RescaledNorm(features)
        self.mlp = mlp(features, int(features * 2.66))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, features, H, W)."""
        return self.norm2.around(self.mlp, self.norm.around(self.attention, self.enter(x)))


class SelectiveKernel(nn.Module):
    """Weighted sum of maps of the same shape; the weights of each channel are a softmax over the maps."""

    def __init__(self, channels: int, count: int = 2) -> None:
        super().__init__()
        hidden = max(channels // 8, 4)
        self.count = count
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False), nn.ReLU(), nn.Conv2d(hidden, channels * count, 1, bias=False)
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """maps: `count` maps, (N, C, H, W) each. Returns one of the same shape."""
        pooled = sum(maps[1:], maps[0]).mean(dim=3, keepdim=True).mean(dim=2, keepdim=True)
        weights = torch.softmax(self.weigh(pooled).unflatten(1, (self.count, -1)), dim=1).unbind(1)
        return sum((x * w for x, w in zip(maps[1:], weights[1:], strict=True)), maps[0] * weights[0])
