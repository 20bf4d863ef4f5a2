"""LURE: text-guided fusion in a unified latent feature space.

Implements "Learning a Unified Degradation-aware Representation Model for Multi-modal Image Fusion"; equation numbers
are those of the paper.

Degraded images of either camera are encoded, each with its own prompt, into a latent space Z that is independent of the
degradation, fused there, and decoded to a clean image. Training needs no data with combined degradations. The code of
the paper is not published; choices that its text leaves open are documented where they are made.

    E_txt  PromptEmbedding   strengths of the six tasks and the pseudo prompt to a text feature c
    E_img  Encoder           image, c, modality to Z at four scales; each by an EncoderLayer: z = Φ_t - Φ_d
    F      Fusion            cross attention at each scale, then a zero convolution, added to a prior rule
    D      Decoder           Z to an image, without skip connections past Z

As in the paper, there is no residual from input to output; details pass through Φ_t, a single linear layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import physics
from .io import Memory, Network, to_gray, to_rgb
from .lure_blocks import BaseBlock, BottleNeck, ChannelNorm, CrossAttention, NAFBlock, TGABlock, prior_rule
from .tasks import TASKS

FOLD = 8
"""Inputs are padded to multiples of this: the encoder downsamples three times by 2."""
FACTOR = 4
"""Downsampling factor of the returned haze density and illumination, which LURE itself does not use."""
VISIBLE, INFRARED = 0, 1
PROMPTS = len(TASKS) + 1
"""Number of prompts: one for each task and, last, the pseudo prompt, which leaves the image unchanged."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Sizes of the layers, and branches for the paper's ablations (Table 6).

    Attributes:
        widths: Channels of the encoder at each scale.
        latent: Channels of Z at each scale.
        tga_base, tga_bottleneck: Repetitions of each composite module, K_tb and K_bt.
        decoder, fusion: Number of blocks at each scale.
        heads: Attention heads.
        text: Channels of the text feature c.
        inner_residual: False for "w/o Inner Residual", z = Φ_d.
        tga: `gate` for "TGA→Gate": text weights channels only.
        rule: Prior rule of DenseFuse; `none` for "w/o Rule".
    """

    widths: tuple[int, int, int, int] = (48, 96, 192, 384)
    latent: tuple[int, int, int, int] = (16, 32, 64, 128)
    tga_base: tuple[int, int, int, int] = (2, 2, 4, 8)
    tga_bottleneck: tuple[int, int, int, int] = (1, 1, 2, 2)
    decoder: tuple[int, int, int, int] = (1, 1, 1, 1)
    fusion: tuple[int, int, int, int] = (1, 1, 2, 2)
    heads: int = 4
    text: int = 256
    inner_residual: bool = True
    tga: Literal["attention", "gate"] = "attention"
    rule: Literal["l1", "addition", "none"] = "l1"


FULL = Profile()
"""The paper's sizes."""
SMALL = Profile(
    widths=(12, 24, 40, 64),
    latent=(8, 16, 24, 32),
    tga_base=(1, 1, 1, 1),
    tga_bottleneck=(1, 1, 1, 1),
    fusion=(1, 1, 1, 1),
    text=32,
)
"""0.35 M parameters instead of 36 M; can be trained on a CPU."""


class EncoderLayer(nn.Module):
    """One scale: (TGABlock + BaseBlock) K_tb times, then Φ_d by (TGABlock + BottleNeck) K_bt times and Φ_t, linear.

    Only the last bottleneck reduces to the latent channels.
    """

    def __init__(self, at: int, profile: Profile) -> None:
        super().__init__()
        width, latent, repeats = profile.widths[at], profile.latent[at], profile.tga_bottleneck[at]
        guided = partial(TGABlock, width, profile.text, profile.heads, profile.tga == "gate")
        self.look = nn.ModuleList(guided() for _ in range(profile.tga_base[at]))
        self.base = nn.ModuleList(BaseBlock(width) for _ in range(profile.tga_base[at]))
        self.find = nn.ModuleList(guided() for _ in range(repeats))
        self.bottleneck = nn.ModuleList(
            BottleNeck(width, latent if index == repeats - 1 else width) for index in range(repeats)
        )
        self.linear = nn.Conv2d(width, latent, 1) if profile.inner_residual else None

    def forward(self, x: Tensor, text: Tensor, modality: Tensor) -> tuple[Tensor, Tensor]:
        """x: (N, width, H, W). text, modality: see `Encoder.forward`.

        Returns features for the next layer, (N, width, H, W), and z, (N, latent, H, W).
        """
        for look, base in zip(self.look, self.base, strict=True):
            x = base(look(x, text), modality)
        specific = x
        for find, bottleneck in zip(self.find, self.bottleneck, strict=True):
            specific = bottleneck(find(specific, text))
        return x, specific if self.linear is None else self.linear(x) - specific


