"""The real-time fusion network: dehazes, lifts and fuses in one pass, learned on top of the shared physics.

Three parts, each usable alone:

    core    on the frame reduced by 4: transmission, airlight, illumination, fusion weight (see `realtime_core`)
    fuse    at full size: the scattering model and Retinex, inverted point-wise with the maps brought up along edges
    head    at full size: restored and fused luma refined from both cameras
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import physics
from .io import Memory, Network, luma, to_gray, to_rgb
from .realtime_core import PROFILES, T_LEAST, Core, Maps, Profile, clamp, layer, start_at_zero

FLOOR = 0.15
"""Mean level of infrared that is left as it is."""
DARK_NOISE = 0.012
"""Mean absolute noise in darkness, which the lift amplifies: sensors turn their gain up there."""
MORE_DETAIL = 0.3
"""By how much a strong lift raises the detail that is believed; the lift's shoulder takes contrast from it."""
LESS_LIFT = 0.4
"""Of the automatic lift, where haze was dense."""
SHARE = 0.5
"""Infrared's part of a detector's frame."""
WARMER = 0.3
"""Part of what infrared is above its surroundings that a detector's frame gets on top of it."""
TINT = 0.1, -0.05, 0.0
"""Part of the difference of infrared and visible that a detector's frame gets in red, green and blue: none of luma."""


