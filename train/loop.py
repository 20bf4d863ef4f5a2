"""The Lightning training loop that all trainings share: weights, checkpoints, logs, progress bar, clean shutdown.

A run may stop early (Ctrl-C, SIGTERM, closed terminal or divergence), with a checkpoint to resume from.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import LambdaCallback, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, IterableDataset

from .errors import Interrupted, TrainError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def loop(
    module: lightning.LightningModule,
    out: Path,
    write: Callable[[Path], None],
    train: IterableDataset[Any],
    held: IterableDataset[Any] | None,
    average: lightning.Callback | None,
    minutes: float,
    resume: bool,
    bar: bool,
    **settings: Any,
) -> Path:
    """Train a module; returns the path of the weights, `out`/weights.safetensors. Metrics: `out`/logs/*/metrics.csv.

    write: writes the module's weights to a path, after every epoch and at the end. train: the training batches. held:
    the validation batches. average: callback that averages the weights. minutes: interval of the checkpoints. resume:
    resume from `out`/last.ckpt. bar: show a progress bar. settings: passed to Lightning's `Trainer`. Raises TrainError
    for an unusable checkpoint and Interrupted when the user stops the run.
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


def checkpoint(last: Path, module: lightning.LightningModule) -> Path | None:
    """The checkpoint to resume from, or None if there is none. Raises TrainError if it does not fit the module."""
    if not last.exists():
        return None
    advice = "train without --resume, or into another --out"
    try:
        saved = torch.load(last, map_location="cpu", weights_only=True)["state_dict"]
    except Exception as error:  # torch.load raises many types for damaged files
        raise TrainError(f"{last}: damaged, or not a checkpoint of a training; {advice}") from error
    own = module.state_dict()
    if {name: value.shape for name, value in saved.items()} != {name: value.shape for name, value in own.items()}:
        raise TrainError(f"{last}: checkpoint of a different network than the recipe's; {advice}")
    return last


class InterruptHandler(lightning.Callback):
    """Stops a run on a signal and saves a checkpoint; a second signal raises KeyboardInterrupt.

    Lightning itself would exit immediately without a checkpoint, and report success after SIGTERM.
    """

    def __init__(self, last: Path) -> None:
        """last: path of the checkpoint."""
        self.requested, self.last = False, last
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Lightning's hook, called after Lightning has set its own handlers."""
        if threading.current_thread() is threading.main_thread():
            # what nohup ignores stays ignored: a training outlives its terminal
            caught = [n for n in _SIGNALS if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._handle) for number in caught}

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, *args: object
    ) -> None:
        """Lightning's hook. Raises TrainError if the loss is not finite."""
        loss = float(outputs["loss"])
        if not math.isfinite(loss):
            raise TrainError(
                f"the loss is {loss} at step {trainer.global_step}: diverged; lower `rate`, or check the data"
            )
        if self.requested:
            trainer.limit_val_batches = 0  # otherwise Lightning would validate first, which takes minutes
            trainer.should_stop = True
        if trainer.should_stop or trainer.global_step >= trainer.max_steps:
            # save now: at the end of the fit the averaged weights replace the trained ones
            trainer.save_checkpoint(self.last, weights_only=False)

    @contextmanager
    def handle_signals(self) -> Iterator[None]:
        """Context of the run: restores the signal handlers, then raises Interrupted if a signal stopped the run."""
        try:
            yield
        finally:
            for number, handler in self._before.items():
                signal.signal(number, handler)
        if self.requested:
            raise Interrupted(f"stopped; checkpoint saved to {self.last}: continue with --resume")

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


class _Bar(RichProgressBar):
    """Lightning's progress bar without the number of epochs: steps or time limit a run, and it would show "/-2"."""

    def _get_train_description(self, current_epoch: int) -> str:
        return f"Epoch {current_epoch + 1}".ljust(len(self.validation_description))
