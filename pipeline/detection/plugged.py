"""A detector from another package, whose errors and results are checked."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

from ...engines.base import EngineError
from ...engines.host.plugins import blamed, plugin
from ..core.detections import Box, Detection
from ..core.frames import Pixels


class PluggedDetector:
    """See `Detector`. Raises EngineError for whatever the plug-in raises, and for results that are no detections."""

    def __init__(self, spec: str, name: str, *arguments: object) -> None:
        """spec: what the user wrote. name: of the entry point. arguments: for the plug-in."""
        self._spec = f"detector {spec}"
        with blamed(self._spec, EngineError):
            make = plugin("detectors", name)
            assert make is not None
            self._detector = make(*arguments)
            self.name = str(self._detector.name)
        self.channels = getattr(self._detector, "channels", 3)

    def prepare(self, width: int, height: int) -> None:
        """See `Detector`."""
        with blamed(self._spec, EngineError):
            self._detector.prepare(width, height)

    def detect(self, image: Pixels) -> list[Detection]:
        """See `Detector`."""
        with blamed(self._spec, EngineError):
            return [_plain(each) for each in self._detector.detect(image)]


def _plain(found: Any) -> Detection:
    """With Python's own numbers, since NumPy's are no JSON. Raises ValueError where it is no detection."""
    if not (isinstance(found, Detection) and isinstance(found.label, str)):
        raise ValueError(f"{found!r} is no Detection with a name as its label")
    score, box = float(found.score), cast("Box", tuple(float(side) for side in found.box))
    if not all(map(math.isfinite, (score, *box))) or len(box) != 4 or box[0] > box[2] or box[1] > box[3]:
        raise ValueError(f"a score and a box x1, y1, x2, y2 are needed, not {score} and {box}")
    track = None if found.track is None else int(found.track)
    return replace(found, score=score, box=box, track=track)
