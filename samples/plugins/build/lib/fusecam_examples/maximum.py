"""An engine: `--engine maximum` takes the brighter pixel of both cameras; `--engine maximum:0.5` weights infrared."""

from __future__ import annotations

import cv2
import numpy as np

from fusecam.engines.base import EngineError, Fused, Pixels
from fusecam.engines.warp import Warp


class Maximum:
    """Maximum of visible luma and infrared; the colour is that of the visible frame."""

    def __init__(self, argument: str) -> None:
        """argument: weight of infrared, the part after the colon; empty: 1."""
        try:
            self._weight = float(argument or 1)
        except ValueError as e:
            raise EngineError(f"engine maximum:{argument}: give the weight of infrared as a number") from e
        self.name = f"maximum:{self._weight:g}"
        self.notes: list[str] = []

    def prepare(self, width: int, height: int, infrared: tuple[int, int] | None = None, reduce: int = 1) -> None:
        """Does nothing; a network would be compiled for these frame sizes here."""

    def fuse(self, visible: Pixels, infrared: Pixels, warp: Warp, elapsed_s: float | None = None) -> Fused:
        """Fuse visible (H, W, 3) RGB and infrared (h, w), uint8. warp: maps infrared to the visible frame."""
        registered = warp.apply(infrared)
        luma, cr, cb = cv2.split(cv2.cvtColor(visible, cv2.COLOR_RGB2YCrCb))
        brighter = cv2.max(luma, cv2.convertScaleAbs(registered, alpha=self._weight))
        fused = cv2.cvtColor(cv2.merge([brighter, cr, cb]), cv2.COLOR_YCrCb2RGB)
        nothing = np.zeros(luma.shape, np.uint8)  # no haze estimate
        return Fused(np.asarray(fused), visible.copy(), np.asarray(nothing), np.asarray(luma), registered)
