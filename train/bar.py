"""The progress bar of a training."""

from __future__ import annotations

from lightning.pytorch.callbacks import RichProgressBar


class Bar(RichProgressBar):
    """Lightning's, without its count of epochs to come: steps or the clock end a run, and it would show -2 of them."""

    def _get_train_description(self, current_epoch: int) -> str:
        return f"Epoch {current_epoch + 1}".ljust(len(self.validation_description))
