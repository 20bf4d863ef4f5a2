"""LURE's two stages as a Lightning module."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ...engines.networks import checkpoints
from ...engines.networks.io import luma
from ...engines.networks.lure import FULL, INFRARED, SMALL, VISIBLE, Lure, split_prompts
from .. import losses
from ..module import Batch, Trained, filled, psnr
from .examples import TASK_COUNT, Restoration, make_restoration
from .recipe import LureRecipe, Weights


def make_lure(recipe: LureRecipe) -> Lure:
    """The recipe's network, from its start weights if it names some."""
    own = recipe.lure
    profile = replace(SMALL if own.small else FULL, inner_residual=own.inner_residual, tga=own.tga, rule=own.rule)
    return filled(Lure(profile), own.start)


class LureModule(Trained):
    """Stage one for the first share of the steps, then stage two. Batches are (visible, infrared, factor), uint8."""

    def __init__(self, recipe: LureRecipe) -> None:
        network = make_lure(recipe)
        super().__init__(recipe, network, checkpoints.describe("lure", network.profile))
        self.own = recipe.lure

    @property
    def network_of(self) -> Lure:
        """The network that is trained."""
        assert isinstance(self.network, Lure)
        return self.network

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """One batch of the stage that is due; the total of the weighted losses."""
        example = make_restoration(batch[0], batch[1], self.drawing())
        if self.global_step < self.own.first * self.recipe.steps:
            parts = stage_one(self.network_of, example, self.own.losses)
        else:
            parts = stage_two(self.network_of, batch, self.own.losses)
        return self.logged(parts, torch.stack([*parts.values()]).sum())

    def validation_step(self, batch: Batch, index: int) -> None:
        """The scores of `score`, by name."""
        example = make_restoration(batch[0], batch[1], torch.Generator(self.device).manual_seed(index))
        for name, value in score(self.network_of, example).items():
            self.log(f"val/{name}", value, batch_size=len(batch[0]))


def stage_one(network: Lure, example: Restoration, weights: Weights) -> dict[str, Tensor]:
    """Eq. 4 without L_text (the text encoder is trained alone): weighted terms, by the paper's names.

    Both cameras' frames are samples of their own; each is encoded under its prompt, and its clean frame under the
    pseudo prompt.
    """
    given = torch.cat([example.visible, example.infrared.expand(-1, 3, -1, -1)])
    clean = torch.cat([example.clear, example.sharp.expand(-1, 3, -1, -1)])
    asked = torch.cat(split_prompts(example.strengths))
    nothing = torch.cat(split_prompts(torch.zeros_like(example.strengths)))
    camera = _cameras(len(example.visible), given.device)
    codes = network.encode(torch.cat([given, clean]), torch.cat([asked, nothing]), torch.cat([camera, camera]))
    made, again = network.decode(codes, given).chunk(2)
    pairs = [code.chunk(2) for code in codes]
    return {
        "task": losses.restoration(made, clean),
        "task_gradient": weights.task_gradient * losses.restored_gradient(made, clean),
        "unified": weights.unified * losses.unified([a for a, _ in pairs], [b for _, b in pairs]),
        "recon": weights.recon * losses.restoration(again, clean),
    }


def stage_two(network: Lure, batch: Batch, weights: Weights) -> dict[str, Tensor]:
    """Eq. 7 on clean pairs under the pseudo prompt, encoders frozen."""
    visible, thermal = batch[0].float() / 255, batch[1].float() / 255
    nothing = split_prompts(torch.zeros(len(visible), TASK_COUNT, 1, 1, device=visible.device))
    with torch.no_grad():
        seen = network.encode(visible, nothing[0], VISIBLE)
        warm = network.encode(thermal.expand(-1, 3, -1, -1), nothing[1], INFRARED)
    fused = network.decode([scale(x, y) for scale, x, y in zip(network.fusion, seen, warm, strict=True)], visible)
    bright, light = luma(fused), luma(visible)
    alike = losses.perceptual(bright, light) + losses.perceptual(bright, thermal)
    return {
        "intensity": weights.intensity * losses.intensity(bright, light, thermal),
        "colour": weights.colour * losses.chroma(fused, visible),
        "gradient": weights.gradient * losses.gradient(bright, light, thermal),
        "perceptual": weights.perceptual * alike / 2,
        "recon": weights.recon * losses.restoration(network.decode(seen, visible), visible),
    }


def score(network: Lure | None, example: Restoration) -> dict[str, Tensor]:
    """How well degraded pairs are restored and fused under their prompts; without a network: given and averaged.

    restored, infrared: PSNR in dB of either camera's restored frame. edges, information, similarity: Qabf, VIF and SSIM
    as their losses have them (`losses`), of the fused luma with the clean frames of both cameras. Means over the batch.
    """
    if network is None:
        made, heat = example.visible, example.infrared
        fused = (luma(made) + heat) / 2
    else:
        with torch.no_grad():
            coloured, made = network.fuse(
                example.visible, example.infrared, torch.ones_like(example.infrared), example.strengths
            )
            warm = network.encode(example.infrared.expand(-1, 3, -1, -1), split_prompts(example.strengths)[1], INFRARED)
            heat = luma(network.decode(warm, made))
            fused = luma(coloured)
    fused, bright = fused.clamp(0, 1), luma(example.clear)
    return {
        "restored": psnr(made, example.clear).mean(),
        "infrared": psnr(heat, example.sharp).mean(),
        "edges": 1 - losses.lost_edges(fused, bright, example.sharp),
        "information": 2 - losses.lost_information(fused, bright, example.sharp),
        "similarity": 1 - losses.dissimilarity(fused, bright, example.sharp),
    }


def _cameras(n: int, device: torch.device) -> Tensor:
    """Modality of n visible and then n infrared frames."""
    return torch.tensor([VISIBLE, INFRARED], device=device).repeat_interleave(n)
