"""One training run: data and module from a recipe, Lightning's loop, weights at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import CSVLogger
from rich import box
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader

from ..engines.networks.realtime_core import FACTOR
from .bar import Bar
from .data import PairDataset, find_pairs, split
from .errors import TrainError
from .module import Batch, FusionModule, Trained, save_weights
from .recipe import Recipe, Source
from .stop import Stop, checkpoint

Network = TypeVar("Network")


class Mixed(torch.utils.data.IterableDataset[Batch]):
    """Batches of one source each, drawn by the sources' shares; `count` of them."""

    def __init__(
        self,
        sources: list[Source],
        datasets: list[PairDataset],
        count: int,
        where: Callable[[], tuple[int, ...]] = tuple,
    ) -> None:
        """where: whole numbers that tell one draw of batches from all others, asked when it begins: seed, device, step.
        Equal numbers draw equal batches.
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
    """Every pair of every source once, in order."""

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
    """What is drawn in the block depends on these numbers alone, and changes nothing outside."""
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

    out: folder for checkpoints (every 2 minutes), weights at every epoch's end, logs/*/metrics.csv and contact sheets.
    resume: go on from `out`/last.ckpt if there is one. devices: as Lightning takes it.
    Raises TrainError for data that cannot be used, Interrupted where the person ends the run.
    """
    lightning.seed_everything(recipe.seed, workers=True, verbose=False)
    train = [
        PairDataset(split(find_pairs(source.root), source.hold_out, False), source.size, source.grid == "frame")
        for source in recipe.data
    ]
    for source, pairs in zip(recipe.data, train, strict=True):
        if not pairs.frames:
            raise TrainError(f"{source.root}: its only pair is held out, none is left to train on; set hold_out: 0")
    held = held_out(recipe.data)
    out.mkdir(parents=True, exist_ok=True)
    weights = out / "weights.safetensors"
    checkpoints = ModelCheckpoint(out, "last", train_time_interval=timedelta(minutes=2), enable_version_counter=False)
    last = out / "last.ckpt"
    stop = Stop(last)
    # averaging takes its weights out of the module again when it is told that a validation has ended, in this order
    callbacks: list[lightning.Callback] = [Export(weights)]
    if recipe.average > 0:
        callbacks.append(WeightAveraging(avg_fn=partial(averaged, decay=recipe.average)))
    callbacks += [checkpoints, stop]
    if bar:
        callbacks.append(Bar())
    trainer = lightning.Trainer(
        max_steps=recipe.length,
        devices=devices,
        precision=recipe.precision,
        callbacks=callbacks,
        logger=CSVLogger(out, "logs"),  # a resumed run gets a file of its own
        log_every_n_steps=50,
        num_sanity_val_steps=0,
        enable_progress_bar=bar,
        enable_model_summary=False,
        gradient_clip_val=1.0,
    )

    def where() -> tuple[int, ...]:
        return recipe.seed, trainer.global_rank, trainer.global_step

    with stop.watched():
        trainer.fit(
            module,
            DataLoader(Mixed(recipe.data, train, recipe.steps_per_epoch, where), batch_size=None),
            DataLoader(Ordered(recipe.data, held), batch_size=None),
            ckpt_path=checkpoint(last, module) if resume else None,
            weights_only=True,
        )
        if trainer.is_global_zero:
            save_weights(module.network, weights, module.about)
    return weights


def averaged(mean: Tensor, value: Tensor, count: Tensor | int, decay: float) -> Tensor:
    """The running mean of a weight with its next value; count: of values so far.

    Short at first: at once as long as `decay` makes it, it would hold the untrained weights, and batch norm's untrained
    variances, for thousands of steps.
    """
    return mean + (1 - min(decay, (1 + int(count)) / (10 + int(count)))) * (value - mean)


def held_out(sources: list[Source]) -> list[PairDataset]:
    """The pairs of each source that validate."""
    return [
        PairDataset(
            split(find_pairs(source.root), source.hold_out, True), source.size, source.grid == "frame", mirror=False
        )
        for source in sources
    ]


def compared(
    data: list[Source], rows: Mapping[str, Network], score: Callable[[Network, Batch, int], Mapping[str, Tensor]]
) -> Table:
    """Means of the scores of each row's network on the held-out pairs, and their number.

    score: of a network on a batch with its number, by name.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="held-out pairs")
    batches = Ordered(data, held_out(data))
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


class Export(lightning.Callback):
    """Writes the weights that were validated, which are the averaged ones where the recipe averages."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Lightning's hook."""
        if trainer.is_global_zero and isinstance(pl_module, Trained):
            save_weights(pl_module.network, self.path, pl_module.about)
