"""The formulas of `realtime` and `tiny` without learned parameters: fusion, hue, automatic strengths, noise handling.

Images are (N, C, h, w) floating point in [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor

from .. import physics
from .io import Memory, luma
from .realtime_constants import (
    AMBER,
    COLOUR_NOISE,
    DARK,
    DECIDES,
    DOUBT,
    ENERGY,
    FLOOR,
    GAIN_FLOOR,
    HAZE,
    HUE,
    LEAST,
    LIGHT,
    MOST,
    SHARE,
    SHOWN,
    SPAN,
    TINT,
    WARM,
    WARMER,
)


def requested_hue(hue: Tensor | None) -> Tensor | float:
    """The requested hue, at most 1; HUE where it is negative, 0 where it is None."""
    return 0.0 if hue is None else torch.where(hue < 0, HUE, hue.clamp(max=1))


def stand_out(bright: Tensor, thermal: Tensor, valid: Tensor, hot: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Share of infrared in the fused luma, by local contrast, and the local means that `warmth` compares with.

    The maximum of both cameras is used where its local contrast is about that of the visible luma or higher. Elsewhere
    it would wash out what the visible camera shows, such as a skyline or dark clothes in front of the sky.

    bright: restored luma Y, (N, 1, h, w). thermal, valid: infrared and its coverage, (N, 1, h, w). hot: weight of
    infrared, see `Maps`. window: odd side of the neighbourhood, in pixels. Returns the share k of infrared, (N, 1, h,
    w), and the local means of infrared and of fused luma, (N, 2, h, w).
    """
    most = bright + valid * hot * (thermal - bright).clamp(min=0)
    visible, both = (physics.box((x - physics.box(x, window)).abs(), 3) for x in (bright, most))
    share = hot * torch.sigmoid(DECIDES * (both - visible + DOUBT))
    fused = bright + valid * share * (thermal - bright).clamp(min=0)
    return share, torch.cat([warm_surroundings(thermal, valid, window), physics.box(fused, window)], dim=1)


def warmth(thermal: Tensor, fused: Tensor, means: Tensor, valid: Tensor, hue: Tensor | float) -> Tensor:
    """Amber tint where infrared exceeds its local mean; less where the fused luma shows it already. Luma about 0.

    w = h clamp(α (I - m(I)) - β max(F - m(F), 0) - l, 0, MOST), times AMBER; α = WARM, β = SHOWN, l = LEAST.

    thermal, fused, valid: I, F and the coverage, (N, 1, h, w). means: m, (N, 2, h, w), of `stand_out`. hue: h in
    [0, 1]. Returns the tint to add, (N, 3, h, w).
    """
    mean_thermal, mean_fused = means.chunk(2, dim=1)
    strength = WARM * (thermal - mean_thermal) - SHOWN * (fused - mean_fused).clamp(min=0) - LEAST
    return hue * valid * strength.clamp(0.0, MOST) * thermal.new_tensor(AMBER).reshape(1, 3, 1, 1)


def trusted_chroma(clear: Tensor, base: Tensor) -> Tensor:
    """Share of chroma to keep after the lift: 1 where chroma exceeds noise; else Y before / Y after the lift.

    clear, base: the dehazed frame before and after the lift, (N, 3, h, w). Returns (N, 1, h, w) in (0, 1].
    """
    before, after = luma(clear), luma(base)
    colour = (clear - before).abs().amax(dim=1, keepdim=True)
    certain = physics.smoothstep(colour, *COLOUR_NOISE)
    # no comparison: it would leave half precision
    ratio = (before.clamp(min=DARK) / after.clamp(min=DARK)).clamp(max=1)
    return certain + (1 - certain) * ratio


def floor_of(thermal: Tensor, valid: Tensor, memory: Memory | None = None) -> Tensor:
    """Grey level that a camera's automatic gain adds to a scene of uniform temperature: s = max(mean(I) - FLOOR, 0).

    thermal, valid: (N, 1, H, W); the mean is over the valid area. memory: of the previous frames. Returns s in
    [0, 0.9], (N, 1, 1, 1).
    """
    mean = (thermal * valid).mean((2, 3), True) / valid.mean((2, 3), True).clamp(min=1e-2)
    return (memory or Memory()).steady((mean - FLOOR).clamp(0.0, 0.9))


