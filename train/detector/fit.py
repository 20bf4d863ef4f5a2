"""Training of the detector with Ultralytics' loss in the Lightning loop; weights are written after every epoch."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch import Tensor

from ...engines.detection.quiet import ultralytics
from ...engines.detection.weights import save_detector
from ..errors import TrainError
from ..loop import loop
from ..module import between
from .data import Batch, Examples, RandomCrops, WholeFrames
from .images import make_images
from .network import start_network
from .recipe import DetectorRecipe


class DetectorModule(lightning.LightningModule):
    """Lightning module of an Ultralytics network, configured by a recipe."""

    def __init__(self, recipe: DetectorRecipe, windows: RandomCrops) -> None:
        """windows: the training data, whose window size changes in the last part of the run."""
        super().__init__()
        self.recipe, self.windows, self.spent = recipe, windows, 0.0
        self._began = time.monotonic()
        settings = recipe.detector
        network: Any = start_network(
            settings.architecture, settings.start, settings.keep > 0, recipe.names, recipe.channels
        )
        self._start = {name: value.clone() for name, value in network.state_dict().items()} if settings.keep else {}
        network.to(memory_format=torch.channels_last)
        network.args = ultralytics("ultralytics.cfg").get_cfg()  # default weights of the three losses
        self.network: torch.nn.Module = network
        if settings.frozen >= len(network.model):
            raise TrainError(f"detector.frozen: {settings.frozen} of {len(network.model)} layers: none would learn")
        self._frozen: list[torch.nn.Module] = [network.model[number] for number in range(settings.frozen)]
        for layer in self._frozen:
            layer.requires_grad_(False)
        self._loss: Any = None

    def write(self, weights: Path) -> None:
        """Write the network, interpolated with its start weights if the recipe has `keep`."""
        keep = self.recipe.detector.keep
        save_detector(between(self.network, self._start, keep) if keep else self.network, weights)

    @property
    def progress(self) -> float:
        """Progress of the run by steps or by time, whichever is larger; reaches or exceeds 1 at the end."""
        minutes = (self.spent + time.monotonic() - self._began) / 60
        by_clock = minutes / self.recipe.minutes if self.recipe.minutes else 0.0
        return max(self.global_step / self.recipe.steps, by_clock)

    def train(self, mode: bool = True) -> DetectorModule:
        """Set the training mode; frozen layers stay in eval mode and keep their batch-norm statistics."""
        super().train(mode)
        for layer in self._frozen:
            layer.eval()
        return self

    def on_train_start(self) -> None:
        """Start the clock at the first step, not while the frames are created."""
        self._began = time.monotonic()

    def on_train_batch_start(self, batch: Batch, index: int) -> None:
        """Set the learning rate (warm-up over 4 %, cosine decay to 1 %) and the window size; stop at the end."""
        done = min(1.0, self.progress)
        rate = min((done + 1e-3) / 0.04, 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = self.recipe.rate * rate
        if done > 1 - self.recipe.last:
            self.windows.size = self.recipe.last_size
        if done >= 1:
            self.trainer.should_stop = True

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Sum of Ultralytics' box, classification and distribution focal losses per image."""
        loss, parts = self._cost(batch)
        self.log_dict({f"loss/{name}": value for name, value in parts.items()}, batch_size=1)
        self.log("loss", loss, prog_bar=True, batch_size=1)
        self.log("done", self.progress, prog_bar=True, batch_size=1)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """The same loss on held-out frames."""
        loss, _ = self._cost(batch)
        self.log("val/loss", loss, prog_bar=True, batch_size=len(batch["img"]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; no weight decay for biases and norms."""
        trainable = [parameter for parameter in self.parameters() if parameter.requires_grad]
        decayed = [parameter for parameter in trainable if parameter.ndim > 1]
        others = [parameter for parameter in trainable if parameter.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 5e-4}, {"params": others, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, self.recipe.rate, betas=(0.9, 0.99))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the elapsed seconds, so that a resumed run keeps its time limit."""
        checkpoint["spent"] = self.spent + time.monotonic() - self._began

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the elapsed seconds."""
        self.spent = float(checkpoint["spent"])

    def _cost(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss per image, and its components by name."""
        if self._loss is None:
            self._loss = ultralytics("ultralytics.utils.loss").v8DetectionLoss(self.network)
        images = (batch["img"].to(self.device).float() / 255).to(memory_format=torch.channels_last)
        predictions = self._loss.parse_output(self.network(images))
        with torch.autocast(self.device.type, enabled=False):
            predictions = {key: _float(value) for key, value in predictions.items()}
            losses, parts = self._loss.loss(predictions, batch)
        return losses.sum() / len(images), parts


def fit_detector(
    recipe: DetectorRecipe, out: Path, resume: bool = False, devices: str = "auto", bar: bool = True
) -> Path:
    """Train the detector; returns the path of the weights. See `fit.run` for the arguments.

    The training frames are created in `out`/frames unless they exist. Raises TrainError and Interrupted.
    """
    if not recipe.data:
        raise TrainError("data: this recipe has none: give a file of your recordings with --data FILE")
    frames = out / "frames"
    out.mkdir(parents=True, exist_ok=True)
    make_images(recipe, frames, bar)
    lightning.seed_everything(recipe.seed, verbose=False)
    examples = Examples(recipe, frames)
    windows = RandomCrops(recipe, examples, recipe.steps_per_epoch, recipe.seed)
    module = DetectorModule(recipe, windows)
    held = WholeFrames(examples.held, recipe.batch, recipe.last_size) if examples.held else None
    return loop(
        module,
        out,
        module.write,
        windows,
        held,
        EMAWeightAveraging(decay=recipe.average) if recipe.average > 0 else None,
        minutes=4,
        resume=resume,
        bar=bar,
        max_steps=recipe.steps,
        devices=devices,
        precision=recipe.precision,
        log_every_n_steps=25,
        gradient_clip_val=10.0,
    )


def _float(value: Any) -> Any:
    return [each.float() for each in value] if isinstance(value, list) else value.float()
