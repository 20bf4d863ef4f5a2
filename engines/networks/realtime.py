"""The real-time fusion network: dehazes, lifts and fuses in one pass, learned on top of the shared physics.

Three parts, each usable alone:

    core    physics on the frame reduced by 4, and a U-Net on 1/8, 1/16 and 1/32 that corrects it: transmission,
            airlight, illumination, fusion weight
    fuse    at full size: the scattering model and Retinex, inverted point-wise with the maps brought up along edges
    head    at full size: restored and fused luma refined from both cameras
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from .. import physics
from ..base import EngineError
from .io import Memory, Network, luma, to_gray, to_rgb

FACTOR = 4
"""The core's grid step in pixels, that of `tiny` is twice as large."""
T_LEAST = 0.04
"""Least transmission that is still divided by."""
AIR_GRAYNESS = 0.85
"""How far the first airlight is drawn to gray: fog is nearly gray, but by night its brightest pixels are a lamp's."""
FLOOR = 0.15
"""Mean level of infrared that is left as it is."""
NOISE = 0.0015
"""Mean absolute noise of the reduced frame: what dehazing amplifies, before the network corrects it."""
DARK_NOISE = 0.012
"""The same in darkness, which the lift amplifies: sensors turn their gain up there."""
MORE_DETAIL = 0.3
"""By how much a strong lift raises the detail that is believed; the lift's shoulder takes contrast from it."""
STEP = 0.2
"""Scale of the learned corrections, so that an optimiser's step on them is a small one."""
LESS_LIFT = 0.4
"""Of the automatic lift, where haze was dense."""
AIR_RANGE = 0.35
"""How far the learned airlight may leave the dark-channel one."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Widths and branches of the network; the branches are switched off only for ablations.

    factor: the core's grid step in pixels. widths: channels at 2, 4 and 8 steps. infrared: of the infrared features.
    head: of the full-size head, 0 for none. window: of the dark channel, 20 to 24 pixels of a frame of 640x480. guide:
    of the guided filters, about three times as much; both in steps of the grid.
    haze: dark-channel features and transmission start. light: learned illumination. gate: infrared features enter where
    haze is dense (IASSF eq. 5); without it they enter everywhere alike.
    """

    factor: int = FACTOR
    widths: tuple[int, int, int] = (24, 48, 64)
    infrared: int = 8
    head: int = 16
    window: int = 5
    guide: int = 15
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


