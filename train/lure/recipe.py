"""Schema of LURE recipes: network variant, length of stage one, weights of the losses."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ..recipe import Recipe, Strict


class Weights(Strict):
    """Weights of the losses, by their names in the paper, which gives no values."""

    task_gradient: float = Field(0.5, ge=0)
    """α_task, weight of the Sobel term of L_task."""
    unified: float = Field(0.2, ge=0)
    """α1 of stage one."""
    recon: float = Field(0.5, ge=0)
    """α2 of stage one; in stage two it keeps the decoder able to reconstruct single images."""
    intensity: float = Field(1, ge=0)
    """Stage two: compares the fused luma with max(V, I); in the paper the perceptual term sets its level."""
    colour: float = Field(2, ge=0)
    gradient: float = Field(1, ge=0)
    """α1 of stage two."""
    perceptual: float = Field(0.1, ge=0)
    """α2 of stage two."""


class Settings(Strict):
    """Settings of LURE. The switches are the ablations of the paper."""

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
    """A recipe with the key `lure`, which replaces `network`, `mixture` and `losses`."""

    lure: Settings = Settings()

    @model_validator(mode="after")
    def _own(self) -> LureRecipe:
        for key in ("network", "mixture", "losses"):
            if key in self.model_fields_set:
                raise ValueError(f"`{key}` does not apply to this network; set it under `lure`")
        return self
