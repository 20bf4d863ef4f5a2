"""IASSF: infrared-assisted dehazing and fusion in a single stage.

Implements "Infrared-Assisted Single-Stage Framework for Joint Restoration and Fusion of Visible and Infrared Images
under Hazy Conditions"; equation numbers are those of the paper. Internally, images are in [-1, 1]. Where the published
code differs from the paper, `Profile.airlight` selects one of the two; details that only the code specifies (shapes,
order) follow the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import physics
from .io import Memory, Network, luma, to_gray, to_rgb
from .windows import SelectiveKernel, TransformerEncoder, WindowAttention, stage

FOLD = 4
"""Inputs are padded by reflection to multiples of this: both networks downsample twice by 2."""
DARK_WINDOW = 15
GUIDE_WINDOW = 61
"""60 in the paper; odd here, so that the window is centred."""
GUIDE_EPS = 1e-4
OMEGA = 0.95
"""ω: fraction of the haze that the dark-channel prior removes (eq. 3)."""
FLAT = 1e-3
"""Lower bound of the range of features by which they are normalised for the haze density."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Sizes of the layers, and branches, which are disabled only for the ablations of Table VII.

    Attributes:
        width: Channels of the encoder and of the first of five stages; the stages have 1, 2, 4, 2, 1 times as many.
        depths, heads, ratios: Blocks, attention heads and MLP expansion ratio of each stage.
        attending: Fraction of the blocks of each stage that have attention: the last ones.
        prompts: Number of learned prompts, N in eq. 2.
        pool: Height and width of the learned prompts.
        fusion: Channels of the first fusion block.
        airlight: H is divided by the airlight, as in eq. 3; not in the published code.
        assisted: False for "w/o A": restoration without infrared, R = U(φ_V).
        haze: False for "w/o HDE": φ_c and φ_V are added.
        prompt: False for "w/o PGM": the candidate is φ_I.
        embed, fusion_embed: False for "w/o FR-PEB" and "w/o FB-PEB": concatenation and convolution, without attention.
        fusion_prompt: False for "w/o P" in the fusion.
        unused: Has the 1,154 parameters of the published checkpoint that its network does not use.
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
    """Prompt generation module (eq. 1-2): the difference of the modalities weights a pool of learned prompts."""

    def __init__(self, channels: int, prompts: int, pool: int, image_channels: int = 0) -> None:
        """image_channels: channels of the difference if it is one of images; 0 if it is one of features."""
        super().__init__()
        self.pool = nn.Parameter(torch.rand(1, prompts, channels, pool, pool))
        self.enter = nn.Conv2d(image_channels, channels, 1, bias=False) if image_channels else None
        self.weigh = nn.Linear(channels, prompts)
        self.smooth = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.adjust = nn.Conv2d(channels, channels, 1, bias=False) if image_channels else None

    def forward(self, difference: Tensor) -> Tensor:
        """difference: D, (N, channels or image_channels, H, W). Returns the prompt P, (N, channels, H, W)."""
        features = difference if self.enter is None else self.enter(difference)
        pooled = features.mean(dim=3).mean(dim=2)
        weights = torch.softmax(self.weigh(pooled), dim=1)
        prompt = (weights[:, :, None, None, None] * self.pool).sum(dim=1)
        # as in the published code: aligned corners in the fusion only
        align = self.enter is not None
        prompt = F.interpolate(prompt, size=difference.shape[-2:], mode="bilinear", align_corners=align)
        smooth = self.smooth(prompt)
        return cast(Tensor, smooth if self.adjust is None else self.adjust(smooth))


class PEB(nn.Module):
    """Prompt embedding block: window attention over features and prompt, then projection to `channels`."""

    def __init__(self, channels: int, prompt: int, heads: int = 1, attends: bool = True) -> None:
        super().__init__()
        self.attention = WindowAttention(channels + prompt, heads) if attends else None
        self.narrow = nn.Conv2d(channels + prompt, channels, 1, bias=False)
        self.mix = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, features: Tensor, prompt: Tensor | None) -> Tensor:
        """features: (N, channels, H, W). prompt: (N, prompt, H, W), or None. Returns (N, channels, H, W)."""
        x = features if prompt is None else torch.cat([features, prompt], dim=1)
        return cast(Tensor, self.mix(self.narrow(x if self.attention is None else self.attention(x))))


