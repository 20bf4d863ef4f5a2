"""What LURE's recipe says beside data and schedule: size, the length of stage one, and the weights of the losses."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ..recipe import Recipe, Strict, check, located, read_recipe_file


class Weights(Strict):
    """Of the losses, by the paper's names. It prints no values: these are ours."""

    task_gradient: float = Field(0.5, ge=0)
    """α_task, of the Sobel term of L_task."""
    unified: float = Field(0.2, ge=0)
    """α1 of stage one."""
    recon: float = Field(0.5, ge=0)
    """α2 of stage one; in stage two of the decoder, so that it does not forget single images."""
    intensity: float = Field(1, ge=0)
    """Of stage two: the level of the fused luma, which the paper's perceptual term holds, is held by max(V, I) here."""
    colour: float = Field(2, ge=0)
    gradient: float = Field(1, ge=0)
    """α1 of stage two."""
    perceptual: float = Field(0.1, ge=0)
    """α2 of stage two."""


class Settings(Strict):
    """What is LURE's own. The switches are the paper's ablations."""

    small: bool = False
    """The small variant of `networks.lure`."""
    inner_residual: bool = True
    tga: Literal["attention", "gate"] = "attention"
    rule: Literal["l1", "addition", "none"] = "l1"
    first: float = Field(0.6, gt=0, lt=1)
    """Share of the steps that stage one takes."""
    start: Path | None = None
    """Weights to start from, safetensors."""
    losses: Weights = Weights()


class LureRecipe(Recipe):
    """A recipe with the key `lure`, which stands for `network`, `mixture` and `losses` of the others."""

    lure: Settings = Settings()

    @model_validator(mode="after")
    def _own(self) -> LureRecipe:
        for key in ("network", "mixture", "losses"):
            if key in self.model_fields_set:
                raise ValueError(f"`{key}` is of other networks: say it under `lure`")
        return self


def read_lure_recipe(path: Path) -> LureRecipe:
    """Read and check a recipe; its relative folders count from the recipe's own. TrainError in one line."""
    recipe = check(path, read_recipe_file(path), LureRecipe)
    data = [source.model_copy(update={"root": located(path, source.root)}) for source in recipe.data]
    own = recipe.lure
    if own.start is not None:
        own = own.model_copy(update={"start": located(path, own.start)})
    return recipe.model_copy(update={"data": data, "lure": own})
