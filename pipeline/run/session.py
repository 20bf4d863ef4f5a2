"""Both cameras as one iterable of pairs, or of fused frames with detections.

    capture visible  --\\
                        Inbox --> pairs() --> results(): register, fuse, detect, track
    capture infrared --/

Files are lossless: every queue waits. Live frames are paired first. If processing does not keep up, only the newest
pair is kept, and pairs older than two periods are dropped; all are counted. While one camera is lost the other goes on
alone.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Self

from ...engines.base import BuildStopped
from ..core.frames import Camera, Frame, FramePair
from ..core.health import CAMERAS
from ..core.latency import LatencyRecorder
from ..core.result import Result
from ..detection.track import Tracker
from ..monitoring.switches import Switches
from ..sources.frozen import FreezeWatch
from ..timing.sync import Wants
from .accounting import Account
from .capture import Capture
from .chain import Chain
from .input_queue import Inbox
from .resizing import Sizes
from .streams import Streams, Tools

POLL_S = 0.05  # how soon a waiting thread notices a stop request
LIVE_POLL_S = 0.01  # how soon it is noticed that a camera's next frame is overdue
SWITCH_S = 1e-4  # four threads that mostly wait in C: by Python's 5 ms each return from C may wait a whole frame's time
LIVE_QUEUE = 8  # frames per camera, while another is worked on; then all are paired
FILE_QUEUE = 4  # decoding is quick; a longer queue only takes memory


class _QuickSwitching:
    """Context in which threads take turns every SWITCH_S. Sessions may overlap; the last one restores the interval."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions = 0
        self._before = 0.0

    def __enter__(self) -> None:
        with self._lock:
            if self._sessions == 0:
                self._before = sys.getswitchinterval()
                sys.setswitchinterval(SWITCH_S)
            self._sessions += 1

    def __exit__(self, *raised: object) -> None:
        with self._lock:
            self._sessions -= 1
            if self._sessions == 0:
                sys.setswitchinterval(self._before)


_QUICK = _QuickSwitching()


