"""Detections as JSON lines, one for each output frame."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ...calib.atomic import AtomicFile, naming
from ..core.detections import Detection
from ..core.result import Result
from ..errors import InputError
from .base import SinkHealth


class JsonLinesSink:
    """Writes `target`, one object to the line:

    `{"frame": 0, "time": 12.345, "skew_ms": 3.1, "haze": 0.41, "illumination": 0.22, "detections": [...]}` with
    detections `{"class": "person", "score": 0.91, "box": [x1, y1, x2, y2], "track": 7}`. Of folders also `"image":
    "b.png"` and `"infrared_image": "b_t.png"` (null for none); `frame` is then the place in the visible folder's list,
    where images that could not be read keep theirs. Seconds for `time`; `skew_ms`
    is null without an infrared partner; while the visible camera is lost, `"led_by": "infrared"` is added and haze and
    illumination are null; boxes in pixels of the output; `track` only when tracked, `"coasted": true` only where the
    object was not found in this frame and its track tells where it should be. A number that is not finite becomes null.
    """

    def __init__(self, target: Path) -> None:
        self.health = SinkHealth()
        self._aside = AtomicFile(target, InputError)

    def write(self, result: Result) -> None:
        """Append one line."""
        line = json.dumps(record(result), allow_nan=False)
        with naming(self._aside.target, InputError):
            self._aside.file.write(line.encode() + b"\n")
        self.health.written += 1

    def close(self, complete: bool) -> None:
        """Rename the finished file into place, or remove it. Complete without any frame is an InputError."""
        try:
            if complete and not self._aside.file.closed:
                if not self.health.written:
                    raise InputError(f"{self._aside.target}: not written, no frame reached it; check the sources")
                self._aside.commit()
        finally:
            self._aside.discard()


def record(result: Result) -> dict[str, Any]:
    """A result as its line says it, ready for JSON."""
    led = result.pair.led_by == "infrared"
    visible, infrared = result.pair.visible, result.pair.infrared
    image: dict[str, Any] = {}
    if visible.file is not None:
        image = {"image": visible.file, "infrared_image": None if infrared is None else infrared.file}
    line = {
        "frame": result.index if visible.file is None else visible.sequence,
        **image,
        "time": round(result.time, 6),
        "skew_ms": None if led or infrared is None else round(result.pair.skew_ns / 1e6, 3),
        "haze": None if led else _rounded(result.fused.haze, 4),
        "illumination": None if led else _rounded(result.fused.light, 4),
        "detections": [_detection(found) for found in result.detections],
    }
    return line | {"led_by": "infrared"} if led else line


def _detection(found: Detection) -> dict[str, Any]:
    record: dict[str, Any] = {
        "class": found.label,
        "score": _rounded(found.score, 4),
        "box": [_rounded(edge, 1) for edge in found.box],
    }
    if found.track is not None:
        record["track"] = int(found.track)
    if found.coasted:
        record["coasted"] = True
    return record


def _rounded(value: float, digits: int) -> float | None:
    number = float(value)
    return round(number, digits) + 0.0 if math.isfinite(number) else None  # + 0.0: no "-0.0"
