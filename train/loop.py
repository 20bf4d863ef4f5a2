"""The Lightning training loop that all trainings share: weights, checkpoints, logs, progress bar, clean shutdown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import LambdaCallback, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, IterableDataset

from .stop import InterruptHandler, checkpoint

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
    """Train a module; returns the path of the weights, `out`/weights.safetensors. Metrics: `out`/logs/*/metrics.csv.

    write: writes the module's weights to a path, after every epoch and at the end. data: returns the training and the
    validation batches; the latter may be None. average: callback that averages the weights. minutes: interval of the
    checkpoints. resume: resume from `out`/last.ckpt. bar: show a progress bar. settings: passed to Lightning's
    `Trainer`. Raises TrainError for an unusable checkpoint and Interrupted when the user stops the run.
    """
    out.mkdir(parents=True, exist_ok=True)
    weights, last = out / "weights.safetensors", out / "last.ckpt"
    interval, stop = timedelta(minutes=minutes), InterruptHandler(last)

    def export(trainer: lightning.Trainer, *_: object) -> None:
        if trainer.is_global_zero:
            write(weights)

    # order matters: `export` must write before the averaging callback swaps its weights out again after validation
    callbacks: list[lightning.Callback] = [LambdaCallback(on_validation_epoch_end=export)]
    if average is not None:
        callbacks.append(average)
    callbacks += [ModelCheckpoint(out, "last", train_time_interval=interval, enable_version_counter=False), stop]
    if bar:
        callbacks.append(_Bar())
    trainer = lightning.Trainer(
        callbacks=callbacks,
        logger=CSVLogger(out, "logs"),  # a resumed run writes a new file
        num_sanity_val_steps=0,
        enable_progress_bar=bar,
        enable_model_summary=False,
        **settings,
    )
    train, held = data(trainer)
    with stop.handle_signals():
        trainer.fit(
            module,
            DataLoader(train, batch_size=None),
            None if held is None else DataLoader(held, batch_size=None),
            ckpt_path=checkpoint(last, module) if resume else None,
            weights_only=True,
        )
        export(trainer)
    return weights


class _Bar(RichProgressBar):
    """Lightning's progress bar without the number of epochs: steps or time limit a run, and it would show "/-2"."""

    def _get_train_description(self, current_epoch: int) -> str:
        return f"Epoch {current_epoch + 1}".ljust(len(self.validation_description))