class HDE(nn.Module):
    """Haze density estimation (eq. 3-4): dark channel, airlight, guided filter. No parameters; differentiable."""

    def __init__(self, airlight: bool = True) -> None:
        """airlight: divide by it, see `Profile`."""
        super().__init__()
        self.airlight = airlight

    def forward(self, features: Tensor, memory: Memory | None = None) -> Tensor:
        """features: φ_V, (N, C, H, W), any range. memory: smooths the range and the airlight over frames.

        Returns H, (N, 1, H, W), in [0, 1] except for overshoot of the guided filter.
        """
        memory = memory or Memory()
        gray = features.mean(dim=1, keepdim=True)
        low, high = (memory.steady(x) for x in (gray.amin((2, 3), True), gray.amax((2, 3), True)))
        gray = (gray - low) / (high - low).clamp(min=FLAT)
        dark = physics.min_filter(gray, DARK_WINDOW)
        if self.airlight:
            # a single channel: the dark channel of V ⊘ A is that of V divided by A
            dark = dark / memory.steady(physics.brightest(dark, 1e-3, gray)).clamp(min=2e-2)
        return 1 - physics.guided_filter(gray, 1 - OMEGA * dark, GUIDE_WINDOW, GUIDE_EPS)


class UNet(nn.Module):
    """U of eq. 5: five stages of transformer blocks, skip connections by selective kernels, output of 3 channels."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        width = profile.width
        widths = (width, 2 * width, 4 * width, 2 * width, width)
        self.enter = nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect")
        sizes = zip(widths, profile.depths, profile.heads, profile.ratios, profile.attending, strict=True)
        self.stages = nn.ModuleList(stage(*size) for size in sizes)
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
        skips = [self.skip[0](x)]
        for at in (0, 1):
            x = self.stages[at](x)
            skips.append(self.skip[at + 1](x))
            x = self.down[at](x)
        x = self.stages[2](x)
        for at in (0, 1):
            x = self.up[at](x)
            x = self.stages[at + 3](self.join[2 - at]([x, skips.pop()]) + x)
        return cast(Tensor, self.leave(self.join[0]([x, skips.pop()]) + x))


class IAFRM(nn.Module):
    """IA-FRM, infrared-assisted feature restoration (eq. 5), including encoder, PGM, PEB and HDE."""

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
        """visible, infrared: (N, 3, H, W) in [-1, 1], infrared repeated; H and W multiples of 4. density: H, (N, 1, H,
        W), None: computed by HDE. memory: see `HDE.forward`.

        Returns the restored V^ and the infrared input of the fusion, (N, 3, H, W), approximately in [-1, 1]; and H.
        """
        visible_features, infrared_features = self.encode(visible), self.encode(infrared)
        if density is None:
            density = self.hde(visible_features, memory)
        mixed = visible_features
        if self.assisted:
            candidate = infrared_features
            if self.pgm is not None and self.peb is not None:
                candidate = self.peb(infrared_features, self.pgm(visible_features - infrared_features))
            if self.haze:
                mixed = candidate * density + visible_features * (1 - density) + visible_features
            else:
                mixed = candidate + visible_features
        return self.unet(mixed), self.infrared(infrared_features), density


class FusionBlock(nn.Module):
    """Transformer encoder, and a PEB whose output is added to its features."""

    def __init__(self, channels: int, features: int, prompt: int, attends: bool) -> None:
        """prompt: channels of the prompt, 0: no prompt."""
        super().__init__()
        self.encode = TransformerEncoder(channels, features)
        self.adjust = nn.Conv2d(prompt, features, 1, bias=False) if prompt else None
        self.peb = PEB(features, features if prompt else 0, attends=attends)

    def forward(self, x: Tensor, prompt: Tensor | None) -> Tensor:
        """x: (N, channels, h, w). prompt: (N, prompt, h, w). Returns (N, features, h, w)."""
        x = self.encode(x)
        if prompt is not None and self.adjust is not None:
            prompt = self.adjust(prompt)
        return cast(Tensor, self.peb(x, prompt) + x)


class MsPEFM(nn.Module):
    """MsPE-FM, multi-stage prompt-embedding fusion: three fusion blocks down, two up, two skip connections."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        width = profile.fusion
        prompt = width if profile.fusion_prompt else 0
        self.pgm = PGM(width, profile.prompts, profile.pool, image_channels=3) if prompt else None
        ins, outs = (6, width, 2 * width, 4 * width, 2 * width), (width, 2 * width, 4 * width, 2 * width, width)
        self.blocks = nn.ModuleList(
            FusionBlock(i, o, prompt, profile.fusion_embed) for i, o in zip(ins, outs, strict=True)
        )
        self.skip = nn.ModuleList(nn.Conv2d(c, c, 1) for c in (width, 2 * width))
        self.leave = nn.Conv2d(width, 3, 1)

    def forward(self, restored: Tensor, infrared: Tensor) -> Tensor:
        """restored, infrared: from `IAFRM`, (N, 3, H, W), H and W multiples of 4. Returns F, (N, 3, H, W)."""
        prompt: Tensor | None = None if self.pgm is None else self.pgm(infrared - restored)
        half, quarter = _downsampled(prompt, 2), _downsampled(prompt, 4)
        first = self.blocks[0](torch.cat([restored, infrared], dim=1), prompt)
        second = self.blocks[1](F.max_pool2d(first, 2), half)
        x = self.blocks[2](F.max_pool2d(second, 2), quarter)
        x = self.blocks[3](_upsampled(x), half) + self.skip[1](second)
        x = self.blocks[4](_upsampled(x), prompt) + self.skip[0](first)
        return cast(Tensor, self.leave(x))


