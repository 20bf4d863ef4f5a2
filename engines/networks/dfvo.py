"""DFVO: fusion of dark visible images with infrared; one network trained jointly on cascaded tasks.

Implements "DFVO: Learning Darkness-free Visible and Infrared Image Disentanglement and Fusion All at Once"; equation
numbers are those of the paper. The network fuses luma in [0, 1]; the chroma of the visible frame is unchanged. Where
the published code differs from the paper, a field of `Profile` selects one of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import physics
from .io import Network, luma, to_gray, to_rgb
from .smoothing import STATE

FOLD = 4
"""Stride of HCAM; inputs are padded by reflection to multiples of it."""
SCORES = 1 << 26
"""Maximum number of attention scores in memory. More are computed in chunks, so memory is linear in the tokens."""
STEPS = 3
"""Number of coupling steps of DEM."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Size of the network, and options in which the published code differs from the paper.

    Attributes:
        width: Channels of the first encoder block, doubled three times.
        scaled: Attention scores are divided by √d (eq. 7); not in the published code.
        own: Infrared details have their own convolution (eq. 5); the published code shares that of the visible details.
    """

    width: int = 16
    scaled: bool = True
    own: bool = True


PROFILES = {"full": Profile(), "small": Profile(width=4)}


class Outputs(NamedTuple):
    """Outputs of all tasks for an image pair: (N, 1, H, W) each, in [0, 1]."""

    illumination: Tensor
    enhanced: Tensor
    infrared: Tensor
    fused: Tensor


def cross_attention(query: Tensor, key: Tensor, value: Tensor, most: int = SCORES) -> Tensor:
    """softmax(Q Kᵀ) V, computed in chunks of queries.

    query: (N, T, d). key: (N, S, d). value: (N, S, e). most: maximum number of scores per chunk. Returns (N, T, e).
    """
    rows = max(1, most // (key.shape[0] * key.shape[1]))
    chunks = [torch.softmax(part @ key.transpose(-2, -1), dim=-1) @ value for part in torch.split(query, rows, dim=1)]
    return chunks[0] if len(chunks) == 1 else torch.cat(chunks, dim=1)


def block(channels: int, features: int) -> nn.Sequential:
    """3x3 convolution, batch norm, leaky ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels, features, 3, padding=1), nn.BatchNorm2d(features, momentum=0.9), nn.LeakyReLU(0.2, True)
    )


class SobelConv(nn.Module):
    """|Sobel_x| + |Sobel_y| of features, then a 1x1 convolution. Kernels are learned, starting from Sobel's."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.across = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.down = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.narrow = nn.Conv2d(channels, features, 1)
        kernel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]) / 8
        identity = torch.eye(channels)[:, :, None, None]
        with torch.no_grad():
            self.across.weight.copy_(identity * kernel)
            self.down.weight.copy_(identity * kernel.T)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, features, H, W)."""
        return cast(Tensor, self.narrow(self.across(x).abs() + self.down(x).abs()))


