"""Processing of one pair: registration, drift monitor, fusion, detection, tracking."""

from __future__ import annotations

import time

import numpy as np

from ...engines.base import Fused
from ..core.detections import Detection
from ..core.frames import Frame, FramePair, Pixels
from ..core.latency import LatencyRecorder
from ..core.memory import release_memory
from ..core.result import Result
from ..detection.detect import Detector
from ..detection.track import Tracker
from ..monitoring.switches import Switches
from ..registration.infrared_only import fuse_infrared_only
from ..registration.temperature import measured
from .resizing import Sizes, back
from .streams import Streams, Tools


class Chain:
    """Turns the pairs of one run, given in order, into results."""

    def __init__(
        self,
        streams: Streams,
        tools: Tools,
        tracker: Tracker | None,
        recorder: LatencyRecorder,
        switches: Switches,
        sizes: Sizes | None,
    ) -> None:
        """See `Session`."""
        self._streams, self._tools, self._tracker, self._sizes = streams, tools, tracker, sizes
        self._recorder, self._switches = recorder, switches
        self._size = streams.visible.info.width, streams.visible.info.height
        self._before_ns: int | None = None

    def result(self, pair: FramePair, index: int) -> Result:
        """Process one pair as frame `index` of the output."""
        recorder, detector = self._recorder, self._tools.detector
        recorder.add("pair", time.monotonic_ns() - pair.visible.arrival_ns, index)
        original, scaled = pair, self._scaled(pair)
        if scaled is not None:
            self._streams.health.count_run("scaled")
            pair = scaled
        pair, fused = self._fuse(pair, index)
        detections: list[Detection] = []
        detecting = self._switches.detector
        if detector is not None and detecting:
            with recorder.stage("detect", index):
                detections = detector.detect(to_detect(detector, pair, fused))
        if scaled is not None:
            pair, (fused, detections) = original, back(fused, detections, original.visible.size)
        if self._tracker is not None and detecting:
            with recorder.stage("track", index):
                detections = self._tracker.follow(detections, pair.visible)
        spot = None
        if pair.infrared is not None and (heat := pair.infrared.temperature) is not None:
            detections, spot = measured(detections, heat, self._streams.registrar.register(pair)[1])
        return Result(index, pair, fused, fused.image, detections, spot)

    def _scaled(self, pair: FramePair) -> FramePair | None:
        """Live: the pair at the size before, where no engine is ready for its own. Recordings wait for theirs."""
        registrar = self._streams.registrar
        if self._sizes is None or pair.led_by == "infrared":
            return None
        _, warp = registrar.register(pair)
        return None if self._sizes.ready(pair, warp.shape) else self._sizes.scaled(pair, registrar)

    def _fuse(self, pair: FramePair, index: int) -> tuple[FramePair, Fused]:
        streams, recorder, engine = self._streams, self._recorder, self._tools.engine
        if pair.led_by == "infrared":
            with recorder.stage("infrared alone", index):
                return fuse_infrared_only(pair, streams.registrar, self._size)
        self._size = pair.visible.size
        with recorder.stage("register", index):
            infrared, warp = streams.registrar.register(pair)
        if streams.drift is not None:
            with recorder.stage("drift", index):
                streams.drift.update(pair)
        name = engine.name
        with recorder.stage("fuse", index):
            fused = engine.fuse(pair.visible.pixels, infrared, warp, self._elapsed_s(pair.visible))
        if engine.name != name:  # it failed and chose the next best
            streams.health.count_run("engine_losses")
            release_memory()
        return pair, fused

    def _elapsed_s(self, visible: Frame) -> float | None:
        """Seconds since the visible frame before; None for images of a folder, which need not be of one scene."""
        before, self._before_ns = self._before_ns, visible.time_ns
        return None if visible.clock == "index" or before is None else (visible.time_ns - before) * 1e-9


def to_detect(detector: Detector, pair: FramePair, fused: Fused) -> Pixels:
    """The detector's frame; both cameras' where it takes four channels."""
    if getattr(detector, "channels", 3) == 3:
        return fused.to_detect
    return np.dstack([pair.visible.pixels, fused.infrared])
