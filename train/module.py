"""The Lightning module: steps, validation against the dark-channel prior, and a contact sheet per epoch."""

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
from ..engines.networks.realtime import RealtimeFusion
from ..engines.networks.realtime_core import PROFILES, Profile
from .degrade import Mixture
from .errors import TrainError
from .objective import Example, Result, cost, make_example, run
from .recipe import Recipe

Batch = tuple[Tensor, Tensor, Tensor]
Net = TypeVar("Net", bound=torch.nn.Module)
SHEET_ROWS = 8


def make_network(recipe: Recipe) -> RealtimeFusion:
    """The recipe's network, from its start weights if it names some."""
    asked = recipe.network
    started = None if asked.start is None else own(asked.profile, asked.start)
    profile = PROFILES[asked.profile] if started is None else started.profile
    ranges = {name: getattr(asked, name) for name in ("air", "field", "bounded") if getattr(asked, name) is not None}
    network = RealtimeFusion(replace(profile, **ranges, haze=asked.haze, light=asked.light, gate=asked.gate))
    if started is not None:
        network.load_state_dict(_rescaled(started, network.profile))
    return network


def _rescaled(started: RealtimeFusion, profile: Profile) -> dict[str, Tensor]:
    """Weights for other ranges of the airlight's corrections, each of which is range x tanh(x)."""
    state = {name: value.clone() for name, value in started.state_dict().items()}
    for kind in ("weight", "bias"):
        state[f"core.whole.{kind}"][:3] *= started.profile.air / profile.air
        state[f"core.air_field.{kind}"] *= started.profile.field / profile.field
    return state


def make_teacher(recipe: Recipe) -> RealtimeFusion | None:
    """The network to distil from, if the recipe names one: never trained."""
    if recipe.network.teacher is None:
        return None
    return own("realtime", recipe.network.teacher).requires_grad_(False)


def own(name: str, weights: Path) -> RealtimeFusion:
    """`realtime` or `tiny` with these weights. TrainError where they are of another."""
    try:
        return cast(RealtimeFusion, checkpoints.load(name, weights))
    except EngineError as error:
        raise TrainError(str(error)) from error


def filled(network: Net, weights: Path | None) -> Net:
    """The network with these weights, if there are any. TrainError where they are of another."""
    if weights is not None:
        try:
            network.load_state_dict(load_file(weights))
        except (OSError, RuntimeError, SafetensorError) as error:
            raise TrainError(f"{weights}: not weights of this network: {' '.join(str(error).split())}") from error
    return network


def save_weights(network: torch.nn.Module, path: Path, about: dict[str, str] | None = None) -> None:
    """Weights as fp16 safetensors, whole or not at all; those of batch norm, which divides by them, stay in float32.

    about: the file's metadata.
    """
    norms = tuple(name for name, module in network.named_modules() if isinstance(module, torch.nn.BatchNorm2d))
    state = {name: value.detach().contiguous() for name, value in network.state_dict().items()}
    for name, value in state.items():
        if value.is_floating_point() and not name.startswith(norms):
            state[name] = value.half()
    write_atomic(path, save(state, about))


def between(network: Net, start: Mapping[str, Tensor], keep: float) -> Net:
    """A copy with the weights k W0 + (1 - k) W, k = keep, W0 those of `start`: one that a short training left near its
    start is often worse than the mean of both."""
    mixed = copy.deepcopy(network)
    own = mixed.state_dict()
    for name, value in own.items():
        if value.is_floating_point():
            value.lerp_(start[name].to(value), keep)
    mixed.load_state_dict(own)
    return mixed


class Trained(lightning.LightningModule):
    """What all trained networks share: the optimiser, and whose weights are exported."""

    def __init__(self, recipe: Recipe, network: torch.nn.Module, about: dict[str, str] | None = None) -> None:
        """about: metadata of the exported weights."""
        super().__init__()
        self.recipe, self.network, self.about = recipe, network, about

    def write(self, weights: Path) -> None:
        """The network as it is now."""
        save_weights(self.network, weights, self.about)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW at the recipe's rate, `annealed`."""
        learning = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return optimised({"whole": learning}, self.recipe.rate, lambda part, step: annealed(step, self.recipe.steps))

    def drawing(self) -> torch.Generator:
        """Draws what is this step's on this device alone."""
        seed = hash((self.recipe.seed, self.global_step, self.global_rank)) % 2**63
        return torch.Generator(self.device).manual_seed(seed)

    def logged(self, parts: Mapping[str, Tensor], total: Tensor) -> Tensor:
        """The total, logged beside its parts."""
        self.log_dict({f"loss/{name}": value for name, value in parts.items()}, batch_size=1)
        self.log("loss", total, prog_bar=True, batch_size=1)
        return total


