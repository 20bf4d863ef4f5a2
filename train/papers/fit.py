"""Training of IASSF or DFVO, and its scores beside the average and the untrained network."""

from __future__ import annotations

import math
from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from ...engines.host.terminal import Terminal
from ...engines.networks import checkpoints
from ..fit import compared, run
from ..losses import scores
from ..module import Batch, Trained
from .recipe import PaperRecipe
from .tasks import DfvoTask, IassfTask, Task


def make_task(recipe: PaperRecipe) -> Task:
    """Create the untrained network of a recipe and its training task."""
    if recipe.iassf is not None:
        return IassfTask(recipe.iassf, recipe.mixture)
    assert recipe.dfvo is not None
    return DfvoTask(recipe.dfvo)


class PaperModule(Trained):
    """Lightning module of a paper's network. Batches are (visible, infrared, factor); the first two are uint8."""

    def __init__(self, recipe: PaperRecipe, task: Task) -> None:
        super().__init__(recipe, task.network, checkpoints.describe(recipe.name, task.network.profile))
        self.task, self.own = task, recipe

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with cosine decay of the learning rate; without weight decay it equals Adam."""
        own, trainable = self.own, [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        optimiser = torch.optim.AdamW(trainable, own.rate, betas=own.betas, weight_decay=own.decay)

        def rate(step: int) -> float:
            return own.falls + (1 - own.falls) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / own.steps)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Sum of the weighted losses."""
        progress = self.global_step / self.own.steps
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
    with torch.no_grad():
        return scores(*task.fuse(batch[0].float() / 255, batch[1].float() / 255, random, network))
