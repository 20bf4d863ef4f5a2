"""A training recipe: one YAML file that says data, degradations, network, losses and schedule."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..calib.yaml_file import YamlFileError, read_yaml
from ..engines.networks.realtime_core import PROFILES
from .degrade import Mixture
from .errors import TrainError


class Strict(BaseModel):
    """Unknown keys are refused: a typo must not train."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


Side = Annotated[int, Field(ge=32)]
"""Of a window, in pixels: less is too little for the filters of the physical branches."""


_COARSEST = max(profile.factor for profile in PROFILES.values())
"""Pixels of the full-size path to one of the core's grid, at most."""


def held_out_some(value: int) -> int:
    """ValueError where `hold_out` is 1: every pair would validate, none train."""
    if value == 1:
        raise ValueError("of every pair none is left to train on; 10 holds out a tenth, 0 none")
    return value


class Source(Strict):
    """One folder of pairs and how it is seen.

    grid `core`: whole frames that are already as small as the core's grid. grid `frame`: windows cut at the frames' own
    scale, which go through the full-size path.
    """

    root: Path
    grid: Literal["core", "frame"] = "core"
    size: tuple[Side, Side] = (120, 160)
    """Height and width."""
    batch: int = Field(16, ge=1)
    share: float = Field(1.0, gt=0)
    """Of the steps, relative to the other sources."""
    hold_out: int = Field(10, ge=0)
    """Every how many-th pair validates instead of training; 0 for none."""

    @field_validator("hold_out")
    @classmethod
    def _leaves_some(cls, value: int) -> int:
        return held_out_some(value)


class Network(Strict):
    """Which network, see `realtime_core.Profile`. The branches are switched off only for ablations."""

    profile: Literal["realtime", "tiny"] = "realtime"
    haze: bool = True
    light: bool = True
    gate: bool = True
    air: float | None = Field(None, gt=0, le=1)
    """This and the next two: by default those of the start weights, else of the profile."""
    field: float | None = Field(None, gt=0, lt=1)
    bounded: bool | None = None
    start: Path | None = None
    """Weights to start from, safetensors. Where `air` or `field` differ, small corrections stay what they were."""
    keep: float = Field(0.0, ge=0, lt=1)
    """Part of the start in the weights that are written, see `module.between`."""
    teacher: Path | None = None
    """Weights of `realtime` to distil from, with the loss `distillation`."""

    @model_validator(mode="after")
    def _keeps_something(self) -> Network:
        if self.keep and self.start is None:
            raise ValueError("`keep` of what? name `start`, weights of the network")
        return self


class Losses(Strict):
    """Weight of every loss in `losses`; 0 leaves it out."""

    restoration: float = Field(2, ge=0)
    squared_restoration: float = Field(0, ge=0)
    restored_gradient: float = Field(0.5, ge=0)
    intensity: float = Field(1, ge=0)
    gradient: float = Field(1, ge=0)
    dissimilarity: float = Field(0, ge=0)
    unshared_differences: float = Field(0, ge=0)
    lost_edges: float = Field(0, ge=0)
    lost_information: float = Field(0, ge=0)
    structure: float = Field(0, ge=0)
    content: float = Field(0, ge=0)
    lost_white: float = Field(0, ge=0)
    lost_contrast: float = Field(0, ge=0)
    distillation: float = Field(0, ge=0)
    perceptual: float = Field(0, ge=0)
    colour: float = Field(0, ge=0)
    chroma: float = Field(0, ge=0)
    transmission: float = Field(0.1, ge=0)
    airlight: float = Field(0.5, ge=0)
    illumination: float = Field(0.5, ge=0)
    retinex: float = Field(0, ge=0)
    mutual_smoothness: float = Field(0, ge=0)


class Stage(Strict):
    """A part of the run with its own warm-up and cosine. core, head: the part of `rate` at which each learns."""

    steps: int = Field(ge=1)
    core: float = Field(1, ge=0)
    head: float = Field(1, ge=0)
    losses: Losses | None = None
    """Those of the recipe by default."""
    mixture: Mixture | None = None
    """That of the recipe by default; validation is always by the recipe's."""


