"""IASSF: joint removal of haze and fusion, infrared-assisted, in a single stage.

After "Infrared-Assisted Single-Stage Framework for Joint Restoration and Fusion of Visible and Infrared Images under
Hazy Conditions"; equations are numbered as there. Images inside are in [-1, 1]. Where the published code differs from
the paper, `Profile.airlight` says which is meant; what the code alone settles (shapes, order) is as in the code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import physics
from .io import Memory, Network, luma, to_gray, to_rgb
from .windows import SelectiveKernel, TransformerEncoder, WindowAttention, stage

FOLD = 4
"""Sides are brought to multiples of this, by reflection: both networks halve twice."""
DARK_WINDOW = 15
GUIDE_WINDOW = 61
"""60 in the paper; ours is odd, so that it has a middle."""
GUIDE_EPS = 1e-4
OMEGA = 0.95
"""Share of the haze that the prior takes away (eq. 3)."""
FLAT = 1e-3
"""Least range of the features that haze density is read from: below it the frame has no contrast to stretch."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Sizes and branches; the branches are switched off only for the ablations of Table VII.

    width: channels of the encoder and of the first of the five stages (doubled, doubled, halved, halved again); depths,
    heads, ratios, attending: of the stages. prompts: N of eq. 2. pool: side of the prompts. fusion: channels of the
    first fusion block.
    airlight: H by the paper's eq. 3, divided by the airlight; the published code leaves the division out.
    assisted: off for "w/o A": infrared does not help the restoration, R = U(φ_V). haze: off for "w/o HDE": φ_c and φ_V
    are added. prompt: off for "w/o PGM": φ_I itself is the candidate. embed, fusion_embed: off for "w/o FR-PEB" and
    "w/o FB-PEB": concatenation and convolution without attention. fusion_prompt: off for "w/o P" in the fusion.
    unused: hold the 1,154 parameters that the published checkpoint has and its network never uses.
    """

    width: int = 24
    depths: tuple[int, ...] = (8, 8, 8, 4, 4)
    heads: tuple[int, ...] = (2, 4, 6, 1, 1)
    ratios: tuple[float, ...] = (2, 4, 4, 2, 2)
    attending: tuple[float, ...] = (1 / 4, 1 / 2, 3 / 4, 0, 0)
    prompts: int = 5
    pool: int = 256
    fusion: int = 6
    airlight: bool = True
    assisted: bool = True
    haze: bool = True
    prompt: bool = True
    embed: bool = True
    fusion_prompt: bool = True
    fusion_embed: bool = True
    unused: bool = False


PROFILES = {
    "full": Profile(unused=True),
    "small": Profile(16, (2, 2, 4, 2, 2), (1, 2, 4, 1, 1), (2, 2, 2, 2, 2), (1 / 2, 1 / 2, 1 / 2, 0, 0), pool=32),
}


class PGM(nn.Module):
    """Prompt generation (eq. 1-2): what the modalities do not share weighs a pool of learned prompts."""

    def __init__(self, channels: int, prompts: int, pool: int, given: int = 0) -> None:
        """given: channels of a difference of images, brought to `channels` first; 0 for one of features."""
        super().__init__()
        self.pool = nn.Parameter(torch.rand(1, prompts, channels, pool, pool))
        self.enter = nn.Conv2d(given, channels, 1, bias=False) if given else None
        self.weigh = nn.Linear(channels, prompts)
        self.smooth = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.adjust = nn.Conv2d(channels, channels, 1, bias=False) if given else None

    def forward(self, difference: Tensor) -> Tensor:
        """D, (N, channels or given, H, W), to the prompt P, (N, channels, H, W)."""
        unshared = difference if self.enter is None else self.enter(difference)
        pooled = unshared.mean(dim=3).mean(dim=2)
        weights = torch.softmax(self.weigh(pooled), dim=1)
        prompt = (weights[:, :, None, None, None] * self.pool).sum(dim=1)
        # published: corners onto corners in the fusion alone
        corners = self.enter is not None
        prompt = F.interpolate(prompt, size=difference.shape[-2:], mode="bilinear", align_corners=corners)
        smooth: Tensor = self.smooth(prompt)
        if self.adjust is not None:
            smooth = self.adjust(smooth)
        return smooth


class PEB(nn.Module):
    """Prompt embedding: window attention over features and prompt together, brought back to the features' width."""

    def __init__(self, channels: int, prompt: int, heads: int = 1, attends: bool = True) -> None:
        super().__init__()
        self.attention = WindowAttention(channels + prompt, heads) if attends else None
        self.narrow = nn.Conv2d(channels + prompt, channels, 1, bias=False)
        self.mix = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, features: Tensor, prompt: Tensor | None) -> Tensor:
        """(N, channels, H, W) and (N, prompt, H, W), None where there is no prompt, to (N, channels, H, W)."""
        x = features if prompt is None else torch.cat([features, prompt], dim=1)
        embedded: Tensor = self.mix(self.narrow(x if self.attention is None else self.attention(x)))
        return embedded


