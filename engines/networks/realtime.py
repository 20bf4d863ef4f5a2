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
from .realtime_constants import DARK_NOISE, HEAD_GAIN, LESS_LIFT, MORE_DETAIL, T_LEAST, WORKING
from .realtime_core import PROFILES, Core, Maps, Profile, clamp, layer, start_at_zero
from .realtime_rules import (
    asked_hue,
    dehaze_strength,
    floor_of,
    lift_strength,
    stand_out,
    surroundings,
    to_detect,
    trusted,
    trusted_chroma,
    warmth,
    without_floor,
)
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
            made = _at_full_size(made, small, colour, thermal, valid, asked_hue(hue), step, whole)
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
        tint = warmth(thermal, fused, means, valid, asked_hue(hue))
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
