"""The text encoder's training run: phrases drawn anew for every step."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from pydantic import Field
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor

from ...engines.prompts.encoder import TAGS, TextEncoder, tokens
from ..recipe import Strict, check, read_recipe_file
from .grammar import Tagged, sentence

PADDING = -1


class Prompts(Strict):
    """Schedule of the text encoder's training."""

    steps: int = Field(2500, ge=1)
    batch: int = Field(128, ge=1)
    rate: float = Field(4e-3, gt=0)
    seed: int = Field(0, ge=0, lt=2**32)


class PromptRecipe(Strict):
    """A recipe whose one key is `prompts`."""

    prompts: Prompts = Prompts()


def read_prompt_recipe(path: Path) -> PromptRecipe:
    """Read and check a recipe. TrainError in one line."""
    return check(path, read_recipe_file(path), PromptRecipe)


def fit_prompts(recipe: PromptRecipe, out: Path, bar: bool = True) -> Path:
    """Train; returns the path of the weights, `out`/weights.safetensors, fp16.

    Prints the share of held-out sentences, of other seeds, of which all is understood.
    """
    asked = recipe.prompts
    torch.set_num_threads(1)  # layers too small to be shared: on a busy machine threads wait for each other
    torch.manual_seed(asked.seed)
    random, encoder = Random(asked.seed), TextEncoder()
    optimiser = torch.optim.AdamW(encoder.parameters(), asked.rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1, step / 100) * (0.01 + 0.495 * (1 + math.cos(math.pi * step / asked.steps)))
    )
    for _ in track(range(asked.steps), "prompts", disable=not bar):
        cost = loss(encoder, [sentence(random) for _ in range(asked.batch)])
        optimiser.zero_grad()
        cost.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    out.mkdir(parents=True, exist_ok=True)
    weights = out / "weights.safetensors"
    save_file({name: value.half().contiguous() for name, value in encoder.state_dict().items()}, weights)
    print(f"held-out sentences of which all is understood: {understood(encoder.eval(), 2000, asked.seed + 1):.1%}")
    return weights


def loss(encoder: TextEncoder, sentences: list[Tagged]) -> Tensor:
    """Cross entropy of every word's tag: LURE's L_text, of words rather than of whole prompts."""
    given, tags = _batch(sentences)
    return F.cross_entropy(encoder(given).flatten(0, 1), tags.flatten(), ignore_index=PADDING)


def understood(encoder: TextEncoder, count: int, seed: int) -> float:
    """Share of sentences of which all is understood: what their words say together is what was meant."""
    random = Random(seed)
    given, tags = _batch([sentence(random) for _ in range(count)])
    with torch.inference_mode():
        found = encoder(given).argmax(dim=-1)
    there = (tags != PADDING)[..., None]
    said, meant = ((F.one_hot(each.clamp(min=0), len(TAGS)) * there).amax(dim=1)[:, 1:] for each in (found, tags))
    return float((said == meant).all(dim=1).float().mean())


def _batch(sentences: list[Tagged]) -> tuple[Tensor, Tensor]:
    given = tokens([[word for word, _ in each] for each in sentences])
    tags = torch.full(given.shape[:2], PADDING)
    for row, each in enumerate(sentences):
        tags[row, : len(each)] = torch.tensor([TAGS.index(tag) for _, tag in each])
    return given, tags
