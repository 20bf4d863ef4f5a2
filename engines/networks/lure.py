"""LURE: fusion in a unified latent feature space that text guides.

After "Learning a Unified Degradation-aware Representation Model for Multi-modal Image Fusion"; equations as there.

Degraded images of either camera are encoded, each under its own prompt, into one space Z in which a degradation leaves
no trace; what is fused there and decoded is clean. So combinations of degradations need no data of combinations. The
code of the paper is not published: what its text leaves open is chosen here and said where it stands.

    E_txt  PromptEmbedding   strengths of the six tasks and the pseudo prompt to a text feature c
    E_img  Encoder           image, c, modality to Z at four scales; each by an EncoderLayer: z = Φ_t - Φ_d
    F      Fusion            cross attention at each scale, then a zero convolution, on top of a prior rule
    D      Decoder           Z to an image, without any path around Z

There is no residual from input to output, as the paper asks; Φ_t, one linear layer, is the short way for detail.
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
"""Sides are brought to multiples of this inside: three times the scale is halved."""
FACTOR = 4
"""Grid step of the haze density and illumination that are returned; LURE itself uses neither."""
VISIBLE, INFRARED = 0, 1
PROMPTS = len(TASKS) + 1
"""The tasks' prompts and, last, the pseudo prompt, under which an image is to come out as it is."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Sizes, and the branches that the paper's ablations (Table 6) switch.

    widths: channels of the encoder's layers; latent: of Z. tga_base, tga_bottleneck: how often each composite module
    is repeated (K_tb, K_bt). decoder, fusion: blocks at each scale. heads: of attention. text: length of c.
    inner_residual: off for "w/o Inner Residual", z = Φ_d. tga: `gate` for "TGA→Gate": text weighs channels alone. rule:
    of DenseFuse; `none` for "w/o Rule".
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
"""The paper's."""
SMALL = Profile(
    widths=(12, 24, 40, 64),
    latent=(8, 16, 24, 32),
    tga_base=(1, 1, 1, 1),
    tga_bottleneck=(1, 1, 1, 1),
    fusion=(1, 1, 1, 1),
    text=32,
)
"""Trained on a CPU; 0.35 M parameters instead of 36 M."""


class EncoderLayer(nn.Module):
    """One scale: (TGABlock + BaseBlock) K_tb times, then Φ_d by (TGABlock + BottleNeck) K_bt times and Φ_t, linear.

    Of the bottlenecks the last one alone reduces to the latent width.
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
        """Features for the next layer, (N, width, H, W), and z, (N, latent, H, W)."""
        for look, base in zip(self.look, self.base, strict=True):
            x = base(look(x, text), modality)
        specific = x
        for find, bottleneck in zip(self.find, self.bottleneck, strict=True):
            specific = bottleneck(find(specific, text))
        return x, specific if self.linear is None else self.linear(x) - specific


class Encoder(nn.Module):
    """E_img, from an image to Z at scales 1, 1/2, 1/4 and 1/8. One for both cameras."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, profile.widths[0], 3, padding=1)
        self.layers = nn.ModuleList(EncoderLayer(at, profile) for at in range(4))
        self.down = nn.ModuleList(
            nn.Conv2d(fine, coarse, 2, stride=2)
            for fine, coarse in zip(profile.widths[:-1], profile.widths[1:], strict=True)
        )

    def forward(self, image: Tensor, text: Tensor, modality: Tensor) -> list[Tensor]:
        """image: (N, 3, H, W) in [0, 1], sides multiples of FOLD. text: (N, text, 1, 1). modality: (N,) int64."""
        x, codes = self.enter(image), []
        for at, layer in enumerate(self.layers):
            x, code = layer(self.down[at - 1](x) if at else x, text, modality)
            codes.append(code)
        return codes


class Decoder(nn.Module):
    """D, from Z to an image: at each scale NAFBlocks, then twice as large, onto the code of the next."""

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
        """codes: as `Encoder` gives them. Returns (N, 3, H, W), about [0, 1], not clamped."""
        x = self.blocks[3](codes[3])
        for at in (2, 1, 0):
            x = self.blocks[at](F.pixel_shuffle(self.up[at](x), 2) + codes[at])
        return torch.as_tensor(self.leave(x))


class FusionScale(nn.Module):
    """zero[F(Z_vi, Z_ir)] + rule(Z_vi, Z_ir) at one scale: each camera attends to the other, in turn."""

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
        """Codes of both cameras, (N, C, H, W) each, to that of the fused image."""
        x, y = visible, infrared
        for of_visible, of_infrared in zip(self.to_infrared, self.to_visible, strict=True):
            x, y = of_visible(x, y), of_infrared(y, x)
        learned = torch.as_tensor(self.zero(F.gelu(self.join(torch.cat([x, y], dim=1)))))
        return learned if self.rule == "none" else learned + prior_rule(visible, infrared, self.rule)


