"""Doubts about a result: assumptions that may be wrong, each reported once and at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Lock

DOUBTFUL = 3
"""Exit code of a run that finished, but whose result rests on an assumption that may be wrong."""


class Doubts:
    """Lines in the order in which they came, each once. Every method may be called from any thread.

    A line names the input, what is assumed about it, and the setting that changes it. What is only worth knowing, and
    leaves the result right, is a warning and does not belong here.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._lines: list[str] = []
        self._listeners: list[Callable[[str], None]] = []

    def add(self, line: str) -> None:
        """Say a doubt; nothing happens when it was said before."""
        with self._lock:
            if line in self._lines:
                return
            self._lines.append(line)
            listeners = list(self._listeners)
        for listener in listeners:
            listener(line)

    def follow(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with every line, those already said included, in the thread that says it."""
        with self._lock:
            self._listeners.append(listener)
            said = list(self._lines)
        for line in said:
            listener(line)

    def __iter__(self) -> Iterator[str]:
        with self._lock:
            return iter(list(self._lines))

    def __len__(self) -> int:
        return len(self._lines)
