"""Lightning's loop as every training here runs it: weights, checkpoints, logs, a bar, an orderly end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, IterableDataset

from .stop import Stop, checkpoint

Data = tuple[IterableDataset[Any], IterableDataset[Any] | None]


def loop(
    module: lightning.LightningModule,
    out: Path,
    write: Callable[[Path], None],
    data: Callable[[lightning.Trainer], Data],
    average: lightning.Callback | None,
    minutes: float,
    resume: bool,
    bar: bool,
    **settings: Any,
) -> Path:
    """Train; returns the path of the weights, `out`/weights.safetensors; logs/*/metrics.csv is beside them.

    write: writes the module's weights, at every epoch's end too. data: batches to train and to validate by, the latter
    None for none. average: of the weights. minutes: from checkpoint to checkpoint. resume: go on from `out`/last.ckpt.
    settings: more of Lightning's `Trainer`. Raises TrainError for a checkpoint of another network, Interrupted where
    the person ends the run.
    """
    out.mkdir(parents=True, exist_ok=True)
    weights, last = out / "weights.safetensors", out / "last.ckpt"
    interval, stop = timedelta(minutes=minutes), Stop(last)
    # averaging takes its weights out of the module again when it is told that a validation has ended, in this order
    callbacks: list[lightning.Callback] = [_Export(lambda: write(weights))]
    if average is not None:
        callbacks.append(average)
    callbacks += [ModelCheckpoint(out, "last", train_time_interval=interval, enable_version_counter=False), stop]
    if bar:
        callbacks.append(_Bar())
    trainer = lightning.Trainer(
        callbacks=callbacks,
        logger=CSVLogger(out, "logs"),  # a resumed run gets a file of its own
        num_sanity_val_steps=0,
        enable_progress_bar=bar,
        enable_model_summary=False,
        **settings,
    )
    train, held = data(trainer)
    with stop.watched():
        trainer.fit(
            module,
            DataLoader(train, batch_size=None),
            None if held is None else DataLoader(held, batch_size=None),
            ckpt_path=checkpoint(last, module) if resume else None,
            weights_only=True,
        )
        if trainer.is_global_zero:
            write(weights)
    return weights


class _Export(lightning.Callback):
    """Writes the weights that were validated, which are the averaged ones where the recipe averages."""

    def __init__(self, write: Callable[[], None]) -> None:
        self._write = write

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Lightning's hook."""
        if trainer.is_global_zero:
            self._write()


class _Bar(RichProgressBar):
    """Lightning's, without its count of epochs to come: steps or the clock end a run, and it would show -2 of them."""

    def _get_train_description(self, current_epoch: int) -> str:
        return f"Epoch {current_epoch + 1}".ljust(len(self.validation_description))
