"""The real-time fusion network: dehazes, lifts and fuses in one pass; learned corrections on top of the shared physics.

Four stages:

    core    at about 160x120: transmission, airlight, illumination and fusion weight (see `realtime_core`)
    fuse    at the working size, about 640x480: inverts the scattering model and Retinex, with the core's maps enlarged
            along edges, and fuses both cameras
    head    at the working size: refines restored and fused luma; only of `realtime`
    detail  at full size, if that is larger: one point-wise pass
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
    dehaze_strength,
    floor_of,
    lift_strength,
    limited,
    requested_hue,
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
"""Planes that the core's grid passes on, with their numbers of channels; `around` only for a detector's frame."""


class Head(nn.Module):
    """Refines luma at the working size; its features have half the rows and columns."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(4, width, 4, stride=2, padding=1)
        self.mix = layer(width, width)
        self.both = nn.Conv2d(width, 8, 3, padding=1)
        start_at_zero(self.both)

    def forward(self, planes: Tensor) -> Tensor:
        """planes: (N, 4, H, W), H and W even: restored luma, fused luma, infrared, noise gain.

        Returns the corrections of restored and of fused luma, folded into channels: (N, 16, H / 2, ⌈W / 4⌉), channel =
        8 plane + 4 (row % 2) + column % 4. See `unfolded`.
        """
        x = F.relu(self.enter(planes))
        x = x + self.mix(x)
        x = F.pad(x, (0, x.shape[3] % 2))
        return F.conv2d(x, *self._two_places(), stride=(1, 2), padding=1)

    def _two_places(self) -> tuple[Tensor, Tensor]:
        """Weights and biases that apply `both` to two neighbouring columns at once: 16 output channels instead of 8
        fill a CPU's vector registers, which takes two thirds of the time.
        """
        width = self.both.in_channels
        assert self.both.bias is not None
        weight = self.both.weight.reshape(2, 2, 1, 2, width, 3, 3)
        weights = torch.cat([F.pad(weight, (0, 1)), F.pad(weight, (1, 0))], dim=2)
        biases = self.both.bias.reshape(2, 2, 1, 2).expand(2, 2, 2, 2)
        return weights.reshape(16, width, 3, 4), biases.reshape(16)


class Analysis(NamedTuple):
    """Result of `RealtimeFusion.analyse`, on the core's grid."""

    maps: Maps
    planes: Tensor
    """Planes to enlarge to the working size, (N, C, h, w), in the order of PLANES."""
    dehaze: Tensor
    """Strength of dehazing in use, (N, 1, 1, 1)."""


class Fusion(NamedTuple):
    """Result of `RealtimeFusion.fuse`. Images are RGB in [0, 1], not clamped."""

    fused: Tensor
    """(N, 3, H, W)."""
    restored: Tensor
    """(N, 3, H, W)."""
    maps: Maps
    full_size: FullSize
    unlifted: Tensor | None
    """The frame for a detector, (N, 3, H, W), if it was requested."""


class FullSize(NamedTuple):
    """Inputs of `_at_full_size`, at the working size H x W."""

    detail: Tensor
    """Derivative of the restored colour with respect to the visible frame's, (N, 1, H, W)."""
    share: Tensor
    """Share of infrared where it is brighter than the restored luma, (N, 1, H, W)."""
    means: Tensor
    """Local means of infrared and of fused luma, (N, 2, H, W)."""
    head: Tensor | None
    """The head's correction of fused luma less that of restored luma, (N, 1, H, W); None without a head."""
    sharp: Tensor
    """1 / t, (N, 1, H, W): derivative of the detector's frame with respect to the visible frame."""
    floor: Tensor
    """Grey level that was subtracted from infrared, (N, 1, 1, 1)."""