class Up(nn.Module):
    """Transposed 3x3 convolution with stride 4 and dilation 2, computed as a 5x5 one with zeros between the taps:
    TensorRT does not support stride and dilation together.
    """

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        # holds and initialises the weights; not called
        self.taps = nn.ConvTranspose2d(channels, features, 3, stride=FOLD, padding=1, dilation=2, output_padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) to (N, features, 4 h, 4 w)."""
        kernel = F.pad(self.taps.weight[..., None], (0, 1)).flatten(3)[..., :-1]
        kernel = F.pad(kernel[..., None, :], (0, 0, 0, 1)).flatten(2, 3)[..., :-1, :]
        return F.conv_transpose2d(x, kernel, self.taps.bias, stride=FOLD, padding=1, output_padding=1)


class HCAM(nn.Module):
    """Hyper cross attention module (eq. 6-9): base features by attention between the modalities."""

    def __init__(self, channels: int, scaled: bool) -> None:
        super().__init__()
        wide, narrow = 2 * channels, channels // 4
        self.scale = narrow**-0.5 if scaled else 1.0
        self.visible_down = nn.Conv2d(channels, wide, 3, stride=FOLD, padding=1)
        self.infrared_down = nn.Conv2d(channels, wide, 3, stride=FOLD, padding=1)
        self.query = SobelConv(2 * wide, narrow)
        self.visible_key, self.infrared_key = SobelConv(wide, narrow), SobelConv(wide, narrow)
        self.visible_value, self.infrared_value = nn.Conv2d(wide, wide, 1), nn.Conv2d(wide, wide, 1)
        self.visible_up, self.infrared_up = Up(wide, channels), Up(wide, channels)

    def forward(self, visible: Tensor, infrared: Tensor) -> tuple[Tensor, Tensor]:
        """visible, infrared: encoder features, (N, channels, H, W), H and W multiples of 4. Returns base V, base I."""
        small_v = F.max_pool2d(self.visible_down(visible), 3, stride=1, padding=1)
        small_i = F.max_pool2d(self.infrared_down(infrared), 3, stride=1, padding=1)
        query = _tokens(self.scale * self.query(torch.cat([small_v, small_i], dim=1)))
        # cross attention: infrared keys weight visible values, and vice versa
        attended_v = cross_attention(query, _tokens(self.infrared_key(small_i)), _tokens(self.visible_value(small_v)))
        attended_i = cross_attention(query, _tokens(self.visible_key(small_v)), _tokens(self.infrared_value(small_i)))
        base_v = self.visible_up(attended_v.transpose(-2, -1).reshape(small_v.shape)) + visible
        base_i = self.infrared_up(attended_i.transpose(-2, -1).reshape(small_i.shape)) + infrared
        return base_v, base_i


class Coupling(nn.Module):
    """One invertible step of eq. 4: z2 += φ(z1), then z1 = z1 ⊙ exp(ρ(z2)) + η(z2)."""

    def __init__(self, channels: int) -> None:
        """channels: number in each half, z1 and z2."""
        super().__init__()
        self.shuffle = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.phi, self.rho, self.eta = (_bottleneck(channels) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 2 channels, H, W) to the same shape."""
        z1, z2 = self.shuffle(x).chunk(2, dim=1)
        z2 = z2 + self.phi(z1)
        z1 = z1 * torch.exp(self.rho(z2)) + self.eta(z2)
        return torch.cat([z1, z2], dim=1)


class DEM(nn.Module):
    """Detail extraction module (eq. 4): invertible coupling steps. The convolution of eq. 5 is in `LCFE`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.steps = nn.Sequential(*(Coupling(channels // 2) for _ in range(STEPS)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to the same shape."""
        return cast(Tensor, self.steps(x))


class LCFE(nn.Module):
    """Latent-common feature extractor, shared by all tasks: two encoders, HCAM and DEM."""

    def __init__(self, profile: Profile, deployed: bool) -> None:
        """deployed: without the infrared detail convolution if it is not used."""
        super().__init__()
        widths = (1, *(profile.width << at for at in range(4)))
        channels = widths[-1]
        self.visible = nn.Sequential(*(block(i, o) for i, o in pairwise(widths)))
        self.infrared = nn.Sequential(*(block(i, o) for i, o in pairwise(widths)))
        self.hcam = HCAM(channels, profile.scaled)
        self.visible_dem, self.infrared_dem = DEM(channels), DEM(channels)
        self.visible_smooth = nn.Conv2d(channels, channels, 3, padding=1)
        self.own = profile.own
        if profile.own or not deployed:
            self.infrared_smooth = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, visible: Tensor, infrared: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """visible, infrared: luma, (N, 1, H, W), H and W multiples of 4.

        Returns base V, base I, detail V and detail I, (N, 8 width, H, W) each.
        """
        features_v, features_i = self.visible(visible), self.infrared(infrared)
        base_v, base_i = self.hcam(features_v, features_i)
        return base_v, base_i, self._detail(features_v, True), self._detail(features_i, False)

    def sums(self, visible: Tensor, infrared: Tensor) -> tuple[Tensor, Tensor]:
        """Return only base V + base I and detail V + detail I, the input of the fusion task. Arguments: see `forward`.

        Feature maps are freed as soon as possible: at 1280x1024, a map with 128 channels takes 0.7 GB.
        """
        features_v, features_i = self.visible(visible), self.infrared(infrared)
        base_v, base_i = self.hcam(features_v, features_i)
        base = base_v + base_i
        del base_v, base_i
        detail = self._detail(features_v, True)
        del features_v
        return base, detail + self._detail(features_i, False)

    def _detail(self, features: Tensor, visible: bool) -> Tensor:
        dem = self.visible_dem if visible else self.infrared_dem
        smooth = self.visible_smooth if visible or not self.own else self.infrared_smooth
        return cast(Tensor, smooth(dem(features)))