class IASSF(Network):
    """The engine `iassf`."""

    def __init__(self, profile: Profile = PROFILES["full"]) -> None:
        super().__init__()
        self.profile = profile
        self.restoration = IAFRM(profile)
        self.fusion = MsPEFM(profile)

    def forward(self, visible: Tensor, infrared: Tensor, coverage: Tensor, controls: Tensor) -> tuple[Tensor, ...]:
        """See `Network`. The strength of dehazing is the weight of the restoration, 1 if automatic; lift is ignored."""
        colour, thermal, valid, dehaze, _, memory = self.read(visible, infrared, coverage, controls)
        fused, restored, density = self.fuse(colour, thermal, valid, dehaze, memory)
        light = physics.illumination(colour)
        return to_rgb(fused), to_rgb(restored), to_gray(density), to_gray(light), memory.state()

    def fuse(
        self, colour: Tensor, thermal: Tensor, valid: Tensor, dehaze: Tensor, memory: Memory | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Fuse floating-point images.

        Args:
            colour: (N, 3, H, W) RGB in [0, 1].
            thermal: Infrared, (N, 1, H, W) in [0, 1].
            valid: Coverage, (N, 1, H, W) in [0, 1]. Without coverage, infrared is replaced by the visible luma, and the
                fused image is the restored one.
            dehaze: Weight of the restoration, (N, 1, 1, 1) or (1, 1, 1, 1), see `forward`.
            memory: See `HDE.forward`.

        Returns:
            Fused and restored, (N, 3, H, W), approximately in [0, 1], and H, (N, 1, H, W).
        """
        height, width = colour.shape[-2], colour.shape[-1]
        filled = valid * thermal + (1 - valid) * luma(colour)
        planes = F.pad(torch.cat([colour, filled], dim=1), (0, -width % FOLD, 0, -height % FOLD), mode="reflect")
        hazy, infrared = 2 * planes[:, :3] - 1, (2 * planes[:, 3:] - 1).expand(-1, 3, -1, -1)
        restored, features, density = self.restoration(hazy, infrared, memory=memory)
        restored = hazy + torch.where(dehaze < 0, torch.ones_like(dehaze), dehaze.clamp(max=1)) * (restored - hazy)
        fused = self.fusion(restored, features)
        fused, restored = (0.5 + 0.5 * x[:, :, :height, :width] for x in (fused, restored))
        return restored + valid * (fused - restored), restored, density[:, :, :height, :width]


def _downsampled(x: Tensor | None, factor: int) -> Tensor | None:
    """Bilinear, (N, C, H, W) to (N, C, H / factor, W / factor)."""
    if x is None:
        return None
    return F.interpolate(x, scale_factor=1 / factor, mode="bilinear", align_corners=True)


def _upsampled(x: Tensor) -> Tensor:
    """Bilinear, (N, C, H, W) to (N, C, 2 H, 2 W)."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)
