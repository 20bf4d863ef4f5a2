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
from ..recipe import Strict, check, read_yaml
from .grammar import Tagged, numbers, sentence


class Prompts(Strict):
    """Schedule of the text encoder's training."""

    steps: int = Field(4000, ge=1)
    batch: int = Field(128, ge=1)
    rate: float = Field(4e-3, gt=0)
    seed: int = 0


class PromptRecipe(Strict):
    """A recipe whose one key is `prompts`."""

    prompts: Prompts = Prompts()


def read_prompt_recipe(path: Path) -> PromptRecipe:
    """Read and check a recipe. TrainError in one line."""
    return check(path, read_yaml(path), PromptRecipe)


def fit_prompts(recipe: PromptRecipe, out: Path, bar: bool = True) -> Path:
    """Train; returns the path of the weights, `out`/weights.safetensors, fp16.

    Prints the share of held-out sentences, of other seeds, that are understood in all of their tags.
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
    print(f"held-out sentences understood in every tag: {understood(encoder.eval(), 2000, asked.seed + 1):.1%}")
    return weights


def loss(encoder: TextEncoder, sentences: list[Tagged]) -> Tensor:
    """Binary cross entropy of every tag of every word (LURE's L_text, of words rather than of whole prompts)."""
    given, targets, there = _batch(sentences)
    each = F.binary_cross_entropy_with_logits(encoder(given), targets, reduction="none").mean(dim=-1)
    return (each * there).sum() / there.sum()


def understood(encoder: TextEncoder, count: int, seed: int) -> float:
    """Share of sentences whose tags, over all their words, are what was meant."""
    random = Random(seed)
    given, targets, there = _batch([sentence(random) for _ in range(count)])
    with torch.inference_mode():
        found = (encoder(given) > 0) & (there[..., None] > 0)
    return float((found.any(dim=1) == (targets > 0).any(dim=1)).all(dim=1).float().mean())


def _batch(sentences: list[Tagged]) -> tuple[Tensor, Tensor, Tensor]:
    given = tokens([[word for word, _ in each] for each in sentences])
    targets, there = torch.zeros(*given.shape[:2], len(TAGS)), torch.zeros(given.shape[:2])
    for row, each in enumerate(sentences):
        targets[row, : len(each)] = torch.tensor([numbers(tags) for _, tags in each])
        there[row, : len(each)] = 1
    return given, targets, there
