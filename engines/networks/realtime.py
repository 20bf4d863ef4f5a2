"""The real-time fusion network: dehazes, lifts and fuses in one pass, learned on top of the shared physics.

Three parts, each usable alone:

    core    on a grid of about 160x120: transmission, airlight, illumination, fusion weight (see `realtime_core`)
    fuse    at about 640x480: the scattering model and Retinex, inverted point-wise with the maps brought up along edges
    head    at about 640x480: restored and fused luma refined from both cameras
    detail  at full size, where that is larger: one point-wise pass
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import physics
from .io import Memory, Network, luma, to_gray, to_rgb
from .realtime_constants import (
    AMBER,
    COLOUR_NOISE,
    DARK_NOISE,
    DECIDES,
    DOUBT,
    FLOOR,
    HEAD_GAIN,
    HUE,
    LEAST,
    LESS_LIFT,
    MORE_DETAIL,
    MOST,
    SHARE,
    SHOWN,
    T_LEAST,
    TINT,
    WARM,
    WARMER,
    WORKING,
)
from .realtime_core import PROFILES, Core, Maps, Profile, clamp, layer, start_at_zero
from .tasks import TASKS

PLANES = {
    "slope": 1,
    "offset": 1,
    "gain": 1,
    "share": 1,
    "trust": 1,
    "field": 1,
    "colourful": 1,
    "means": 2,
    "base": 3,
    "around": 1,
}
"""What the grid's planes are, with their channels; the last one only for a detector's frame."""


class Head(nn.Module):
    """Refines luma at full size; its features live on every second row and column, one position for four pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(4, width, 4, stride=2, padding=1)
        self.mix = layer(width, width)
        self.both = nn.Conv2d(width, 8, 3, padding=1)
        start_at_zero(self.both)

    def forward(self, planes: Tensor) -> Tensor:
        """planes: (N, 4, H, W), H and W even: restored luma, fused luma, infrared, noise gain.

        Returns the corrections of restored and of fused luma as the last convolution gives them, (N, 16, H / 2,
        ⌈W / 4⌉): a channel for each plane, row of two and column of four, in this order. See `unfolded`.
        """
        x = F.relu(self.enter(planes))
        x = x + self.mix(x)
        x = F.pad(x, (0, x.shape[3] % 2))
        return F.conv2d(x, *self._two_places(), stride=(1, 2), padding=1)

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


class Analysis(NamedTuple):
    """What `RealtimeFusion.analyse` finds, on the core's grid."""

    maps: Maps
    planes: Tensor
    """What is brought up along edges, (N, C, h, w), in the order of PLANES."""
    dehaze: Tensor
    """The strength that is used, (N, 1, 1, 1)."""


class Fusion(NamedTuple):
    """What `RealtimeFusion.fuse` makes, all (N, C, H, W), not clamped."""

    fused: Tensor
    restored: Tensor
    maps: Maps
    brought: Brought
    dark: Tensor | None
    """A detector's frame, where it is asked for."""


class Brought(NamedTuple):
    """What stands beside the images on their way to a larger frame, as large as they."""

    detail: Tensor
    """By how much restored colour changes with that of the visible frame, (N, 1, H, W)."""
    share: Tensor
    """Of infrared, where it is brighter than restored luma."""
    means: Tensor
    """Of infrared and of fused luma, over the surroundings, (N, 2, H, W)."""
    head: Tensor | None
    """What the head adds to fused luma beyond restored luma; None without one."""
    sharp: Tensor
    """1 / t: by how much a detector's frame changes with the visible frame."""
    floor: Tensor
    """The grey that was taken off infrared, (N, 1, 1, 1)."""


