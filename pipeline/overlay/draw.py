"""The overlay as a stage of a run: what is to be drawn, in which order."""

from __future__ import annotations

import math
import time
from dataclasses import replace

from ..config import OverlayConfig
from ..core.latency import LatencyRecorder
from ..core.looks import Palette
from ..core.result import Result
from ..registration.drift import DriftMonitor
from .boxes import draw_boxes
from .heat import draw_heat
from .hud import Hud, draw_hud, line_height
from .ink import font_size
from .inputs import draw_inputs
from .tint import tint_people
from .trails import Trails
from .views import panels

_LOST_S = 1.0
_REFRESH_S = 0.25  # how often the measured figures change: faster cannot be read


class Overlay:
    """Draws on the output. Sizes follow the image height, so that a small frame and a large one look alike."""

    def __init__(
        self, config: OverlayConfig, drift: DriftMonitor | None = None, palette: Palette = "white-hot"
    ) -> None:
        """drift: watches the rig, None without one. palette: of infrared in the pictures that are drawn on."""
        self._drift, self._palette = drift, palette
        self._inset, self._tint = config.inset, config.tint
        self._trails = Trails() if config.trails else None
        self._infrared_ns: int | None = None
        self._measured_at = -math.inf
        self._fps = 0.0
        self._latency: tuple[float, float] | None = None

    def draw(self, result: Result, recorder: LatencyRecorder) -> Result:
        """The same result with the overlay on a copy of its image; the figures come from `recorder`."""
        image = result.image.copy()
        size = font_size(image.shape[1], image.shape[0])
        parts = panels(image, result)
        for part in parts:
            if self._tint:
                tint_people(part, result.fused.infrared, result.detections)
            if self._trails is not None:
                self._trails.draw(part, result.detections, result.pair.visible.time_ns)
            draw_boxes(part, result.detections, size, line_height(size))
        if result.heat is not None:
            draw_heat(parts[-1], result.heat, result.spot, size, self._palette)
        if self._inset:
            draw_inputs(image, result.pair, size)
        draw_hud(image, self.hud(result, recorder), size)
        return replace(result, image=image)

    def hud(self, result: Result, recorder: LatencyRecorder) -> Hud:
        """The figures to show with a result: "VIS ONLY" without an infrared partner, "IR LOST" after a second of it,
        "VIS LOST" where infrared leads; what only the visible camera shows is then left open. "IR MOVED" as `drift`
        has it."""
        now = time.monotonic()
        if now - self._measured_at >= _REFRESH_S:
            self._measured_at = now
            self._fps, self._latency = recorder.fps(2.0), recorder.rolling("age")
        pair = result.pair
        alert = None
        if pair.infrared is not None or self._infrared_ns is None:
            self._infrared_ns = pair.visible.time_ns
        if pair.infrared is None:
            alert = "IR LOST" if pair.visible.time_ns - self._infrared_ns > _LOST_S * 1e9 else "VIS ONLY"
        if pair.led_by == "infrared":
            return Hud(self._fps, self._latency, None, math.nan, math.nan, "VIS LOST")
        if alert is None and self._drift is not None and self._drift.moved:
            alert = "IR MOVED"
        skew = None if pair.infrared is None else pair.skew_ns / 1e6
        return Hud(self._fps, self._latency, skew, result.fused.haze, result.fused.light, alert)
