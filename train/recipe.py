"""A training recipe: one YAML file with data, degradations, network, losses and schedule."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..calib.yaml_file import YamlFileError, read_yaml
from ..engines.networks.realtime_core import PROFILES
from .degrade import Mixture
from .errors import TrainError


class Strict(BaseModel):
    """Base of all recipe models: immutable, rejects unknown keys, so that a typo is an error."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    def contradiction(self) -> str | None:
        """What contradicts itself across the sections of a recipe: the key, what is wrong, what to do."""
        return None


Side = Annotated[int, Field(ge=32)]
"""Side of a training window in pixels, large enough for the filters of the physical branches."""
_COARSEST = max(profile.factor for profile in PROFILES.values())
"""Largest grid step of a core, in pixels."""


def _leaves_some(value: int) -> int:
    if value == 1:
        raise ValueError("of every pair none is left to train on; 10 holds out a tenth, 0 none")
    return value


HoldOut = Annotated[int, Field(ge=0), AfterValidator(_leaves_some)]
"""Every n-th pair is for validation, not for training; 0: none."""


class Source(Strict):
    """A folder of registered pairs, and how batches are made from it."""

    root: Path
    """Folder, or a pattern of folders, see `data.find_pairs`."""
    grid: Literal["core", "frame"] = "core"
    """`core`: whole frames, resized to the size of the core's grid. `frame`: windows cropped at the frames' own scale,
    which go through the whole network."""
    size: tuple[Side, Side] = (120, 160)
    """Height and width in pixels."""
    zoom: float = Field(1.0, ge=1, le=4)
    """With grid `core`: largest magnification of a random window of the frame; 1: always whole frames."""
    batch: int = Field(16, ge=1)
    """Pairs per batch."""
    share: float = Field(1.0, gt=0)
    """Share of the steps, relative to the other sources."""
    hold_out: HoldOut = 10


class Network(Strict):
    """The network to train, see `realtime_core.Profile`. `haze`, `light` and `gate` are False only for ablations."""

    profile: Literal["realtime", "tiny"] = "realtime"
    haze: bool = True
    light: bool = True
    gate: bool = True
    air: float | None = Field(None, gt=0, le=1)
    """See `Profile`. By default that of the start weights, else of the profile; so for `field` and `bounded`."""
    field: float | None = Field(None, gt=0, lt=1)
    bounded: bool | None = None
    start: Path | None = None
    """Initial weights, safetensors. Rescaled if `air` or `field` differ, so that small corrections stay the same."""
    keep: float = Field(0.0, ge=0, lt=1)
    """Share of the start weights in the exported weights, see `module.between`."""
    teacher: Path | None = None
    """Weights of `realtime` as the teacher of the loss `distillation`."""

    @model_validator(mode="after")
    def _check_keep(self) -> Network:
        if self.keep and self.start is None:
            raise ValueError("`keep` needs `start`, the weights to keep a share of")
        return self


class Losses(Strict):
    """Weights of the loss functions in `losses`; a loss of weight 0 is not computed."""

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
    """A stage of the run, with its own warm-up and cosine schedule."""

    steps: int = Field(ge=1)
    core: float = Field(1, ge=0)
    """Learning rate of the core, relative to `Recipe.rate`."""
    head: float = Field(1, ge=0)
    """Learning rate of the head, relative to `Recipe.rate`."""
    losses: Losses | None = None
    """By default the recipe's."""
    mixture: Mixture | None = None
    """By default the recipe's, which validation always uses."""


