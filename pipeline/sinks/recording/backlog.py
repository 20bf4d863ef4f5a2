"""A queue of frames written to disk in its own thread, so that producers do not wait for the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, Thread
from typing import Any

import numpy.typing as npt

from ..jsonl import CameraLine, Line

_MOST_FRAMES = 64  # frames
_MOST_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class QueuedFrame:
    """A frame to record.

    Attributes:
        image: (H, W, 3) uint8 RGB, (H, W) uint8, or (H, W) uint16 counts, which are stored without loss.
        time_ns: capture time on the source's clock.
        utc_ns: capture time in ns since 1970 UTC.
        line: its JSON line.
        found: whether it has a detection.
        note: settings for reading counts, see `sources.as_recorded`.
    """

    image: npt.NDArray[Any]
    time_ns: int
    utc_ns: int
    line: Line | CameraLine
    found: bool = False
    note: str = ""


class Backlog:
    """Queue of frames for a thread that records them. If it is full, live frames are dropped, else `put` waits."""

    def __init__(
        self,
        name: str,
        lossless: bool,
        record: Callable[[QueuedFrame], bool],
        finish: Callable[[], None] | None,
        counted: Callable[[bool], None],
    ) -> None:
        """Start the thread.

        Args:
            name: name of the thread.
            lossless: whether `put` waits for space in the queue.
            record: called in the thread with each frame; returns whether it was recorded.
            finish: called in the thread after a pause and at the end; None: nothing to do.
            counted: called once per frame with whether it was recorded.
        """
        self._lossless, self._record, self._counted = lossless, record, counted
        self._finish = finish or (lambda: None)
        self._waiting: deque[QueuedFrame | None] = deque()
        self._bytes = 0
        self._closed = False
        self._failed: Exception | None = None
        self._changed = Condition()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, shot: QueuedFrame) -> None:
        """Queue a frame."""
        with self._changed:
            if self._lossless:
                self._changed.wait_for(lambda: self._closed or len(self._waiting) < 4)
            room = len(self._waiting) < _MOST_FRAMES and self._bytes + shot.image.nbytes <= _MOST_BYTES
            if not self._closed and (room or not self._waiting):
                self._waiting.append(shot)
                self._bytes += shot.image.nbytes
                self._changed.notify_all()
                return
        self._counted(False)

    def pause(self) -> None:
        """Finish; the next frame begins a new file."""
        with self._changed:
            if not self._waiting or self._waiting[-1] is not None:
                self._waiting.append(None)
                self._changed.notify_all()

    def close(self) -> None:
        """Record the queued frames, and finish. Safe to call twice. Raises the error of the thread, once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed

    def _run(self) -> None:
        try:
            self._work()
        except Exception as e:  # else a waiting `put` would never return
            with self._changed:
                self._failed, self._closed = e, True
                lost = sum(shot is not None for shot in self._waiting)
                self._waiting.clear()
                self._changed.notify_all()
            for _ in range(lost):
                self._counted(False)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting) or self._closed)
                if not self._waiting:
                    break
                shot = self._waiting.popleft()
                self._bytes -= 0 if shot is None else shot.image.nbytes
                self._changed.notify_all()
            if shot is None:
                self._finish()
            else:
                recorded = False
                try:
                    recorded = self._record(shot)
                finally:
                    self._counted(recorded)
        self._finish()
