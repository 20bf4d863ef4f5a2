"""Tokenisation for the text encoder: words, and hashed pieces of each word."""

from __future__ import annotations

import re
from functools import lru_cache
from zlib import crc32

BUCKETS = 4096
"""Number of embeddings, which pieces share by their hash; 0 is padding."""
PIECES = 24
"""Maximum number of pieces of a word; the rest are dropped."""
LONGEST = 40
"""Maximum number of words and punctuation marks of a prompt."""
_TOKEN = re.compile(r"[a-z0-9]+(?:['’][a-z]+)?|[,;:.!?&+]", re.IGNORECASE)
_FREE = re.compile(r"\b([a-z]+)-free\b", re.IGNORECASE)
_MARKS = {";": ",", ".": ",", "!": ",", "?": ",", "&": "and", "+": "and"}


def words(text: str) -> list[str]:
    """Split text into words in lower case and the marks `,` and `:`. Hyphens separate words.

    `haze-free` becomes `no haze`, since `free` without its hyphen could refer to the words after it.
    """
    tokens = (token.lower().replace("’", "'") for token in _TOKEN.findall(_FREE.sub(r"no \1", text)))
    return [_MARKS.get(token, token) for token in tokens]


@lru_cache(1 << 16)
def pieces(word: str) -> tuple[int, ...]:
    """Hash a word and its character n-grams, n = 2 to 4, to numbers from 1 to BUCKETS - 1, padded to PIECES with 0.

    The ends of the word are marked. A misspelt word shares most n-grams with the correct one.
    """
    marked = f"<{word}>"
    ngrams = [marked, *(marked[i : i + n] for n in (3, 4, 2) for i in range(len(marked) - n + 1))]
    numbers = [1 + crc32(ngram.encode()) % (BUCKETS - 1) for ngram in ngrams[:PIECES]]
    return (*numbers, *(0 for _ in range(PIECES - len(numbers))))