class Core(nn.Module):
    """Haze, light and fusion weights from the reduced frame."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.profile = profile
        fine, middle, coarse = profile.widths
        self.visible = _layer(10, fine, stride=2)
        self.infrared = _layer(2, profile.infrared, stride=2)
        self.candidate = _layer(fine + profile.infrared, fine)
        self.down1 = _layer(fine, middle, stride=2)
        self.mix1 = _layer(middle, middle)
        self.down2 = _layer(middle, coarse, stride=2)
        self.mix2 = nn.Sequential(_layer(coarse, coarse), _layer(coarse, coarse))
        self.attention = nn.Conv2d(coarse, 1, 1)
        self.pooled = nn.Linear(2 * coarse + 29, coarse)
        self.pooled2 = nn.Linear(coarse, coarse)
        self.whole = nn.Linear(coarse, 5)
        self.air_field = nn.Conv2d(coarse, 1, 1)
        self.up1 = _linear(coarse, middle)
        self.join1 = _layer(middle, middle)
        self.up0 = _linear(middle, fine)
        self.join0 = _layer(fine, fine)
        self.last = nn.BatchNorm2d(fine)
        self.maps = nn.Conv2d(fine, 5, 3, padding=1)
        _start_at_zero(self.whole, self.air_field, self.maps)

    def forward(self, colour: Tensor, thermal: Tensor, valid: Tensor, memory: Memory | None = None) -> Maps:
        """colour: (N, 3, h, w). thermal, valid: (N, 1, h, w). All in [0, 1]. memory: of the frames before."""
        memory = memory or Memory()
        # the dark-channel prior, from which learning starts
        gray, window, guide = luma(colour), self.profile.window, self.profile.guide
        dark = physics.dark_channel(colour, window)
        first_air = physics.airlight(colour, dark)
        first_air = memory.steady(first_air + AIR_GRAYNESS * (first_air.mean(dim=1, keepdim=True) - first_air))
        level = first_air.mean(dim=1, keepdim=True)
        rough = physics.transmission(colour, first_air, window=window)
        a, b = physics.guided_coefficients(gray, rough, guide, 1e-3)
        if not self.profile.haze:
            dark, first_air, level = (torch.full_like(x, 0.8) for x in (dark, first_air, level))
            a, b = torch.zeros_like(a), torch.full_like(b, 0.5)
        first_t = (a * gray + b).clamp(0, 1)
        first = physics.recover(colour, first_t, first_air).clamp(0, 1)

        seen = torch.cat([colour, first, dark, first_t, level + 0 * dark, valid], dim=1)
        visible = self.visible(seen)
        infrared = self.infrared(torch.cat([thermal * valid, valid], dim=1))
        # IASSF eq. 5: where haze is dense, features that know the infrared; elsewhere the visible ones
        candidate = self.candidate(torch.cat([visible, infrared], dim=1))
        dense = 1 - physics.reduce(first_t, 2)
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
        context = F.relu(self.pooled(torch.cat([*parts, first_air.flatten(1)], dim=1)))
        context = context + F.relu(self.pooled2(context))
        context = memory.steady(context[:, :, None, None])
        coarse = coarse + context
        middle = middle + _twice(self.up1(coarse), middle)
        middle = middle + self.join1(middle)
        fine = fine + _twice(self.up0(middle), fine)
        fine = self.last(fine + self.join0(fine))

        # airlight: a global colour, nearly gray, times a smooth field
        whole_corrections = STEP * self.whole(context.flatten(1))[:, :, None, None]
        brighter, warmer, greener, all_scale, all_shift = whole_corrections.chunk(5, dim=1)
        shift = torch.cat([brighter + 0.2 * warmer, brighter + 0.2 * greener, brighter - 0.2 * warmer], dim=1)
        field = 1 + 0.2 * torch.tanh(physics.enlarge(self.air_field(coarse), 8, gray))
        whole_air = memory.steady(first_air + AIR_RANGE * torch.tanh(shift))
        air = whole_air * field

        # transmission: the prior's, scaled and shifted, as a whole and at every point
        corrections = physics.enlarge(STEP * self.maps(fine), 2, gray)
        scale, shift, more_light, hot, more_noise = corrections.chunk(5, dim=1)
        scale = 2 * torch.sigmoid(scale + all_scale)
        a, b = scale * a, scale * b + shift + all_shift
        t = _clamp(a * gray + b, T_LEAST, 1)

        peak = physics.recover(colour, t, air, T_LEAST).detach().clamp(0, 1).amax(dim=1, keepdim=True)
        light = physics.guided_filter(peak, peak, guide, 4e-3)
        if self.profile.light:
            light = light * torch.exp(torch.tanh(more_light))
        noise = NOISE * torch.exp(2 * torch.tanh(more_noise))
        return Maps(t, a, b, air, field, light.clamp(0, 1), torch.sigmoid(hot + 3), noise, whole_air)


class Head(nn.Module):
    """Refines luma at full size; its features live on every second row and column, one position for four pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(4, width, 4, stride=2, padding=1)
        self.mix = _layer(width, width)
        self.both = nn.Conv2d(width, 8, 3, padding=1)
        _start_at_zero(self.both)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """planes: (N, 4, H, W), H and W even: restored luma, fused luma, infrared, noise gain.

        Returns the corrections of restored and of fused luma, (N, 1, H, W).
        """
        x = F.relu(self.enter(planes))
        x = x + self.mix(x)
        y = F.pixel_shuffle(self.both(x), 2)
        return y[:, 0].unsqueeze(1), y[:, 1].unsqueeze(1)  # indexed, not split, which OpenVINO copies slowly


