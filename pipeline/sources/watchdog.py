"""A live source that is reopened, with growing pauses, whenever it ends, fails or stalls."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

from ..core.frames import Frame
from ..core.health import Health
from ..core.memory import release_memory
from ..errors import InputError
from .base import SourceHealth
from .live import LiveSource

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
"""Each pause is twice the one before, up to this; a frame brings it back to the first."""
_LINES_KEPT = 20
_PERIODS = 5


class WatchedSource:
    """Iterates over successive live sources as one: sequence numbers and times keep increasing.

    It ends only when it is closed, or when a plug-in ends without an error. The counters of the sources are summed in
    `health`; stalls, reconnects and the state of the camera go to `run`. All losses together take one line of the
    warnings.
    """

    def __init__(self, first: LiveSource, reopen: Callable[[], LiveSource], stall_s: float, run: Health) -> None:
        """first: already open. reopen: opens the same source again; may take long and may raise InputError.
        stall_s: silence after which a source counts as dead, at least five periods of its nominal rate; a plug-in
        without one never does.
        """
        self.info = first.info
        self.health = SourceHealth()
        self._doubted: set[str] = set()
        first.health.doubts.follow(self._doubt)
        self._source = first
        self._reopen = reopen
        self._stall_s: float | None = max(stall_s, _PERIODS / float(first.info.rate)) if first.info.rate else stall_s
        if first.plugged and not first.info.rate:
            self._stall_s = None
        self._pause_s = FIRST_PAUSE_S
        self._run = run
        self._closed = threading.Event()
        self._sequence = 0
        self._last_ns: int | None = None
        self._finished = SourceHealth()
        self._losses = 0
        self._line_number: int | None = None

    def __iter__(self) -> Iterator[Frame]:
        camera, back = self.info.camera, True
        while not self._closed.is_set():
            try:
                frame = self._source.take(self._stall_s)
                reason = ""
            except TimeoutError:
                frame, reason = None, f"no data for {self._stall_s:g} s"
                if not self._closed.is_set():
                    self._run.count(camera, "stalls")
            except InputError as error:
                if self._source.plugged and not self._sequence:  # it does not keep its promises
                    raise
                frame, reason = None, self._plain([str(error)])
            over = frame is None and not reason and self._source.plugged
            self._update_health(ended=frame is None and not reason and not over)
            if frame is not None:
                if not back:
                    back = True
                    self._run.count(camera, "reconnects")
                yield self._continued(frame)
            elif over:
                return
            elif not self._closed.is_set():
                back = False
                self._report_loss(reason or self._plain(self._source.health.warnings[-1:]))
                self._run.enter(camera, "lost")
                self._reconnect()

    def close(self) -> None:
        """End the iteration at once. Safe to call twice and from any thread."""
        self._closed.set()
        self._source.close()

    def _continued(self, frame: Frame) -> Frame:
        time_ns = frame.time_ns if self._last_ns is None else max(frame.time_ns, self._last_ns + 1)
        self._last_ns = time_ns
        frame = replace(frame, sequence=self._sequence, time_ns=time_ns)
        self._sequence += 1
        self._pause_s = FIRST_PAUSE_S
        self.health.delivered = self._sequence  # without frames that the connection has read ahead
        return frame

    def _reconnect(self) -> None:
        """Reopen the source, or return when it is closed for good."""
        ended, self._finished = self._source, _sum(self._finished, self._source.health)
        ended.close()
        release_memory()
        while not self._closed.wait(self._pause_s):
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            attempt = _Attempt(self._reopen)
            if (source := attempt.wait(self._closed)) is not None:
                self._source = source
                source.health.doubts.follow(self._doubt)
                if self._closed.is_set():  # closed in between: `close` may have seen the source before this one
                    source.close()
                return

    def _update_health(self, ended: bool) -> None:
        """ended: the stream ended; the last warning of the source is the reason and is left out."""
        total = _sum(self._finished, self._source.health)
        health = self.health
        health.corrupt, health.retimed = total.corrupt, total.retimed
        health.drift_ppm = self._source.health.drift_ppm
        lines = self._source.health.warnings[: -1 if ended else None]
        if len(health.warnings) < _LINES_KEPT:
            health.warnings += [line for line in lines if line not in health.warnings]

    def _doubt(self, line: str) -> None:
        """Pass a doubt on. Each connection measures its figures anew: lines that differ in them alone are one doubt."""
        kind = re.sub(r"\d+", "", line)
        if kind not in self._doubted:
            self._doubted.add(kind)
            self.health.doubts.add(line)

    def _plain(self, lines: list[str]) -> str:
        return lines[0].removeprefix(f"{self.info.spec}: ") if lines else "the stream ended"

    def _report_loss(self, reason: str) -> None:
        self._losses += 1
        times = "" if self._losses == 1 else f" ({self._losses} times in all)"
        line = f"{self.info.spec}: lost after {self._sequence} frames: {reason}; reconnecting{times}"
        if self._line_number is None:
            self._line_number = len(self.health.warnings)
            self.health.warnings.append(line)
        else:
            self.health.warnings[self._line_number] = line


class _Attempt:
    """Opens a source in its own thread, so that the caller need not wait for a timeout."""

    def __init__(self, open_it: Callable[[], LiveSource]) -> None:
        self._open_it = open_it
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._source: LiveSource | None = None
        self._abandoned = False
        threading.Thread(target=self._run, name="reconnecting", daemon=True).start()

    def wait(self, closed: threading.Event) -> LiveSource | None:
        """The source, None when it could not be opened or `closed` was set meanwhile."""
        while not self._done.wait(0.05):
            if closed.is_set():
                break
        with self._lock:
            self._abandoned = self._source is None
            return self._source

    def _run(self) -> None:
        try:
            source = self._open_it()
        except (InputError, OSError):  # still unavailable
            return
        else:
            with self._lock:
                self._source = source
                abandoned = self._abandoned
            if abandoned:
                source.close()
        finally:
            self._done.set()


def _sum(a: SourceHealth, b: SourceHealth) -> SourceHealth:
    return SourceHealth(corrupt=a.corrupt + b.corrupt, retimed=a.retimed + b.retimed)