def without_floor(thermal: Tensor, floor: Tensor) -> Tensor:
    """Infrared without the grey level of automatic gain: max(I - s, 0) / max(1 - s, SPAN).

    That level would veil the fused frame, with an edge at the border of the infrared camera's view. thermal: I, (N, 1,
    H, W). floor: s, of `floor_of`. Returns (N, 1, H, W).
    """
    return ((thermal - floor) / (1 - floor).clamp(min=SPAN)).clamp(min=0)


def limited(change: Tensor, added: Tensor, bright: Tensor, infrared: Tensor, floor: Tensor) -> Tensor:
    """The head's correction of fused luma, limited where automatic gain fills infrared with grey.

    c - g max(a + c - max(I - Y, 0), 0), g = min(s / GAIN_FLOOR, 1): with g = 1, fused luma does not exceed that of the
    brighter camera. The head adds infrared that is mostly dark; a bright one would turn roads and fronts white.

    change: c, (N, H, W). added: a, luma that is added from infrared before, (N, H, W). bright: Y, restored luma.
    infrared: I, with its floor. floor: s, of `floor_of`, (N, 1, 1, 1). Returns (N, H, W).
    """
    room = (infrared - bright).clamp(min=0).squeeze(1)
    return change - (floor / GAIN_FLOOR).clamp(max=1).squeeze(1) * (added + change - room).clamp(min=0)


def surroundings(thermal: Tensor, valid: Tensor, window: int) -> Tensor:
    """Local mean of infrared over the valid part of a square window. All (N, 1, h, w); 0 where nothing is valid."""
    return physics.box(thermal * valid, window) / physics.box(valid, window).clamp(min=1e-2)


def warm_surroundings(thermal: Tensor, valid: Tensor, window: int) -> Tensor:
    """Local mean of infrared that ignores cold pixels: Σ w I / Σ w over a square window, w = min(I, mean(I)).

    Next to a cold sky, roofs and trees would exceed a plain mean, though they are no warmer than the street. All (N, 1,
    h, w).
    """
    masked = thermal * valid
    weight = torch.minimum(masked, physics.box(masked, window))
    return physics.box(weight * masked, window) / physics.box(weight, window).clamp(min=1e-3)


def to_detect(clear: Tensor, thermal: Tensor, valid: Tensor, around: Tensor) -> Tensor:
    """The frame for a detector: F = (1 - s) J + s I + w (I - mean(I)) + c (I - Y); J where infrared is not valid.

    s = SHARE, w = WARMER, c = TINT, Y the luma of J. A weighted sum, since the maximum of both cameras hides people who
    are darker in infrared than the visible background (lit fronts, fog, glare). The tint c, since a sum cancels what
    is dark in one camera and bright in the other, such as legs in front of a lit road.

    clear: J, (N, 3, H, W). thermal, valid: I and its coverage, (N, 1, H, W). around: mean(I), (N, 1, H, W), of
    `surroundings`. Returns (N, 3, H, W), not clamped.
    """
    weight = 1 - SHARE * valid.squeeze(1)
    added = valid.squeeze(1) * ((SHARE + WARMER) * thermal - WARMER * around).squeeze(1)
    tint = clear.new_tensor(TINT).reshape(1, 3, 1, 1) * (valid * (thermal - luma(clear)))
    return weight.unsqueeze(1) * clear + added.unsqueeze(1) + tint


def trusted(bright: Tensor, noise: Tensor) -> Tensor:
    """Weight of detail against noise: 1 / (1 + (n / e)⁸), e the local mean absolute deviation of luma.

    bright: luma, (N, 1, h, w). noise: n, its mean absolute noise, (N, 1, h, w). Returns (N, 1, h, w) in (0, 1], 1
    without noise.
    """
    energy = physics.box((bright - physics.box(bright, 5)).abs(), 5) + ENERGY
    return 1 / (1 + (noise / energy).clamp(max=3.5).square().square().square())


def dehaze_strength(t: Tensor) -> Tensor:
    """Automatic strength of dehazing, (N, 1, 1, 1): rises with mean(1 - t) between HAZE. t: (N, 1, h, w)."""
    return physics.smoothstep((1 - t).mean((2, 3), True), *HAZE)


def lift_strength(light: Tensor) -> Tensor:
    """Automatic strength of the lift, (N, 1, 1, 1): falls with mean(L) between LIGHT. light: (N, 1, h, w)."""
    return 1 - physics.smoothstep(light.mean((2, 3), True), *LIGHT)