class RealtimeFusion(Network):
    """The engines `realtime` and `tiny`.

    Dehazing: J = (V - A) / max(t, t0) + A. Lift: J times the Retinex gain of L (`physics.lift_gain`). Fusion on luma:
    F = Y + hot max(I - Y, 0), refined by the head; chroma is that of the restored frame.
    """

    def __init__(self, profile: Profile = PROFILES["realtime"]) -> None:
        super().__init__()
        self.factor = profile.factor
        self.core = Core(profile)
        self.head = Head(profile.head) if profile.head else None

    def forward(self, visible: Tensor, infrared: Tensor, coverage: Tensor, controls: Tensor) -> tuple[Tensor, ...]:
        """Fuse one pair.

        visible: (1, H, W, 3) uint8 RGB. infrared, coverage: (1, H, W) uint8. controls: (CONTROLS,) float32: dehaze
        and lift, 0 to 1, or negative: chosen from the measured maps; then the state of the frames before and its weight
        (see `steady`). Returns fused (1, H, W, 3), restored (1, H, W, 3), haze density (1, h, w), illumination
        (1, h, w) with h = ⌈H/f⌉, w = ⌈W/f⌉, f the factor of the profile, all uint8; where `unlifted` is set, the fused
        frame without lift, (1, H, W, 3) uint8; and the state, (1, STATE) float32.
        """
        colour, thermal, valid, dehaze, lift, memory = self.read(visible, infrared, coverage, controls)
        fused, restored, maps, *unlifted = self.fuse(colour, thermal, valid, dehaze, lift, memory=memory)
        images = to_rgb(fused), to_rgb(restored), to_gray(1 - maps.t), to_gray(maps.light)
        return *images, *(to_rgb(image) for image in unlifted), memory.state()

    def fuse(
        self,
        colour: Tensor,
        thermal: Tensor,
        valid: Tensor,
        dehaze: Tensor,
        lift: Tensor,
        factor: int | None = None,
        memory: Memory | None = None,
    ) -> tuple[Tensor, Tensor, Maps, *tuple[Tensor, ...]]:
        """`forward` on floating point: fused and restored, not clamped, and the maps; fused without lift if `unlifted`.

        colour: (N, 3, H, W) in [0, 1]. thermal, valid: (N, 1, H, W). dehaze, lift: (N, 1, 1, 1) or (1, 1, 1, 1).
        factor: of the core's grid, that of the profile by default; 1 trains on frames already as small as that grid.
        memory: of the frames before.
        """
        factor, memory = factor or self.factor, memory or Memory()
        thermal = without_floor(thermal, valid, memory)
        small, small_thermal, small_valid = colour, thermal, valid
        if factor > 1:
            small, small_thermal, small_valid = (physics.reduce(x, factor) for x in (colour, thermal, valid))
        maps = self.core(small, small_thermal, small_valid, memory)
        dehaze = memory.steady(torch.where(dehaze < 0, dehaze_strength(maps.t), dehaze.clamp(max=1)))
        # what haze is left would be lifted too, so less lift where much was taken away
        covered = dehaze * (1 - maps.t).mean((2, 3), True)
        lift = torch.where(lift < 0, lift_strength(maps.light) * (1 - LESS_LIFT * covered), lift.clamp(max=1))
        lift = memory.steady(lift)
        gain = physics.lift_gain(maps.light, lift)
        # noise: where amplified noise would be stronger than structure, only the reduced frame is believed
        small_t = 1 - dehaze * (1 - maps.t)
        base = physics.lift(_clamp((small - maps.air) / small_t + maps.air, 0, 1, small_t), gain)
        trust = trusted(luma(base), maps.noise * gain * (1 / small_t - 1) + DARK_NOISE * (gain - 1))
        trust = trust * (1 + MORE_DETAIL * (1 - 1 / gain))

        gray = luma(colour)
        a, b, field, hot = maps.slope, maps.offset, maps.field, maps.hot
        if factor > 1:
            brought = physics.enlarge(torch.cat([a, b, gain, hot, trust, field, base], dim=1), factor, gray)
            a, b, gain, hot, trust, field, *rest = brought.chunk(9, dim=1)
            base = torch.cat(rest, dim=1)
        else:
            base = physics.box(base, 5)
        air = maps.whole_air * field
        t = a * gray + b
        t = 1 - dehaze * (1 - _clamp(t, T_LEAST, 1))
        clear = _clamp((colour - air) / t + air, 0, 1, t)
        # all of the detail, noise too: a detector tells them apart, and loses more by what is taken away
        dark = (clear + valid * hot * (thermal - luma(clear)).clamp(min=0),) if self.unlifted else ()
        restored = base + trust * (physics.lift(clear, gain) - base)
        bright = luma(restored)
        fused = bright + valid * hot * (thermal - bright).clamp(min=0)
        if self.head is not None:
            more_bright, more_fused = self._head(torch.cat([bright, fused, thermal * valid, 0.2 * gain / t], dim=1))
            more_fused = valid * more_fused + (1 - valid) * more_bright
            restored, fused = restored + more_bright, fused + more_fused
            return restored + (fused - bright - more_bright), restored, maps, *dark
        return restored + (fused - bright), restored, maps, *dark

    def _head(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        assert self.head is not None
        height, width = planes.shape[-2], planes.shape[-1]
        # one more row and column, so that odd sizes fold; even ones lose it again by the floor of the stride
        more, other = self.head(F.pad(planes, (0, width % 2, 0, height % 2), mode="replicate"))
        return more[:, :, :height, :width], other[:, :, :height, :width]


def weights_file(name: str) -> Path:
    """Where the trained weights of a profile lie."""
    return Path(__file__).parents[1] / "weights" / f"{name}.safetensors"


def trained(name: str) -> RealtimeFusion:
    """The network of a profile with its trained weights. EngineError where they cannot be used."""
    network = RealtimeFusion(PROFILES[name])
    try:
        network.load_state_dict(load_file(weights_file(name)))
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EngineError(f"{name}: {weights_file(name)}: cannot be used: {reason}; install fusecam anew") from error
    return network.eval()


def without_floor(thermal: Tensor, valid: Tensor, memory: Memory | None = None) -> Tensor:
    """Infrared without the grey to which automatic gain brings a scene of even warmth, which would veil the fused frame
    and end at the border of its view: (I - s) / (1 - s), s = max(mean(I) - FLOOR, 0), the mean over the valid area.

    thermal, valid: (N, 1, H, W) in [0, 1]. Returns (N, 1, H, W).
    """
    mean = (thermal * valid).mean((2, 3), True) / valid.mean((2, 3), True).clamp(min=1e-2)
    floor = (memory or Memory()).steady((mean - FLOOR).clamp(0, 0.9))
    return ((thermal - floor) / (1 - floor)).clamp(min=0)


def trusted(bright: Tensor, noise: Tensor) -> Tensor:
    """How far detail is believed: 1 / (1 + (n / e)⁸), e the mean absolute deviation of luma from its surroundings.

    bright: the luma, (N, 1, h, w). noise: n, its mean absolute noise, (N, 1, h, w). Returns (N, 1, h, w), 1 where there
    is no noise.
    """
    energy = physics.box((bright - physics.box(bright, 5)).abs(), 5) + 3e-3
    return 1 / (1 + (noise / energy).clamp(max=3.5).square().square().square())


def dehaze_strength(t: Tensor) -> Tensor:
    """Strength from the transmission (N, 1, h, w): 0 for a mean haze density below .04, 1 above .12. (N, 1, 1, 1)."""
    return _smooth((1 - t).mean((2, 3), True), 0.04, 0.12)


def lift_strength(light: Tensor) -> Tensor:
    """Strength from the illumination (N, 1, h, w): 0 for a mean above .38, 1 below .14. (N, 1, 1, 1)."""
    return 1 - _smooth(light.mean((2, 3), True), 0.14, 0.38)


def _smooth(x: Tensor, low: float, high: float) -> Tensor:
    """Smooth step: 0 at `low`, 1 at `high`, 3u² - 2u³ between."""
    u = ((x - low) * (1 / (high - low))).clamp(0, 1)
    return u * u * (3 - 2 * u)


def _clamp(x: Tensor, low: float, high: float, scale: Tensor | float = 1.0) -> Tensor:
    """Clamp; while learning, a little of the gradient passes where it bites, so that a wrong guess can come back.

    scale: of that little, where the gradient is steep.
    """
    clamped = x.clamp(low, high)
    return clamped + 0.1 * scale * (x - x.detach()) if x.requires_grad else clamped


def _twice(x: Tensor, like: Tensor) -> Tensor:
    """Nearest-neighbour enlargement by 2, at the height and width of `like`."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")[:, :, : like.shape[2], : like.shape[3]]


def _layer(channels: int, features: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, batch norm (folded away when compiled), ReLU."""
    convolution = nn.Conv2d(channels, features, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(features, eps=1e-3), nn.ReLU())


def _linear(channels: int, features: int) -> nn.Sequential:
    """1x1 convolution and batch norm, without which what is summed up grows until learning blows up."""
    return nn.Sequential(nn.Conv2d(channels, features, 1, bias=False), nn.BatchNorm2d(features))


def _start_at_zero(*layers: nn.Module) -> None:
    """Learning starts from the physics alone."""
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