class Encoder(nn.Module):
    """E_img: image to Z at scales 1, 1/2, 1/4 and 1/8. Both cameras share it."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, profile.widths[0], 3, padding=1)
        self.layers = nn.ModuleList(EncoderLayer(at, profile) for at in range(4))
        self.down = nn.ModuleList(
            nn.Conv2d(fine, coarse, 2, stride=2)
            for fine, coarse in zip(profile.widths[:-1], profile.widths[1:], strict=True)
        )

    def forward(self, image: Tensor, text: Tensor, modality: Tensor) -> list[Tensor]:
        """image: (N, 3, H, W) in [0, 1], H and W multiples of FOLD. text: (N, text, 1, 1). modality: (N,) int64.

        Returns Z, one (N, latent, h, w) for each scale, the finest first.
        """
        x, codes = self.enter(image), []
        for at, layer in enumerate(self.layers):
            x, code = layer(self.down[at - 1](x) if at else x, text, modality)
            codes.append(code)
        return codes


class Decoder(nn.Module):
    """D: Z to an image. At each scale NAFBlocks, then upsampling by 2 and adding the code of the next scale."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(*(NAFBlock(latent) for _ in range(count)))
            for latent, count in zip(profile.latent, profile.decoder, strict=True)
        )
        self.up = nn.ModuleList(
            nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse in zip(profile.latent[:-1], profile.latent[1:], strict=True)
        )
        self.leave = nn.Conv2d(profile.latent[0], 3, 3, padding=1)

    def forward(self, codes: list[Tensor]) -> Tensor:
        """codes: Z, from `Encoder`. Returns (N, 3, H, W), approximately in [0, 1], not clamped."""
        x = self.blocks[3](codes[3])
        for at in (2, 1, 0):
            x = self.blocks[at](F.pixel_shuffle(self.up[at](x), 2) + codes[at])
        return torch.as_tensor(self.leave(x))


class FusionScale(nn.Module):
    """zero[F(Z_vi, Z_ir)] + rule(Z_vi, Z_ir) at one scale: cross attention in both directions."""

    def __init__(self, channels: int, count: int, profile: Profile) -> None:
        super().__init__()
        self.rule = profile.rule
        self.to_infrared = nn.ModuleList(CrossAttention(channels, profile.heads) for _ in range(count))
        self.to_visible = nn.ModuleList(CrossAttention(channels, profile.heads) for _ in range(count))
        self.join = nn.Conv2d(2 * channels, channels, 1)
        self.zero = nn.Conv2d(channels, channels, 1)
        if profile.rule != "none":
            for parameter in self.zero.parameters():
                nn.init.zeros_(parameter)

    def forward(self, visible: Tensor, infrared: Tensor) -> Tensor:
        """visible, infrared: codes, (N, C, H, W). Returns the code of the fused image, of the same shape."""
        x, y = visible, infrared
        for to_infrared, to_visible in zip(self.to_infrared, self.to_visible, strict=True):
            x, y = to_infrared(x, y), to_visible(y, x)
        learned = torch.as_tensor(self.zero(F.gelu(self.join(torch.cat([x, y], dim=1)))))
        return learned if self.rule == "none" else learned + prior_rule(visible, infrared, self.rule)


