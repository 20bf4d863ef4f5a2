"""One training run: data and module from a recipe, Lightning's loop, weights at the end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.utils.data import DataLoader

from ..engines.networks.realtime_core import FACTOR
from .bar import Bar
from .data import PairDataset, find_pairs, split
from .errors import TrainError
from .module import Batch, FusionModule, Trained, save_weights
from .recipe import Recipe, Source
from .stop import Stop, checkpoint


class Mixed(torch.utils.data.IterableDataset[Batch]):
    """Batches of one source each, drawn by the sources' shares; `count` of them."""

    def __init__(self, sources: list[Source], datasets: list[PairDataset], count: int) -> None:
        self.sources, self.datasets, self.count = sources, datasets, count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Batch]:
        shares = torch.tensor([source.share for source in self.sources])
        for _ in range(self.count):
            at = int(torch.multinomial(shares, 1))
            picked = torch.randint(len(self.datasets[at]), (self.sources[at].batch,)).tolist()
            yield _collate([self.datasets[at][index] for index in picked], self.sources[at])


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
                yield _collate([data[index] for index in indices], source)


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
    stop = Stop()
    callbacks: list[lightning.Callback] = [checkpoints, Export(weights), stop]
    if recipe.average > 0:
        callbacks.insert(0, EMAWeightAveraging(decay=recipe.average))
    if bar:
        callbacks.append(Bar())
    trainer = lightning.Trainer(
        max_steps=recipe.steps,
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
    last = out / "last.ckpt"
    with stop.watched(last):
        trainer.fit(
            module,
            DataLoader(Mixed(recipe.data, train, recipe.steps_per_epoch), batch_size=None),
            DataLoader(Ordered(recipe.data, held), batch_size=None),
            ckpt_path=checkpoint(last, module) if resume else None,
            weights_only=True,
        )
        trainer.save_checkpoint(last, weights_only=False)
        if trainer.is_global_zero:
            save_weights(module.network, weights, module.about)
    return weights


def held_out(sources: list[Source]) -> list[PairDataset]:
    """The pairs of each source that validate."""
    return [
        PairDataset(
            split(find_pairs(source.root), source.hold_out, True), source.size, source.grid == "frame", mirror=False
        )
        for source in sources
    ]


class Export(lightning.Callback):
    """Writes the (averaged) weights after every validation."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Lightning's hook."""
        if trainer.is_global_zero and isinstance(pl_module, Trained):
            save_weights(pl_module.network, self.path, pl_module.about)
