"""The Lightning module: training steps, validation against the dark-channel prior, and a contact sheet per epoch."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import cv2
import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ..calib.atomic import write_atomic
from ..engines import EngineError, physics
from ..engines.networks import checkpoints
from ..engines.networks.realtime import Fusion, RealtimeFusion
from ..engines.networks.realtime_core import PROFILES, Profile
from .degrade import Mixture
from .errors import TrainError, as_train_error
from .objective import Example, cost, make_example, run
from .recipe import Recipe

Batch = tuple[Tensor, Tensor, Tensor]
"""Visible (N, 3, h, w) uint8 RGB, infrared (N, 1, h, w) uint8, grid step of the core (scalar)."""
Net = TypeVar("Net", bound=torch.nn.Module)
SHEET_ROWS = 8
"""Most rows of a contact sheet."""


def make_network(recipe: Recipe) -> RealtimeFusion:
    """Create the recipe's network and load its start weights, if any. Raises TrainError for weights of another one."""
    config = recipe.network
    start = None if config.start is None else own(config.profile, config.start)
    profile = PROFILES[config.profile] if start is None else start.profile
    ranges = {name: getattr(config, name) for name in ("air", "field", "bounded") if getattr(config, name) is not None}
    network = RealtimeFusion(replace(profile, **ranges, haze=config.haze, light=config.light, gate=config.gate))
    if start is not None:
        network.load_state_dict(_rescaled(start, network.profile))
    return network


def _rescaled(start: RealtimeFusion, profile: Profile) -> dict[str, Tensor]:
    """State dict of `start` for a profile with other ranges of the airlight's corrections, range x tanh(x).

    Scaled by the ratio of the ranges, which keeps corrections the same as long as they are small.
    """
    state = {name: value.clone() for name, value in start.state_dict().items()}
    for kind in ("weight", "bias"):
        state[f"core.whole.{kind}"][:3] *= start.profile.air / profile.air
        state[f"core.air_field.{kind}"] *= start.profile.field / profile.field
    return state


def own(name: str, weights: Path) -> RealtimeFusion:
    """`realtime` or `tiny` with these weights. Raises TrainError for weights of another network."""
    with as_train_error(EngineError):
        return cast(RealtimeFusion, checkpoints.load(name, weights))


def filled(network: Net, weights: Path | None) -> Net:
    """Load weights, if any, into the network and return it. Raises TrainError for weights of another network."""
    if weights is not None:
        try:
            network.load_state_dict(load_file(weights))
        except (OSError, RuntimeError, SafetensorError) as error:
            raise TrainError(f"{weights}: not weights of this network: {' '.join(str(error).split())}") from error
    return network


def save_weights(network: torch.nn.Module, path: Path, about: dict[str, str] | None = None) -> None:
    """Write weights as safetensors, see `checkpoints.halved`, atomically. about: metadata of the file."""
    write_atomic(path, save(checkpoints.halved(network), about))


def between(network: Net, start: Mapping[str, Tensor], keep: float) -> Net:
    """A copy of the network with the weights k W0 + (1 - k) W: k = keep, W0 = start, W those of the network.

    After a short training, which stays near its start, this interpolation is often better than W.
    """
    mixed = copy.deepcopy(network)
    own = mixed.state_dict()
    for name, value in own.items():
        if value.is_floating_point():
            value.lerp_(start[name].to(value), keep)
    mixed.load_state_dict(own)
    return mixed


