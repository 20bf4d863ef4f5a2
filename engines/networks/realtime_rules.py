"""The formulas of `realtime` beside its networks: what is fused, coloured, lifted and believed."""

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
    HAZE,
    HUE,
    LEAST,
    LIGHT,
    MOST,
    SHARE,
    SHOWN,
    TINT,
    WARM,
    WARMER,
)


def asked_hue(hue: Tensor | None) -> Tensor | float:
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
    left = (before.clamp(min=DARK) / after.clamp(min=DARK)).clamp(max=1)  # no comparison: it would leave half precision
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
    energy = physics.box((bright - physics.box(bright, 5)).abs(), 5) + ENERGY
    return 1 / (1 + (noise / energy).clamp(max=3.5).square().square().square())


def dehaze_strength(t: Tensor) -> Tensor:
    """Strength from the transmission (N, 1, h, w): by mean haze density, between HAZE. (N, 1, 1, 1)."""
    return _smooth((1 - t).mean((2, 3), True), *HAZE)


def lift_strength(light: Tensor) -> Tensor:
    """Strength from the illumination (N, 1, h, w): by its mean, between LIGHT. (N, 1, 1, 1)."""
    return 1 - _smooth(light.mean((2, 3), True), *LIGHT)


def _smooth(x: Tensor, low: float, high: float) -> Tensor:
    """Smooth step: 0 at `low`, 1 at `high`, 3u² - 2u³ between."""
    u = ((x - low) * (1 / (high - low))).clamp(0, 1)
    return u * u * (3 - 2 * u)
