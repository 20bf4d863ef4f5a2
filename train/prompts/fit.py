"""Training of the text encoder on random sentences, new ones in every step."""

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
from ..recipe import Strict
from .grammar import Tagged, sentence

PADDING = -1


class Prompts(Strict):
    """Schedule of the training."""

    steps: int = Field(2500, ge=1)
    batch: int = Field(128, ge=1)
    rate: float = Field(4e-3, gt=0)
    seed: int = Field(0, ge=0, lt=2**32)


class PromptRecipe(Strict):
    """A recipe with the single key `prompts`."""

    prompts: Prompts = Prompts()


def fit_prompts(recipe: PromptRecipe, out: Path, bar: bool = True) -> Path:
    """Train; returns the path of the weights, `out`/weights.safetensors, fp16.

    Prints the share of held-out sentences, from another seed, whose tags are all predicted correctly.
    """
    settings = recipe.prompts
    torch.set_num_threads(1)  # the layers are too small for multithreading
    torch.manual_seed(settings.seed)
    random, encoder = Random(settings.seed), TextEncoder()
    optimiser = torch.optim.AdamW(encoder.parameters(), settings.rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1, step / 100) * (0.01 + 0.495 * (1 + math.cos(math.pi * step / settings.steps)))
    )
    for _ in track(range(settings.steps), "prompts", disable=not bar):
        cost = loss(encoder, [sentence(random) for _ in range(settings.batch)])
        optimiser.zero_grad()
        cost.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    out.mkdir(parents=True, exist_ok=True)
    weights = out / "weights.safetensors"
    save_file({name: value.half().contiguous() for name, value in encoder.state_dict().items()}, weights)
    print(f"held-out sentences of which all is understood: {understood(encoder.eval(), 2000, settings.seed + 1):.1%}")
    return weights


def loss(encoder: TextEncoder, sentences: list[Tagged]) -> Tensor:
    """Cross entropy of the tag of every word: LURE's L_text, per word instead of per prompt."""
    inputs, tags = _batch(sentences)
    return F.cross_entropy(encoder(inputs).flatten(0, 1), tags.flatten(), ignore_index=PADDING)


def understood(encoder: TextEncoder, count: int, seed: int) -> float:
    """Share of `count` random sentences whose set of predicted tags, without the first of TAGS, is correct."""
    random = Random(seed)
    inputs, tags = _batch([sentence(random) for _ in range(count)])
    with torch.inference_mode():
        predicted = encoder(inputs).argmax(dim=-1)
    mask = (tags != PADDING)[..., None]
    output, target = ((F.one_hot(x.clamp(min=0), len(TAGS)) * mask).amax(dim=1)[:, 1:] for x in (predicted, tags))
    return float((output == target).all(dim=1).float().mean())


def _batch(sentences: list[Tagged]) -> tuple[Tensor, Tensor]:
    inputs = tokens([[word for word, _ in each] for each in sentences])
    tags = torch.full(inputs.shape[:2], PADDING)
    for row, each in enumerate(sentences):
        tags[row, : len(each)] = torch.tensor([TAGS.index(tag) for _, tag in each])
    return inputs, tags