class HDE(nn.Module):
    """Haze density (eq. 3-4) of features: dark channel, airlight, guided filter. No weights, but gradients pass."""

    def __init__(self, airlight: bool = True) -> None:
        """airlight: divide by it, as eq. 3 does and the published code does not."""
        super().__init__()
        self.airlight = airlight

    def forward(self, features: Tensor, memory: Memory | None = None) -> Tensor:
        """φ_V, (N, C, H, W) of any range, to H, (N, 1, H, W): within [0, 1] but for overshoots of the guided filter.

        memory: of the frames before; extremes and airlight are steadied by it.
        """
        memory = memory or Memory()
        gray = features.mean(dim=1, keepdim=True)
        low, high = (memory.steady(x) for x in (gray.amin((2, 3), True), gray.amax((2, 3), True)))
        gray = (gray - low) / (high - low).clamp(min=FLAT)
        dark = physics.min_filter(gray, DARK_WINDOW)
        if self.airlight:
            # one channel repeated: the dark channel of V ⊘ A is that of V, divided
            dark = dark / memory.steady(physics.brightest(dark, 1e-3, gray)).clamp(min=2e-2)
        return 1 - physics.guided_filter(gray, 1 - OMEGA * dark, GUIDE_WINDOW, GUIDE_EPS)


class UNet(nn.Module):
    """U of eq. 5: five stages of transformer blocks, skips joined by selective kernels, three channels at the end."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        width = profile.width
        widths = (width, 2 * width, 4 * width, 2 * width, width)
        self.enter = nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect")
        kinds = zip(widths, profile.depths, profile.heads, profile.ratios, profile.attending, strict=True)
        self.stages = nn.ModuleList(stage(*kind) for kind in kinds)
        self.down = nn.ModuleList(nn.Conv2d(c, 2 * c, 2, stride=2) for c in widths[:2])
        self.up = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * c, 4 * c, 1), nn.PixelShuffle(2)) for c in (2 * width, width)
        )
        self.skip = nn.ModuleList(nn.Conv2d(c, c, 1) for c in (width, width, 2 * width))
        self.join = nn.ModuleList(SelectiveKernel(c) for c in (width, width, 2 * width))
        self.leave = nn.Conv2d(width, 3, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) to (N, 3, H, W); H and W multiples of 4."""
        x = self.enter(x)
        kept = [self.skip[0](x)]
        for at in (0, 1):
            x = self.stages[at](x)
            kept.append(self.skip[at + 1](x))
            x = self.down[at](x)
        x = self.stages[2](x)
        for at in (0, 1):
            x = self.up[at](x)
            x = self.stages[at + 3](self.join[2 - at]([x, kept.pop()]) + x)
        image: Tensor = self.leave(self.join[0]([x, kept.pop()]) + x)
        return image


class IAFRM(nn.Module):
    """IA-FRM, infrared-assisted restoration (eq. 5), with the encoder, PGM, PEB and HDE that it rests on."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        width = profile.width
        self.encode = TransformerEncoder(3, width)
        self.infrared = nn.Conv2d(width, 3, 1)
        prompts = profile.assisted and profile.prompt
        self.pgm = PGM(width, profile.prompts, profile.pool) if prompts else None
        self.peb = PEB(width, width, profile.heads[0], profile.embed) if prompts else None
        self.hde = HDE(profile.airlight)
        self.assisted, self.haze = profile.assisted, profile.haze
        self.unet = UNet(profile)
        if profile.unused:
            shapes = {"w_ir": (1,), "w_vi": (1,), "ir_scale": (width, width, 1, 1), "vi_scale": (width, width, 1, 1)}
            self.unused = nn.ParameterDict(
                {name: nn.Parameter(torch.ones(shape), requires_grad=False) for name, shape in shapes.items()}
            )

    def forward(
        self, visible: Tensor, infrared: Tensor, density: Tensor | None = None, memory: Memory | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """visible, infrared: (N, 3, H, W) in [-1, 1], infrared repeated; H and W multiples of 4. density: H to use
        instead of that of HDE, (N, 1, H, W). memory: of the frames before.

        Returns the restored V^ and the infrared input of the fusion, (N, 3, H, W), about [-1, 1]; and H.
        """
        of_visible, of_infrared = self.encode(visible), self.encode(infrared)
        if density is None:
            density = self.hde(of_visible, memory)
        mixed = of_visible
        if self.assisted:
            candidate = of_infrared
            if self.pgm is not None and self.peb is not None:
                candidate = self.peb(of_infrared, self.pgm(of_visible - of_infrared))
            if self.haze:
                mixed = candidate * density + of_visible * (1 - density) + of_visible
            else:
                mixed = candidate + of_visible
        return self.unet(mixed), self.infrared(of_infrared), density


class FusionBlock(nn.Module):
    """A transformer encoder, to whose features its PEB adds what the prompt brings."""

    def __init__(self, channels: int, features: int, prompt: int, attends: bool) -> None:
        """prompt: channels of the prompt, 0 for none."""
        super().__init__()
        self.encode = TransformerEncoder(channels, features)
        self.adjust = nn.Conv2d(prompt, features, 1, bias=False) if prompt else None
        self.peb = PEB(features, features if prompt else 0, attends=attends)

    def forward(self, x: Tensor, prompt: Tensor | None) -> Tensor:
        """x: (N, channels, h, w). prompt: (N, prompt, h, w). Returns (N, features, h, w)."""
        x = self.encode(x)
        if prompt is not None and self.adjust is not None:
            prompt = self.adjust(prompt)
        more: Tensor = self.peb(x, prompt)
        return more + x


class MsPEFM(nn.Module):
    """MsPE-FM, multi-stage prompt-embedding fusion: five fusion blocks, three down and two up, two residual skips."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        width = profile.fusion
        prompt = width if profile.fusion_prompt else 0
        self.pgm = PGM(width, profile.prompts, profile.pool, given=3) if prompt else None
        ins, outs = (6, width, 2 * width, 4 * width, 2 * width), (width, 2 * width, 4 * width, 2 * width, width)
        self.blocks = nn.ModuleList(
            FusionBlock(i, o, prompt, profile.fusion_embed) for i, o in zip(ins, outs, strict=True)
        )
        self.skip = nn.ModuleList(nn.Conv2d(c, c, 1) for c in (width, 2 * width))
        self.leave = nn.Conv2d(width, 3, 1)

    def forward(self, restored: Tensor, infrared: Tensor) -> Tensor:
        """The two outputs of IA-FRM, (N, 3, H, W), H and W multiples of 4, to F, (N, 3, H, W), about [-1, 1]."""
        prompt: Tensor | None = None if self.pgm is None else self.pgm(infrared - restored)
        half, quarter = _shrunk(prompt, 2), _shrunk(prompt, 4)
        first = self.blocks[0](torch.cat([restored, infrared], dim=1), prompt)
        second = self.blocks[1](F.max_pool2d(first, 2), half)
        x = self.blocks[2](F.max_pool2d(second, 2), quarter)
        x = self.blocks[3](_twice(x), half) + self.skip[1](second)
        x = self.blocks[4](_twice(x), prompt) + self.skip[0](first)
        image: Tensor = self.leave(x)
        return image