class Trained(lightning.LightningModule):
    """Base class of the Lightning modules: optimiser, random generator, logging, export of the weights."""

    def __init__(self, recipe: Recipe, network: torch.nn.Module, about: dict[str, str] | None = None) -> None:
        """about: metadata of the exported weights."""
        super().__init__()
        self.recipe, self.network, self.about = recipe, network, about

    def write(self, weights: Path) -> None:
        """Export the current weights."""
        save_weights(self.network, weights, self.about)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW at the recipe's learning rate, with the schedule `annealed`."""
        learning = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return optimised({"whole": learning}, self.recipe.rate, lambda part, step: annealed(step, self.recipe.steps))

    def drawing(self) -> torch.Generator:
        """A generator seeded by the recipe's seed, the step and the device's rank."""
        seed = hash((self.recipe.seed, self.global_step, self.global_rank)) % 2**63
        return torch.Generator(self.device).manual_seed(seed)

    def logged(self, parts: Mapping[str, Tensor], total: Tensor) -> Tensor:
        """Log the losses and their total; returns the total."""
        self.log_dict({f"loss/{name}": value for name, value in parts.items()}, batch_size=1)
        self.log("loss", total, prog_bar=True, batch_size=1)
        return total

    def validated(self, scores: Mapping[str, Tensor], batch: Batch) -> None:
        """Log scores of a held-out batch."""
        self.log_dict({f"val/{name}": value for name, value in scores.items()}, batch_size=len(batch[0]))


def annealed(step: int, steps: int) -> float:
    """Learning rate at a step, relative to its peak: linear warm-up over 2 % of the steps, then a cosine to 1 %."""
    warm = max(1, steps // 50)
    if step < warm:
        return (step + 1) / warm
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))


def optimised(
    parts: Mapping[str, Iterable[torch.nn.Parameter]],
    rate: float,
    schedule: Callable[[str, int], float],
    betas: tuple[float, float] = (0.9, 0.99),
    decay: float = 1e-3,
) -> OptimizerLRSchedulerConfig:
    """AdamW with one parameter group per part.

    rate: peak learning rate. schedule: takes a part's name and the step, returns the factor of `rate`. decay: of the
    weights.
    """
    groups = [{"params": list(parameters)} for parameters in parts.values()]
    optimiser = torch.optim.AdamW(groups, rate, betas=betas, weight_decay=decay)
    rates: list[Callable[[int], float]] = [partial(schedule, name) for name in parts]
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, rates)
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class FusionModule(Trained):
    """Trains `RealtimeFusion` by a recipe, on batches of `Batch`."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        """folder: for the contact sheets."""
        self.network: RealtimeFusion
        network = make_network(recipe)
        super().__init__(recipe, network, checkpoints.describe(recipe.network.profile, network.profile))
        self.folder = folder
        self._start = {name: value.clone() for name, value in network.state_dict().items()}
        teacher = recipe.network.teacher
        # in a list, so that it is not a submodule, which would be trained, averaged and saved
        self._teacher = [None if teacher is None else own("realtime", teacher).requires_grad_(False)]
        self.train()  # Lightning does not switch modes by itself

    def write(self, weights: Path) -> None:
        """Export the current weights, mixed with the start weights if the recipe has `keep`."""
        keep = self.recipe.network.keep
        save_weights(between(self.network, self._start, keep) if keep else self.network, weights, self.about)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW; core and head at the rates of the recipe's stages, each with the schedule `annealed`.

        Parameters keep their gradients at a rate of 0 too, since distributed training waits for each of them.
        """
        parts = {"core": self.network.core.parameters()}
        if self.network.head is not None:
            parts["head"] = self.network.head.parameters()

        def schedule(part: str, step: int) -> float:
            stage, at = self.recipe.stage(step)
            return (stage.core if part == "core" else stage.head) * annealed(at, stage.steps)

        return optimised(parts, self.recipe.rate, schedule)

    def on_train_batch_start(self, batch: Batch, index: int) -> None:
        """From step `Recipe.norms` on, switch batch norm to its running statistics, as in inference."""
        if self.recipe.norms is not None and self.global_step >= self.recipe.norms:
            for module in self.network.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.eval()

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Degrade a batch and run the network; returns the weighted sum of the losses."""
        stage, _ = self.recipe.stage(self.global_step)
        example, result = self._run_batch(batch, self.drawing(), stage.mixture or self.recipe.mixture)
        weights = stage.losses or self.recipe.losses
        parts = cost(result, example, weights, self._teach(example, int(batch[2])))
        return self.logged(parts, torch.stack([getattr(weights, name) * value for name, value in parts.items()]).sum())

    def validation_step(self, batch: Batch, index: int) -> None:
        """Log the losses; PSNR of the restored frame, from the degraded and from the clear frame; and that of plain
        dark-channel dehazing."""
        random = torch.Generator(self.device).manual_seed(index)
        example, result = self._run_batch(batch, random, self.recipe.mixture)
        self.validated(cost(result, example, self.recipe.losses), batch)
        figures = {
            "psnr": psnr(result.restored, example.target),
            "dcp": psnr(dark_channel_prior(example), example.target),
        }
        hazy = example.given.t.amin(dim=(1, 2, 3)) < 1
        for name, value in figures.items():
            if hazy.any():
                self.log(f"val/{name}", value[hazy].mean(), prog_bar=True, batch_size=int(hazy.sum()))
        clear = example._replace(given=example.given._replace(visible=example.given.clear))
        restored = run(self.network, clear, int(batch[2])).restored
        self.log("val/clean", psnr(restored, example.target).mean(), prog_bar=True, batch_size=len(batch[0]))
        if index == 0 and self.global_rank == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_sheet(self.folder / f"{self.global_step:06d}.png", example, result)

    def _run_batch(self, batch: Batch, random: torch.Generator, mixture: Mixture) -> tuple[Example, Fusion]:
        """Degrade a batch, in float32, and run the network on it."""
        visible, infrared, factor = batch
        with torch.autocast(self.device.type, enabled=False):
            example = make_example(visible, infrared, mixture, int(factor), random)
        return example, run(self.network, example, int(factor))

    def _teach(self, example: Example, factor: int) -> Fusion | None:
        """The teacher's result, None without a teacher."""
        (teacher,) = self._teacher
        if teacher is None:
            return None
        with torch.no_grad():
            return run(teacher.to(self.device), example, factor)


