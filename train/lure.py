"""Training of LURE: restoration of single-camera frames first, then fusion in the learned latent space."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Generator, Tensor

from ..engines import physics
from ..engines.host.terminal import Terminal
from ..engines.networks import checkpoints
from ..engines.networks.io import luma
from ..engines.networks.lure import FULL, INFRARED, SMALL, VISIBLE, Lure, split_prompts
from ..engines.networks.tasks import TASKS
from . import degrade, losses
from .fit import compared, run
from .module import Batch, Trained, filled, psnr
from .objective import lifted
from .recipe import Recipe, Strict
from .veils import choose, drawn, uniform

TASK_COUNT = len(TASKS)
HALF = TASK_COUNT // 2
DARK = 0.2
"""Mean luma below which a frame is already dark; for `low light` the target is then the enhanced frame."""


class Weights(Strict):
    """Weights of the losses, by their names in the paper, which gives no values."""

    task_gradient: float = Field(0.5, ge=0)
    """α_task, weight of the Sobel term of L_task."""
    unified: float = Field(0.2, ge=0)
    """α1 of stage one."""
    recon: float = Field(0.5, ge=0)
    """α2 of stage one; in stage two it keeps the decoder able to reconstruct single images."""
    intensity: float = Field(1, ge=0)
    """Stage two: compares the fused luma with max(V, I); in the paper the perceptual term sets its level."""
    colour: float = Field(2, ge=0)
    gradient: float = Field(1, ge=0)
    """α1 of stage two."""
    perceptual: float = Field(0.1, ge=0)
    """α2 of stage two."""


class Settings(Strict):
    """Settings of LURE. The switches are the ablations of the paper."""

    small: bool = False
    """The small variant of `networks.lure`."""
    inner_residual: bool = True
    tga: Literal["attention", "gate"] = "attention"
    rule: Literal["l1", "addition", "none"] = "l1"
    first: float = Field(0.6, gt=0, lt=1)
    """Share of the steps that stage one takes."""
    start: Path | None = None
    """Weights to start from, safetensors."""
    losses: Weights = Weights()


class LureRecipe(Recipe):
    """A recipe with the key `lure`, which replaces `network`, `mixture` and `losses`."""

    lure: Settings = Settings()

    @model_validator(mode="after")
    def _own(self) -> LureRecipe:
        for key in ("network", "mixture", "losses"):
            if key in self.model_fields_set:
                raise ValueError(f"`{key}` does not apply to this network; set it under `lure`")
        return self


class Restoration(NamedTuple):
    """Degraded pairs, their ground truth, and the strengths of the tasks in their prompts."""

    visible: Tensor
    """(N, 3, h, w), degraded."""
    infrared: Tensor
    """(N, 1, h, w), degraded."""
    clear: Tensor
    """(N, 3, h, w), ground truth of visible."""
    sharp: Tensor
    """(N, 1, h, w), ground truth of infrared."""
    strengths: Tensor
    """Strength of each of TASKS, (N, len(TASKS), 1, 1), 0 or 1."""


def make_restoration(visible: Tensor, infrared: Tensor, random: Generator) -> Restoration:
    """Degrade uint8 pairs, (N, 3, h, w) and (N, 1, h, w), by random tasks.

    Each frame gets one of the three tasks of its camera, or none with probability 1/7. A fifth of the visible frames
    get a second task. The order is physical: low light, then haze, then over-exposure.
    """
    clear, sharp = visible.float() / 255, infrared.float() / 255
    n, device = clear.shape[0], clear.device

    def one_of(share: float) -> Tensor:
        picked = F.one_hot(torch.randint(HALF, (n,), generator=random, device=device), HALF).bool()
        return picked & drawn(n, share, random)[:, None]

    visible_tasks = one_of(6 / 7) | one_of(0.2)
    infrared_tasks = one_of(6 / 7)
    hazy, dark, bright = visible_tasks.unbind(dim=1)
    weak, by_four, by_eight = infrared_tasks.unbind(dim=1)

    night = luma(clear).mean(dim=(1, 2, 3)) < DARK
    scene = choose(dark & ~night, degrade.darken(clear, random), clear)
    lift = torch.ones(n, 1, 1, 1, device=device)
    light = physics.illumination(clear, 4, 15, 4e-3)
    target = choose(dark & night, lifted(clear, light, lift), clear)
    t = degrade.transmission(luma(clear), 0.1, 0.8, random, 0.6)
    scene = choose(hazy, degrade.haze(scene, t, degrade.airlight(clear, 0.55, random)), scene)
    scene = choose(bright, overexpose(scene, random), scene)
    scene = degrade.sensor_noise(scene, uniform(n, 0, 0.006, random), random)

    thermal = choose(weak, degrade.weaken(sharp, random), sharp)
    thermal = choose(by_four, coarsen(thermal, 4), thermal)
    thermal = choose(by_eight, coarsen(thermal, 8), thermal)
    strengths = torch.cat([visible_tasks, infrared_tasks], dim=1).float()[..., None, None]
    return Restoration(degrade.quantise(scene), degrade.quantise(thermal), target, sharp, strengths)


def overexpose(image: Tensor, random: Generator) -> Tensor:
    """Over-expose a frame by a factor of 1.3 to 2.5 with local glare; values above 1 are clipped."""
    gain = uniform(len(image), 1.3, 2.5, random)
    return (degrade.glare(image, random) * gain).clamp(0, 1)


def coarsen(image: Tensor, factor: int) -> Tensor:
    """Reduce the resolution by `factor`: area average, then bicubic interpolation to the original size."""
    small = physics.reduce(image, factor)
    return F.interpolate(small, size=image.shape[-2:], mode="bicubic", align_corners=False).clamp(0, 1)


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
