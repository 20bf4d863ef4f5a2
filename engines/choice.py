"""The best backend that passes: engines in order of preference, each used only if it is what its network computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .base import EngineRefused, Fused, FusionEngine, Pixels


class Chosen:
    """The first of several engines that is not refused. One that is refused, at any frame size, is left for good."""

    def __init__(self, makers: Sequence[Callable[[], FusionEngine]]) -> None:
        """makers: give the engines, best first, when they are needed; at least one."""
        self._rest = list(makers)
        self._engine = self._rest.pop(0)()
        self._notes: list[str] = []

    @property
    def name(self) -> str:
        """Of the engine in use, NAME:BACKEND:PRECISION."""
        return self._engine.name

    @property
    def notes(self) -> list[str]:
        """See `FusionEngine.notes`."""
        return [*self._notes, *self._engine.notes]

    def prepare(self, width: int, height: int) -> None:
        """See `FusionEngine.prepare`. EngineRefused only when no engine is left."""
        while True:
            try:
                return self._engine.prepare(width, height)
            except EngineRefused as refusal:
                self._next(refusal)

    def fuse(self, visible: Pixels, infrared: Pixels, coverage: Pixels, elapsed_s: float | None = None) -> Fused:
        """See `FusionEngine.fuse`. EngineRefused only when no engine is left."""
        while True:
            try:
                return self._engine.fuse(visible, infrared, coverage, elapsed_s)
            except EngineRefused as refusal:
                self._next(refusal)

    def _next(self, refusal: EngineRefused) -> None:
        if not self._rest:
            raise refusal
        self._engine = self._rest.pop(0)()
        self._notes.append(f"{refusal}; {self._engine.name} is used instead")
