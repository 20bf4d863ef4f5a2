"""Fallback between backends: the first engine of a list that can be built and passes the parity gate."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from .base import EngineError, EngineRefused, Fused, FusionEngine, Pixels, one_line
from .warp import Size, Warp


class FallbackEngine:
    """The first of several engines that works. An engine that is refused at any frame size, or that fails during a run
    (a lost GPU, for example), is dropped for good; the next one fuses the frame it failed on.

    Thread-safe: threads that share an engine wait for each other. Each video needs its own engine, since global
    quantities are smoothed from frame to frame.
    """

    def __init__(self, makers: Sequence[Callable[[], FusionEngine]], notes: Sequence[str] = ()) -> None:
        """makers: create the engines when needed, best first; at least one. notes: precede those of the engine."""
        self._rest = list(makers)
        self._engine = self._rest.pop(0)()
        self._notes = [*notes]
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Name of the engine in use, NAME:BACKEND:PRECISION."""
        return self._engine.name

    @property
    def notes(self) -> list[str]:
        """See `FusionEngine.notes`."""
        return [*self._notes, *self._engine.notes]

    def prepare(self, width: int, height: int, infrared: Size | None = None, reduce: int = 1) -> None:
        """See `FusionEngine.prepare`. Raises EngineRefused only if the last engine is refused."""
        with self._lock:
            while True:
                try:
                    return self._engine.prepare(width, height, infrared, reduce)
                except EngineRefused as refusal:
                    self._next(refusal)

    def fuse(self, visible: Pixels, infrared: Pixels, warp: Warp | Pixels, elapsed_s: float | None = None) -> Fused:
        """See `FusionEngine.fuse`. Raises EngineError for invalid frames, and if the last engine fails."""
        with self._lock:
            while True:
                try:
                    return self._engine.fuse(visible, infrared, warp, elapsed_s)
                except (EngineRefused, RuntimeError) as failure:
                    self._next(failure)

    def _next(self, failure: EngineRefused | RuntimeError) -> None:
        """Switch to the next engine that can be created. Raises if there is none."""
        reason = str(failure)
        if not isinstance(failure, EngineRefused):
            reason = f"{self._engine.name}: broke down: {one_line(reason)}"
        while self._rest:
            try:
                engine = self._rest.pop(0)()
            except (EngineRefused, RuntimeError) as another:  # of the same lost GPU, for example
                reason += f"; {one_line(another)}"
                continue
            self._engine = engine
            self._notes.append(f"{reason}; {engine.name} is used instead")
            return
        raise failure if isinstance(failure, EngineRefused) else EngineError(f"{reason}; no other engine is left")