def decoder(channels: int, blocks: int) -> nn.Sequential:
    """Decoder of a task: blocks that halve the channels, then a 3x3 convolution to one channel and a sigmoid.

    The paper's transposed convolutions of stride 1 are computed as convolutions with flipped kernels, which is faster.
    """
    widths = [channels >> at for at in range(blocks + 1)]
    return nn.Sequential(
        *(block(i, o) for i, o in pairwise(widths)), nn.Conv2d(widths[-1], 1, 3, padding=1), nn.Sigmoid()
    )


def illumination_network(width: int) -> nn.Sequential:
    """Separate encoder-decoder for the illumination L of the visible luma, at full resolution throughout."""
    return nn.Sequential(
        block(1, 2 * width),
        nn.MaxPool2d(3, stride=1, padding=1),
        block(2 * width, 4 * width),
        block(4 * width, 8 * width),
        nn.MaxPool2d(3, stride=1, padding=1),
        *decoder(8 * width, 3),
    )


class DFVO(Network):
    """The engine `dfvo`."""

    def __init__(self, profile: Profile = PROFILES["full"], deployed: bool = False) -> None:
        """deployed: for inference, without the layers that only training needs: the decoders of the other tasks."""
        super().__init__()
        self.profile = profile
        channels = 8 * profile.width
        self.lcfe = LCFE(profile, deployed)
        self.fusion = decoder(2 * channels, 4)
        if not deployed:
            self.illumination = illumination_network(profile.width)
            self.enhancement = decoder(channels, 3)
            self.reconstruction = decoder(channels, 3)

    def forward(self, visible: Tensor, infrared: Tensor, coverage: Tensor, controls: Tensor) -> tuple[Tensor, ...]:
        """See `Network`. Controls are ignored: the strength of enhancement is learned.

        Restored is the visible frame, as enhancement is a training task only; haze density and state are 0.
        """
        colour, thermal, valid, *_ = self.read(visible, infrared, coverage, controls)
        bright = luma(colour)
        change = valid * (self.fuse(bright, valid * thermal + (1 - valid) * bright) - bright)
        light = physics.illumination(colour)
        no_state = controls[-1 - STATE : -1].clamp(0, 0).unsqueeze(0)
        return to_rgb(colour + change), to_rgb(colour), to_gray(0 * bright), to_gray(light), no_state

    def fuse(self, visible: Tensor, infrared: Tensor) -> Tensor:
        """Fuse luma. visible, infrared: (N, 1, H, W) in [0, 1], any size. Returns F, of the same shape."""
        height, width = visible.shape[-2], visible.shape[-1]
        fused: Tensor = self.fusion(torch.cat(self.lcfe.sums(*_padded(visible, infrared)), dim=1))
        return fused[:, :, :height, :width]

    def tasks(self, visible: Tensor, infrared: Tensor) -> Outputs:
        """Run all tasks; not available if `deployed`. visible, infrared: luma, (N, 1, H, W) in [0, 1], any size."""
        height, width = visible.shape[-2], visible.shape[-1]
        visible, infrared = _padded(visible, infrared)
        base_v, base_i, detail_v, detail_i = self.lcfe(visible, infrared)
        planes = (
            self.illumination(visible),
            self.enhancement(base_v + detail_v),
            self.reconstruction(base_i + detail_i),
            self.fusion(torch.cat([base_v + base_i, detail_v + detail_i], dim=1)),
        )
        return Outputs(*(plane[:, :, :height, :width] for plane in planes))


def _padded(visible: Tensor, infrared: Tensor) -> tuple[Tensor, Tensor]:
    """Pad right and below, by reflection, to multiples of FOLD. (N, 1, H, W) each."""
    height, width = visible.shape[-2], visible.shape[-1]
    planes = F.pad(torch.cat([visible, infrared], dim=1), (0, -width % FOLD, 0, -height % FOLD), mode="reflect")
    return planes[:, :1], planes[:, 1:]


def _tokens(x: Tensor) -> Tensor:
    """(N, C, H, W) to (N, H W, C)."""
    return x.flatten(2).transpose(-2, -1)


def _bottleneck(channels: int) -> nn.Sequential:
    """Inverted residual block without batch norm: 1x1 expansion by 2, 3x3 depth-wise, 1x1 projection."""
    wide = 2 * channels
    return nn.Sequential(
        nn.Conv2d(channels, wide, 1, bias=False),
        nn.ReLU6(True),
        nn.ReflectionPad2d(1),
        nn.Conv2d(wide, wide, 3, groups=wide, bias=False),
        nn.ReLU6(True),
        nn.Conv2d(wide, channels, 1, bias=False),
    )
