"""What ends a training early, and going on: Ctrl-C, SIGTERM and a closed terminal, with a checkpoint; divergence."""

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

_ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def checkpoint(last: Path, module: lightning.LightningModule) -> Path | None:
    """The checkpoint to go on from; None where there is none yet. TrainError for one that is not of this module."""
    if not last.exists():
        return None
    advice = "train without --resume, or into another --out"
    try:
        there = torch.load(last, map_location="cpu", weights_only=True)["state_dict"]
    except Exception as error:  # torch raises what its archive, pickle and tensor readers do
        raise TrainError(f"{last}: damaged, or not a checkpoint of a training; {advice}") from error
    own = module.state_dict()
    if {name: value.shape for name, value in there.items()} != {name: value.shape for name, value in own.items()}:
        raise TrainError(f"{last}: of another network than the recipe's; {advice}")
    return last


class Stop(lightning.Callback):
    """Ends a run when the person asks for it; the second Ctrl-C raises KeyboardInterrupt as usual.

    Lightning's own answer is to leave at once: without a checkpoint, and as if finished after SIGTERM.
    """

    def __init__(self, last: Path) -> None:
        """last: where the checkpoint goes."""
        self.asked, self.last = False, last
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Lightning's hook, called after Lightning has set its own handlers."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in _ENDING}

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, *args: object
    ) -> None:
        """Lightning's hook. TrainError for a loss that is not finite: nothing good comes after it."""
        loss = float(outputs["loss"])
        if not math.isfinite(loss):
            raise TrainError(
                f"the loss is {loss} at step {trainer.global_step}: diverged; lower `rate`, or mend the data"
            )
        if self.asked:
            trainer.limit_val_batches = 0  # Lightning would validate first, for minutes
            trainer.should_stop = True
        if trainer.should_stop or trainer.global_step >= trainer.max_steps:
            # now: when all has ended, the averaged weights have taken the place of those that learn
            trainer.save_checkpoint(self.last, weights_only=False)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Around the run. Raises Interrupted behind it where the run was ended."""
        try:
            yield
        finally:
            for number, handler in self._before.items():
                signal.signal(number, handler)
        if self.asked:
            raise Interrupted(f"stopped; {self.last} has everything so far: go on with --resume")

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
