"""Training of the papers' own networks, IASSF and DFVO, with the papers' losses and hyper-parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from pydantic import Field, model_validator
from torch import Generator, Tensor, nn
from torchvision.transforms.functional import normalize

from ..engines import physics
from ..engines.host.terminal import Terminal
from ..engines.networks import checkpoints, dfvo, iassf
from ..engines.networks.io import luma
from . import losses
from .degrade import Mixture, degrade, histogram
from .errors import TrainError
from .fit import compared, run
from .module import Batch, Trained, optimised
from .recipe import Recipe, Strict

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class IassfSettings(Strict):
    """Settings of IASSF. The switches are the ablations of its Table VII, see `engines.networks.iassf.Profile`."""

    variant: Literal["full", "small"] = "full"
    assisted: bool = True
    haze: bool = True
    prompt: bool = True
    embed: bool = True
    fusion_prompt: bool = True
    fusion_embed: bool = True
    restoration: float = Field(2, ge=0)
    """λ of eq. 9."""


class DfvoSettings(Strict):
    """Settings of DFVO: weights of its losses, from the paper or else from the published code."""

    variant: Literal["full", "small"] = "full"
    prior: Literal["contrast", "resnet18"] = "contrast"
    """Features in which enhanced and histogram-equalised frame are compared: local contrast, or, as in the paper,
    those of a ResNet-18, whose weights torchvision downloads."""
    infrared: float = Field(10, ge=0)
    retinex: float = Field(500, ge=0)
    smoothness: float = Field(1, ge=0)
    """Weight of eq. 14, whose two terms have their own factors 1.35 and 1.55."""
    histogram: float = Field(2.5, ge=0)
    content: float = Field(1.75, ge=0)
    structure: float = Field(0.65, ge=0)
    colour: float = Field(0.35, ge=0)
    fusion: float = Field(10, ge=0)
    """Final weight of the fusion task (eq. 25), reached in 100 increments, one per epoch in the paper."""
    over_exposed: float = Field(7, gt=0)
    """Threshold of over-exposure relative to the mean of the refined dark channel (eq. 18)."""


class PaperRecipe(Recipe):
    """A recipe with the key `iassf` or `dfvo`, which replaces `network` and `losses`."""

    iassf: IassfSettings | None = None
    dfvo: DfvoSettings | None = None
    betas: tuple[float, float] = (0.9, 0.999)
    """β1 and β2 of Adam."""
    decay: float = Field(0.01, ge=0)
    """Weight decay of AdamW; 0: Adam."""
    falls: float = Field(0.01, gt=0, le=1)
    """Final learning rate of the cosine decay relative to the initial one; 1: constant."""

    @model_validator(mode="after")
    def _own(self) -> PaperRecipe:
        if (self.iassf is None) == (self.dfvo is None):
            raise ValueError("give one of `iassf` and `dfvo`")
        for key in ("network", "losses"):
            if key in self.model_fields_set:
                raise ValueError(f"`{key}` does not apply to this network")
        return self

    @property
    def name(self) -> str:
        """Name of the network."""
        return "dfvo" if self.iassf is None else "iassf"


class IassfTask:
    """IASSF, eq. 6-9, with random haze in every batch, flips and 90° rotations."""

    def __init__(self, settings: IassfSettings, mixture: Mixture) -> None:
        switches = settings.model_dump(exclude={"variant", "restoration"})
        self.network = iassf.IASSF(replace(iassf.PROFILES[settings.variant], **switches))
        self.settings, self.mixture = settings, mixture

    def cost(self, visible: Tensor, infrared: Tensor, random: Generator, progress: float) -> dict[str, Tensor]:
        """Weighted losses by name. visible: (N, 3, h, w), infrared: (N, 1, h, w), clear, in [0, 1]. progress: of the
        training, 0 to 1.
        """
        clear, thermal = turned(visible, infrared, random)
        hazy = degrade(clear, thermal, self.mixture, random).visible
        fused, restored, _ = _run(self.network, hazy, thermal)
        return {
            "intensity": losses.intensity(fused, clear, thermal),
            "gradient": losses.gradient(fused, clear, thermal),
            "restoration": self.settings.restoration * losses.restoration(restored, clear),
        }

    def fuse(self, visible: Tensor, infrared: Tensor, random: Generator, network: Any) -> Tensor:
        """Luma of the fused batch, (N, 1, h, w) in [0, 1]. Inputs as for `cost`. network: None: average."""
        hazy = degrade(visible, infrared, self.mixture, random).visible
        fused = (luma(hazy) + infrared) / 2 if network is None else luma(_run(network, hazy, infrared)[0])
        return fused.clamp(0, 1)


class DfvoTask:
    """DFVO, eq. 10-25, self-supervised: trains on dark frames without ground truth."""

    def __init__(self, settings: DfvoSettings) -> None:
        self.network, self.settings = dfvo.DFVO(dfvo.PROFILES[settings.variant]), settings
        resnet = settings.prior == "resnet18"
        self._prior: Callable[[Tensor, Tensor], Tensor] = Features() if resnet else losses.perceptual

    def cost(self, visible: Tensor, infrared: Tensor, random: Generator, progress: float) -> dict[str, Tensor]:
        """See `IassfTask`."""
        own, bright = self.settings, luma(visible)
        light, enhanced, rebuilt, fused = self.network.tasks(bright, infrared)
        chroma = visible - bright
        equal = equalised(bright)
        # detached: the fusion losses do not train the decoders of the other tasks
        source = strip_over_exposure(enhanced.detach(), infrared, visible, own.over_exposed)
        weight = own.fusion * int(100 * progress) / 100
        return {
            "infrared": own.infrared * losses.restoration(rebuilt, infrared),
            "retinex": own.retinex * losses.retinex(enhanced, light, bright),
            "smoothness": own.smoothness * losses.mutual_smoothness(light, bright),
            "histogram": own.histogram * self._prior(enhanced + chroma, equal + chroma),
            "content": weight * own.content * losses.content(fused, source, infrared),
            "structure": weight * own.structure * losses.structure(fused, source, infrared),
            "colour": weight * own.colour * losses.colour(fused + chroma, enhanced.detach() + chroma),
        }

    def fuse(self, visible: Tensor, infrared: Tensor, random: Generator, network: Any) -> Tensor:
        """See `IassfTask`."""
        bright = luma(visible)
        fused: Tensor = (bright + infrared) / 2 if network is None else network.fuse(bright, infrared)
        return fused


Task = IassfTask | DfvoTask


class Features(nn.Module):
    """Feature loss, eq. 15: mean (ψ(A) - ψ(B))², ψ the trunk of a ResNet-18 trained on ImageNet."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import ResNet18_Weights, resnet18

        try:
            network = resnet18(weights=ResNet18_Weights.IMAGENET1K_V1)
        except OSError as error:
            raise TrainError(f"prior: resnet18: its weights cannot be downloaded: {error}; use contrast") from error
        self.trunk = nn.Sequential(*list(network.children())[:8]).eval().requires_grad_(False)

    def forward(self, image: Tensor, reference: Tensor) -> Tensor:
        """Compute the loss. image, reference: (N, 3, h, w) RGB in [0, 1]."""
        self.to(image.device)
        a, b = (self.trunk(normalize(x, *IMAGENET)) for x in (image, reference))
        difference: Tensor = a - b
        return (difference * difference).mean()


