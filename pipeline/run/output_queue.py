"""Between the working thread and the output thread: waits for a file's outputs, never lets a live picture grow old."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace

from ..core.result import Result


class Handover:
    """A queue of results behind one lock.

    lossless (files): `put` waits while `capacity` results are inside.
    Otherwise (live): one result waits at most; a newer one takes its place and its index.
    """

    def __init__(self, lossless: bool, capacity: int = 2) -> None:
        self._lossless = lossless
        self._capacity = capacity if lossless else 1
        self._results: deque[Result] = deque()
        self._ended = False
        self._changed = threading.Condition()

    def put(self, result: Result) -> bool:
        """Leave a result. True if it was added, False if it replaced the one that was waiting."""
        with self._changed:
            if self._lossless:
                self._changed.wait_for(lambda: len(self._results) < self._capacity)
            replaced = self._results.pop() if len(self._results) >= self._capacity else None
            self._results.append(result if replaced is None else replace(result, index=replaced.index))
            self._changed.notify_all()
            return replaced is None

    def take(self) -> Result | None:
        """The next result, waiting for it; None once `end` was called and all are taken."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._results) or self._ended)
            if not self._results:
                return None
            result = self._results.popleft()
            self._changed.notify_all()
            return result

    def end(self) -> None:
        """No more results will come."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