class IASSF(Network):
    """The engine `iassf`."""

    def __init__(self, profile: Profile = PROFILES["full"]) -> None:
        super().__init__()
        self.profile = profile
        self.restoration = IAFRM(profile)
        self.fusion = MsPEFM(profile)

    def forward(
        self, visible: Tensor, infrared: Tensor, coverage: Tensor, controls: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Fuse one pair.

        visible: (1, H, W, 3) uint8 RGB. infrared, coverage: (1, H, W) uint8. controls: (CONTROLS,) float32: dehaze, 0
        to 1, the part of the restoration that is taken, all of it where negative (auto); lift, without effect; then the
        state of the frames before and its weight (see `steady`). Returns fused (1, H, W, 3), restored (1, H, W, 3),
        haze density (1, H, W), illumination (1, H, W), all uint8; and the state, (1, STATE) float32.
        """
        colour, thermal, valid, dehaze, _, memory = self.read(visible, infrared, coverage, controls)
        fused, restored, density = self.fuse(colour, thermal, valid, dehaze, memory)
        light = physics.illumination(colour)
        return to_rgb(fused), to_rgb(restored), to_gray(density), to_gray(light), memory.state()

    def fuse(
        self, colour: Tensor, thermal: Tensor, valid: Tensor, dehaze: Tensor, memory: Memory | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`forward` on floating point: fused and restored, (N, 3, H, W), about [0, 1], and H, (N, 1, H, W).

        colour: (N, 3, H, W) in [0, 1]. thermal, valid: (N, 1, H, W) in [0, 1]; where infrared is not valid, it is taken
        to look like the visible frame, and the fused frame is the restored one. dehaze: (N, 1, 1, 1) or (1, 1, 1, 1).
        """
        height, width = colour.shape[-2], colour.shape[-1]
        seen = valid * thermal + (1 - valid) * luma(colour)
        planes = F.pad(torch.cat([colour, seen], dim=1), (0, -width % FOLD, 0, -height % FOLD), mode="reflect")
        hazy = 2 * planes[:, :3] - 1
        restored, features, density = self.restoration(
            hazy, (2 * planes[:, 3:] - 1).expand(-1, 3, -1, -1), None, memory
        )
        restored = hazy + torch.where(dehaze < 0, torch.ones_like(dehaze), dehaze.clamp(max=1)) * (restored - hazy)
        fused = self.fusion(restored, features)
        fused, restored = (0.5 + 0.5 * x[:, :, :height, :width] for x in (fused, restored))
        return restored + valid * (fused - restored), restored, density[:, :, :height, :width]


def _shrunk(x: Tensor | None, factor: int) -> Tensor | None:
    if x is None:
        return None
    return F.interpolate(x, scale_factor=1 / factor, mode="bilinear", align_corners=True)


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)
