"""One run: two capture threads, the working thread (the caller's), one output thread.

    capture visible  --\\
                        Inbox --> pair, register, fuse, detect --> Handover --> overlay, sinks
    capture infrared --/

Files are lossless: every queue waits. Live frames are paired first; where that is more than can be worked on, the
newest pair stays, what is older than two periods when its turn comes is dropped, and all are counted. While one camera
is lost the other goes on alone.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ...engines.base import BuildStopped, Fused, FusionEngine
from ..core.detections import Detection
from ..core.frames import Camera, Frame, FramePair
from ..core.health import Health
from ..core.latency import LatencyRecorder
from ..core.memory import give_back
from ..core.result import Result
from ..detection.detect import Detector
from ..detection.track import Tracker
from ..monitoring.switches import Switches
from ..overlay import Overlay
from ..registration.drift import DriftMonitor
from ..registration.infrared_only import stand_in
from ..registration.register import Registrar
from ..sinks import Outputs
from ..sources.base import Source
from ..sources.frozen import FreezeWatch
from ..timing.sync import Synchronizer, Wants
from .accounting import Account
from .capture import Capture
from .input_queue import Inbox
from .output_queue import Handover
from .resizing import Sizes, back

POLL_S = 0.05  # how soon a waiting thread notices a stop request
LIVE_POLL_S = 0.01  # how soon it is noticed that a camera's next frame is overdue
SWITCH_S = 1e-4  # four threads that mostly wait in C: by Python's 5 ms each return from C may wait a whole frame's time
LIVE_QUEUE = 8  # frames per camera, while another is worked on; then all are paired
FILE_QUEUE = 4  # decoding is quick; a longer queue only makes frames older at the output
WHOLE = ("end of stream", "frame limit reached")  # ways to end that leave a whole output


@dataclass(slots=True)
class Stages:
    """The objects that a run passes its frames through. `detector`, `tracker`, `overlay` and `drift` may be absent.

    tap: given every frame of both cameras before any is left out, in the thread of its camera.
    """

    infrared: Source
    visible: Source
    synchronizer: Synchronizer
    registrar: Registrar
    engine: FusionEngine
    detector: Detector | None
    tracker: Tracker | None
    overlay: Overlay | None
    outputs: Outputs
    switches: Switches = field(default_factory=Switches)
    health: Health = field(default_factory=Health)
    drift: DriftMonitor | None = None
    tap: Callable[[Frame], None] | None = None
    sizes: Sizes | None = None


@dataclass(slots=True)
class Outcome:
    """What a run did. `ended` says why it stopped; `failure` is the error that ended it, if one did.

    kept: whether the outputs were finished and put in place.
    """

    frames: int = 0
    kept: bool = False
    ended: str = "end of stream"
    failure: Exception | None = None
    seconds: float = 0.0
    detections: Counter[str] = field(default_factory=Counter)
    haze: float = 0.0
    illumination: float = 0.0
    hazes: int = 0

    def add(self, result: Result) -> None:
        """Take a result that goes to the outputs into the sums; `hazes` counts those with a visible frame."""
        self.detections.update(result.found)
        if result.pair.led_by == "visible":
            self.haze += result.fused.haze
            self.illumination += result.fused.light
            self.hazes += 1


class Runner:
    """Runs frames through the stages until the visible stream ends, `stop` is set, or something breaks."""

    def __init__(
        self,
        stages: Stages,
        recorder: LatencyRecorder,
        stop: threading.Event,
        max_frames: int | None = None,
        on_frame: Callable[[int], None] | None = None,
        keep_partial: bool = True,
        give_up_s: float | None = None,
    ) -> None:
        """give_up_s: a live run ends when neither camera has given a new picture for so long; None: never."""
        self.stop = stop
        self.recorder = recorder
        self._stages = stages
        self._max_frames = max_frames
        self._on_frame = on_frame
        self._keep_partial = keep_partial
        self._live = stages.visible.info.live or stages.infrared.info.live
        self._inbox = Inbox(LIVE_QUEUE if self._live else FILE_QUEUE, lossless=not self._live)
        self._output = Handover(lossless=not self._live)
        self._account = Account(stages.health, self._live, give_up_s)
        self._size = stages.visible.info.width, stages.visible.info.height
        self._outcome = Outcome()
        self._failed = threading.Event()
        self._broken_off = threading.Event()
        self._watches = {
            source.info.camera: FreezeWatch(source.info.camera, self._live, source.health.doubts.add, source.info.spec)
            for source in (stages.visible, stages.infrared)
        }
        self._watches["visible"].beside(self._watches["infrared"])
        self._standing: set[Camera] = set()
        self._before_ns: int | None = None
        self._took: deque[int] = deque(maxlen=65)

    def run(self) -> Outcome:
        """Run to the end. Threads are joined, sources and sinks closed, whatever happens.

        An output that fails is left out from then on, and the others finish their files. What ended the run, or the
        first output that failed, is in the outcome, not raised.

        Raises:
            KeyboardInterrupt: the run was broken off: what was unfinished is removed.
        """
        switching = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)
        started = time.perf_counter()
        try:
            self._run()
        except BaseException:
            self._broken_off.set()
            self._inbox.close()
            self._output.end()
            for source in (self._stages.infrared, self._stages.visible):
                source.close()
            self._stages.outputs.discard()
            raise
        finally:
            sys.setswitchinterval(switching)
        self._outcome.seconds = time.perf_counter() - started
        return self._outcome

    def _run(self) -> None:
        stages, outcome = self._stages, self._outcome
        captures = [
            Capture(
                source,
                self._inbox,
                self.recorder,
                stages.health,
                self._over,
                self.fail,
                self._watches[source.info.camera],
                stages.tap,
            )
            for source in (stages.infrared, stages.visible)
        ]
        writer = threading.Thread(target=self._write, name="output", daemon=True)
        for capture in captures:
            capture.start()
        writer.start()
        try:
            self._work()
            if self.stop.is_set():
                outcome.ended = "interrupted"
        except BuildStopped:  # an engine for another frame size; the frames before it are kept
            outcome.ended = "interrupted"
        except Exception as error:  # kept for the caller: sources and sinks must be closed first
            self.fail(error)
        self._inbox.close()
        self._output.end()
        for source in (stages.infrared, stages.visible):
            source.close()
        for capture in captures:
            capture.join()
        writer.join()
        self._account.close(self._inbox, stages.synchronizer)
        for camera, dropped in self._inbox.dropped.items():
            if dropped:
                self.recorder.count(f"dropped {camera}", dropped)
        outcome.frames = stages.health.run_counters()["out"]
        self._close_outputs()

    def _over(self) -> bool:
        return self.stop.is_set() or self._failed.is_set()

    def _work(self) -> None:
        """Feed the synchronizer and pass on what it pairs, until every visible frame has gone through."""
        synchronizer, inbox = self._stages.synchronizer, self._inbox
        infrared_open = visible_open = True
        while not self._over():
            pairs: list[FramePair] = []
            if infrared_open and inbox.finished("infrared"):
                infrared_open = False
                pairs = synchronizer.end_infrared()
            elif visible_open and inbox.finished("visible"):
                visible_open = False
                pairs = synchronizer.end_visible()
            elif not visible_open and synchronizer.stats.visible_pending == 0:
                return
            else:
                pairs = self._arrived(self._wanted(infrared_open, visible_open))
            if not self._process(pairs):
                return
            self._account.look(inbox, synchronizer)

    def _arrived(self, wanted: Wants) -> list[FramePair]:
        """The pairs that come of the next frame; of live ones of all frames that are there, and only the newest pair,
        the freshest picture, where work does not keep up with the cameras.

        Were frames to give way before they are paired, it would often be the partner of one that stays. Where work
        keeps up all stay: networks send bursts, and a slow infrared camera makes several visible frames wait for it.
        """
        if not self._live:
            return self._push(self._inbox.take(wanted, POLL_S))
        pairs = self._push(self._inbox.take(wanted, LIVE_POLL_S))
        while (frame := self._inbox.take(wanted, 0)) is not None:
            pairs += self._push(frame)
        if len(pairs) < 2 or self._usual_ns <= pairs[-1].visible.time_ns - pairs[-2].visible.time_ns:
            return pairs
        for pair in pairs[:-1]:
            self._account.dropped(pair)
        return pairs[-1:]

    def _wanted(self, infrared_open: bool, visible_open: bool) -> Wants:
        if not (infrared_open and visible_open):
            return "visible" if visible_open else "infrared"
        return self._stages.synchronizer.wants

    def _push(self, frame: Frame | None) -> list[FramePair]:
        synchronizer = self._stages.synchronizer
        if frame is None:
            return synchronizer.expire(time.monotonic_ns()) if self._live else []
        if not self._live and self._left_out(frame):
            return []
        return synchronizer.push_visible(frame) if frame.camera == "visible" else synchronizer.push_infrared(frame)

    def _left_out(self, frame: Frame) -> bool:
        """Of a recording: whether its camera stood still, so that infrared is left out. Visible frames all come out."""
        if frame.trace is None or not self._watches[frame.camera].frozen(frame):
            return False
        infrared = frame.camera == "infrared"
        source = self._stages.infrared if infrared else self._stages.visible
        if frame.camera not in self._standing:
            self._standing.add(frame.camera)
            line = f"{source.info.spec}: the {frame.camera} picture stands still at {frame.time_ns / 1e9:.2f} s"
            if infrared:
                source.health.warnings.append(
                    f"{line}: until it moves again frames are visible-only, counted as frozen"
                )
            else:
                source.health.doubts.add(f"{line} and is used as it is: cut the recording there")
        if infrared:
            self._stages.health.count("infrared", "frozen")
        return infrared

    def _process(self, pairs: list[FramePair]) -> bool:
        """Register, fuse and detect each pair. False when the run is to end."""
        stages, outcome = self._stages, self._outcome
        for number, pair in enumerate(pairs):
            if self._over() or outcome.frames == self._max_frames:
                self._leave(pairs[number:])
                return False
            if self._live and self._too_old(pair):
                self._account.dropped(pair)
                continue
            self._account.passed(pair)
            try:
                added = self._pass_on(pair, outcome.frames)
            except Exception:
                stages.health.count_run("dropped_output")
                self._leave(pairs[number + 1 :])
                raise
            if added:
                outcome.frames += 1
            else:
                stages.health.count_run("dropped_output")
        if outcome.frames == self._max_frames:
            outcome.ended = "frame limit reached"
            return False
        return True

    def _leave(self, pairs: list[FramePair]) -> None:
        """The run ends before these had their turn."""
        for pair in pairs:
            self._account.left(pair)

    def _pass_on(self, pair: FramePair, index: int) -> bool:
        """Work on one pair, to be frame `index` of the output. False where it takes no place there."""
        stages, recorder = self._stages, self.recorder
        recorder.add("pair", time.monotonic_ns() - pair.visible.arrival_ns, index)
        started = time.monotonic_ns()
        original, scaled = pair, self._scaled(pair)
        if scaled is not None:
            stages.health.count_run("scaled")
            pair = scaled
        pair, fused = self._fuse(pair, index)
        detections: list[Detection] = []
        detecting = stages.switches.detector
        if stages.detector is not None and detecting:
            with recorder.stage("detect", index):
                detections = stages.detector.detect(fused.to_detect)
        if scaled is not None:
            pair, (fused, detections) = original, back(fused, detections, original.visible.size)
        if stages.tracker is not None and detecting:
            with recorder.stage("track", index):
                detections = stages.tracker.follow(detections, pair.visible)
        if self._live and pair.led_by == "visible" and self._took_too_long(started):
            return False
        with recorder.stage("output queue", index):
            return self._output.put(Result(index, pair, fused, fused.image, detections))

    def _scaled(self, pair: FramePair) -> FramePair | None:
        """Live: the pair at the size before, where no engine is ready for its own. Recordings wait for theirs."""
        stages = self._stages
        if stages.sizes is None or pair.led_by == "infrared":
            return None
        _, warp = stages.registrar.register(pair)
        return None if stages.sizes.ready(pair, warp.shape) else stages.sizes.scaled(pair, stages.registrar)

    def _fuse(self, pair: FramePair, index: int) -> tuple[FramePair, Fused]:
        stages = self._stages
        if pair.led_by == "infrared":
            with self.recorder.stage("infrared alone", index):
                return stand_in(pair, stages.registrar, self._size)
        self._size = pair.visible.size
        with self.recorder.stage("register", index):
            infrared, warp = stages.registrar.register(pair)
        if stages.drift is not None:
            with self.recorder.stage("drift", index):
                stages.drift.look(pair)
        engine = stages.engine.name
        with self.recorder.stage("fuse", index):
            fused = stages.engine.fuse(pair.visible.pixels, infrared, warp, self._elapsed_s(pair.visible))
        if stages.engine.name != engine:  # it failed and chose the next best
            stages.health.count_run("engine_losses")
            give_back()
        return pair, fused

    def _too_old(self, pair: FramePair) -> bool:
        """Whether a live frame would no longer be what is there now."""
        leader = pair.visible
        if pair.led_by == "infrared" and pair.infrared is not None:  # the stand-in's time is not on the host's clock
            leader = pair.infrared
        return time.monotonic_ns() - leader.time_ns > self._stages.synchronizer.limit_ns(pair.led_by)

    def _took_too_long(self, started_ns: int) -> bool:
        """Whether fusing and detecting took so much longer than usual that the live frame has grown old: an engine was
        built for a new frame size, or in the place of one that broke down."""
        took = time.monotonic_ns() - started_ns
        usual = self._usual_ns if self._took else took
        self._took.append(took)
        return took > 4 * usual + self._stages.synchronizer.limit_ns("visible")

    @property
    def _usual_ns(self) -> int:
        """How long fusing and detecting usually take; 0 before the first frame."""
        return sorted(self._took)[len(self._took) // 2] if self._took else 0

    def _elapsed_s(self, visible: Frame) -> float | None:
        """Seconds since the visible frame before; None for images of a folder, which need not be of one scene."""
        before, self._before_ns = self._before_ns, visible.time_ns
        return None if visible.clock == "index" or before is None else (visible.time_ns - before) * 1e-9

    def _write(self) -> None:
        while (result := self._output.take()) is not None:
            if self._broken_off.is_set():
                continue  # keep emptying so that the working thread never blocks
            try:
                self._write_one(result)
            except Exception as error:  # of the last output
                self.fail(error)

    def _write_one(self, result: Result) -> None:
        stages, recorder = self._stages, self.recorder
        result = self._drawn(result)
        stages.health.shown(result.pair.visible.arrival_ns)
        try:
            with recorder.stage("write", result.index):
                stages.outputs.write(result)
        except Exception:
            stages.health.count_run("dropped_output")
            raise
        if stages.outputs.enough:
            self.stop.set()
        self._outcome.add(result)
        recorder.add("age", time.monotonic_ns() - result.pair.visible.arrival_ns, result.index)
        recorder.output()
        stages.health.count_run("out")
        if self._on_frame is not None:
            self._on_frame(result.index + 1)

    def _drawn(self, result: Result) -> Result:
        """With the overlay, if there is one and it works."""
        stages = self._stages
        if stages.overlay is None or not stages.switches.overlay:
            return result
        try:
            with self.recorder.stage("overlay", result.index):
                return stages.overlay.draw(result, self.recorder)
        except Exception as error:
            stages.health.count_run("overlay_losses")
            stages.outputs.warn(f"overlay: failed ({type(error).__name__}: {error}); such frames go out without it")
            return result

    def _close_outputs(self) -> None:
        """Finish the outputs. Frames written before a camera or an engine failed are worth keeping, if asked for."""
        outcome, outputs = self._outcome, self._stages.outputs
        whole = outcome.ended in WHOLE and not outputs.lost
        outcome.kept = outputs.close(whole or (self._keep_partial and outcome.frames > 0))
        if outputs.lost and outcome.failure is None:
            outcome.failure = outputs.lost[0]

    def fail(self, error: Exception) -> None:
        """End the run because of `error`; the first one counts. From any thread."""
        if self._outcome.failure is None:
            self._outcome.failure = error
            self._outcome.ended = "failed"
        self._failed.set()