class RealtimeFusion(Network):
    """The engines `realtime` and `tiny`.

    Dehazing: J = (V - A) / max(t, t0) + A. Lift: J times the Retinex gain of L (`physics.lift_gain`), colour only as
    far as it stands above noise. Fusion on luma: F = Y + k max(I - Y, 0), refined by the head, k small where that would
    stand out less from its surroundings than Y does (`stand_out`); chroma is that of the restored frame, and a hue
    where warmth stands out in infrared more than in F (`warmth`).

    However large the frame is, all of this is done on it reduced to about 640x480; on the full frame detail is added to
    what comes of that (`_at_full_size`).
    """

    def __init__(self, profile: Profile = PROFILES["realtime"]) -> None:
        super().__init__()
        self.profile, self.factor = profile, profile.factor
        self.core = Core(profile)
        self.head = Head(profile.head) if profile.head else None

    def steps(self, height: int, width: int) -> tuple[int, int, bool]:
        """See `Network.steps`: pixels of the frame to one of the reduced frame, of that to one of the core's grid, and
        whether the first divides the frame.
        """
        side = math.sqrt(height * width / WORKING)
        step = max(1, round(side))
        return step, max(1, round(self.factor * side / step)), height % step == width % step == 0

    def forward(self, visible: Tensor, infrared: Tensor, coverage: Tensor, controls: Tensor) -> tuple[Tensor, ...]:
        """Fuse one pair.

        visible: (1, H, W, 3) uint8 RGB. infrared, coverage: (1, H, W) uint8. controls: (CONTROLS,) float32: dehaze
        and lift, 0 to 1, or negative: chosen from the measured maps; the hue, 0 to 1, or negative: HUE; then the state
        of the frames before and its weight (see `steady`). Returns fused (1, H, W, 3), restored (1, H, W, 3), haze
        density (1, h, w), illumination (1, h, w) on the core's grid of about 160x120, that of `tiny` 80x60, all uint8;
        where `unlifted` is set, the fused frame without lift, (1, H, W, 3) uint8; and the state, (1, STATE) float32.
        """
        colour, thermal, valid, dehaze, lift, memory = self.read(visible, infrared, coverage, controls)
        hue = controls[len(TASKS)].reshape(1, 1, 1, 1).to(colour.dtype)
        step, factor, whole = self.steps(int(colour.shape[2]), int(colour.shape[3]))
        if step > 1:
            small, heat, seen = (physics.reduce(x, step, whole) for x in (colour, thermal, valid))
            made = self.fuse(small, heat, seen, dehaze, lift, factor, memory, hue)
            made = _at_full_size(made, small, colour, thermal, valid, _hue(hue), step, whole)
        else:
            made = self.fuse(colour, thermal, valid, dehaze, lift, factor, memory, hue)
        images = to_rgb(made.fused), to_rgb(made.restored), to_gray(1 - made.maps.t), to_gray(made.maps.light)
        return *images, *(to_rgb(image) for image in (made.dark,) if image is not None), memory.state()

    def fuse(
        self,
        colour: Tensor,
        thermal: Tensor,
        valid: Tensor,
        dehaze: Tensor,
        lift: Tensor,
        factor: int | None = None,
        memory: Memory | None = None,
        hue: Tensor | None = None,
    ) -> Fusion:
        """`forward` on floating point, at the size that is given.

        colour: (N, 3, H, W) in [0, 1]. thermal, valid: (N, 1, H, W). dehaze, lift: (N, 1, 1, 1) or (1, 1, 1, 1).
        factor: of the core's grid, that of the profile by default; 1 trains on frames already as small as that grid.
        memory: of the frames before. hue: (1, 1, 1, 1), none without it.
        """
        factor, memory = factor or self.factor, memory or Memory()
        floor = floor_of(thermal, valid, memory)
        thermal = without_floor(thermal, floor)
        small, small_thermal, small_valid = colour, thermal, valid
        if factor > 1:
            small, small_thermal, small_valid = (physics.reduce(x, factor) for x in (colour, thermal, valid))
        found = self.analyse(small, small_thermal, small_valid, dehaze, lift, factor, memory)
        maps, dehaze = found.maps, found.dehaze

        gray = luma(colour)
        planes = physics.enlarge(found.planes, factor, gray) if factor > 1 else found.planes
        a, b, gain, share, trust, field, colourful, means, base, *around = torch.split(planes, _parts(planes), dim=1)
        air = maps.whole_air * field
        t = a * gray + b
        t = 1 - dehaze * (1 - clamp(t, T_LEAST, 1))
        clear = clamp((colour - air) / t + air, 0, 1, t)
        # for a detector all of the detail, noise too: it tells them apart, and loses more by what is taken away.
        # What is added to all three colours ends on (N, H, W): compilers then compute it once, not for each of them
        dark = to_detect(clear, thermal, valid, around[0]) if around else None
        restored = base + trust * (physics.lift(clear, gain) - base)
        bright = luma(restored)
        restored = bright + colourful * (restored - bright)
        share = valid * share
        fused = bright + share * (thermal - bright).clamp(min=0)
        more = fused.squeeze(1) - bright.squeeze(1)
        tint = warmth(thermal, fused, means, valid, _hue(hue))
        refined: Tensor | None = None
        if self.head is not None:
            more_bright, more_fused = self._head(
                torch.cat([bright, fused, thermal * valid, HEAD_GAIN * gain / t], dim=1)
            )
            restored = restored + more_bright.unsqueeze(1)
            refined = valid * (more_fused - more_bright).unsqueeze(1)
            more = more + refined.squeeze(1)
        image = restored + more.unsqueeze(1) + tint
        # of what the shoulder makes of a pixel: g / (1 + (g - 1) Y)²
        detail = trust * gain / ((1 + (gain - 1) * luma(clear)).square() * t)
        brought = Brought(detail, share, means, refined, 1 / t, floor)
        return Fusion(image, restored, maps, brought, dark)

    def analyse(
        self,
        colour: Tensor,
        thermal: Tensor,
        valid: Tensor,
        dehaze: Tensor,
        lift: Tensor,
        factor: int,
        memory: Memory,
    ) -> Analysis:
        """All that is found on the core's grid, where images are small and filters wide.

        colour: (N, 3, h, w) in [0, 1]. thermal, without its floor, and valid: (N, 1, h, w). The rest as for `fuse`.
        """
        maps = self.core(colour, thermal, valid, memory)
        dehaze = memory.steady(torch.where(dehaze < 0, dehaze_strength(maps.t), dehaze.clamp(max=1)))
        # what haze is left would be lifted too, so less lift where much was taken away
        covered = dehaze * (1 - maps.t).mean((2, 3), True)
        lift = torch.where(lift < 0, lift_strength(maps.light) * (1 - LESS_LIFT * covered), lift.clamp(max=1))
        lift = memory.steady(lift)
        gain = physics.lift_gain(maps.light, lift)
        # noise: where amplified noise would be stronger than structure, only the reduced frame is believed
        t = 1 - dehaze * (1 - maps.t)
        clear = clamp((colour - maps.air) / t + maps.air, 0, 1, t)
        base = physics.lift(clear, gain)
        trust = trusted(luma(base), maps.noise * gain * (1 / t - 1) + DARK_NOISE * (gain - 1))
        trust = trust * (1 + MORE_DETAIL * (1 - 1 / gain))
        colourful = trusted_chroma(clear, base)
        window = self.core.profile.guide
        share, means = stand_out(luma(base), thermal, valid, maps.hot, 2 * window + 1)
        if factor == 1:  # the base is coarser than the frame
            base = physics.box(base, 5)
        planes = [maps.slope, maps.offset, gain, share, trust, maps.field, colourful, means, base]
        if self.unlifted:  # on half the grid: their windows are large
            coarse = physics.reduce(thermal, 2), physics.reduce(valid, 2)
            planes.append(physics.enlarge(surroundings(*coarse, window), 2, thermal))
        return Analysis(maps, torch.cat(planes, dim=1), dehaze)

    def _head(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        assert self.head is not None
        height, width = planes.shape[-2], planes.shape[-1]
        # one more row and column, so that odd sizes fold; even ones lose it again by the floor of the stride
        more, other = unfolded(self.head(F.pad(planes, (0, width % 2, 0, height % 2), mode="replicate")))
        return more[:, :height, :width], other[:, :height, :width]


def _at_full_size(
    made: Fusion,
    reduced: Tensor,
    colour: Tensor,
    thermal: Tensor,
    valid: Tensor,
    hue: Tensor | float,
    step: int,
    whole: bool,
) -> Fusion:
    """What was made of the reduced frame at full size: R = up(R_r - d C_r) + d C, and on R's luma the same fusion.

    Linear in the visible frame's colour C around the reduced one C_r, where the haze, the light and the head's
    corrections are those of the reduced frame: the detail that was averaged away comes back as strong as what is left.
    """
    brought = made.brought
    planes = [made.restored - brought.detail * reduced, brought.detail, brought.share, brought.means]
    if made.dark is not None:
        planes += [made.dark - brought.sharp * reduced, brought.sharp]
    if brought.head is not None:
        planes.append(brought.head)
    parts = [plane.shape[1] for plane in planes]
    enlarged = physics.enlarge(torch.cat(planes, dim=1), step, colour, whole)
    restored, detail, share, means, *others = torch.split(enlarged, parts, dim=1)
    restored = restored + detail * colour
    bright = luma(restored)
    thermal = without_floor(thermal, brought.floor)
    fused = bright + share * (thermal - bright).clamp(min=0)
    more = fused - bright if brought.head is None else fused - bright + others.pop()
    image = restored + more + warmth(thermal, fused, means, valid, hue)
    return made._replace(fused=image, restored=restored, dark=others[0] + others[1] * colour if others else None)


def unfolded(y: Tensor) -> Tensor:
    """What `Head` gives, (N, 16, h, w), as planes: (2, N, 2 h, 4 w).

    Channels in the order plane, row, column: one permutation, less than half the time of a pixel shuffle.
    """
    count, _, height, width = y.shape
    y = y.permute(0, 2, 3, 1).reshape(count, height, width, 2, 2, 4).permute(3, 0, 1, 4, 2, 5)
    return y.reshape(2, count, 2 * height, 4 * width)


def _parts(planes: Tensor) -> list[int]:
    parts = list(PLANES.values())
    return parts if planes.shape[1] == sum(parts) else parts[:-1]


def _hue(hue: Tensor | None) -> Tensor | float:
    """As asked for, or HUE where it is negative."""
    return 0.0 if hue is None else torch.where(hue < 0, HUE, hue.clamp(max=1))


def stand_out(bright: Tensor, thermal: Tensor, valid: Tensor, hot: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Contrast decides: how much of infrared is laid over the visible luma, and what warmth is compared with.

    The brighter of both is taken where it stands out from its surroundings as well as the visible luma does alone; else
    it would wash out what the visible camera shows, a skyline, or dark clothes before the sky.
    bright: restored luma Y, (N, 1, h, w). thermal, valid, hot: likewise. window: of the surroundings.
    Returns the share k of infrared, (N, 1, h, w), and the means of infrared and of fused luma, (N, 2, h, w).
    """
    most = bright + valid * hot * (thermal - bright).clamp(min=0)
    visible, both = (physics.box((x - physics.box(x, window)).abs(), 3) for x in (bright, most))
    share = hot * torch.sigmoid(DECIDES * (both - visible + DOUBT))
    fused = bright + valid * share * (thermal - bright).clamp(min=0)
    return share, torch.cat([warm_surroundings(thermal, valid, window), physics.box(fused, window)], dim=1)


def warmth(thermal: Tensor, fused: Tensor, means: Tensor, valid: Tensor, hue: Tensor | float) -> Tensor:
    """Amber where infrared stands out, the less the more luma shows of it: no luma of its own, bounded.

    w = h clamp(α (I - m(I)) - β max(F - m(F), 0) - l, 0, MOST), times AMBER; α = WARM, β = SHOWN, l = LEAST.
    All (N, 1, h, w). means: m, of `stand_out`. hue: h in [0, 1]. Returns (N, 3, h, w).
    """
    of_thermal, of_fused = means.chunk(2, dim=1)
    wanted = WARM * (thermal - of_thermal) - SHOWN * (fused - of_fused).clamp(min=0) - LEAST
    return hue * valid * wanted.clamp(0.0, MOST) * thermal.new_tensor(AMBER).reshape(1, 3, 1, 1)


def trusted_chroma(clear: Tensor, base: Tensor) -> Tensor:
    """What the lift leaves of colour: all where colour stands above noise, else as much as there was before it.

    clear, base: the frame without haze before and after the lift, (N, 3, h, w). Returns (N, 1, h, w) in (0, 1].
    """
    before, after = luma(clear), luma(base)
    colour = (clear - before).abs().amax(dim=1, keepdim=True)
    believed = _smooth(colour, *COLOUR_NOISE)
    left = (before.clamp(min=1e-2) / after.clamp(min=1e-2)).clamp(max=1)  # no comparison: it would leave half precision
    return believed + (1 - believed) * left


def floor_of(thermal: Tensor, valid: Tensor, memory: Memory | None = None) -> Tensor:
    """The grey to which automatic gain brings a scene of even warmth: s = max(mean(I) - FLOOR, 0), (N, 1, 1, 1).

    thermal, valid: (N, 1, H, W) in [0, 1]; the mean is over the valid area.
    """
    mean = (thermal * valid).mean((2, 3), True) / valid.mean((2, 3), True).clamp(min=1e-2)
    return (memory or Memory()).steady((mean - FLOOR).clamp(0.0, 0.9))


def without_floor(thermal: Tensor, floor: Tensor) -> Tensor:
    """Infrared without the grey of automatic gain, which would veil the fused frame and end at the border of its view:
    (I - s) / (1 - s). thermal: (N, 1, H, W). floor: s, of `floor_of`. Returns (N, 1, H, W).
    """
    return ((thermal - floor) / (1 - floor)).clamp(min=0)


def surroundings(thermal: Tensor, valid: Tensor, window: int) -> Tensor:
    """Mean of infrared over a square window, over the valid part of it. All (N, 1, h, w); 0 where nothing is valid."""
    return physics.box(thermal * valid, window) / physics.box(valid, window).clamp(min=1e-2)


def warm_surroundings(thermal: Tensor, valid: Tensor, window: int) -> Tensor:
    """Mean of infrared over a square window that leaves out what is cold: weights w = min(I, mean(I)), Σ w I / Σ w.

    Beside a cold sky, roofs and trees are warm, though no warmer than the street; against this mean they do not stand
    out. All (N, 1, h, w).
    """
    seen = thermal * valid
    weight = torch.minimum(seen, physics.box(seen, window))
    return physics.box(weight * seen, window) / physics.box(weight, window).clamp(min=1e-3)


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