def turned(visible: Tensor, infrared: Tensor, random: Generator) -> tuple[Tensor, Tensor]:
    """Randomly flip both batches and, if square, rotate them by multiples of 90°; all items equally."""
    both = torch.cat([visible, infrared], dim=1)
    flip, quarter = torch.randint(0, 4, (2,), generator=random, device=random.device).tolist()
    if flip & 1:
        both = both.flip(2)
    if flip & 2:
        both = both.flip(3)
    if both.shape[2] == both.shape[3]:
        both = both.rot90(quarter, (2, 3))
    return both[:, :3], both[:, 3:]


def equalised(bright: Tensor) -> Tensor:
    """Histogram equalisation of each item over 256 levels, as in OpenCV. (N, 1, h, w) in [0, 1]. No gradient."""
    levels, counts = histogram(bright.detach())
    cdf = counts.cumsum(dim=1)
    lowest = torch.where(counts > 0, cdf, torch.inf).amin(dim=1, keepdim=True)
    table = (cdf - lowest).clamp(min=0) / (levels.shape[1] - lowest).clamp(min=1)
    return table.gather(1, levels).view_as(bright)


def strip_over_exposure(enhanced: Tensor, infrared: Tensor, visible: Tensor, factor: float) -> Tensor:
    """Replace over-exposed pixels by infrared, eq. 17-19. Returns (N, 1, h, w).

    A pixel is over-exposed if the refined dark channel of `visible` exceeds `factor` times its mean.
    """
    dark = physics.dark_channel(visible, 10)
    dark = physics.guided_filter(luma(visible), dark, 31, 1e-2)
    return torch.where(dark > factor * dark.mean((2, 3), True), infrared, enhanced)


