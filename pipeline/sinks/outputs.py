"""The sinks of one run: one that fails is closed and reported, the others go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock

from ..core.health import Health
from ..core.result import Result
from ..errors import InputError, expected_errors
from .base import Sink

_PATIENCE_S = 2.0  # for a sink that is writing when the run is broken off


class Outputs:
    """Hands every result to every sink that has not failed.

    Attributes:
        lost: what ended the sinks that failed, in order.
        on_warning: called with each line as it arises, in the thread that met it.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        health: Health,
        watched: bool = False,
        all_needed: bool = False,
    ) -> None:
        """Take the sinks.

        Args:
            sinks: opened.
            health: counts outputs that are lost.
            watched: somebody may look at the results, so that the run goes on without any output.
            all_needed: the loss of one ends the run.
        """
        self.lost: list[Exception] = []
        self.on_warning: Callable[[str], None] = lambda line: None
        self._sinks, self._health = list(sinks), health
        self._open = list(sinks)
        self._watched, self._all_needed = watched, all_needed
        self._lines: list[str] = []
        self._lock = Lock()

    @property
    def warnings(self) -> list[str]:
        """One line for each kind of trouble of each sink, and for each that was lost."""
        return [*self._lines, *(line for sink in self._sinks for line in sink.health.warnings)]

    @property
    def enough(self) -> bool:
        """Whether a sink asks for the end of the run."""
        return any(sink.health.enough for sink in self._open)

    def write(self, result: Result) -> None:
        """Take the next result.

        Raises:
            Exception: what ended the first output, when none is left, or all are needed.
        """
        with self._lock:
            for sink in tuple(self._open):
                try:
                    sink.write(result)
                    for line in tuple(sink.health.urgent):
                        self.warn(line)
                except Exception as error:
                    self._lose(sink, error, "the run goes on without it")
        if self.lost and (self._all_needed or not (self._watched or self._open)):
            raise self.lost[0]

    def warn(self, line: str) -> None:
        """Say something about the outputs, once."""
        if line not in self._lines:
            self._lines.append(line)
            self.on_warning(line)

    def close(self, complete: bool) -> bool:
        """End every sink that has not failed: put it in place when complete, else remove what is unfinished.

        Returns:
            Whether anything is kept.
        """
        with self._lock:
            for sink in tuple(self._open):
                try:
                    sink.close(complete)
                except Exception as error:  # a full disk may show only when the file is finished
                    self._lose(sink, error, "it could not be finished")
            kept = complete and (not self._sinks or bool(self._open))
            self._open.clear()
        return kept

    def discard(self) -> None:
        """Remove unfinished outputs at once, even during a write; safe to call from any thread."""
        if self._lock.acquire(timeout=_PATIENCE_S):
            self._lock.release()
            self.close(complete=False)

    def _lose(self, sink: Sink, error: Exception, so: str) -> None:
        if not isinstance(error, expected_errors()):
            name = type(sink).__name__
            error = InputError(f"{name}: failed unexpectedly ({type(error).__name__}: {' '.join(str(error).split())})")
        self._open.remove(sink)
        self.lost.append(error)
        self._health.count_run("output_losses")
        self.warn(f"output lost: {error}; {so}")
        try:
            sink.close(complete=False)
        except Exception as second:
            self.warn(f"output lost: {second}")