class Session:
    """One run over both cameras. `pairs` or `results` is iterated once, in one thread; `close` ends everything.

    Attributes:
        stop: once set, from any thread, the iteration ends.
        failure: the first error that ended it, from any thread; the iteration raises it.
        frames: results so far, which is the next one's index. The caller lowers it when one result replaces another.
        live: whether frames not taken in time are lost.
    """

    def __init__(
        self,
        streams: Streams,
        tools: Tools | None = None,
        stop: threading.Event | None = None,
        *,
        tracker: Tracker | None = None,
        recorder: LatencyRecorder | None = None,
        switches: Switches | None = None,
        sizes: Sizes | None = None,
        tap: Callable[[Frame], None] | None = None,
        give_up_s: float | None = None,
    ) -> None:
        """Take over the open cameras.

        Args:
            streams: both cameras, closed with the session.
            tools: engine and detector, for `results`.
            stop: see the attribute.
            tracker: numbers the detections.
            recorder: of the stages' latencies.
            switches: of the detector.
            sizes: for frames of a size that no engine is ready for.
            tap: called with every frame of both cameras before any is dropped, in the camera's thread.
            give_up_s: a live session ends when neither camera has given a new picture for so long; None: never.
        """
        self.stop = threading.Event() if stop is None else stop
        self.failure: Exception | None = None
        self.frames = 0
        self.live = streams.visible.info.live or streams.infrared.info.live
        self.health = streams.health
        self.recorder = LatencyRecorder() if recorder is None else recorder
        self.switches = Switches() if switches is None else switches
        self._streams = streams
        self._chain = None if tools is None else Chain(streams, tools, tracker, self.recorder, self.switches, sizes)
        self._inbox = Inbox(LIVE_QUEUE if self.live else FILE_QUEUE, lossless=not self.live)
        self._account = Account(self.health, self.live, give_up_s)
        sources = streams.infrared, streams.visible
        self._watches = {
            source.info.camera: FreezeWatch(source.info.camera, self.live, source.health.doubts.add, source.info.spec)
            for source in sources
        }
        self._watches["visible"].beside(self._watches["infrared"])
        self._captures = [
            Capture(
                source,
                self._inbox,
                self.recorder,
                self.health,
                self._over,
                self.fail,
                self._watches[source.info.camera],
                tap,
            )
            for source in sources
        ]
        self._active = set(CAMERAS)
        self._pairs: deque[FramePair] = deque()
        self._frozen: set[Camera] = set()
        self._durations_ns: deque[int] = deque(maxlen=65)
        self._closed = False

    def pairs(self) -> Iterator[FramePair]:
        """Every visible frame with the infrared one nearest in time, in order; each is counted when it is yielded.

        Raises:
            InputError: a camera failed, or both are gone for good.
            Exception: what `fail` was told.
        """
        with _QUICK, closing(self._inbox):
            for capture in self._captures:
                capture.start()
            while not self._over() and self._pair_next():
                self._account.update(self._inbox, self._streams.synchronizer)
                while self._pairs and not self._over():
                    pair = self._pairs.popleft()
                    if self.live and self._too_old(pair):
                        self._account.dropped(pair)
                        continue
                    self._account.passed(pair)
                    given = time.monotonic_ns()
                    yield pair
                    if pair.led_by == "visible":
                        self._durations_ns.append(time.monotonic_ns() - given)
            if self.failure is not None:
                raise self.failure

    def results(self) -> Iterator[Result]:
        """Every pair fused, detected and tracked. Each is to be counted as `out` or as `dropped_output`, see Writer.

        A build that `stop` breaks off ends the iteration. Raises what `pairs`, engine and detector raise.
        """
        assert self._chain is not None
        for pair in self.pairs():
            result: Result | None = None
            began = time.monotonic_ns()
            try:
                result = self._chain.result(pair, self.frames)
                if self.live and pair.led_by == "visible" and self._took_too_long(time.monotonic_ns() - began):
                    result = None
            except BuildStopped:
                return
            finally:
                if result is None:
                    self.health.count_run("fused")
                    self.health.count_run("dropped_output")
            if result is not None:
                self.frames += 1
                yield result

    def fail(self, error: Exception) -> None:
        """End the iteration, which raises `error`; only the first counts. Callable from any thread."""
        if self.failure is None:
            self.failure = error

    def close(self) -> None:
        """End the iteration, close the cameras, account for every frame. Safe to call twice."""
        if self._closed:
            return
        self.abandon()
        for capture in self._captures:
            capture.join()
        for pair in self._pairs:
            self._account.left(pair)
        self._account.close(self._inbox, self._streams.synchronizer)
        for camera, dropped in self._inbox.dropped.items():
            if dropped:
                self.recorder.count(f"dropped {camera}", dropped)
        for line in self.health.unaccounted():
            self._streams.doubts.add(line)

    def abandon(self) -> None:
        """Close the cameras without waiting."""
        self._closed = True
        self._inbox.close()
        self._streams.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, KeyboardInterrupt):
            self.abandon()
        else:
            self.close()

    def _over(self) -> bool:
        return self.stop.is_set() or self.failure is not None or self._closed

    def _pair_next(self) -> bool:
        """Pair what has come. False once every visible frame has gone through."""
        synchronizer, inbox = self._streams.synchronizer, self._inbox
        ends = {"infrared": synchronizer.end_infrared, "visible": synchronizer.end_visible}
        ended = next((camera for camera in ends if camera in self._active and inbox.finished(camera)), None)
        if ended is not None:
            self._active.remove(ended)
            self._pairs += ends[ended]()
        elif "visible" not in self._active and synchronizer.stats.visible_pending == 0:
            return False
        else:
            self._pairs += self._arrived(self._wanted())
        return True

    def _arrived(self, wanted: Wants) -> list[FramePair]:
        """The pairs completed by the next frame. Live: by all frames that have arrived; only the newest pair where
        processing does not keep up with the cameras.

        Dropping frames before pairing would often drop the partner of a frame that stays. If processing keeps up, all
        stay: networks send bursts, and a slow infrared camera makes several visible frames wait for it.
        """
        if not self.live:
            return self._push(self._inbox.take(wanted, POLL_S))
        pairs = self._push(self._inbox.take(wanted, LIVE_POLL_S))
        while (frame := self._inbox.take(wanted, 0)) is not None:
            pairs += self._push(frame)
        if len(pairs) < 2 or self._usual_ns <= pairs[-1].visible.time_ns - pairs[-2].visible.time_ns:
            return pairs
        for pair in pairs[:-1]:
            self._account.dropped(pair)
        return pairs[-1:]

    def _wanted(self) -> Wants:
        if len(self._active) == 1:
            return next(iter(self._active))
        return self._streams.synchronizer.wants if self._active else "infrared"

    def _push(self, frame: Frame | None) -> list[FramePair]:
        synchronizer = self._streams.synchronizer
        if frame is None:
            return synchronizer.expire(time.monotonic_ns()) if self.live else []
        if not self.live:
            if self._dropped_as_frozen(frame):
                return []
            frame = replace(frame, arrival_ns=time.monotonic_ns())  # read ahead of its turn, it has not grown old
        return synchronizer.push_visible(frame) if frame.camera == "visible" else synchronizer.push_infrared(frame)

    def _dropped_as_frozen(self, frame: Frame) -> bool:
        """Recordings: whether to drop the frame, infrared of a frozen camera. Visible frames are never dropped."""
        if frame.trace is None or not self._watches[frame.camera].frozen(frame):
            return False
        infrared = frame.camera == "infrared"
        source = self._streams.infrared if infrared else self._streams.visible
        if frame.camera not in self._frozen:
            self._frozen.add(frame.camera)
            line = f"{source.info.spec}: the {frame.camera} picture is frozen from {frame.time_ns / 1e9:.2f} s on"
            if infrared:
                source.health.warnings.append(
                    f"{line}: until it changes, frames are visible-only and counted as frozen"
                )
            else:
                source.health.doubts.add(f"{line}, and its frames are used: cut the recording there")
        if infrared:
            self.health.count("infrared", "frozen")
        return infrared

    def _too_old(self, pair: FramePair) -> bool:
        """Whether a live frame is too old to be shown as current."""
        leader = pair.visible
        if pair.led_by == "infrared" and pair.infrared is not None:  # the stand-in's time is not on the host's clock
            leader = pair.infrared
        return time.monotonic_ns() - leader.time_ns > self._streams.synchronizer.limit_ns(pair.led_by)

    def _took_too_long(self, took_ns: int) -> bool:
        """Whether work took so much longer than usual that the live frame has grown old: an engine was built for a new
        frame size, or in the place of one that broke down."""
        usual = self._usual_ns if self._durations_ns else took_ns
        return took_ns > 4 * usual + self._streams.synchronizer.limit_ns("visible")

    @property
    def _usual_ns(self) -> int:
        """Median processing time of a pair in nanoseconds; 0 before the first."""
        return sorted(self._durations_ns)[len(self._durations_ns) // 2] if self._durations_ns else 0
