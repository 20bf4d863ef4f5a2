"""`fusecam schema NAME`: the JSON schema of a file that fusecam writes or reads."""

from __future__ import annotations

from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.json_schema import GenerateJsonSchema

from ...calib.rig import Rig
from ...calib.yaml_file import Version
from ..config import RunConfig
from ..core.health import CAMERA_COUNTERS, RUN_COUNTERS, State
from ..core.latency import StageSummary
from ..core.log import Event
from ..errors import InputError
from ..run.alignment import Alignment
from ..sinks.jsonl import CameraLine, Line
from ..sources.base import Kind
from ..timing.sync import SyncStats


def _with(counters: dict[Any, str]) -> Any:
    return {name: (int, Field(ge=0, description=meaning)) for name, meaning in counters.items()}


def _merged(name: str, *parts: type) -> type[BaseModel]:
    """The fields of several data classes as one model."""
    fields: Any = {field: (kind, ...) for part in parts for field, kind in get_type_hints(part).items()}
    return create_model(name, __doc__="\n\n".join(str(part.__doc__) for part in parts), **fields)


class _Section(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class SourceReport(_Section):
    """A camera's source."""

    source: str
    kind: Kind
    size: tuple[int, int]
    """Width, height."""
    rate: float | None
    """Nominal frames per second."""
    delivered: int
    corrupt: int
    retimed: int
    clock_drift_ppm: float | None
    """How much faster this machine's clock runs than a live source's."""
    polarity: str | None
    """Infrared polarity: set, measured or assumed."""
    dropped_queue: int
    unread: int | None
    """Frames after the end of the run."""
    unprocessed: int


class RunHealth(create_model("_RunCounters", **_with(RUN_COUNTERS))):  # type: ignore[misc]
    """Counters of the run."""

    oldest_shown_s: float = Field(description="largest age of a frame at output")


class CameraHealth(create_model("_CameraCounters", **_with(CAMERA_COUNTERS))):  # type: ignore[misc]
    """A camera's state and counters: each frame has one of the fates from `paired` to `unprocessed`."""

    state: State
    last_frame_age_s: float | None


class HealthReport(_Section):
    """Counters of what became of every frame."""

    cameras: dict[Literal["visible", "infrared"], CameraHealth]
    run: RunHealth


class Registration(_Section):
    """Last result of the drift monitor."""

    moved: bool
    shift_px: tuple[float, float] | None
    warning: str | None


class LatencyReport(_Section):
    """Latencies in milliseconds."""

    frames: int
    fps: float
    stages: dict[str, StageSummary]
    counters: dict[str, int]
    frame_latencies: list[dict[str, float]] = []
    """With --frame-latencies: `frame`, and STAGE_ms for each stage."""


class Cpu(_Section):
    """The processor."""

    model: str
    cores: int
    features: list[str]


class Machine(_Section):
    """Where it ran."""

    cpu: Cpu
    memory_gib: float
    gpus: list[dict[str, str]]
    system: str
    python: str
    libraries: dict[str, str | None]


class Report(_Section):
    """What `--report` writes, and `fusecam batch` beside each clip."""

    version: Version
    ended: str
    """Why the run ended."""
    failure: str | None
    frames: int
    """Frames given to the outputs."""
    seconds: float
    engine: str
    haze: float
    """Mean haze density over all frames."""
    illumination: float
    """Mean illumination over all frames."""
    detector: str | None
    detections: dict[str, int] | None
    """Boxes by class, over all frames."""
    tracks: dict[str, int] | None
    """Different objects by class."""
    sources: dict[Literal["visible", "infrared"], SourceReport]
    sync: _merged("Sync", Alignment, SyncStats)  # type: ignore[valid-type]
    health: HealthReport
    registration: Registration | None
    """None without a rig."""
    latency: LatencyReport
    warnings: list[str]
    """Fallbacks that leave the result correct."""
    doubts: list[str]
    """Assumptions that may be wrong."""
    machine: Machine
    config: RunConfig
    """The settings, as in a run file."""
    fingerprint: str = ""
    """Batch clips: fingerprint of inputs, weights and settings."""
    bytes: list[int] | None = None
    """Batch clips: sizes of video and JSON lines, in bytes."""


class Figure(_Section):
    """Figures of one condition, row and class, in [0, 1], None without labels; low, high: where `confidence` of
    `resamples` of the scenes lie.
    """

    model_config = ConfigDict(extra="forbid")
    condition: str
    row: str
    detector: str
    """Its file of weights."""
    name: str = Field(alias="class")
    labels: int
    map50: float | None = Field(alias="mAP50")
    map: float | None = Field(alias="mAP50-95")
    precision: float | None
    recall: float | None
    map50_low: float | None = Field(alias="mAP50 low")
    map50_high: float | None = Field(alias="mAP50 high")
    over: str = ""
    """The best baseline, of a row that is compared with one."""
    lead: float | None = None
    """In mAP50, over that row."""
    lead_low: float | None = Field(None, alias="lead low")
    lead_high: float | None = Field(None, alias="lead high")


class Evaluation(_Section):
    """detection.json of `fusecam eval --detect`."""

    version: Version
    confidence: float
    resamples: int
    seed: int
    figures: list[Figure]


FORMATS: dict[str, tuple[Any, Literal["serialization", "validation"]]] = {
    "frames": (Line, "serialization"),
    "camera": (CameraLine, "serialization"),
    "report": (Report, "serialization"),
    "log": (Event, "serialization"),
    "run": (RunConfig, "validation"),
    "rig": (Rig, "validation"),
    "detection": (Evaluation, "validation"),  # written without what is optional
}
"""By name: its model, and whether fusecam writes or reads it. Of files of lines, one line."""


def schema(name: str) -> dict[str, Any]:
    """The JSON schema of one of `FORMATS`. InputError for another name."""
    if name not in FORMATS:
        raise InputError(f"{name}: no such schema; there are {', '.join(FORMATS)}")
    model, mode = FORMATS[name]
    return {"$schema": GenerateJsonSchema.schema_dialect, **TypeAdapter(model).json_schema(mode=mode)}