def psnr(image: Tensor, reference: Tensor) -> Tensor:
    """PSNR of each batch item in dB, (N,), at most 60. image, reference: (N, C, h, w) in [0, 1]."""
    error = ((image.float().clamp(0, 1) - reference) ** 2).mean(dim=(1, 2, 3))
    return -10 * torch.log10(error.clamp(min=1e-6))


def dark_channel_prior(example: Example) -> Tensor:
    """Baseline: plain dark-channel dehazing, lifted by the ground-truth illumination, (N, 3, h, w)."""
    image = example.given.visible
    window, guide = (5, 15) if example.infrared.shape == example.light.shape and image.shape[2] <= 160 else (15, 61)
    density, air = physics.haze_density(image, window=window, guide_window=guide)
    clear = physics.recover(image, 1 - density, air).clamp(0, 1)
    return clear * physics.lift_gain(example.light, example.lift)


def write_sheet(path: Path, example: Example, result: Fusion) -> None:
    """Write a contact sheet with one row per pair.

    Columns: degraded visible, infrared, restored, target, fused, transmission, its ground truth, illumination.
    """
    rows = []
    for index in range(min(SHEET_ROWS, len(example.infrared))):
        cells = [example.given.visible, example.given.infrared, result.restored, example.target, result.fused]
        cells += [result.maps.t, example.given.t, result.maps.light]
        rows.append(np.hstack([_cell(cell[index], example.infrared.shape[-2:]) for cell in cells]))
    cv2.imwrite(str(path), np.vstack(rows))


def _cell(planes: Tensor, size: torch.Size) -> np.ndarray:
    if planes.shape[-2:] != size:
        planes = physics.enlarge(planes[None], round(size[-1] / planes.shape[-1]), torch.empty(1, 1, *size))[0]
    pixels = (planes.detach().float().clamp(0, 1) * 255).byte().cpu().expand(3, -1, -1)
    return pixels.permute(1, 2, 0).flip(2).numpy()