class PromptEmbedding(nn.Module):
    """From strengths of the prompts to the text feature c: the embeddings' mean, a norm and a linear layer.

    The paper's E_txt ends in a norm and a linear layer too; before it stands the text encoder (`prompts.encoder`), of
    which the tasks alone are passed on, as its loss L_text would have it.
    """

    def __init__(self, text: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(PROMPTS, text, 1, bias=False)
        self.norm, self.linear = ChannelNorm(text), nn.Conv2d(text, text, 1)
        nn.init.normal_(self.embed.weight)

    def forward(self, strengths: Tensor) -> Tensor:
        """strengths: (N, PROMPTS, 1, 1), of sum 1. Returns c, (N, text, 1, 1)."""
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

    def forward(
        self, visible: Tensor, infrared: Tensor, coverage: Tensor, controls: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Fuse one pair.

        visible: (1, H, W, 3) uint8 RGB. infrared, coverage: (1, H, W) uint8. controls: (CONTROLS,) float32: strengths
        of TASKS, 0 to 1, negative as 0; then the state of the frames before and its weight (see `steady`). Returns
        fused (1, H, W, 3), restored (1, H, W, 3), haze density (1, h, w), illumination (1, h, w) with h = ⌈H/4⌉,
        w = ⌈W/4⌉, of the visible frame as given, all uint8; and the state, (1, STATE) float32.
        """
        colour, thermal, valid, _, _, memory = self.read(visible, infrared, coverage, controls)
        # a prompt that changes fades over, as all global quantities do
        asked = memory.steady(controls[: len(TASKS)].reshape(1, len(TASKS), 1, 1).clamp(0, 1)).to(colour.dtype)
        fused, restored = self.fuse(colour, thermal, valid, asked)
        density, light = measured(colour, memory)
        return to_rgb(fused), to_rgb(restored), to_gray(density), to_gray(light), memory.state()

    def fuse(self, colour: Tensor, thermal: Tensor, valid: Tensor, strengths: Tensor) -> tuple[Tensor, Tensor]:
        """Eq. 8-9 on floating point: fused and restored, (N, 3, H, W), not clamped.

        colour: (N, 3, H, W) in [0, 1]. thermal, valid: (N, 1, H, W). strengths: of TASKS, (N, TASKS, 1, 1).
        """
        level = (thermal * valid).mean((2, 3), True) / valid.mean((2, 3), True).clamp(min=1e-2)
        filled = level + valid * (thermal - level)  # so that infrared's view has no edge
        of_visible, of_infrared = split_prompts(strengths)
        seen = self.encode(colour, of_visible, VISIBLE)
        warm = self.encode(filled.expand(-1, 3, -1, -1), of_infrared, INFRARED)
        both = [scale(x, y) for scale, x, y in zip(self.fusion, seen, warm, strict=True)]
        restored, fused = self.decode(seen, colour), self.decode(both, colour)
        return restored + valid * (fused - restored), restored

    def encode(self, image: Tensor, strengths: Tensor, modality: int | Tensor) -> list[Tensor]:
        """Z of an image. image: (N, 3, H, W) in [0, 1], any size. strengths: (N, PROMPTS, 1, 1), of sum 1."""
        height, width = image.shape[-2], image.shape[-1]
        image = F.pad(image, (0, (FOLD - width % FOLD) % FOLD, 0, (FOLD - height % FOLD) % FOLD), mode="replicate")
        if isinstance(modality, int):
            modality = torch.full((image.shape[0],), modality, device=image.device)
        return [*self.encoder(image, self.prompts(strengths), modality)]

    def decode(self, codes: list[Tensor], like: Tensor) -> Tensor:
        """The image that codes stand for, at the height and width of `like`, not clamped."""
        return torch.as_tensor(self.decoder(codes))[:, :, : like.shape[2], : like.shape[3]]


def split_prompts(strengths: Tensor) -> tuple[Tensor, Tensor]:
    """Strengths of TASKS, (N, TASKS, 1, 1) in [0, 1], as prompts of each camera, (N, PROMPTS, 1, 1) of sum 1.

    What the tasks leave of 1 is the pseudo prompt's; more than 1 is shared out.
    """
    half = len(TASKS) // 2
    visible, infrared = torch.split(strengths, half, dim=1)
    both = []
    for asked, before, after in ((visible, 0, half), (infrared, half, 0)):
        total = asked.sum(dim=1, keepdim=True)
        asked = asked / total.clamp(min=1)
        nothing = torch.zeros_like(total)
        parts = [*([nothing] * before), asked, *([nothing] * after), (1 - total).clamp(min=0)]
        both.append(torch.cat(parts, dim=1))
    return both[0], both[1]


def measured(colour: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
    """Haze density by the dark-channel prior and Retinex illumination, for display: (N, 1, ⌈H/4⌉, ⌈W/4⌉) each."""
    small = physics.reduce(colour, FACTOR)
    air = memory.steady(physics.airlight(small, physics.dark_channel(small, 3)))
    gray, peak = small.mean(dim=1, keepdim=True), small.amax(dim=1, keepdim=True)
    t = physics.guided_filter(gray, physics.transmission(small, air, window=3), 15, 1e-3)
    return 1 - t.clamp(0, 1), physics.guided_filter(peak, peak, 15, 4e-3).clamp(0, 1)