class PromptEmbedding(nn.Module):
    """Strengths of the prompts to the text feature c: weighted mean of embeddings, norm, linear layer.

    The paper's E_txt ends in a norm and a linear layer, too. The text encoder before it is `prompts.encoder`, which
    outputs strengths of tasks only; the paper's loss L_text aims at the same.
    """

    def __init__(self, text: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(PROMPTS, text, 1, bias=False)
        self.norm, self.linear = ChannelNorm(text), nn.Conv2d(text, text, 1)
        nn.init.normal_(self.embed.weight)

    def forward(self, strengths: Tensor) -> Tensor:
        """strengths: (N, PROMPTS, 1, 1), with sum 1. Returns c, (N, text, 1, 1)."""
        return torch.as_tensor(self.linear(self.norm(self.embed(strengths))))


class Lure(Network):
    """The engine `lure`."""

    def __init__(self, profile: Profile = FULL) -> None:
        super().__init__()
        self.profile = profile
        self.prompts = PromptEmbedding(profile.text)
        self.encoder, self.decoder = Encoder(profile), Decoder(profile)
        self.fusion = nn.ModuleList(
            FusionScale(latent, count, profile) for latent, count in zip(profile.latent, profile.fusion, strict=True)
        )

    def forward(self, visible: Tensor, infrared: Tensor, coverage: Tensor, controls: Tensor) -> tuple[Tensor, ...]:
        """See `Network`. Strengths of TASKS: negative ones are 0. The maps are reduced by FACTOR."""
        colour, thermal, valid, _, _, memory = self.read(visible, infrared, coverage, controls)
        # smoothed over time like all global quantities: a new prompt is faded in
        strengths = memory.steady(controls[: len(TASKS)].reshape(1, len(TASKS), 1, 1).clamp(0, 1)).to(colour.dtype)
        fused, restored = self.fuse(colour, thermal, valid, strengths)
        density, light = display_maps(colour, memory)
        return to_rgb(fused), to_rgb(restored), to_gray(density), to_gray(light), memory.state()

    def fuse(self, colour: Tensor, thermal: Tensor, valid: Tensor, strengths: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse floating-point images (eq. 8-9).

        Args:
            colour: (N, 3, H, W) RGB in [0, 1].
            thermal: Infrared, (N, 1, H, W) in [0, 1].
            valid: Coverage, (N, 1, H, W) in [0, 1].
            strengths: Of TASKS, (N, TASKS, 1, 1) in [0, 1].

        Returns:
            Fused and restored, (N, 3, H, W), approximately in [0, 1], not clamped.
        """
        level = (thermal * valid).mean((2, 3), True) / valid.mean((2, 3), True).clamp(min=1e-2)
        filled = level + valid * (thermal - level)  # the mean outside the coverage: no edge at its border
        visible_prompts, infrared_prompts = split_prompts(strengths)
        visible_codes = self.encode(colour, visible_prompts, VISIBLE)
        infrared_codes = self.encode(filled.expand(-1, 3, -1, -1), infrared_prompts, INFRARED)
        fused_codes = [scale(x, y) for scale, x, y in zip(self.fusion, visible_codes, infrared_codes, strict=True)]
        restored, fused = self.decode(visible_codes, colour), self.decode(fused_codes, colour)
        return restored + valid * (fused - restored), restored

    def encode(self, image: Tensor, strengths: Tensor, modality: int | Tensor) -> list[Tensor]:
        """Encode an image of any size.

        image: (N, 3, H, W) in [0, 1]. strengths: (N, PROMPTS, 1, 1), with sum 1. modality: VISIBLE or INFRARED, or (N,)
        int64. Returns Z, see `Encoder`.
        """
        height, width = image.shape[-2], image.shape[-1]
        image = F.pad(image, (0, (FOLD - width % FOLD) % FOLD, 0, (FOLD - height % FOLD) % FOLD), mode="replicate")
        if isinstance(modality, int):
            modality = torch.full((image.shape[0],), modality, device=image.device)
        return [*self.encoder(image, self.prompts(strengths), modality)]

    def decode(self, codes: list[Tensor], like: Tensor) -> Tensor:
        """Decode Z, cropped to the height and width of `like`. Returns (N, 3, H, W), not clamped."""
        return torch.as_tensor(self.decoder(codes))[:, :, : like.shape[2], : like.shape[3]]


def split_prompts(strengths: Tensor) -> tuple[Tensor, Tensor]:
    """Split strengths of TASKS, (N, TASKS, 1, 1) in [0, 1], into prompts per camera, (N, PROMPTS, 1, 1), with sum 1.

    The strength of the pseudo prompt is 1 - the sum of the others; if that sum exceeds 1, they are divided by it.
    """
    half = len(TASKS) // 2
    visible, infrared = torch.split(strengths, half, dim=1)
    prompts = []
    for tasks, before, after in ((visible, 0, half), (infrared, half, 0)):
        total = tasks.sum(dim=1, keepdim=True)
        tasks = tasks / total.clamp(min=1)
        zero = torch.zeros_like(total)
        parts = [*([zero] * before), tasks, *([zero] * after), (1 - total).clamp(min=0)]
        prompts.append(torch.cat(parts, dim=1))
    return prompts[0], prompts[1]


def display_maps(colour: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
    """Haze density by the dark-channel prior and Retinex illumination, for display.

    colour: (N, 3, H, W) in [0, 1]. Returns (N, 1, ⌈H/4⌉, ⌈W/4⌉) each, in [0, 1].
    """
    small = physics.reduce(colour, FACTOR)
    air = memory.steady(physics.airlight(small, physics.dark_channel(small, 3)))
    gray, peak = small.mean(dim=1, keepdim=True), small.amax(dim=1, keepdim=True)
    t = physics.guided_filter(gray, physics.transmission(small, air, window=3), 15, 1e-3)
    return 1 - t.clamp(0, 1), physics.guided_filter(peak, peak, 15, 4e-3).clamp(0, 1)