class Recipe(Strict):
    """All settings of a training run."""

    data: list[Source] = Field(min_length=1)
    network: Network = Network()
    mixture: Mixture = Mixture()
    losses: Losses = Losses()
    stages: list[Stage] = []
    """Consecutive stages of the run, instead of `steps`. By default one stage that trains core and head together."""
    rate: float = Field(2e-3, gt=0)
    """Peak learning rate of AdamW, after a linear warm-up; a cosine schedule decays it to 1 %."""
    steps: int = Field(6000, ge=1)
    steps_per_epoch: int = Field(300, ge=1)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    average: float = Field(0.995, ge=0, lt=1)
    """Decay of the exponential moving average of the weights; the average is validated and exported. 0: no average."""
    norms: int | None = Field(None, ge=0)
    """Step from which on batch norm uses its running statistics in training, without updating them; None: never.

    A batch is of one source. Normalised by the batch's own statistics, features do not tell how dark or hazy the frames
    are as a whole.
    """
    seed: int = Field(0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _check_stages(self) -> Recipe:
        if self.stages and "steps" in self.model_fields_set:
            raise ValueError("`steps` beside `stages`: the stages say how long each of them lasts")
        return self

    def stage(self, step: int) -> tuple[Stage, int]:
        """The stage of a step of the run, and the step's index within the stage."""
        stages = self.stages or [Stage(steps=self.steps)]
        for stage in stages[:-1]:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        return stages[-1], step

    @property
    def length(self) -> int:
        """Number of steps of the run."""
        return sum(stage.steps for stage in self.stages) or self.steps

    def contradiction(self) -> str | None:
        """See `Strict`."""
        if type(self) is not Recipe:  # recipes of papers' networks have other losses
            return None
        network = self.network
        all_losses = [self.losses, *(stage.losses for stage in self.stages if stage.losses is not None)]
        for number, source in enumerate(self.data):
            if source.grid == "frame" and any(side % _COARSEST for side in source.size):
                return f"data.{number}.size: with grid `frame` give multiples of {_COARSEST}"
            if source.grid == "frame" and source.zoom > 1:
                return f"data.{number}.zoom: grid `frame` crops at the frames' own scale; remove it"
            step = 8 * (1 if source.grid == "core" else PROFILES[network.profile].factor)
            if source.batch * -(-source.size[0] // step) * -(-source.size[1] // step) < 2:
                return (
                    f"data.{number}: a batch has one pixel at the coarsest scale, too few for batch norm; "
                    "give a larger batch or size"
                )
        if not all(any(losses.model_dump().values()) for losses in all_losses):
            return "losses: all are 0, nothing would be learned; give one of them a weight"
        taught = any(losses.distillation for losses in all_losses)
        if taught and network.teacher is None:
            return "losses.distillation: needs network.teacher, weights of `realtime`"
        if network.teacher is not None and not taught:
            return "network.teacher: nothing is learned from it; give losses.distillation a weight"
        return None


def located(recipe: Path, path: Path) -> Path:
    """Resolve a path in a recipe: relative to the recipe's folder, or below the data root if it starts with
    `$FUSECAM_DATA`. Raises TrainError if the data root is needed and not set.
    """
    if path.parts[:1] != ("$FUSECAM_DATA",):
        return recipe.parent / path
    if not (root := os.environ.get("FUSECAM_DATA")):
        raise TrainError(f"{recipe}: {path}: no data root is set; give --data DIR or set FUSECAM_DATA")
    return Path(root, *path.parts[1:])


def read_recipe_file(path: Path) -> Any:
    """The content of a recipe file, not validated. Raises TrainError, one line."""
    try:
        return read_yaml(path)
    except YamlFileError as error:
        raise TrainError(f"{path}: {error}; name a shipped recipe such as realtime, or a YAML file") from error


Checked = TypeVar("Checked", bound=Strict)
Value = TypeVar("Value")


def check(path: Path, content: Any, kind: type[Checked]) -> Checked:
    """Validate the content of a recipe file. Raises TrainError, one line that names the key."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        message = first["msg"].removeprefix("Value error, ")
        raise TrainError(f"{path}: {where}: {message}; correct it") from error


def read_recipe(path: Path, kind: type[Checked], over: Mapping[str, Any] | None = None) -> Checked:
    """Read and validate a recipe, and resolve its paths, see `located`. Raises TrainError, one line.

    over: keys that override those of the file.
    """
    content = read_recipe_file(path)
    recipe = check(path, content | dict(over) if over else content, kind)
    if reason := recipe.contradiction():
        raise TrainError(f"{path}: {reason}")
    return _located(path, recipe)


def _located(recipe: Path, value: Value) -> Value:
    """Copy of a value with all paths resolved relative to the recipe."""
    made: Any = value
    if isinstance(value, Path):
        made = located(recipe, value)
    elif isinstance(value, list):
        made = [_located(recipe, each) for each in value]
    elif isinstance(value, Strict):
        made = value.model_copy(update={key: _located(recipe, getattr(value, key)) for key in value.model_fields_set})
    return cast("Value", made)