def make_task(recipe: PaperRecipe) -> Task:
    """Create the untrained network of a recipe and its training task."""
    if recipe.iassf is not None:
        return IassfTask(recipe.iassf, recipe.mixture)
    assert recipe.dfvo is not None
    return DfvoTask(recipe.dfvo)


class PaperModule(Trained):
    """Lightning module of a paper's network. Batches are (visible, infrared, factor); the first two are uint8."""

    def __init__(self, recipe: PaperRecipe, task: Task) -> None:
        self.recipe: PaperRecipe
        super().__init__(recipe, task.network, checkpoints.describe(recipe.name, task.network.profile))
        self.task = task

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with cosine decay of the learning rate; without weight decay it equals Adam."""
        own, trainable = self.recipe, [parameter for parameter in self.network.parameters() if parameter.requires_grad]

        def schedule(part: str, step: int) -> float:
            return own.falls + (1 - own.falls) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / own.steps)))

        return optimised({"whole": trainable}, own.rate, schedule, own.betas, own.decay)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Sum of the weighted losses."""
        progress = self.global_step / self.recipe.steps
        parts = self.task.cost(batch[0].float() / 255, batch[1].float() / 255, self.drawing(), progress)
        return self.logged(parts, torch.stack([*parts.values()]).sum())

    def validation_step(self, batch: Batch, index: int) -> None:
        """Log `losses.scores`."""
        self.validated(_score_batch(self.task, self.network, batch, index), batch)


def fit_paper(recipe: PaperRecipe, out: Path, resume: bool = False, devices: str = "auto", bar: bool = True) -> Path:
    """Train; returns the path of the weights, `out`/weights.safetensors, and prints the scores on held-out pairs.

    Arguments as for `fit.fit`. Raises TrainError for data that cannot be used.
    """
    torch.manual_seed(recipe.seed)
    task = make_task(recipe)
    untrained = deepcopy(task.network).eval()
    weights = run(PaperModule(recipe, task), recipe, out, resume, devices, bar)
    trained = task.network.cpu().eval()
    rows = {"untrained": untrained, "average": None, recipe.name: trained}
    Terminal().print(compared(recipe.data, rows, partial(_score_batch, task)))
    return weights


def _score_batch(task: Task, network: nn.Module | None, batch: Batch, index: int) -> dict[str, Tensor]:
    """Scores of a network on a batch, degraded with the seed `index`. network: None: average."""
    random = torch.Generator(batch[0].device).manual_seed(index)
    visible, infrared = batch[0].float() / 255, batch[1].float() / 255
    with torch.no_grad():
        return losses.scores(task.fuse(visible, infrared, random, network), luma(visible), infrared)


def _run(network: iassf.IASSF, hazy: Tensor, infrared: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return network.fuse(hazy, infrared, torch.ones_like(infrared), torch.ones_like(infrared[:1, :, :1, :1]))
