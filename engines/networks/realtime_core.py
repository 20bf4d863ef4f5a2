"""The core of the real-time fusion network: estimates transmission, airlight, illumination and the fusion weight.

It works on a reduced frame. A dark-channel prior comes first; a U-Net at 1/2, 1/4 and 1/8 of its size corrects it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import physics
from .io import Memory, luma
from .realtime_constants import AIR_EPS, AIR_GRAYNESS, AIR_TINT, DARK_PART, DARK_TILE, LIGHT_EPS, NOISE, T_LEAST, TINTS

FACTOR = 4
"""The core's grid step in pixels; that of `tiny` is twice as large."""
STEP = 0.2
"""Scale of the learned corrections, which makes the optimiser's steps on them small."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Widths and branches of the network.

    Attributes:
        factor: Grid step of the core, in pixels.
        widths: Channels at 1/2, 1/4 and 1/8 of the grid.
        infrared: Channels of the infrared features.
        head: Channels of the full-size head; 0: no head.
        window: Side of the dark channel's window, in grid pixels: 20 to 24 pixels of a 640x480 frame.
        guide: Side of the guided filters' window, in grid pixels, about three times as large.
        air: Largest learned correction of the prior's airlight, which at night may be that of a lamp.
        field: Largest relative variation of the airlight over the frame.
        bounded: Bound the airlight: at most white, and haze scatters no more light than the frame shows. The prior's
            airlight then keeps a slight tint.
        haze: Use the dark-channel prior. False only for ablations.
        light: Learn a correction of illumination. False only for ablations.
        gate: Let infrared features in where haze is dense (IASSF eq. 5), else everywhere alike. False only for
            ablations.
    """

    factor: int = FACTOR
    widths: tuple[int, int, int] = (24, 48, 64)
    infrared: int = 8
    head: int = 16
    window: int = 5
    guide: int = 15
    air: float = 0.35
    field: float = 0.2
    bounded: bool = False
    haze: bool = True
    light: bool = True
    gate: bool = True


PROFILES = {
    "realtime": Profile(),
    "tiny": Profile(2 * FACTOR, widths=(16, 24, 28), infrared=6, head=0, window=3, guide=9),
}


class Maps(NamedTuple):
    """The core's maps of a reduced frame, at its size."""

    t: Tensor
    """Transmission, (N, 1, h, w), in [0, 1]."""
    slope: Tensor
    """Linear model of transmission in the luma Y, (N, 1, h, w): t = slope Y + offset. Also valid at full resolution."""
    offset: Tensor
    """See `slope`, (N, 1, h, w)."""
    air: Tensor
    """Airlight of every pixel, (N, 3, h, w): `whole_air` times `field`."""
    field: Tensor
    """Relative brightness of the airlight over the frame, around 1, (N, 1, h, w)."""
    light: Tensor
    """Retinex illumination L of the dehazed frame, (N, 1, h, w), in [0, 1]."""
    hot: Tensor
    """Weight of infrared where it is brighter than the visible luma, (N, 1, h, w), in [0, 1]."""
    noise: Tensor
    """Mean absolute noise of the hazy frame, (N, 1, h, w)."""
    whole_air: Tensor
    """Global colour of the airlight, (N, 3, 1, 1), smoothed over time in video."""


class Prior(NamedTuple):
    """The dark-channel prior of a frame."""

    gray: Tensor
    """Luma Y, (N, 1, h, w)."""
    a: Tensor
    """Linear model of transmission in Y, (N, 1, h, w): t = a Y + b."""
    b: Tensor
    """See `a`, (N, 1, h, w)."""
    air: Tensor
    """Airlight, (N, 3, 1, 1)."""
    seen: Tensor
    """Input of the learned layers, (N, 10, h, w): R, G, B; dehazed R, G, B; dark channel; t; mean of the airlight;
    coverage of infrared."""
    infrared: Tensor
    """Infrared, 0 where it is not valid, and its coverage, (N, 2, h, w)."""


class Corrections(NamedTuple):
    """Output of the learned layers: corrections of the prior, before their activations."""

    maps: Tensor
    """Of transmission's scale and shift, of illumination, of infrared's weight and of noise, (N, 5, ⌈h/2⌉, ⌈w/2⌉)."""
    air_field: Tensor
    """Of the airlight over the frame, (N, 1, ⌈h/8⌉, ⌈w/8⌉)."""
    frame: Tensor
    """Global ones: of the airlight's level and two tints, of transmission's scale and shift, (N, 5, 1, 1)."""


