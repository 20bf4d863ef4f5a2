"""What the recipe of a paper's network says beside data and schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ..recipe import Recipe, Strict, check, located, read_recipe_file


class IassfSettings(Strict):
    """IASSF's own. The switches are the ablations of its Table VII, see `engines.networks.iassf.Profile`."""

    variant: Literal["full", "small"] = "full"
    assisted: bool = True
    haze: bool = True
    prompt: bool = True
    embed: bool = True
    fusion_prompt: bool = True
    fusion_embed: bool = True
    restoration: float = Field(2, ge=0)
    """λ of eq. 9."""


class DfvoSettings(Strict):
    """DFVO's own: weights of its losses, by task; where the paper prints none, from the published code."""

    variant: Literal["full", "small"] = "full"
    prior: Literal["contrast", "resnet18"] = "contrast"
    """What the enhanced frame shares with the histogram-equalised one: local contrast, or, as in the paper, features of
    a ResNet-18, whose weights torchvision downloads."""
    infrared: float = Field(10, ge=0)
    retinex: float = Field(500, ge=0)
    smoothness: float = Field(1, ge=0)
    """Of the two terms of eq. 14, which bring 1.35 and 1.55 along."""
    histogram: float = Field(2.5, ge=0)
    content: float = Field(1.75, ge=0)
    structure: float = Field(0.65, ge=0)
    colour: float = Field(0.35, ge=0)
    fusion: float = Field(10, ge=0)
    """What the fusion task's weight grows to (eq. 25), in a hundred steps: 0.1 for each of the paper's epochs."""
    over_exposed: float = Field(7, gt=0)
    """Times the mean of the refined dark channel above which the visible frame is not believed (eq. 18)."""


class PaperRecipe(Recipe):
    """A recipe with the key `iassf` or `dfvo`, which stands for `network` and `losses` of the others."""

    iassf: IassfSettings | None = None
    dfvo: DfvoSettings | None = None
    betas: tuple[float, float] = (0.9, 0.999)
    """Of Adam."""
    decay: float = Field(0.01, ge=0)
    """Of the weights, as AdamW does it; 0 is Adam."""
    falls: float = Field(0.01, gt=0, le=1)
    """To what share of itself the learning rate falls, as a cosine over the steps; 1 keeps it."""

    @model_validator(mode="after")
    def _own(self) -> PaperRecipe:
        if (self.iassf is None) == (self.dfvo is None):
            raise ValueError("give one of `iassf` and `dfvo`")
        for key in ("network", "losses"):
            if key in self.model_fields_set:
                raise ValueError(f"`{key}` is of other networks")
        return self

    @property
    def name(self) -> str:
        """Of the network."""
        return "dfvo" if self.iassf is None else "iassf"


def read_paper_recipe(path: Path) -> PaperRecipe:
    """Read and check a recipe; its relative folders count from the recipe's own. TrainError in one line."""
    recipe = check(path, read_recipe_file(path), PaperRecipe)
    data = [source.model_copy(update={"root": located(path, source.root)}) for source in recipe.data]
    return recipe.model_copy(update={"data": data})