def annealed(step: int, steps: int) -> float:
    """Part of the rate at a step: a linear warm-up over 2 % of the steps, then a cosine to a hundredth."""
    warm = max(1, steps // 50)
    if step < warm:
        return (step + 1) / warm
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))


def optimised(
    parts: Mapping[str, Iterable[torch.nn.Parameter]], rate: float, follows: Callable[[str, int], float]
) -> OptimizerLRSchedulerConfig:
    """AdamW over parameters by the name of their part. follows: the part of `rate` of a part at a step."""
    groups = [{"params": list(parameters)} for parameters in parts.values()]
    optimiser = torch.optim.AdamW(groups, rate, betas=(0.9, 0.99), weight_decay=1e-3)
    rates: list[Callable[[int], float]] = [partial(follows, name) for name in parts]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rates)
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class FusionModule(Trained):
    """Trains `RealtimeFusion` by a recipe. Batches are (visible, infrared, factor), the first two uint8."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        """folder: where contact sheets go."""
        self.network: RealtimeFusion
        network = make_network(recipe)
        super().__init__(recipe, network, checkpoints.describe(recipe.network.profile, network.profile))
        self.folder = folder
        self._start = {name: value.clone() for name, value in network.state_dict().items()}
        self._teacher = [make_teacher(recipe)]  # in a list: not a part of what is trained, averaged and saved
        self.train()  # Lightning keeps the modes that it finds

    def write(self, weights: Path) -> None:
        """The network as it is now, or what the recipe keeps of its start with it."""
        keep = self.recipe.network.keep
        save_weights(between(self.network, self._start, keep) if keep else self.network, weights, self.about)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW; each part at the rates of the recipe's stages, each of which is `annealed`.

        All parameters have gradients at all times, at a rate of 0 too: several devices wait for every one of them.
        """
        parts = {"core": self.network.core.parameters()}
        if self.network.head is not None:
            parts["head"] = self.network.head.parameters()

        def follows(part: str, step: int) -> float:
            stage, at = self.recipe.stage(step)
            return (stage.core if part == "core" else stage.head) * annealed(at, stage.steps)

        return optimised(parts, self.recipe.rate, follows)

    def on_train_batch_start(self, batch: Batch, index: int) -> None:
        """From the recipe's step on, batch norm works in training as it does in use."""
        if self.recipe.norms is not None and self.global_step >= self.recipe.norms:
            for module in self.network.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.eval()

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """One degraded batch; the total of the weighted losses."""
        stage, _ = self.recipe.stage(self.global_step)
        example, result = self._try(batch, self.drawing(), stage.mixture or self.recipe.mixture)
        weights = stage.losses or self.recipe.losses
        parts = cost(result, example, weights, self._teach(example, int(batch[2])))
        return self.logged(parts, torch.stack([getattr(weights, name) * value for name, value in parts.items()]).sum())

    def validation_step(self, batch: Batch, index: int) -> None:
        """PSNR of the restored frame, as fed and without any degradation, beside plain dark-channel dehazing."""
        random = torch.Generator(self.device).manual_seed(index)
        example, result = self._try(batch, random, self.recipe.mixture)
        for name, value in cost(result, example, self.recipe.losses).items():
            self.log(f"val/{name}", value, batch_size=len(batch[0]))
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

    def _try(self, batch: Batch, random: torch.Generator, mixture: Mixture) -> tuple[Example, Result]:
        visible, infrared, factor = batch
        with torch.autocast(self.device.type, enabled=False):
            example = make_example(visible, infrared, mixture, int(factor), random)
        return example, run(self.network, example, int(factor))

    def _teach(self, example: Example, factor: int) -> Result | None:
        (teacher,) = self._teacher
        if teacher is None:
            return None
        with torch.no_grad():
            return run(teacher.to(self.device), example, factor)


def psnr(image: Tensor, reference: Tensor) -> Tensor:
    """PSNR in dB of every batch item, (N,), at most 60."""
    error = ((image.float().clamp(0, 1) - reference) ** 2).mean(dim=(1, 2, 3))
    return -10 * torch.log10(error.clamp(min=1e-6))


def dark_channel_prior(example: Example) -> Tensor:
    """What plain dark-channel dehazing makes of the example, lifted by the true illumination, (N, 3, h, w)."""
    image = example.given.visible
    window, guide = (5, 15) if example.infrared.shape == example.light.shape and image.shape[2] <= 160 else (15, 61)
    density, air = physics.haze_density(image, window=window, guide_window=guide)
    clear = physics.recover(image, 1 - density, air).clamp(0, 1)
    return clear * physics.lift_gain(example.light, example.lift)


def write_sheet(path: Path, example: Example, result: Result) -> None:
    """Contact sheet, a row a pair: given, infrared, restored, target, fused, transmission, its truth, illumination."""
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
