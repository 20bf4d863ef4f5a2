"""Text encoder: tags each word of a prompt with its meaning. Trained by `train/recipes/prompts.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..base import EngineError, one_line
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
"""Tags of a word: no meaning (`filler`); a degradation, one of TASKS; its absence (`no ...`); a clean image of one
camera or of both; a degradation that is none of TASKS (`other`); unknown."""
WEIGHTS = Path(__file__).parents[1] / "weights" / "prompts.safetensors"


class TextEncoder(nn.Module):
    """Word embeddings, each the mean of those of its pieces; dilated convolutions over words; linear layer to tags.

    The receptive field reaches 14 words to either side, for negations and the camera that a word refers to.
    """

    def __init__(self, width: int = 48, hidden: int = 96) -> None:
        super().__init__()
        self.pieces = nn.EmbeddingBag(BUCKETS, width, mode="mean", padding_idx=0)
        self.enter = nn.Linear(width, hidden)
        self.context = nn.ModuleList(nn.Conv1d(hidden, hidden, 5, padding=2 * d, dilation=d) for d in (1, 2, 4))
        self.tags = nn.Linear(width + hidden, len(TAGS))

    def forward(self, numbers: Tensor) -> Tensor:
        """numbers: (N, words, PIECES) int64, from `tokens`. Returns logits, (N, words, len(TAGS))."""
        mask = (numbers[..., 0] > 0).to(self.enter.weight.dtype).unsqueeze(1)
        word = self.pieces(numbers.flatten(0, 1)).unflatten(0, numbers.shape[:2])
        context = self.enter(word).mT * mask  # the result does not depend on padding
        for layer in self.context:
            context = context + F.relu(layer(context)) * mask
        return torch.as_tensor(self.tags(torch.cat([word, context.mT], dim=-1)))


def tokens(sentences: Sequence[Sequence[str]]) -> Tensor:
    """Encode sentences, lists of words, as (N, words of the longest, PIECES) int64, padded with 0."""
    longest, padding = max(map(len, sentences)), (0,) * PIECES
    rows = [[pieces(word) for word in sentence] + [padding] * (longest - len(sentence)) for sentence in sentences]
    return torch.tensor(rows, dtype=torch.int64)


@cache
def trained() -> TextEncoder:
    """The encoder with its shipped weights. Raises EngineError if they cannot be used."""
    encoder = TextEncoder()
    try:
        encoder.load_state_dict(load_file(WEIGHTS))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise EngineError(f"prompt: {WEIGHTS}: cannot be used: {one_line(error, 200)}; reinstall fusecam") from error
    return encoder.eval()


def read(sentence: Sequence[str]) -> list[str]:
    """Tag each word of a sentence with one of TAGS."""
    with torch.inference_mode():
        indices = trained()(tokens([sentence]))[0].argmax(dim=-1)
    return [TAGS[index] for index in indices.tolist()]
