"""The text encoder: a prompt's words to what each of them says. Trained by `train/recipes/prompts.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..base import EngineError
from .tasks import TASKS
from .words import BUCKETS, PIECES, pieces

TAGS = (
    *(f"{task.name}" for task in TASKS),
    *(f"no {task.name}" for task in TASKS),
    "clean visible",
    "clean infrared",
    "other",
    "unknown",
)
"""What a word can say: that there is a degradation, that there is none of it, that a camera is clean, that there is a
degradation that is none of the six tasks; or nothing that the encoder knows. Filler says none of these."""
WEIGHTS = Path(__file__).parents[1] / "weights" / "prompts.safetensors"


class TextEncoder(nn.Module):
    """Words as sums of embeddings of their pieces; a recurrent layer, both ways, that sees negations and which camera
    is spoken of; a linear layer to the tags.
    """

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.pieces = nn.EmbeddingBag(BUCKETS, width, mode="mean", padding_idx=0)
        self.context = nn.GRU(width, width, num_layers=2, batch_first=True, bidirectional=True)
        self.tags = nn.Linear(3 * width, len(TAGS))

    def forward(self, numbers: Tensor) -> Tensor:
        """numbers: (N, words, PIECES) int64, from `tokens`. Returns the logits of the tags, (N, words, TAGS)."""
        word = self.pieces(numbers.flatten(0, 1)).unflatten(0, numbers.shape[:2])
        around, _ = self.context(word)
        return torch.as_tensor(self.tags(torch.cat([word, around], dim=-1)))


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


def read(sentence: Sequence[str]) -> list[dict[str, float]]:
    """The probability of each tag, for each word of a sentence."""
    with torch.inference_mode():
        found = trained()(tokens([sentence]))[0].sigmoid().tolist()
    return [dict(zip(TAGS, word, strict=True)) for word in found]