class Core(nn.Module):
    """Estimates the `Maps` of a reduced frame."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.profile = profile
        fine, middle, coarse = profile.widths
        self.visible = layer(10, fine, stride=2)
        self.infrared = layer(2, profile.infrared, stride=2)
        self.candidate = layer(fine + profile.infrared, fine)
        self.down1 = layer(fine, middle, stride=2)
        self.mix1 = layer(middle, middle)
        self.down2 = layer(middle, coarse, stride=2)
        self.mix2 = nn.Sequential(layer(coarse, coarse), layer(coarse, coarse))
        self.attention = nn.Conv2d(coarse, 1, 1)
        self.pooled = nn.Linear(2 * coarse + 29, coarse)
        self.pooled2 = nn.Linear(coarse, coarse)
        self.whole = nn.Linear(coarse, 5)
        self.air_field = nn.Conv2d(coarse, 1, 1)
        self.up1 = _linear(coarse, middle)
        self.join1 = layer(middle, middle)
        self.up0 = _linear(middle, fine)
        self.join0 = layer(fine, fine)
        self.last = nn.BatchNorm2d(fine)
        self.maps = nn.Conv2d(fine, 5, 3, padding=1)
        start_at_zero(self.whole, self.air_field, self.maps)

    def forward(self, colour: Tensor, thermal: Tensor, valid: Tensor, memory: Memory | None = None) -> Maps:
        """Compute the maps of a reduced frame.

        colour: (N, 3, h, w) RGB. thermal, valid: (N, 1, h, w), infrared and its coverage. All in [0, 1]. memory: state
        of the previous frames, None without.
        """
        memory = memory or Memory()
        prior = self.prior(colour, thermal, valid, memory)
        return self._maps(colour, prior, self.correct(prior.seen, prior.infrared, prior.air, memory), memory)

    def prior(self, colour: Tensor, thermal: Tensor, valid: Tensor, memory: Memory) -> Prior:
        """The dark-channel prior, which the learned layers correct. Arguments as for `forward`."""
        gray, window, guide = luma(colour), self.profile.window, self.profile.guide
        dark = physics.dark_channel(colour, window)
        air = physics.airlight(colour, dark)
        level = air.mean(dim=1, keepdim=True)
        tint = air - level
        if self.profile.bounded:
            tint = tint * (AIR_TINT / tint.abs().amax(dim=1, keepdim=True).clamp(min=AIR_TINT))
        else:
            tint = (1 - AIR_GRAYNESS) * tint
        air = memory.steady(level + tint)
        level = air.mean(dim=1, keepdim=True)
        rough = physics.transmission(colour, air, window=window)
        a, b = physics.guided_coefficients(gray, rough, guide, AIR_EPS)
        if not self.profile.haze:
            dark, air, level = (torch.full_like(x, 0.8) for x in (dark, air, level))
            a, b = torch.zeros_like(a), torch.full_like(b, 0.5)
        t = (a * gray + b).clamp(0, 1)
        restored = physics.recover(colour, t, air).clamp(0, 1)
        seen = torch.cat([colour, restored, dark, t, level + 0 * dark, valid], dim=1)
        return Prior(gray, a, b, air, seen, torch.cat([thermal * valid, valid], dim=1))

    def correct(self, seen: Tensor, infrared: Tensor, air: Tensor, memory: Memory) -> Corrections:
        """The learned layers. seen, infrared, air: see `Prior`. memory: of the frames before."""
        colour, _, t, _ = torch.split(seen, [3, 4, 1, 2], dim=1)
        visible = self.visible(seen)
        # IASSF eq. 5: features of both cameras where haze is dense, of the visible one elsewhere
        candidate = self.candidate(torch.cat([visible, self.infrared(infrared)], dim=1))
        dense = 1 - physics.reduce(t, 2)
        if not self.profile.gate:
            dense = torch.full_like(dense, 0.5)
        fine = candidate * dense + visible * (1 - dense) + visible

        middle = self.down1(fine)
        middle = middle + self.mix1(middle)
        coarse = self.down2(middle)
        coarse = coarse + self.mix2(coarse)
        # global context: mean and attention-weighted mean of the features; mean, deviation and extremes of the input
        attention = torch.softmax(self.attention(coarse).flatten(2), dim=-1)
        attended = (coarse.flatten(2) * attention).sum(dim=-1)
        mean = seen.mean(dim=(2, 3), keepdim=True)
        spread = (seen - mean).abs().mean(dim=(2, 3))
        smoothed = physics.reduce(colour, 2)
        low, high = smoothed.amin((2, 3)), smoothed.amax((2, 3))
        parts = [coarse.mean(dim=(2, 3)), attended, mean.flatten(1), spread, low, high]
        context = F.relu(self.pooled(torch.cat([*parts, air.flatten(1)], dim=1)))
        context = context + F.relu(self.pooled2(context))
        context = memory.steady(context[:, :, None, None])
        coarse = coarse + context
        middle = middle + _twice(self.up1(coarse), middle)
        middle = middle + self.join1(middle)
        fine = fine + _twice(self.up0(middle), fine)
        fine = self.last(fine + self.join0(fine))
        whole = STEP * self.whole(context.flatten(1))[:, :, None, None]
        return Corrections(STEP * self.maps(fine), self.air_field(coarse), whole)

    def _maps(self, colour: Tensor, prior: Prior, corrections: Corrections, memory: Memory) -> Maps:
        """Apply the corrections to the prior."""
        gray, guide = prior.gray, self.profile.guide
        # airlight: a global colour, close to gray, times a smooth field
        brighter, warmer, greener, all_scale, all_shift = corrections.frame.chunk(5, dim=1)
        shift = torch.cat([brighter + TINTS * warmer, brighter + TINTS * greener, brighter - TINTS * warmer], dim=1)
        field = 1 + self.profile.field * torch.tanh(physics.enlarge(corrections.air_field, 8, gray))
        whole_air = prior.air + self.profile.air * torch.tanh(shift)

        # transmission: the prior's, scaled and shifted, globally and per pixel
        scale, shift, more_light, hot, more_noise = physics.enlarge(corrections.maps, 2, gray).chunk(5, dim=1)
        scale = 2 * torch.sigmoid(scale + all_scale)
        a, b = scale * prior.a, scale * prior.b + shift + all_shift
        t = clamp(a * gray + b, T_LEAST, 1)
        if self.profile.bounded:
            # airlight brighter than white is not penalised by clear frames, and tanh has no gradient to bring it back
            whole_air = clamp(whole_air, 0, 1)
            whole_air = whole_air * _airlight_bound(gray, luma(whole_air * field) * (1 - t))
            whole_air = _tint_bound(whole_air, colour, 1 - t)
        whole_air = memory.steady(whole_air)
        air = whole_air * field

        peak = physics.recover(colour, t, air, T_LEAST).detach().clamp(0, 1).amax(dim=1, keepdim=True)
        light = physics.guided_filter(peak, peak, guide, LIGHT_EPS)
        if self.profile.light:
            light = light * torch.exp(torch.tanh(more_light))
        noise = NOISE * torch.exp(2 * torch.tanh(more_noise))
        return Maps(t, a, b, air, field, light.clamp(0, 1), torch.sigmoid(hot + 3), noise, whole_air)


def _airlight_bound(gray: Tensor, veil: Tensor) -> Tensor:
    """Factor s for the airlight such that haze scatters no more light than the frame shows: s A (1 - t) <= Y.

    Y / (A (1 - t)) is computed on tiles of DARK_TILE, clamped to 1, and averaged over the DARK_PART of AIRLIGHT_GRID
    with the lowest values. gray: Y, (N, 1, h, w). veil: luma of A (1 - t), (N, 1, h, w). Returns s, (N, 1, 1, 1).
    """
    share = physics.reduce(gray, DARK_TILE) / physics.reduce(veil, DARK_TILE).clamp(min=1e-3)
    return -physics.brightest(-share.clamp(max=1), DARK_PART)


def _tint_bound(air: Tensor, colour: Tensor, haze: Tensor) -> Tensor:
    """Airlight whose tint, the difference of a channel from the mean of all, lies between 0 and that of the haze seen.

    Else dehazing would leave the complementary cast. air: (N, 3, 1, 1). colour: the hazy frame, (N, 3, h, w); its mean
    is weighted by haze = 1 - t, (N, 1, h, w).
    """
    level = air.mean(dim=1, keepdim=True)
    seen = (haze * colour).mean((2, 3), True) / haze.mean((2, 3), True).clamp(min=1e-3)
    seen = seen - seen.mean(dim=1, keepdim=True)
    return level + torch.minimum(torch.maximum(air - level, seen.clamp(max=0)), seen.clamp(min=0))


def clamp(x: Tensor, low: float, high: float, scale: Tensor | float = 1.0) -> Tensor:
    """Clamp with a leaky gradient: in training, 0.1 x scale is added to it, so that clamped values can recover.

    scale: reduces the leak where the gradient is steep.
    """
    clamped = x.clamp(float(low), float(high))  # the ONNX exporter takes no mixture of int and float
    return clamped + 0.1 * scale * (x - x.detach()) if x.requires_grad else clamped


def layer(channels: int, features: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, batch norm (folded away when compiled), ReLU."""
    convolution = nn.Conv2d(channels, features, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(features, eps=1e-3), nn.ReLU())


def start_at_zero(*layers: nn.Module) -> None:
    """Initialise layers to zero, so that training starts from the physical prior alone."""
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)


def _twice(x: Tensor, like: Tensor) -> Tensor:
    """Nearest-neighbour enlargement by 2, at the height and width of `like`."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")[:, :, : like.shape[2], : like.shape[3]]


def _linear(channels: int, features: int) -> nn.Sequential:
    """1x1 convolution and batch norm; without the norm, sums of features grow until training diverges."""
    return nn.Sequential(nn.Conv2d(channels, features, 1, bias=False), nn.BatchNorm2d(features))