class Recipe(Strict):
    """Everything a training run is made of."""

    data: list[Source] = Field(min_length=1)
    network: Network = Network()
    mixture: Mixture = Mixture()
    losses: Losses = Losses()
    stages: list[Stage] = []
    """One after the other, in one run; `steps` is their sum. By default one stage of the core and the head together."""
    rate: float = Field(2e-3, gt=0)
    """Greatest learning rate of AdamW; it warms up and falls as a cosine to a hundredth."""
    steps: int = Field(6000, ge=1)
    steps_per_epoch: int = Field(300, ge=1)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    average: float = Field(0.995, ge=0, lt=1)
    """Decay of the running mean of the weights, which is what is validated and exported."""
    norms: int | None = Field(None, ge=0)
    """Step from which batch norm keeps its statistics and uses them in training; None for never. A batch is of one
    source: by its own statistics, how dark and how hazy a frame is as a whole would be lost on the network.
    """
    seed: int = Field(0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _staged(self) -> Recipe:
        if self.stages and "steps" in self.model_fields_set:
            raise ValueError("`steps` beside `stages`: the stages say how long each of them lasts")
        return self

    def stage(self, step: int) -> tuple[Stage, int]:
        """The stage that a step belongs to, and the step's number in it."""
        stages = self.stages or [Stage(steps=self.steps)]
        for stage in stages[:-1]:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        return stages[-1], step

    @property
    def length(self) -> int:
        """Of the run in steps."""
        return sum(stage.steps for stage in self.stages) or self.steps


def located(recipe: Path, given: Path) -> Path:
    """A path of a recipe: relative ones count from the recipe's folder, those below `$FUSECAM_DATA` from the data root.

    TrainError where that is needed and not set.
    """
    if given.parts[:1] != ("$FUSECAM_DATA",):
        return recipe.parent / given
    if not (root := os.environ.get("FUSECAM_DATA")):
        raise TrainError(f"{recipe}: {given}: no data root is set; give --data DIR or set FUSECAM_DATA")
    return Path(root, *given.parts[1:])


def read_recipe_file(path: Path) -> Any:
    """What a recipe's file says, unchecked. TrainError in one line."""
    try:
        return read_yaml(path)
    except YamlFileError as error:
        raise TrainError(f"{path}: {error}; name a shipped recipe such as realtime, or a YAML file") from error


Checked = TypeVar("Checked", bound=Strict)


def check(path: Path, content: Any, kind: type[Checked]) -> Checked:
    """The recipe that a file's content is. TrainError in one line that names the key."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise TrainError(f"{path}: {where}: {first['msg']}; mend it") from error


def _fits_together(path: Path, recipe: Recipe) -> None:
    network = recipe.network
    every = [recipe.losses, *(stage.losses for stage in recipe.stages if stage.losses is not None)]
    for number, source in enumerate(recipe.data):
        if source.grid == "frame" and any(side % _COARSEST for side in source.size):
            raise TrainError(f"{path}: data.{number}.size: with grid `frame` give multiples of {_COARSEST}")
        step = 8 * (1 if source.grid == "core" else PROFILES[network.profile].factor)
        if source.batch * -(-source.size[0] // step) * -(-source.size[1] // step) < 2:
            raise TrainError(
                f"{path}: data.{number}: one place of one window, of which no statistics can be; "
                "give a larger batch or size"
            )
    if not all(any(losses.model_dump().values()) for losses in every):
        raise TrainError(f"{path}: losses: all are 0, nothing would be learned; give one of them a weight")
    if any(losses.distillation for losses in every) and network.teacher is None:
        raise TrainError(f"{path}: losses.distillation: from whom? name network.teacher, weights of `realtime`")
    if network.teacher is not None and not any(losses.distillation for losses in every):
        raise TrainError(f"{path}: network.teacher: nothing is learned from it; give losses.distillation a weight")


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe; its relative folders count from the recipe's own. TrainError in one line."""
    recipe = check(path, read_recipe_file(path), Recipe)
    _fits_together(path, recipe)
    data = [source.model_copy(update={"root": located(path, source.root)}) for source in recipe.data]
    network = recipe.network
    named = {"start": network.start, "teacher": network.teacher}
    network = network.model_copy(update={key: located(path, file) for key, file in named.items() if file is not None})
    return recipe.model_copy(update={"data": data, "network": network})
