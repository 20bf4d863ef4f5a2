"""One camera's thread: reads its frames, updates its state, and puts usable frames into the inbox."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from ..core.frames import Camera, Frame
from ..core.health import Health
from ..core.latency import LatencyRecorder
from ..errors import InputError
from ..sources.base import Source
from ..sources.frozen import FreezeWatch
from .input_queue import Inbox

DECODE: dict[Camera, str] = {"visible": "decode vis", "infrared": "decode ir"}


class Capture:
    """Reads a source to its end. A live camera's frames are left out where they are frozen, or from before the run.

    over: asked between frames whether to end. fail: told of what must end the run; an infrared recording that breaks
    off need not, since the visible camera carries the run. watch: judges the frames of live cameras here, where all of
    them pass; those of recordings are judged in the order in which they are paired, which is the same in every run.
    """

    def __init__(
        self,
        source: Source,
        inbox: Inbox,
        recorder: LatencyRecorder,
        health: Health,
        over: Callable[[], bool],
        fail: Callable[[Exception], None],
        watch: FreezeWatch,
        tap: Callable[[Frame], None] | None = None,
    ) -> None:
        """tap: called with every frame of the run as the source gave it, used or not."""
        self._source, self._inbox, self._recorder, self._health = source, inbox, recorder, health
        self._over, self._fail, self._tap = over, fail, tap
        self._camera = source.info.camera
        self._live = source.info.live
        self._freeze = watch
        self._size = source.info.width, source.info.height
        self._since_ns = 0
        self._thread = threading.Thread(target=self._run, name=f"capture-{self._camera}", daemon=True)

    def start(self) -> None:
        """Frames that were captured before now are stale: what a network held back while the engine was built, too."""
        self._since_ns = time.monotonic_ns()
        self._thread.start()

    def join(self) -> None:
        """Join the thread, if it was started."""
        if self._since_ns:
            self._thread.join()

    def _run(self) -> None:
        frames = iter(self._source)
        try:
            while not self._over():
                began = time.perf_counter_ns()
                frame = next(frames, None)
                self._bring_up()
                if frame is None:
                    break
                if not self._live:  # a live source's time is mostly waiting for the camera
                    self._recorder.add(DECODE[self._camera], time.perf_counter_ns() - began)
                if self._tap is not None and not self._stale(frame):
                    self._tap(frame)
                usable = self._usable(frame)
                if usable is not None and not self._inbox.put(usable):
                    break
        except InputError as error:
            self._source.health.warnings.append(str(error))
            if self._camera == "visible":
                self._fail(error)
        except Exception as error:  # a thread must not die silently
            self._fail(error)
        finally:
            self._bring_up()
            self._health.enter(self._camera, "ended")
            self._inbox.end(self._camera)

    def _bring_up(self) -> None:
        """The run's counters of what only the source sees."""
        self._health.raise_to(self._camera, "corrupt", self._source.health.corrupt)
        self._health.raise_to(self._camera, "retimed", self._source.health.retimed)

    def _stale(self, frame: Frame) -> bool:
        return self._live and frame.time_ns < self._since_ns

    def _usable(self, frame: Frame) -> Frame | None:
        camera, health = self._camera, self._health
        health.count(camera, "frames")
        if frame.size != self._size:
            self._size = frame.size
            health.count(camera, "resized")
        if self._live and self._freeze.frozen(frame):
            health.count(camera, "frozen")
            health.enter(camera, "frozen")
            return None
        if self._stale(frame):
            health.count(camera, "stale")
            return None
        if frame.arrival_ns < self._since_ns:  # decoded at opening, before the engine was built
            frame = replace(frame, arrival_ns=self._since_ns)
        health.frame(camera, frame.arrival_ns)
        return frame
