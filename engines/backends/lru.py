"""A small LRU cache of what engines build for each frame size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

SIZES_KEPT = 2
"""Capacity: enough for a camera that alternates between two sizes, or a folder of portrait and landscape images. Each
size takes some 30 MB; one that was evicted is loaded from the store again in 0.2 s."""
Size = TypeVar("Size", bound=Hashable)
Built = TypeVar("Built")


class LruCache(Generic[Size, Built]):
    """Cache by frame size that evicts the least recently used entry.

    The build function is an argument of `get`, not an attribute: a bound method of the engine would be a reference
    cycle, which keeps a discarded engine in memory.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Size, Built] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, size: Size, build: Callable[[Size], Built]) -> Built:
        """The entry of a size, built now if it is not cached. If `build` raises, nothing is cached."""
        if size not in self._kept and len(self._kept) == SIZES_KEPT:
            self._kept.popitem(last=False)  # before building, so that memory never holds one more
        built = self._kept.pop(size) if size in self._kept else build(size)
        self._kept[size] = built
        return built
