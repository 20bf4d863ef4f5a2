"""Schema of the recipes of IASSF and DFVO."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..recipe import Recipe, Strict


class IassfSettings(Strict):
    """Settings of IASSF. The switches are the ablations of its Table VII, see `engines.networks.iassf.Profile`."""

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
    """Settings of DFVO: weights of its losses, from the paper or else from the published code."""

    variant: Literal["full", "small"] = "full"
    prior: Literal["contrast", "resnet18"] = "contrast"
    """Features in which enhanced and histogram-equalised frame are compared: local contrast, or, as in the paper,
    those of a ResNet-18, whose weights torchvision downloads."""
    infrared: float = Field(10, ge=0)
    retinex: float = Field(500, ge=0)
    smoothness: float = Field(1, ge=0)
    """Weight of eq. 14, whose two terms have their own factors 1.35 and 1.55."""
    histogram: float = Field(2.5, ge=0)
    content: float = Field(1.75, ge=0)
    structure: float = Field(0.65, ge=0)
    colour: float = Field(0.35, ge=0)
    fusion: float = Field(10, ge=0)
    """Final weight of the fusion task (eq. 25), reached in 100 increments, one per epoch in the paper."""
    over_exposed: float = Field(7, gt=0)
    """Threshold of over-exposure relative to the mean of the refined dark channel (eq. 18)."""


class PaperRecipe(Recipe):
    """A recipe with the key `iassf` or `dfvo`, which replaces `network` and `losses`."""

    iassf: IassfSettings | None = None
    dfvo: DfvoSettings | None = None
    betas: tuple[float, float] = (0.9, 0.999)
    """β1 and β2 of Adam."""
    decay: float = Field(0.01, ge=0)
    """Weight decay of AdamW; 0: Adam."""
    falls: float = Field(0.01, gt=0, le=1)
    """Final learning rate of the cosine decay relative to the initial one; 1: constant."""

    @model_validator(mode="after")
    def _own(self) -> PaperRecipe:
        if (self.iassf is None) == (self.dfvo is None):
            raise ValueError("give one of `iassf` and `dfvo`")
        for key in ("network", "losses"):
            if key in self.model_fields_set:
                raise ValueError(f"`{key}` does not apply to this network")
        return self

    @property
    def name(self) -> str:
        """Name of the network."""
        return "dfvo" if self.iassf is None else "iassf"
