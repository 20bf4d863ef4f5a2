"""The output thread: overlay and sinks, off the thread that fuses."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..core.result import Result
from ..monitoring.view import RunView
from ..overlay import Overlay
from ..sinks import Outputs
from .session import Session


@dataclass(slots=True)
class Outcome:
    """Result of a run. `ended`: why it stopped. `failure`: the error that ended it, if any.

    kept: whether the outputs were finished and put in place.
    """

    frames: int = 0
    kept: bool = False
    ended: str = "interrupted"
    failure: Exception | None = None
    seconds: float = 0.0


class Handover:
    """A queue of results behind one lock.

    lossless (files): `put` waits while two results are inside.
    Otherwise (live): one result waits at most; a newer one takes its place and its index.
    """

    def __init__(self, lossless: bool) -> None:
        self._lossless = lossless
        self._capacity = 2 if lossless else 1
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


class Writer:
    """Gives a session's results to the outputs, and counts each as `out` or `dropped_output`. The session ends when the
    last output fails, or an output asks for the end.
    """

    def __init__(
        self,
        session: Session,
        outputs: Outputs,
        view: RunView,
        overlay: Overlay | None,
        on_frame: Callable[[int], None],
        look: Callable[[Result], Result] = lambda result: result,
    ) -> None:
        """view: gets what is out. on_frame: told in the writer's thread how many that are. look: what is shown."""
        self.outcome = Outcome()
        self._session, self._outputs, self._overlay = session, outputs, overlay
        self._view, self._on_frame, self._look = view, on_frame, look
        self._queue = Handover(lossless=not session.live)
        self._broken_off = threading.Event()
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    def put(self, result: Result) -> bool:
        """Leave a result. False, live, where it took the place and the index of one that was still waiting."""
        session = self._session
        session.health.count_run("fused")
        with session.recorder.stage("output queue", result.index):
            added = self._queue.put(result)
        if not added:
            session.health.count_run("dropped_output")
        return added

    def end(self) -> None:
        """Wait until everything is written."""
        self._queue.end()
        self._thread.join()

    def abandon(self) -> None:
        """Stop writing, without waiting."""
        self._broken_off.set()
        self._queue.end()

    def _run(self) -> None:
        while (result := self._queue.take()) is not None:
            if self._broken_off.is_set():
                continue  # keep emptying so that the working thread never blocks
            try:
                self._write(result)
            except Exception as error:  # of the last output
                self._session.fail(error)

    def _write(self, result: Result) -> None:
        health, recorder = self._session.health, self._session.recorder
        result = self._drawn(self._look(result))
        health.shown(result.pair.visible.arrival_ns)
        try:
            with recorder.stage("write", result.index):
                self._outputs.write(result)
        except Exception:
            health.count_run("dropped_output")
            raise
        if self._outputs.enough:
            self._session.stop.set()
        self._update_view(result)
        self.outcome.frames += 1
        recorder.add("age", time.monotonic_ns() - result.pair.visible.arrival_ns, result.index)
        recorder.output()
        health.count_run("out")
        self._on_frame(result.index + 1)

    def _update_view(self, result: Result) -> None:
        """Update monitoring; its failures do not affect the outputs."""
        try:
            self._view.write(result)
        except Exception as error:
            self._outputs.warn(f"monitoring: failed ({type(error).__name__}: {error}); the outputs go on")

    def _drawn(self, result: Result) -> Result:
        """With the overlay, if there is one and it works."""
        session = self._session
        if self._overlay is None or not session.switches.overlay:
            return result
        try:
            with session.recorder.stage("overlay", result.index):
                return self._overlay.draw(result, session.recorder)
        except Exception as error:
            session.health.count_run("overlay_losses")
            self._outputs.warn(f"overlay: failed ({type(error).__name__}: {error}); such frames go out without it")
            return result