class Head(nn.Module):
    """Refines luma at full size; its features live on every second row and column, one position for four pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(4, width, 4, stride=2, padding=1)
        self.mix = layer(width, width)
        self.both = nn.Conv2d(width, 8, 3, padding=1)
        start_at_zero(self.both)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """planes: (N, 4, H, W), H and W even: restored luma, fused luma, infrared, noise gain.

        Returns the corrections of restored and of fused luma, (N, H, W).
        """
        x = F.relu(self.enter(planes))
        x = x + self.mix(x)
        height, width = x.shape[2:]
        x = F.pad(x, (0, width % 2))
        y = F.conv2d(x, *self._two_places(), stride=(1, 2), padding=1)
        # channels in the order plane, row, column: one permutation, less than half the time of a pixel shuffle
        y = y.permute(0, 2, 3, 1).reshape(planes.shape[0], height, -1, 2, 2, 4).permute(3, 0, 1, 4, 2, 5)
        y = y.reshape(2, planes.shape[0], 2 * height, -1)[..., : 2 * width]
        return y[0], y[1]

    def _two_places(self) -> tuple[Tensor, Tensor]:
        """`both` at two neighbouring places at once, as weights and biases of 16 channels: 8 would leave half of a
        CPU's vector registers empty; so it takes two thirds of the time.
        """
        width = self.both.in_channels
        assert self.both.bias is not None
        weight = self.both.weight.reshape(2, 2, 1, 2, width, 3, 3)
        weights = torch.cat([F.pad(weight, (0, 1)), F.pad(weight, (1, 0))], dim=2)
        biases = self.both.bias.reshape(2, 2, 1, 2).expand(2, 2, 2, 2)
        return weights.reshape(16, width, 3, 4), biases.reshape(16)


class RealtimeFusion(Network):
    """The engines `realtime` and `tiny`.

    Dehazing: J = (V - A) / max(t, t0) + A. Lift: J times the Retinex gain of L (`physics.lift_gain`). Fusion on luma:
    F = Y + hot max(I - Y, 0), refined by the head; chroma is that of the restored frame.
    """

    def __init__(self, profile: Profile = PROFILES["realtime"]) -> None:
        super().__init__()
        self.profile, self.factor = profile, profile.factor
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
        base = physics.lift(clamp((small - maps.air) / small_t + maps.air, 0, 1, small_t), gain)
        trust = trusted(luma(base), maps.noise * gain * (1 / small_t - 1) + DARK_NOISE * (gain - 1))
        trust = trust * (1 + MORE_DETAIL * (1 - 1 / gain))

        gray = luma(colour)
        a, b, field, hot = maps.slope, maps.offset, maps.field, maps.hot
        around: list[Tensor] = []
        if self.unlifted:  # on half the grid: their windows are large
            coarse = physics.reduce(small_thermal, 2), physics.reduce(small_valid, 2)
            around = [physics.enlarge(surroundings(*coarse, self.core.profile.guide), 2, small)]
        if factor > 1:
            brought = physics.enlarge(torch.cat([a, b, gain, hot, trust, field, base, *around], dim=1), factor, gray)
            parts = [1] * 6 + [3] + [1] * len(around)
            a, b, gain, hot, trust, field, base, *around = torch.split(brought, parts, dim=1)
        else:
            base = physics.box(base, 5)
        air = maps.whole_air * field
        t = a * gray + b
        t = 1 - dehaze * (1 - clamp(t, T_LEAST, 1))
        clear = clamp((colour - air) / t + air, 0, 1, t)
        # for a detector all of the detail, noise too: it tells them apart, and loses more by what is taken away.
        # What is added to all three colours ends on (N, H, W): compilers then compute it once, not for each of them
        dark = tuple(to_detect(clear, thermal, valid, each) for each in around)
        restored = base + trust * (physics.lift(clear, gain) - base)
        bright = luma(restored)
        fused = bright + valid * hot * (thermal - bright).clamp(min=0)
        more = fused.squeeze(1) - bright.squeeze(1)
        if self.head is None:
            return restored + more.unsqueeze(1), restored, maps, *dark
        more_bright, more_fused = self._head(torch.cat([bright, fused, thermal * valid, 0.2 * gain / t], dim=1))
        more = more + more_bright + valid.squeeze(1) * (more_fused - more_bright)
        return restored + more.unsqueeze(1), restored + more_bright.unsqueeze(1), maps, *dark

    def _head(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        assert self.head is not None
        height, width = planes.shape[-2], planes.shape[-1]
        # one more row and column, so that odd sizes fold; even ones lose it again by the floor of the stride
        more, other = self.head(F.pad(planes, (0, width % 2, 0, height % 2), mode="replicate"))
        return more[:, :height, :width], other[:, :height, :width]


def without_floor(thermal: Tensor, valid: Tensor, memory: Memory | None = None) -> Tensor:
    """Infrared without the grey to which automatic gain brings a scene of even warmth, which would veil the fused frame
    and end at the border of its view: (I - s) / (1 - s), s = max(mean(I) - FLOOR, 0), the mean over the valid area.

    thermal, valid: (N, 1, H, W) in [0, 1]. Returns (N, 1, H, W).
    """
    mean = (thermal * valid).mean((2, 3), True) / valid.mean((2, 3), True).clamp(min=1e-2)
    floor = (memory or Memory()).steady((mean - FLOOR).clamp(0, 0.9))
    return ((thermal - floor) / (1 - floor)).clamp(min=0)


def surroundings(thermal: Tensor, valid: Tensor, window: int) -> Tensor:
    """Mean of infrared over a square window, over the valid part of it. All (N, 1, h, w); 0 where nothing is valid."""
    return physics.box(thermal * valid, window) / physics.box(valid, window).clamp(min=1e-2)


def to_detect(clear: Tensor, thermal: Tensor, valid: Tensor, around: Tensor) -> Tensor:
    """A detector's frame: F = (1 - s) J + s I + w (I - mean(I)) + c (I - Y), s = SHARE, w = WARMER, c = TINT, Y the
    luma of J; J alone where infrared does not see.

    A sum, not the brighter of both: that shows nobody whose clothes are darker in infrared than what is behind them in
    the visible frame (lit fronts, fog, glare), and glare hides what it covers. A tint, since a sum cancels what is dark
    in one and bright in the other, as legs are before a lit road.
    clear: J, (N, 3, H, W). thermal, valid: (N, 1, H, W). around: of `surroundings`, as large. Returns (N, 3, H, W), not
    clamped.
    """
    kept = 1 - SHARE * valid.squeeze(1)
    more = valid.squeeze(1) * ((SHARE + WARMER) * thermal - WARMER * around).squeeze(1)
    tint = clear.new_tensor(TINT).reshape(1, 3, 1, 1) * (valid * (thermal - luma(clear)))
    return kept.unsqueeze(1) * clear + more.unsqueeze(1) + tint


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
