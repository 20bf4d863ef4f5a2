"""Training of LURE in two stages, and its scores on held-out pairs beside the average and the untrained network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ...engines.host.terminal import Terminal
from ...engines.networks import checkpoints
from ...engines.networks.io import luma
from ...engines.networks.lure import FULL, INFRARED, SMALL, VISIBLE, Lure, split_prompts
from .. import losses
from ..fit import compared, run
from ..module import Batch, Trained, filled, psnr
from .examples import TASK_COUNT, Restoration, make_restoration
from .recipe import LureRecipe, Weights


def make_lure(recipe: LureRecipe) -> Lure:
    """Create the network of a recipe, with its start weights if it has them."""
    own = recipe.lure
    profile = replace(SMALL if own.small else FULL, inner_residual=own.inner_residual, tga=own.tga, rule=own.rule)
    return filled(Lure(profile), own.start)


class LureModule(Trained):
    """Trains stage one for the first share of the steps, then stage two.

    Batches are (visible, infrared, factor); the first two are uint8.
    """

    def __init__(self, recipe: LureRecipe) -> None:
        self.network: Lure
        network = make_lure(recipe)
        super().__init__(recipe, network, checkpoints.describe("lure", network.profile))
        self.own = recipe.lure

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Sum of the weighted losses of the current stage."""
        example = make_restoration(batch[0], batch[1], self.drawing())
        if self.global_step < self.own.first * self.recipe.steps:
            parts = stage_one(self.network, example, self.own.losses)
        else:
            parts = stage_two(self.network, batch, self.own.losses)
        return self.logged(parts, torch.stack([*parts.values()]).sum())

    def validation_step(self, batch: Batch, index: int) -> None:
        """Log the scores of `score`."""
        self.validated(_score_batch(self.network, batch, index), batch)


def fit_lure(recipe: LureRecipe, out: Path, resume: bool = False, devices: str = "auto", bar: bool = True) -> Path:
    """Train both stages; returns the path of the weights, `out`/weights.safetensors, and prints the scores.

    Arguments as for `fit.fit`. Raises TrainError for data that cannot be used.
    """
    torch.manual_seed(recipe.seed)
    untrained = make_lure(recipe).eval()
    module = LureModule(recipe)
    weights = run(module, recipe, out, resume, devices, bar)
    rows = {"untrained": untrained, "average": None, "trained": module.network.cpu().eval()}
    Terminal().print(compared(recipe.data, rows, _score_batch))
    return weights


def _score_batch(network: Lure | None, batch: Batch, index: int) -> dict[str, Tensor]:
    """Scores of a network on a batch, degraded with the seed `index`. network: None: average."""
    random = torch.Generator(batch[0].device).manual_seed(index)
    return score(network, make_restoration(batch[0], batch[1], random))


def stage_one(network: Lure, example: Restoration, weights: Weights) -> dict[str, Tensor]:
    """Weighted losses of stage one by name, eq. 4 without L_text, since the text encoder is trained separately.

    The frames of the two cameras are separate samples. Each is encoded with its prompt, and its clean frame with the
    pseudo prompt.
    """
    degraded = torch.cat([example.visible, example.infrared.expand(-1, 3, -1, -1)])
    clean = torch.cat([example.clear, example.sharp.expand(-1, 3, -1, -1)])
    prompts = torch.cat(split_prompts(example.strengths))
    pseudo = torch.cat(split_prompts(torch.zeros_like(example.strengths)))
    camera = torch.tensor([VISIBLE, INFRARED], device=degraded.device).repeat_interleave(len(example.visible))
    codes = network.encode(torch.cat([degraded, clean]), torch.cat([prompts, pseudo]), torch.cat([camera, camera]))
    restored, reconstructed = network.decode(codes, degraded).chunk(2)
    pairs = [code.chunk(2) for code in codes]
    return {
        "task": losses.restoration(restored, clean),
        "task_gradient": weights.task_gradient * losses.restored_gradient(restored, clean),
        "unified": weights.unified * losses.unified([a for a, _ in pairs], [b for _, b in pairs]),
        "recon": weights.recon * losses.restoration(reconstructed, clean),
    }


def stage_two(network: Lure, batch: Batch, weights: Weights) -> dict[str, Tensor]:
    """Weighted losses of stage two by name, eq. 7, on clean pairs with the pseudo prompt; encoders are frozen."""
    visible, thermal = batch[0].float() / 255, batch[1].float() / 255
    pseudo = split_prompts(torch.zeros(len(visible), TASK_COUNT, 1, 1, device=visible.device))
    with torch.no_grad():
        visible_codes = network.encode(visible, pseudo[0], VISIBLE)
        infrared_codes = network.encode(thermal.expand(-1, 3, -1, -1), pseudo[1], INFRARED)
    codes = [scale(x, y) for scale, x, y in zip(network.fusion, visible_codes, infrared_codes, strict=True)]
    fused = network.decode(codes, visible)
    bright, light = luma(fused), luma(visible)
    perceptual = losses.perceptual(bright, light) + losses.perceptual(bright, thermal)
    return {
        "intensity": weights.intensity * losses.intensity(bright, light, thermal),
        "colour": weights.colour * losses.chroma(fused, visible),
        "gradient": weights.gradient * losses.gradient(bright, light, thermal),
        "perceptual": weights.perceptual * perceptual / 2,
        "recon": weights.recon * losses.restoration(network.decode(visible_codes, visible), visible),
    }


def score(network: Lure | None, example: Restoration) -> dict[str, Tensor]:
    """Scores of restoration and fusion of degraded pairs with their prompts, means over the batch.

    network: None: no restoration, fusion by averaging. restored, infrared: PSNR in dB of the restored visible and
    infrared frame. The others: `losses.scores` of the fused luma against the clean frames of both cameras.
    """
    if network is None:
        restored, infrared = example.visible, example.infrared
        fused = (luma(restored) + infrared) / 2
    else:
        with torch.no_grad():
            coloured, restored = network.fuse(
                example.visible, example.infrared, torch.ones_like(example.infrared), example.strengths
            )
            codes = network.encode(
                example.infrared.expand(-1, 3, -1, -1), split_prompts(example.strengths)[1], INFRARED
            )
            infrared = luma(network.decode(codes, restored))
            fused = luma(coloured)
    fused, bright = fused.clamp(0, 1), luma(example.clear)
    return {
        "restored": psnr(restored, example.clear).mean(),
        "infrared": psnr(infrared, example.sharp).mean(),
    } | losses.scores(fused, bright, example.sharp)
