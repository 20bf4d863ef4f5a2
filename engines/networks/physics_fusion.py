"""Joint dehazing, lift and fusion by published physics alone, without learned weights.

Window filters run on the frame reduced by 4; at full size all is point-wise, with bilinearly enlarged coefficients.
There are no hard thresholds, and global quantities are means, so that video does not flicker.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .. import physics
from .io import Network, luma, to_gray, to_rgb

FACTOR = 4
"""The reduced grid's step in pixels."""
T_LEAST = 0.1
"""Lower bound t0 of transmission in dehazing."""
AIR_GRAYNESS = 0.7
"""How far the airlight is drawn towards gray, 0 to 1: fog is nearly gray, but at night the brightest pixels are
those of a lamp."""
AIR_GLOW = (0.15, 0.35)
"""Mean airlight below which haze is ignored, and above which it counts fully: a dark frame scatters no light."""
NOISE = 0.004
"""Mean absolute noise of both cameras on the reduced grid."""


class PhysicsFusion(Network):
    """The engine `physics`.

    1. Haze (dark-channel prior, IASSF eq. 3-4): H and airlight A give the restored J = (V - A) / max(t, t0) + A.
    2. Lift (Retinex): J times a gain from its illumination L, bounded in black.
    3. Fusion of luma Y at two scales. Base: S max(I - Y, 0) is added where infrared is hotter than its surroundings.
       Detail: infrared detail is added where it is stronger than visible detail, more so in dense haze (after IASSF
       eq. 5). Chroma is that of the restored frame.
    """

    def forward(self, visible: Tensor, infrared: Tensor, coverage: Tensor, controls: Tensor) -> tuple[Tensor, ...]:
        """See `Network`. Haze density and illumination are reduced by FACTOR."""
        colour, thermal, valid, asked_dehaze, asked_lift, memory = self.read(visible, infrared, coverage, controls)
        small, small_thermal, small_valid = (physics.reduce(x, FACTOR) for x in (colour, thermal, valid))

        # haze: the refined transmission is linear in the gray frame, t = a Y + b
        gray, small_gray = luma(colour), luma(small)
        air = physics.airlight(small, physics.dark_channel(small, 3))
        air = air + AIR_GRAYNESS * (air.mean(dim=1, keepdim=True) - air)
        air = memory.steady(air)
        rough = physics.transmission(small, air, window=3)
        a, b = physics.guided_coefficients(small_gray, rough, 15, 1e-3)
        glowing = physics.smoothstep(air.mean(dim=1, keepdim=True), *AIR_GLOW)
        a, b = a * glowing, 1 - glowing + b * glowing
        haze = 1 - (a * small_gray + b).clamp(0, 1)
        dehaze = memory.steady(torch.where(asked_dehaze < 0, self.dehaze_strength(haze), asked_dehaze.clamp(max=1)))
        small_t = (1 - dehaze * haze).clamp(min=T_LEAST)
        small_clear = physics.recover(small, small_t, air, T_LEAST).clamp(0, 1)

        # light, of the dehazed frame
        peak = small_clear.amax(dim=1, keepdim=True)
        light = physics.guided_filter(peak, peak, 15, 4e-3).clamp(0, 1)
        # residual haze would be lifted too, so less lift where much haze was removed
        less = 1 - 0.4 * dehaze
        lift = memory.steady(torch.where(asked_lift < 0, self.lift_strength(light) * less, asked_lift.clamp(max=1)))
        gain = physics.lift_gain(light, lift)

        # attenuate detail and chroma where amplified noise would exceed structure
        base = luma(small_clear) * gain
        energy = physics.box((base - physics.box(base, 5)).abs(), 5)
        noise = NOISE * (gain / small_t - 1)
        trust = (energy.square() + 1e-5) / (energy.square() + noise.square() + 1e-5)
        vivid = (0.4 + 0.6 * trust) * gain.pow(-0.25)

        # infrared: what is hotter than its surroundings, and where the detail of the rest exceeds visible detail
        mean_thermal = (small_thermal * small_valid).mean((2, 3), True) / small_valid.mean((2, 3), True).clamp(min=1e-2)
        mean_thermal = memory.steady(mean_thermal)
        inside = mean_thermal + small_valid * (small_thermal - mean_thermal)
        contrast = memory.steady((physics.brightest(inside, 5e-3) - mean_thermal).clamp(min=0.12))
        spread = memory.steady((inside - mean_thermal).abs().mean((2, 3), True))
        around = torch.maximum(physics.box(inside, 31), mean_thermal) + 0.6 * spread
        cool = torch.minimum(inside, around + 0.15 * contrast)
        base_cool = physics.box(cool, 5)
        energy_cool = (physics.box((cool - base_cool).abs(), 5) - NOISE).clamp(min=0) * (1 + 2 * dehaze * haze)
        pick = small_valid * energy_cool / (energy_cool + energy + 4e-3)

        maps = torch.cat([a, b, gain, base, trust, vivid, base_cool, around, pick], dim=1)
        a, b, gain, base, trust, vivid, base_cool, around, pick = physics.enlarge(maps, FACTOR, gray).chunk(9, dim=1)

        t = 1 - dehaze * (1 - (a * gray + b).clamp(0, 1))
        lifted = physics.recover(colour, t, air, T_LEAST).clamp(0, 1) * gain
        bright = luma(lifted)
        chroma = vivid * (lifted - bright)
        calm = base + trust * (bright - base)

        hot = valid * physics.smoothstep((thermal - around) / contrast, 0.0, 0.35)
        glow = thermal * (0.85 / (mean_thermal + contrast)).clamp(1.0, 1.6)
        detail = pick * (torch.minimum(thermal, around + 0.15 * contrast) - base_cool)
        fused = (calm + hot * (glow - calm).clamp(min=0) + (1 - hot) * detail).clamp(0, 1)
        follow = ((fused + 0.1) / (calm + 0.1)).clamp(max=1.3)
        return to_rgb(fused + follow * chroma), to_rgb(calm + chroma), to_gray(haze), to_gray(light), memory.state()

    @staticmethod
    def dehaze_strength(haze: Tensor) -> Tensor:
        """Automatic strength from the mean of average and soft minimum of haze density: 0 below 0.3, 1 above 0.6."""
        least = -0.1 * torch.exp(-10 * haze).mean((2, 3), True).clamp(min=1e-4).log()
        return physics.smoothstep((haze.mean((2, 3), True) + least) / 2, 0.3, 0.6)

    @staticmethod
    def lift_strength(light: Tensor) -> Tensor:
        """Automatic strength from the mean illumination: 0 above 0.34, 1 below 0.08. light: (1, 1, h, w)."""
        return 1 - physics.smoothstep(light.mean((2, 3), True), 0.08, 0.34)
