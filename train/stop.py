"""Stopping a training early with a checkpoint (Ctrl-C, SIGTERM, closed terminal or divergence), and resuming it."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
import torch

from .errors import Interrupted, TrainError

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


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
