"""Schema of detector recipes: network, pairs and labels, rendered streets, degradations, schedule."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ...engines.detection.weights import DETECTOR_NAMES, check_names
from ..degrade import Mixture
from ..recipe import HoldOut, Side, Strict

Kind = Literal["fused", "visible", "infrared", "average", "four"]
"""average: the mean of visible and infrared. four: both as four channels."""
BOTH = ("average", "four")
"""Kinds that are combined from a visible and an infrared frame on reading; they use the boxes of fused frames."""
Strides = Annotated[int, Field(ge=64, multiple_of=32)]
"""Width or height of a window in pixels, a multiple of the largest stride of the network."""


class Network(Strict):
    """Network. start: initial weights, safetensors by layer name; tensors without a match are initialised randomly."""

    architecture: str = "yolov5n.yaml"
    start: Path | None = None
    keep: float = Field(0.0, ge=0, lt=1)
    """Weight of the start in the written weights (linear interpolation); requires a start by `fusecam train`."""
    frozen: int = Field(3, ge=0)
    """Number of first layers that are frozen: their features are generic and their gradients the most expensive."""
    teacher: Path | None = None
    """Detector weights by `fusecam train` that label the pairs without labels. None: the COCO head of `start`."""


class Labels(Strict):
    """Folders of YOLO label files, named like the pairs, for each kind of frame."""

    fused: Path
    visible: Path
    infrared: Path


class Pairs(Strict):
    """Registered pairs with boxes.

    root: see `data.find_pairs`. infrared: folder of the same infrared frames at a higher resolution. labels: None: a
    teacher labels the pairs, either the COCO head of `start`, for sharp daytime visible frames only, or
    `detector.teacher`.
    """

    root: Path
    infrared: Path | None = None
    labels: Labels | None = None
    size: tuple[Side, Side] | None = None
    """Height and width that the frames are resized to; None: 640 pixels wide, aspect ratio kept."""
    sharpen: bool = False
    """For upscaled visible frames: add edges of the infrared frame, of either sign, to half of them."""
    hold_out: HoldOut = 0
    validation: Path | None = None
    """File with the names of the validation pairs, one per line."""
    kinds: tuple[Kind, ...] = ("fused", "visible", "infrared")
    """Kinds of frame that are created; without `visible` for dark streets, where a teacher detects nobody."""
    share: float = Field(1.0, gt=0)


class Streets(Strict):
    """Rendered frames of random streets, different from those of the sample clips."""

    scenes: int = Field(0, ge=0)
    frames: int = Field(10, ge=1)
    """Frames per scene."""
    share: float = Field(0.2, gt=0)


class DetectorRecipe(Strict):
    """Recipe of a detector training."""

    detector: Network
    names: tuple[str, ...] = tuple(DETECTOR_NAMES.values())
    """Classes, in the order of their numbers in the labels."""
    data: list[Pairs]
    """Training pairs; empty if they come from a recordings file, see `recordings`."""
    streets: Streets = Streets()
    engine: str = "realtime"
    """Engine that fuses the training frames."""
    mixture: Mixture = Mixture()
    misregistered: float = Field(0.0, ge=0, le=1)
    """Share of degraded pairs that are fused with misregistered infrared."""
    kinds: dict[Kind, Annotated[float, Field(ge=0)]] = Field(default={"fused": 0.6, "visible": 0.2, "infrared": 0.2})
    """Relative frequency of each kind of frame; visible and infrared stand for the loss of the other camera."""
    size: tuple[Strides, Strides] = (384, 512)
    """Height and width of the training windows, multiples of 32."""
    quarters: float = Field(0.0, ge=0, le=1)
    """Share of windows that are mosaics of four frames at half scale, for small objects."""
    narrow: float = Field(0.0, ge=0, le=1)
    """Share of degraded fused frames without infrared at the sides, as with a narrower field of view."""
    poles: float = Field(0.0, ge=0, le=1)
    """Share of windows with a pole in front of a person."""
    last_size: tuple[Strides, Strides] = (480, 640)
    last: float = Field(0.15, ge=0, le=1)
    """Share of the run, at its end, that uses windows of `last_size`."""
    batch: int = Field(8, ge=1)
    rate: float = Field(1e-3, gt=0)
    steps: int = Field(3000, ge=1)
    minutes: float | None = Field(None, gt=0)
    """Time limit; the schedule follows steps or time, whichever is further advanced. None: steps only."""
    steps_per_epoch: int = Field(300, ge=1)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "bf16-mixed"
    average: float = Field(0.995, ge=0, lt=1)
    seed: int = Field(0, ge=0, lt=2**32)

    @field_validator("names")
    @classmethod
    def _usable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        check_names(list(value))
        return value

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
        """Input channels of the network."""
        return 4 if "four" in self.kinds else 3

    @model_validator(mode="after")
    def _shows_its_classes(self) -> DetectorRecipe:
        if self.streets.scenes and self.names != tuple(DETECTOR_NAMES.values()):
            names = ", ".join(DETECTOR_NAMES.values())
            raise ValueError(f"rendered streets have {names} only; set streets.scenes to 0")
        return self

    def contradiction(self) -> str | None:
        """See `Strict`."""
        for number, pairs in enumerate(self.data):
            if not drawn(self, pairs.kinds):
                return f"data.{number}.kinds: of these the recipe's `kinds` draws none; give one a share"
        return None


def drawn(recipe: DetectorRecipe, made: Collection[Kind]) -> list[Kind]:
    """Kinds that a recipe draws from a source with frames of the kinds `made`."""
    whole = {"fused", "visible", "infrared"} <= set(made)
    return [kind for kind in recipe.kinds if kind in made or (kind in BOTH and whole)]