class RealtimeFusion(Network):
    """The network of the engines `realtime` and `tiny`.

    Dehazing: J = (V - A) / max(t, t0) + A. Lift: J times the Retinex gain of L (`physics.lift_gain`); chroma is lifted
    only where it exceeds noise (`trusted_chroma`). Fusion of luma: F = Y + k max(I - Y, 0), refined by the head; k is
    small where that would reduce local contrast (`stand_out`); the head's part is limited where automatic gain makes
    infrared bright (`limited`). Chroma is that of the restored frame, plus an amber tint
    where infrared exceeds its local mean (`warmth`).

    A frame larger than about 640x480 is reduced to this working size first; its detail is added at the end
    (`_at_full_size`).
    """

    def __init__(self, profile: Profile = PROFILES["realtime"]) -> None:
        super().__init__()
        self.profile, self.factor = profile, profile.factor
        self.core = Core(profile)
        self.head = Head(profile.head) if profile.head else None

    def steps(self, height: int, width: int) -> tuple[int, int, bool]:
        """See `Network.steps`. Returns pixels of the frame per pixel of the working size, pixels of the working size
        per pixel of the core's grid, and whether the first divides height and width.
        """
        side = math.sqrt(height * width / WORKING)
        step = max(1, round(side))
        return step, max(1, round(self.factor * side / step)), height % step == width % step == 0

    def forward(self, visible: Tensor, infrared: Tensor, coverage: Tensor, controls: Tensor) -> tuple[Tensor, ...]:
        """See `Network`. Uses the strengths of dehazing and lift, and the hue; a negative hue means HUE.

        Haze density and illumination are on the core's grid, about 160x120, 80x60 for `tiny`.
        """
        colour, thermal, valid, dehaze, lift, memory = self.read(visible, infrared, coverage, controls)
        hue = controls[len(TASKS)].reshape(1, 1, 1, 1).to(colour.dtype)
        step, factor, whole = self.steps(int(colour.shape[2]), int(colour.shape[3]))
        if step > 1:
            small, small_thermal, small_valid = (physics.reduce(x, step, whole) for x in (colour, thermal, valid))
            result = self.fuse(small, small_thermal, small_valid, dehaze, lift, factor, memory, hue)
            result = _at_full_size(result, small, colour, thermal, valid, requested_hue(hue), step, whole)
        else:
            result = self.fuse(colour, thermal, valid, dehaze, lift, factor, memory, hue)
        images = to_rgb(result.fused), to_rgb(result.restored), to_gray(1 - result.maps.t), to_gray(result.maps.light)
        return *images, *(to_rgb(image) for image in (result.unlifted,) if image is not None), memory.state()

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
        """`forward` on floating point, at the size of its input.

        Args:
            colour: (N, 3, H, W) RGB in [0, 1].
            thermal: (N, 1, H, W) infrared in [0, 1].
            valid: (N, 1, H, W) coverage of infrared in [0, 1].
            dehaze, lift: (N, 1, 1, 1) or (1, 1, 1, 1), see `forward`.
            factor: Grid step of the core; by default that of the profile. 1 to train on frames of the grid's size.
            memory: State of the previous frames.
            hue: (N, 1, 1, 1) or (1, 1, 1, 1); None: no amber tint.
        """
        factor, memory = factor or self.factor, memory or Memory()
        floor = floor_of(thermal, valid, memory)
        infrared, thermal = thermal, without_floor(thermal, floor)
        small, small_thermal, small_valid = colour, thermal, valid
        if factor > 1:
            small, small_thermal, small_valid = (physics.reduce(x, factor) for x in (colour, thermal, valid))
        analysis = self.analyse(small, small_thermal, small_valid, dehaze, lift, factor, memory)
        maps, dehaze = analysis.maps, analysis.dehaze

        gray = luma(colour)
        planes = physics.enlarge(analysis.planes, factor, gray) if factor > 1 else analysis.planes
        a, b, gain, share, trust, field, colourful, means, base, *around = torch.split(planes, _parts(planes), dim=1)
        air = maps.whole_air * field
        t = a * gray + b
        t = 1 - dehaze * (1 - clamp(t, T_LEAST, 1))
        clear = clamp((colour - air) / t + air, 0, 1, t)
        # a detector gets unfiltered detail: it copes with noise better than with missing detail.
        # Terms added to all three colours are (N, H, W): compilers then compute them once, not per colour
        unlifted = to_detect(clear, thermal, valid, around[0]) if around else None
        restored = base + trust * (physics.lift(clear, gain) - base)
        bright = luma(restored)
        restored = bright + colourful * (restored - bright)
        share = valid * share
        fused = bright + share * (thermal - bright).clamp(min=0)
        more = fused.squeeze(1) - bright.squeeze(1)
        tint = warmth(thermal, fused, means, valid, requested_hue(hue))
        refined: Tensor | None = None
        if self.head is not None:
            seen = torch.cat([bright, fused, thermal * valid, HEAD_GAIN * gain / t], dim=1)
            more_bright, more_fused = self._head(seen)
            restored = restored + more_bright.unsqueeze(1)
            refined = valid * (more_fused - more_bright).unsqueeze(1)
            more = more + limited(refined.squeeze(1), more, luma(restored), infrared, floor)
        image = restored + more.unsqueeze(1) + tint
        # derivative of the lift's shoulder: g / (1 + (g - 1) Y)²
        detail = trust * gain / ((1 + (gain - 1) * luma(clear)).square() * t)
        full_size = FullSize(detail, share, means, refined, 1 / t, floor)
        return Fusion(image, restored, maps, full_size, unlifted)

    def analyse(
        self, colour: Tensor, thermal: Tensor, valid: Tensor, dehaze: Tensor, lift: Tensor, factor: int, memory: Memory
    ) -> Analysis:
        """The core, the automatic strengths, and the filters with large windows, all on the core's grid.

        colour: (N, 3, h, w) in [0, 1]. thermal: (N, 1, h, w), without its floor. valid: (N, 1, h, w). Other arguments
        as for `fuse`.
        """
        maps = self.core(colour, thermal, valid, memory)
        dehaze = memory.steady(torch.where(dehaze < 0, dehaze_strength(maps.t), dehaze.clamp(max=1)))
        # residual haze would be lifted too, so less lift where much haze was removed
        covered = dehaze * (1 - maps.t).mean((2, 3), True)
        lift = torch.where(lift < 0, lift_strength(maps.light) * (1 - LESS_LIFT * covered), lift.clamp(max=1))
        lift = memory.steady(lift)
        gain = physics.lift_gain(maps.light, lift)
        # where amplified noise would exceed structure, only the reduced frame is used
        t = 1 - dehaze * (1 - maps.t)
        clear = clamp((colour - maps.air) / t + maps.air, 0, 1, t)
        base = physics.lift(clear, gain)
        trust = trusted(luma(base), maps.noise * gain * (1 / t - 1) + DARK_NOISE * (gain - 1))
        trust = trust * (1 + MORE_DETAIL * (1 - 1 / gain))
        colourful = trusted_chroma(clear, base)
        window = self.core.profile.guide
        share, means = stand_out(luma(base), thermal, valid, maps.hot, 2 * window + 1)
        if factor == 1:  # the base must be coarser than the frame
            base = physics.box(base, 5)
        planes = [maps.slope, maps.offset, gain, share, trust, maps.field, colourful, means, base]
        if self.unlifted:  # at half the grid's size, since the window is large
            coarse = physics.reduce(thermal, 2), physics.reduce(valid, 2)
            planes.append(physics.enlarge(surroundings(*coarse, window), 2, thermal))
        return Analysis(maps, torch.cat(planes, dim=1), dehaze)

    def _head(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Corrections of restored and of fused luma, (N, H, W) each. planes: (N, 4, H, W)."""
        assert self.head is not None
        height, width = planes.shape[-2], planes.shape[-1]
        # pad odd sizes to even ones, since the head's features have half the size
        more, other = unfolded(self.head(F.pad(planes, (0, width % 2, 0, height % 2), mode="replicate")))
        return more[:, :height, :width], other[:, :height, :width]


def _at_full_size(
    result: Fusion,
    reduced: Tensor,
    colour: Tensor,
    thermal: Tensor,
    valid: Tensor,
    hue: Tensor | float,
    step: int,
    whole: bool,
) -> Fusion:
    """Bring the result from the working size to full size: R = up(R_r - d C_r) + d C, then fuse on the luma of R.

    A first-order expansion in the visible frame's colour C around the reduced colour C_r; haze, illumination and the
    head's corrections stay those of the working size. Detail that the reduction removed gets the same gain as the rest.

    result: of `fuse`, R_r. reduced: C_r, (N, 3, h, w). colour: C, (N, 3, H, W). thermal, valid: (N, 1, H, W). hue: see
    `requested_hue`. step: pixels of the frame per pixel of the working size. whole: `step` divides H and W.
    """
    inputs = result.full_size
    planes = [result.restored - inputs.detail * reduced, inputs.detail, inputs.share, inputs.means]
    if result.unlifted is not None:
        planes += [result.unlifted - inputs.sharp * reduced, inputs.sharp]
    if inputs.head is not None:
        planes.append(inputs.head)
    parts = [plane.shape[1] for plane in planes]
    enlarged = physics.enlarge(torch.cat(planes, dim=1), step, colour, whole)
    restored, detail, share, means, *others = torch.split(enlarged, parts, dim=1)
    restored = restored + detail * colour
    bright = luma(restored)
    infrared, thermal = thermal, without_floor(thermal, inputs.floor)
    fused = bright + share * (thermal - bright).clamp(min=0)
    more = fused - bright
    if inputs.head is not None:
        more = more + limited(others.pop().squeeze(1), more.squeeze(1), bright, infrared, inputs.floor).unsqueeze(1)
    image = restored + more + warmth(thermal, fused, means, valid, hue)
    unlifted = others[0] + others[1] * colour if others else None
    return result._replace(fused=image, restored=restored, unlifted=unlifted)


def unfolded(y: Tensor) -> Tensor:
    """Unfold the output of `Head`, (N, 16, h, w), into planes, (2, N, 2 h, 4 w).

    One permutation, which takes less than half the time of a pixel shuffle.
    """
    count, _, height, width = y.shape
    y = y.permute(0, 2, 3, 1).reshape(count, height, width, 2, 2, 4).permute(3, 0, 1, 4, 2, 5)
    return y.reshape(2, count, 2 * height, 4 * width)


def _parts(planes: Tensor) -> list[int]:
    """Numbers of channels of the planes, with or without the last of PLANES."""
    parts = list(PLANES.values())
    return parts if planes.shape[1] == sum(parts) else parts[:-1]
