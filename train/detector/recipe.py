"""What a detector's recipe says: network, pairs and labels, drawn streets, degradations, schedule."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import Field, field_validator, model_validator

from ...engines.detection.weights import DETECTOR_NAMES
from ..degrade import Mixture
from ..errors import TrainError
from ..recipe import Side, Strict, check, held_out_some, located, read_recipe_file

Kind = Literal["fused", "visible", "infrared", "average", "four"]
"""average: the mean of visible and infrared. four: both as four channels."""
BOTH = ("average", "four")
"""Kinds that are put together of a visible and an infrared frame when they are read, with the boxes of fused ones."""
Strides = Annotated[int, Field(ge=64, multiple_of=32)]
"""Of a window, in pixels: the network's greatest stride divides it."""


class Network(Strict):
    """Which network. `start`: safetensors by layer name; tensors that do not fit stay random."""

    architecture: str = "yolov5n.yaml"
    start: Path | None = None
    keep: float = Field(0.0, ge=0, lt=1)
    """Part of the start in the weights that are written: of a start by `fusecam train`, see `network.between`."""
    frozen: int = Field(3, ge=0)
    """How many of the first layers keep their start: edges are edges, and theirs are the dearest gradients."""
    teacher: Path | None = None
    """Weights of a detector that `fusecam train` made: it labels pairs without labels. None: the start's COCO head."""


class Labels(Strict):
    """Folders of YOLO txt files by the pairs' names: what is to be found in which kind of frame."""

    fused: Path
    visible: Path
    infrared: Path


class Pairs(Strict):
    """Registered pairs with boxes.

    root: see `data.find_pairs`. infrared: a folder of the same infrared frames, larger. labels: None lets a teacher
    label them: the start's own COCO head, which only suits sharp visible frames by day, or `detector.teacher`.
    """

    root: Path
    infrared: Path | None = None
    labels: Labels | None = None
    size: tuple[Side, Side] | None = None
    """Height and width that the frames are brought to; None: 640 wide, as high as they are."""
    sharpen: bool = False
    """Visible frames are enlarged small ones: give half of them edges of the infrared frame, of either sign."""
    hold_out: int = Field(0, ge=0)
    """Every how many-th pair validates instead of training; 0 for none."""
    validation: Path | None = None
    """Or a file with the names of those that do, one a line."""
    kinds: tuple[Kind, ...] = ("fused", "visible", "infrared")
    """Kinds of frame that are made of them: a teacher finds nobody in visible frames of dark streets."""
    share: float = Field(1.0, gt=0)

    @field_validator("hold_out")
    @classmethod
    def _leaves_some(cls, value: int) -> int:
        return held_out_some(value)


class Streets(Strict):
    """Frames drawn by the project's renderer, on streets that no sample clip shows."""

    scenes: int = Field(0, ge=0)
    frames: int = Field(10, ge=1)
    """Of each scene."""
    share: float = Field(0.2, gt=0)


class DetectorRecipe(Strict):
    """Everything a detector's training is made of."""

    detector: Network
    names: tuple[str, ...] = tuple(DETECTOR_NAMES.values())
    """Classes, by their numbers in the labels."""
    data: list[Pairs]
    """None where the recordings are named apart, see `recordings`."""
    streets: Streets = Streets()
    engine: str = "realtime"
    """Which engine fuses the training frames."""
    mixture: Mixture = Mixture()
    misregistered: float = Field(0.0, ge=0, le=1)
    """Part of the degraded pairs that are fused with infrared some pixels off."""
    kinds: dict[Kind, Annotated[float, Field(ge=0)]] = Field(default={"fused": 0.6, "visible": 0.2, "infrared": 0.2})
    """How often each kind of frame is drawn: visible and infrared are cameras lost; `four` goes alone."""
    size: tuple[Strides, Strides] = (384, 512)
    """Windows, height and width, multiples of 32, cut from the frames at about their own scale."""
    quarters: float = Field(0.0, ge=0, le=1)
    """Part of the windows that hold four frames at half their scale: small things, and sharp."""
    narrow: float = Field(0.0, ge=0, le=1)
    """Part of the fused frames of degraded cameras that lose infrared at the sides, as by a narrower lens."""
    poles: float = Field(0.0, ge=0, le=1)
    """Part of the windows in which something upright and thin stands before somebody."""
    last_size: tuple[Strides, Strides] = (480, 640)
    last: float = Field(0.15, ge=0, le=1)
    """Part of the run, at its end, with windows of last_size."""
    batch: int = Field(8, ge=1)
    rate: float = Field(1e-3, gt=0)
    steps: int = Field(3000, ge=1)
    minutes: float | None = Field(None, gt=0)
    """The schedule follows the clock where that is further than the steps are: the run ends in time on any machine."""
    steps_per_epoch: int = Field(300, ge=1)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "bf16-mixed"
    average: float = Field(0.995, ge=0, lt=1)
    seed: int = Field(0, ge=0, lt=2**32)

    @field_validator("kinds")
    @classmethod
    def _draws_some(cls, value: dict[Kind, float]) -> dict[Kind, float]:
        if not any(value.values()):
            raise ValueError("give one kind of frame a share above 0")
        drawn = {kind: share for kind, share in value.items() if share}
        if "four" in drawn and len(drawn) > 1:
            raise ValueError("four channels fit no other kind of frame; leave the others out")
        return drawn

    @property
    def channels(self) -> int:
        """Of the network's input."""
        return 4 if "four" in self.kinds else 3

    @model_validator(mode="after")
    def _shows_its_classes(self) -> DetectorRecipe:
        if self.streets.scenes and self.names != tuple(DETECTOR_NAMES.values()):
            raise ValueError(f"drawn streets have {', '.join(DETECTOR_NAMES.values())} only; set streets.scenes to 0")
        return self


def drawn(recipe: DetectorRecipe, made: Collection[Kind]) -> list[Kind]:
    """The kinds that a recipe draws of a source whose frames are made as these."""
    whole = {"fused", "visible", "infrared"} <= set(made)
    return [kind for kind in recipe.kinds if kind in made or (kind in BOTH and whole)]


def read_detector_recipe(path: Path, recordings: Mapping[str, Any] | None = None) -> DetectorRecipe:
    """Read and check a recipe; its relative folders count from the recipe's own. TrainError in one line.

    recordings: keys that take the place of the file's, see `recordings.lay_out`.
    """
    recipe = check(path, read_recipe_file(path) | dict(recordings or {}), DetectorRecipe)
    for number, pairs in enumerate(recipe.data):
        if not drawn(recipe, pairs.kinds):
            raise TrainError(f"{path}: data.{number}.kinds: of these the recipe's `kinds` draws none; give one a share")
    return _located(path, recipe)


Value = TypeVar("Value")


def _located(recipe: Path, value: Value) -> Value:
    """The same with every path in it located."""
    made: Any = value
    if isinstance(value, Path):
        made = located(recipe, value)
    elif isinstance(value, list):
        made = [_located(recipe, each) for each in value]
    elif isinstance(value, Strict):
        made = value.model_copy(update={key: _located(recipe, getattr(value, key)) for key in value.model_fields_set})
    return cast("Value", made)
