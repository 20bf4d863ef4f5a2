"""Text as the encoder takes it: words, and the pieces of each word as numbers."""

from __future__ import annotations

import re
from functools import lru_cache
from zlib import crc32

BUCKETS = 4096
"""Pieces share this many embeddings by their hash; 0 is kept for padding."""
PIECES = 24
"""Pieces of a word that count: of the longest words only the first."""
LONGEST = 40
"""Words and marks of a prompt."""
_TOKEN = re.compile(r"[a-z0-9]+(?:['’][a-z]+)?|[,;:.!?&+]", re.IGNORECASE)
_FREE = re.compile(r"\b([a-z]+)-free\b", re.IGNORECASE)
_MARKS = {";": ",", ".": ",", "!": ",", "?": ",", "&": "and", "+": "and"}


def words(text: str) -> list[str]:
    """Words in lower case and the marks `,` and `:`; hyphens part words, so that `over-exposed` is two.

    `haze-free` becomes `no haze`: without its hyphen, `free` could be of what follows as well.
    """
    found = (token.lower().replace("’", "'") for token in _TOKEN.findall(_FREE.sub(r"no \1", text)))
    return [_MARKS.get(token, token) for token in found]


@lru_cache(1 << 16)
def pieces(word: str) -> tuple[int, ...]:
    """A word as PIECES numbers from 1 to BUCKETS - 1, then zeros: of itself and of its runs of 2 to 4 letters.

    The ends are marked. A misspelt word shares most of its runs with the right one.
    """
    marked = f"<{word}>"
    runs = [marked, *(marked[i : i + n] for n in (3, 4, 2) for i in range(len(marked) - n + 1))]
    numbers = [1 + crc32(run.encode()) % (BUCKETS - 1) for run in runs[:PIECES]]
    return (*numbers, *(0 for _ in range(PIECES - len(numbers))))
