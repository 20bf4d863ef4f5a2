"""LURE's training run, and what it is worth: scores on held-out pairs beside the average and the untrained network."""

from __future__ import annotations

from pathlib import Path

import torch
from rich import box
from rich.table import Table

from ...engines.host.terminal import Terminal
from ...engines.networks.lure import Lure
from ..fit import Ordered, held_out, run
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
    rows = {"untrained": untrained, "average": None, "trained": module.network_of.cpu().eval()}
    Terminal().print(compare(recipe, rows))
    return weights


def compare(recipe: LureRecipe, rows: dict[str, Lure | None]) -> Table:
    """Scores (see `score`) of each row's network on the recipe's held-out pairs; None: what was given, averaged."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="held-out pairs, degraded")
    data = Ordered(recipe.data, held_out(recipe.data))
    for at, (name, network) in enumerate(rows.items()):
        sums: dict[str, float] = {}
        count = 0
        for index, (visible, infrared, _) in enumerate(data):
            example = make_restoration(visible, infrared, torch.Generator().manual_seed(index))
            for key, value in score(network, example).items():
                sums[key] = sums.get(key, 0.0) + float(value) * len(visible)
            count += len(visible)
        if at == 0:
            table.add_column(f"{count} pairs")
            for key in sums:
                table.add_column(key, justify="right")
        table.add_row(name, *(f"{value / count:.3f}" for value in sums.values()))
    return table
