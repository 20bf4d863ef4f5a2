"""Detections as JSON lines, one for each output frame."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from ...calib.atomic import AtomicFile, naming
from ...calib.yaml_file import Version
from ..core.detections import Detection
from ..core.paths import check_not_foreign
from ..core.result import Result
from ..errors import InputError
from .base import SinkHealth

Share = Annotated[float | None, Field(ge=0, le=1)]
Utc = Annotated[str, Field(description="of recordings: capture time, ISO 8601")]
At = Annotated[float, Field(description="of recordings: presentation time in the segment's video, in seconds")]
Celsius = Annotated[dict[Literal["max", "mean"], float | None], Field(description="degrees Celsius inside the box")]
Object = TypedDict(
    "Object",
    {
        "class": str,
        "score": Share,
        "box": Annotated[list[float | None], Field(description="x1, y1, x2, y2 in pixels of the output")],
        "track": NotRequired[Annotated[int, Field(description="number of the object over time, when tracked")]],
        "coasted": NotRequired[Annotated[bool, Field(description="true: predicted by its track, not found here")]],
        "temperature": NotRequired[Celsius],
    },
)
"""A detection. A number that is not finite is null."""

LINES = re.compile(rb'\{("version": \d+, )?"frame": \d+, "time": ')
"""How a file of them begins; without a version in 0.1.0."""


class Line(TypedDict):
    """One line of the `.jsonl` beside an output, or of a recording's `TIME_frames.jsonl`: one fused frame."""

    version: Version
    frame: Annotated[int, Field(description="index; of folders that in the visible list, unreadable images counted")]
    time: Annotated[float, Field(description="capture time in seconds")]
    skew_ms: Annotated[float | None, Field(description="infrared minus visible capture time; null: visible only")]
    haze: Annotated[Share, Field(description="mean haze density, 1 - transmission; null while visible is lost")]
    illumination: Annotated[Share, Field(description="mean Retinex illumination; null while visible is lost")]
    detections: list[Object]
    image: NotRequired[Annotated[str, Field(description="of folders: the visible image")]]
    infrared_image: NotRequired[Annotated[str | None, Field(description="of folders: the infrared image; null: none")]]
    led_by: NotRequired[Annotated[Literal["infrared"], Field(description="while the visible camera is lost")]]
    utc: NotRequired[Utc]
    at: NotRequired[At]


class CameraLine(TypedDict):
    """One line of a recording's `TIME_visible.jsonl` or `TIME_infrared.jsonl`: one frame of that camera."""

    version: Version
    frame: Annotated[int, Field(description="index of the camera's frame")]
    time: Annotated[float, Field(description="capture time in seconds, on the camera's clock")]
    utc: NotRequired[Utc]
    at: NotRequired[At]


class JsonLinesSink:
    """Writes `target`, a `Line` for each result. Other lines that are in its place are an InputError."""

    def __init__(self, target: Path) -> None:
        self.health = SinkHealth()
        check_not_foreign(target, LINES)
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


def record(result: Result) -> Line:
    """A result as its line says it, ready for JSON."""
    led = result.pair.led_by == "infrared"
    visible, infrared = result.pair.visible, result.pair.infrared
    line: Line = {
        "version": 1,
        "frame": result.index if visible.file is None else visible.sequence,
        "time": round(result.time, 6),
        "skew_ms": None if led or infrared is None else round(result.pair.skew_ns / 1e6, 3),
        "haze": None if led else _rounded(result.fused.haze, 4),
        "illumination": None if led else _rounded(result.fused.light, 4),
        "detections": [_detection(found) for found in result.detections],
    }
    if visible.file is not None:
        line |= {"image": visible.file, "infrared_image": None if infrared is None else infrared.file}
    if led:
        line["led_by"] = "infrared"
    return line


def _detection(found: Detection) -> Object:
    record: Object = {
        "class": found.label,
        "score": _rounded(found.score, 4),
        "box": [_rounded(edge, 1) for edge in found.box],
    }
    if found.track is not None:
        record["track"] = int(found.track)
    if found.coasted:
        record["coasted"] = True
    if found.temperature is not None:
        greatest, mean = found.temperature
        record["temperature"] = {"max": _rounded(greatest, 1), "mean": _rounded(mean, 1)}
    return record


def _rounded(value: float, digits: int) -> float | None:
    number = float(value)
    return round(number, digits) + 0.0 if math.isfinite(number) else None  # + 0.0: no "-0.0"
