"""The text encoder: a prompt's words to what each of them says. Trained by `train/recipes/prompts.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..base import EngineError
from ..networks.tasks import TASKS
from .words import BUCKETS, PIECES, pieces

TAGS = (
    "filler",
    *(f"{task.name}" for task in TASKS),
    *(f"no {task.name}" for task in TASKS),
    "clean visible",
    "clean infrared",
    "clean",
    "other",
    "unknown",
)
"""What a word says, one of these: nothing; that there is a degradation; that there is none of it; that one camera's
picture is clean, or both; that there is a degradation that is none of the six tasks; or what the encoder knows not."""
WEIGHTS = Path(__file__).parents[1] / "weights" / "prompts.safetensors"


class TextEncoder(nn.Module):
    """Words as means of embeddings of their pieces; convolutions over words, 14 to either side, that see negations and
    which camera is spoken of; a linear layer to the tags.
    """

    def __init__(self, width: int = 48, hidden: int = 96) -> None:
        super().__init__()
        self.pieces = nn.EmbeddingBag(BUCKETS, width, mode="mean", padding_idx=0)
        self.enter = nn.Linear(width, hidden)
        self.context = nn.ModuleList(nn.Conv1d(hidden, hidden, 5, padding=2 * d, dilation=d) for d in (1, 2, 4))
        self.tags = nn.Linear(width + hidden, len(TAGS))

    def forward(self, numbers: Tensor) -> Tensor:
        """numbers: (N, words, PIECES) int64, from `tokens`. Returns the logits of the tags, (N, words, TAGS)."""
        there = (numbers[..., 0] > 0).to(self.enter.weight.dtype).unsqueeze(1)
        word = self.pieces(numbers.flatten(0, 1)).unflatten(0, numbers.shape[:2])
        around = self.enter(word).mT * there  # padding says nothing, however much of it there is
        for layer in self.context:
            around = around + F.relu(layer(around)) * there
        return torch.as_tensor(self.tags(torch.cat([word, around.mT], dim=-1)))


def tokens(sentences: Sequence[Sequence[str]]) -> Tensor:
    """Sentences of words as (N, words of the longest, PIECES) int64, padded with 0."""
    longest, nothing = max(map(len, sentences)), (0,) * PIECES
    rows = [[pieces(word) for word in each] + [nothing] * (longest - len(each)) for each in sentences]
    return torch.tensor(rows, dtype=torch.int64)


@cache
def trained() -> TextEncoder:
    """The encoder with its trained weights. EngineError where they cannot be used."""
    encoder = TextEncoder()
    try:
        encoder.load_state_dict(load_file(WEIGHTS))
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EngineError(f"prompt: {WEIGHTS}: cannot be used: {reason}; install fusecam anew") from error
    return encoder.eval()


def read(sentence: Sequence[str]) -> list[str]:
    """What each word of a sentence says, one of TAGS."""
    with torch.inference_mode():
        found = trained()(tokens([sentence]))[0].argmax(dim=-1)
    return [TAGS[index] for index in found.tolist()]
