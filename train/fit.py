"""Training of a fusion network from a recipe, with Lightning's training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import lightning
import torch
from lightning.pytorch.callbacks import WeightAveraging
from rich import box
from rich.table import Table
from torch import Tensor

from ..engines.networks.realtime_core import FACTOR
from .data import PairDataset, find_pairs, split
from .errors import TrainError
from .loop import loop
from .module import Batch, FusionModule, Trained
from .recipe import Recipe, Source

Network = TypeVar("Network")


class Mixed(torch.utils.data.IterableDataset[Batch]):
    """`count` random batches; each comes from one source, drawn with probability proportional to its share."""

    def __init__(
        self,
        sources: list[Source],
        datasets: list[PairDataset],
        count: int,
        where: Callable[[], tuple[int, ...]] = tuple,
    ) -> None:
        """where: called at the start of an iteration; returns the integers that seed it (seed, rank, step), so that the
        same integers give the same batches.
        """
        self.sources, self.datasets, self.count, self.where = sources, datasets, count, where

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Batch]:
        shares = torch.tensor([source.share for source in self.sources])
        where = self.where()
        for number in range(self.count):
            with _random(*where, number):
                at = int(torch.multinomial(shares, 1))
                picked = torch.randint(len(self.datasets[at]), (self.sources[at].batch,)).tolist()
                batch = _collate([self.datasets[at][index] for index in picked], self.sources[at])
            yield batch


class Ordered(torch.utils.data.IterableDataset[Batch]):
    """All pairs of all sources once, in a fixed order."""

    def __init__(self, sources: list[Source], datasets: list[PairDataset]) -> None:
        self.sources, self.datasets = sources, datasets

    def __len__(self) -> int:
        return sum(-(-len(data) // source.batch) for source, data in zip(self.sources, self.datasets, strict=True))

    def __iter__(self) -> Iterator[Batch]:
        for source, data in zip(self.sources, self.datasets, strict=True):
            for start in range(0, len(data), source.batch):
                indices = range(start, min(start + source.batch, len(data)))
                with _random(start):
                    batch = _collate([data[index] for index in indices], source)
                yield batch


@contextmanager
def _random(*numbers: int) -> Iterator[None]:
    """Seed torch's CPU generator from `numbers` inside the block and restore its state afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(hash(numbers) % 2**63)
        yield


def _collate(pairs: list[tuple[Tensor, Tensor]], source: Source) -> Batch:
    visible, infrared = zip(*pairs, strict=True)
    return torch.stack(visible), torch.stack(infrared), torch.tensor(1 if source.grid == "core" else FACTOR)


def fit(recipe: Recipe, out: Path, resume: bool = False, devices: str = "auto", bar: bool = True) -> Path:
    """Train `RealtimeFusion`; returns the path of the weights, `out`/weights.safetensors. See `run`."""
    lightning.seed_everything(recipe.seed, workers=True, verbose=False)
    return run(FusionModule(recipe, out / "sheets"), recipe, out, resume, devices, bar)


def run(module: Trained, recipe: Recipe, out: Path, resume: bool, devices: str, bar: bool) -> Path:
    """Train a module on its recipe's data; returns the path of the weights, `out`/weights.safetensors.

    out: folder of the checkpoints (every 2 minutes), the weights (after every epoch), logs/*/metrics.csv and contact
    sheets. resume: resume from `out`/last.ckpt if it exists. devices: see Lightning's `Trainer`. bar: show a progress
    bar. Raises TrainError for unusable data and Interrupted when the user stops the run.
    """
    lightning.seed_everything(recipe.seed, workers=True, verbose=False)
    train = [_pairs(source, held=False) for source in recipe.data]
    for source, pairs in zip(recipe.data, train, strict=True):
        if not pairs.frames:
            raise TrainError(f"{source.root}: its only pair is held out, none is left to train on; set hold_out: 0")

    def where() -> tuple[int, ...]:
        return recipe.seed, module.global_rank, module.global_step

    return loop(
        module,
        out,
        module.write,
        Mixed(recipe.data, train, recipe.steps_per_epoch, where),
        _held_out(recipe.data),
        WeightAveraging(avg_fn=partial(averaged, decay=recipe.average)) if recipe.average > 0 else None,
        minutes=2,
        resume=resume,
        bar=bar,
        max_steps=recipe.length,
        devices=devices,
        precision=recipe.precision,
        log_every_n_steps=50,
        gradient_clip_val=1.0,
    )


def averaged(mean: Tensor, value: Tensor, count: Tensor | int, decay: float) -> Tensor:
    """Exponential moving average of a weight. count: number of values averaged so far.

    The decay starts small and grows to `decay`. A constant decay would keep the untrained weights, and the untrained
    variances of batch norm, in the average for thousands of steps.
    """
    return mean + (1 - min(decay, (1 + int(count)) / (10 + int(count)))) * (value - mean)


def _pairs(source: Source, held: bool) -> PairDataset:
    """The training or the validation pairs of a source."""
    pairs = split(find_pairs(source.root), source.hold_out, held)
    return PairDataset(pairs, source.size, source.grid == "frame", not held, 1.0 if held else source.zoom)


def _held_out(sources: list[Source]) -> Ordered:
    return Ordered(sources, [_pairs(source, held=True) for source in sources])


def compared(
    data: list[Source], rows: Mapping[str, Network], score: Callable[[Network, Batch, int], Mapping[str, Tensor]]
) -> Table:
    """Table of the mean scores of several networks on the held-out pairs.

    rows: networks by row name. score: maps (network, batch, batch index) to scores by name.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="held-out pairs")
    batches = _held_out(data)
    for at, (name, network) in enumerate(rows.items()):
        sums: dict[str, float] = {}
        count = 0
        for index, batch in enumerate(batches):
            for key, value in score(network, batch, index).items():
                sums[key] = sums.get(key, 0.0) + float(value) * len(batch[0])
            count += len(batch[0])
        if at == 0:
            table.add_column(f"{count} pairs")
            for key in sums:
                table.add_column(key, justify="right")
        table.add_row(name, *(f"{value / count:.3f}" for value in sums.values()))
    return table
