"""Training of LURE, and its scores on held-out pairs beside the average and the untrained network."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ...engines.host.terminal import Terminal
from ...engines.networks.lure import Lure
from ..fit import compared, run
from ..module import Batch
from .examples import make_restoration
from .module import LureModule, make_lure, score
from .recipe import LureRecipe


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
    return score(network, make_restoration(batch[0], batch[1], torch.Generator().manual_seed(index)))
