"""The core of the real-time fusion network: transmission, airlight, illumination and fusion weight of a reduced frame.

Physics first, then a U-Net on a half, a quarter and an eighth of the reduced frame that corrects it.
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
"""The core's grid step in pixels, that of `tiny` is twice as large."""
STEP = 0.2
"""Scale of the learned corrections, so that an optimiser's step on them is a small one."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Widths and branches of the network; the branches are switched off only for ablations.

    factor: the core's grid step in pixels. widths: channels at 2, 4 and 8 steps. infrared: of the infrared features.
    head: of the full-size head, 0 for none. window: of the dark channel, 20 to 24 pixels of a frame of 640x480. guide:
    of the guided filters, about three times as much; both in steps of the grid. air: how far the learned airlight may
    leave the dark-channel one, which by night is that of a lamp. field: part by which it may vary over the frame.
    bounded: airlight is no brighter than white, no more light is scattered than there is, and the first airlight keeps
    a slight tint.
    haze: dark-channel features and transmission start. light: learned illumination. gate: infrared features enter where
    haze is dense (IASSF eq. 5); without it they enter everywhere alike.
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
    """What the core finds in a frame, on the frame's own grid (reduced by 4 in use). All in [0, 1]."""

    t: Tensor
    """Transmission, (N, 1, h, w)."""
    slope: Tensor
    """Of transmission along the frame's luma Y, (N, 1, h, w): t = slope Y + offset, between the grid's points too."""
    offset: Tensor
    air: Tensor
    """Airlight at every point, (N, 3, h, w)."""
    field: Tensor
    """What the global colour of the airlight is multiplied by there, around 1, (N, 1, h, w)."""
    light: Tensor
    """Retinex illumination L of the frame without haze, (N, 1, h, w)."""
    hot: Tensor
    """Weight of infrared where it is brighter than the visible luma, (N, 1, h, w)."""
    noise: Tensor
    """Mean absolute noise under the haze, (N, 1, h, w)."""
    whole_air: Tensor
    """The global colour of the airlight, (N, 3, 1, 1), which video steadies over time."""


class Prior(NamedTuple):
    """The dark-channel prior of a frame."""

    gray: Tensor
    """Luma Y, (N, 1, h, w)."""
    a: Tensor
    """Of transmission along Y, (N, 1, h, w): t = a Y + b."""
    b: Tensor
    air: Tensor
    """Airlight, (N, 3, 1, 1)."""
    seen: Tensor
    """What the network sees of it, (N, 10, h, w): colour, colour without haze, dark channel, t, airlight's level, and
    where infrared is valid."""
    infrared: Tensor
    """Infrared and where it is valid, (N, 2, h, w)."""


class Corrections(NamedTuple):
    """Output of the learned layers: corrections of the prior, before their activations."""

    maps: Tensor
    """Of transmission's scale and shift, of illumination, of infrared's weight and of noise, (N, 5, ⌈h/2⌉, ⌈w/2⌉)."""
    air_field: Tensor
    """Of the airlight over the frame, (N, 1, ⌈h/8⌉, ⌈w/8⌉)."""
    frame: Tensor
    """Global ones: of the airlight's level and two tints, of transmission's scale and shift, (N, 5, 1, 1)."""


class Core(nn.Module):
    """Haze, light and fusion weights from the reduced frame."""

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
        """colour: (N, 3, h, w). thermal, valid: (N, 1, h, w). All in [0, 1]. memory: of the frames before."""
        memory = memory or Memory()
        prior = self.prior(colour, thermal, valid, memory)
        return self._maps(colour, prior, self.correct(prior.seen, prior.infrared, prior.air, memory), memory)

    def prior(self, colour: Tensor, thermal: Tensor, valid: Tensor, memory: Memory) -> Prior:
        """The dark-channel prior, from which learning starts; arguments as for `forward`."""
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
        # IASSF eq. 5: where haze is dense, features that know the infrared; elsewhere the visible ones
        candidate = self.candidate(torch.cat([visible, self.infrared(infrared)], dim=1))
        dense = 1 - physics.reduce(t, 2)
        if not self.profile.gate:
            dense = torch.full_like(dense, 0.5)
        fine = candidate * dense + visible * (1 - dense) + visible

        middle = self.down1(fine)
        middle = middle + self.mix1(middle)
        coarse = self.down2(middle)
        coarse = coarse + self.mix2(coarse)
        # global context: the means, the mean over where the network chooses to look, spread and extremes of the input
        where = torch.softmax(self.attention(coarse).flatten(2), dim=-1)
        looked = (coarse.flatten(2) * where).sum(dim=-1)
        mean = seen.mean(dim=(2, 3), keepdim=True)
        spread = (seen - mean).abs().mean(dim=(2, 3))
        calm = physics.reduce(colour, 2)
        parts = [coarse.mean(dim=(2, 3)), looked, mean.flatten(1), spread, calm.amin((2, 3)), calm.amax((2, 3))]
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
        # airlight: a global colour, nearly gray, times a smooth field
        brighter, warmer, greener, all_scale, all_shift = corrections.frame.chunk(5, dim=1)
        shift = torch.cat([brighter + TINTS * warmer, brighter + TINTS * greener, brighter - TINTS * warmer], dim=1)
        field = 1 + self.profile.field * torch.tanh(physics.enlarge(corrections.air_field, 8, gray))
        whole_air = prior.air + self.profile.air * torch.tanh(shift)

        # transmission: the prior's, scaled and shifted, as a whole and at every point
        scale, shift, more_light, hot, more_noise = physics.enlarge(corrections.maps, 2, gray).chunk(5, dim=1)
        scale = 2 * torch.sigmoid(scale + all_scale)
        a, b = scale * prior.a, scale * prior.b + shift + all_shift
        t = clamp(a * gray + b, T_LEAST, 1)
        if self.profile.bounded:  # beyond white no loss of a clear frame would hold it, and tanh does not let it back
            whole_air = clamp(whole_air, 0, 1)
            whole_air = whole_air * _airlight_bound(gray, luma(whole_air * field) * (1 - t))
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


def clamp(x: Tensor, low: float, high: float, scale: Tensor | float = 1.0) -> Tensor:
    """Clamp; while learning, a little of the gradient passes where it bites, so that a wrong guess can come back.

    scale: of that little, where the gradient is steep.
    """
    clamped = x.clamp(float(low), float(high))  # the exporter to ONNX takes no mixture
    return clamped + 0.1 * scale * (x - x.detach()) if x.requires_grad else clamped


def layer(channels: int, features: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, batch norm (folded away when compiled), ReLU."""
    convolution = nn.Conv2d(channels, features, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(features, eps=1e-3), nn.ReLU())


def start_at_zero(*layers: nn.Module) -> None:
    """Learning starts from the physics alone."""
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)


def _twice(x: Tensor, like: Tensor) -> Tensor:
    """Nearest-neighbour enlargement by 2, at the height and width of `like`."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")[:, :, : like.shape[2], : like.shape[3]]


def _linear(channels: int, features: int) -> nn.Sequential:
    """1x1 convolution and batch norm, without which what is summed up grows until learning blows up."""
    return nn.Sequential(nn.Conv2d(channels, features, 1, bias=False), nn.BatchNorm2d(features))
