"""What an engine builds for each frame size, the last sizes kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

SIZES_KEPT = 2
"""Frame sizes that an engine keeps ready: those of a camera that changes to and fro, or of a folder with upright and
lying images. Each takes some 30 MB; one that is not kept is there again from the store in a fifth of a second."""
Size = TypeVar("Size", bound=Hashable)
Built = TypeVar("Built")


class Recent(Generic[Size, Built]):
    """Builds for a size that is not there, and lets go of the one that was not asked for longest.

    How to build is not kept here: an engine that its own parts hold would stay in memory when it is given up.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Size, Built] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, size: Size, build: Callable[[Size], Built]) -> Built:
        """What was built for a size, now if need be. Whatever `build` raises goes through, and nothing is kept then."""
        if size not in self._kept and len(self._kept) == SIZES_KEPT:
            self._kept.popitem(last=False)  # before building, so that there is never one more in memory
        built = self._kept.pop(size) if size in self._kept else build(size)
        self._kept[size] = built
        return built
