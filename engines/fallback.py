"""The best backend that passes: engines in order of preference, each used only if it is what its network computes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from .base import EngineError, EngineRefused, Fused, FusionEngine, Pixels
from .warp import Size, Warp


class Chosen:
    """The first of several engines that is not refused. One that is refused, at any frame size, or that breaks in the
    middle of a run (a GPU that is lost, say), is left for good; the frame it failed on goes to the next.

    An engine works in buffers of its own, on one frame at a time: threads that share one wait for each other. What it
    steadies over time is of one video, so each video needs an engine of its own.
    """

    def __init__(self, makers: Sequence[Callable[[], FusionEngine]], notes: Sequence[str] = ()) -> None:
        """makers: give the engines, best first, when they are needed; at least one. notes: said first."""
        self._rest = list(makers)
        self._engine = self._rest.pop(0)()
        self._notes = [*notes]
        self._one_at_a_time = threading.Lock()

    @property
    def name(self) -> str:
        """Of the engine in use, NAME:BACKEND:PRECISION."""
        return self._engine.name

    @property
    def notes(self) -> list[str]:
        """See `FusionEngine.notes`."""
        return [*self._notes, *self._engine.notes]

    def prepare(self, width: int, height: int, infrared: Size | None = None, reduce: int = 1) -> None:
        """See `FusionEngine.prepare`. EngineRefused only when no engine is left."""
        with self._one_at_a_time:
            while True:
                try:
                    return self._engine.prepare(width, height, infrared, reduce)
                except EngineRefused as refusal:
                    self._next(refusal)

    def fuse(self, visible: Pixels, infrared: Pixels, warp: Warp | Pixels, elapsed_s: float | None = None) -> Fused:
        """See `FusionEngine.fuse`. EngineError for bad frames, and when no engine is left."""
        with self._one_at_a_time:
            while True:
                try:
                    return self._engine.fuse(visible, infrared, warp, elapsed_s)
                except (EngineRefused, RuntimeError) as failure:
                    self._next(failure)

    def _next(self, failure: EngineRefused | RuntimeError) -> None:
        reason = str(failure)
        if not isinstance(failure, EngineRefused):
            reason = f"{self._engine.name}: broke down: {' '.join(reason.split())[:300]}"
        while self._rest:
            try:
                engine = self._rest.pop(0)()
            except (EngineRefused, RuntimeError) as another:  # of the same GPU, say
                reason += f"; {' '.join(str(another).split())[:300]}"
                continue
            self._engine = engine
            self._notes.append(f"{reason}; {engine.name} is used instead")
            return
        raise failure if isinstance(failure, EngineRefused) else EngineError(f"{reason}; no other engine is left")
