"""The run's configuration: one YAML file, validated, unknown keys refused. The command line overrides it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from ..calib.yaml_file import Versioned, YamlFileError, explain, read_yaml
from ..engines.detection.weights import DETECTOR_WEIGHTS
from .core.frames import Camera
from .core.looks import Palette, View
from .errors import InputError

Strength = Annotated[float, Field(ge=0, le=1)] | Literal["auto"]
Milliseconds = Annotated[float, Field(ge=-1e9, le=1e9)]


class _Section(BaseModel):
    # YAML reads `ir: 0` as a number where the command line has text: both mean the same.
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        """`yes` and `on`, which YAML reads as true, are not 1, nor are those in a list."""
        kind = cls.model_fields[str(info.field_name)].annotation
        for each in value if isinstance(value, list | tuple) else [value]:
            if isinstance(each, bool) and bool not in (kind, *get_args(kind)):
                raise ValueError(f"is a switch's value, {str(each).lower()} (in YAML also yes, no, on, off)")
        return value


class ThermalConfig(_Section):
    """Conversion of 16-bit infrared to 8 bits."""

    range: tuple[float, float] | None = Field(None, description="fixed [low, high] in raw counts; none: by percentiles")
    percentiles: tuple[float, float] = Field((0.5, 99.5), description="range shown when no fixed one is given")
    smoothing_s: float = Field(1.0, ge=0, description="time constant of the percentiles, against pumping")


class KelvinConfig(_Section):
    """Conversion of counts to temperatures: kelvin = scale * count + offset."""

    scale: float = Field(gt=0, description="kelvin per count")
    offset: float = Field(0.0, description="kelvin at a count of 0; 273.15 where the values are degrees Celsius")


class SideConfig(_Section):
    """One camera: its source, and how its pictures are read. In a run file a plain string is the source alone."""

    source: Annotated[str | None, WithJsonSchema({"type": ["string", "integer", "null"]})] = Field(
        None, description="camera, file, folder, glob, address or pipe"
    )
    format: str | None = Field(None, description="V4L2 pixel format to request, e.g. mjpeg, yuyv422, gray16le")
    size: str | None = Field(None, pattern=r"^\d+x\d+$", description="WIDTHxHEIGHT to request from a camera")
    rate: float | None = Field(
        None,
        ge=1e-3,
        le=1e4,
        description="frames per second to request from a camera; true rate of a recording or folder",
    )
    crop: tuple[int, int, int, int] | None = Field(
        None, description="[x, y, width, height] of the picture in the stored frame, before rotation"
    )
    rotate: Literal[0, 90, 180, 270] = Field(0, description="degrees clockwise, after the rotation in the file")
    flip: Literal["none", "horizontal", "vertical"] = Field("none", description="mirror, after the rotation")
    polarity: Literal["auto", "white-hot", "black-hot"] = Field("auto", description="of infrared; auto: measured")
    channel: int | None = Field(None, ge=1, le=64, description="channel to read, from 1")
    range: tuple[float, float] | None = Field(
        None, description="[low, high] in stored values, mapped to black and white; none: measured"
    )
    kelvin: KelvinConfig | None = Field(
        None, description="conversion of infrared counts to kelvin; a number alone is the scale"
    )
    preset: Literal["p2pro", "tc001"] | None = Field(
        None, description="a USB thermal camera whose frame holds a picture above its 16-bit temperatures"
    )

    @field_validator("kelvin", mode="before", json_schema_input_type=KelvinConfig | float | None)
    @classmethod
    def _plain_scale(cls, value: Any) -> Any:
        return {"scale": value} if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("crop")
    @classmethod
    def _has_area(cls, crop: tuple[int, int, int, int] | None) -> tuple[int, int, int, int] | None:
        if crop is not None and not (min(crop[:2]) >= 0 and min(crop[2:]) > 0):
            raise ValueError(f"[x, y, width, height] inside the picture is needed, not {list(crop)}")
        return crop

    @field_validator("range")
    @classmethod
    def _increases(cls, limits: tuple[float, float] | None) -> tuple[float, float] | None:
        if limits is not None and not limits[0] < limits[1]:
            raise ValueError(f"low must be below high, not {list(limits)}")
        return limits


class SourceConfig(_Section):
    """Sources of the two cameras."""

    ir: SideConfig = SideConfig()
    vis: SideConfig = SideConfig()
    pairs: Path | None = Field(
        None, description="CSV of images (or clips of a batch) that belong together, columns visible,infrared"
    )
    fps: float = Field(25.0, ge=1e-3, le=1e4, description="frame rate given to image folders, which have none")
    thermal: ThermalConfig = ThermalConfig()
    camera_format: str | None = Field(None, description="`format` of both cameras where a camera has none of its own")
    camera_size: str | None = Field(None, pattern=r"^\d+x\d+$", description="`size` of both, likewise")
    camera_fps: float | None = Field(None, gt=0, description="`rate` to request from both, likewise")
    open_timeout_s: float = Field(10.0, gt=0, description="how long a camera or network stream may take to answer")
    stall_s: float = Field(2.0, gt=0, description="time without frames after which a live source is reopened")
    give_up_s: float | None = Field(
        30.0, gt=0, description="end a live run after so long without a frame from either camera; none: never"
    )

    @field_validator("ir", "vis", mode="before", json_schema_input_type=SideConfig | str | int | None)
    @classmethod
    def _plain_source(cls, value: Any) -> Any:
        if isinstance(value, str | int) and not isinstance(value, bool):
            return {"source": value}
        if value is not None and not isinstance(value, dict | SideConfig):
            raise ValueError(f"give a source, or a mapping with `source` and its settings, not {value!r}")
        return value or {}

    @field_validator("vis")
    @classmethod
    def _no_infrared(cls, vis: SideConfig) -> SideConfig:
        given = [name for name in ("kelvin", "polarity", "preset") if getattr(vis, name) not in (None, "auto")]
        if given:
            raise ValueError(f"{', '.join(given)}: for infrared only; give it under ir, or leave it out")
        return vis

    def side(self, camera: Camera) -> SideConfig:
        """The settings of one camera."""
        return self.vis if camera == "visible" else self.ir

    @property
    def shared(self) -> bool:
        """Whether both cameras are in one source, told apart by names or channels. Crops of their own make it two."""
        return self._same_place and (self.ir.crop is None or self.ir.crop == self.vis.crop)

    @property
    def _same_place(self) -> bool:
        ir, vis = self.ir.source or "", self.vis.source or ""
        try:
            return ir == vis or (Path(ir).is_dir() and Path(ir).samefile(vis))
        except (OSError, ValueError):
            return False

    def reading(self, ir: str | Path, vis: str | Path) -> SourceConfig:
        """The same settings for two other sources."""
        sides = {"ir": (self.ir, ir), "vis": (self.vis, vis)}
        return self.model_copy(
            update={name: side.model_copy(update={"source": str(spec)}) for name, (side, spec) in sides.items()}
        )


class SyncConfig(_Section):
    """Pairing of the two cameras' frames."""

    offset_ms: Milliseconds | Literal["auto", "rig"] = Field(
        "auto", description="added to infrared times; auto: measured between recordings; rig: the rig file's"
    )
    tolerance_ms: float | None = Field(
        None, gt=0, le=1e9, description="largest skew; none: 0.55 of the slower camera's period"
    )


class EngineConfig(_Section):
    """The fusion engine and its strengths."""

    name: str = "realtime"
    dehaze: Strength = "auto"
    lift: Strength = "auto"
    hue: Strength = Field("auto", description="strength of the amber colour of warm objects; auto: 0.8")
    prompt: str = Field("auto", description="degradations, in words; auto: measured")

    @model_validator(mode="after")
    def _consistent(self) -> EngineConfig:
        for name, value in (("dehaze", self.dehaze), ("lift", self.lift)):
            if value != "auto" and self.prompt.strip().lower() != "auto":
                raise ValueError(f"prompt and {name} contradict each other: leave one of them out")
        return self


class DetectorConfig(_Section):
    """Detection on the fused frames."""

    enabled: bool | None = Field(None, description="none: on when there are weights, given or fusecam's own")
    weights: Path | None = Field(None, description="file, or NAME:ARGUMENT of another package; none: fusecam's own")
    confidence: float = Field(0.25, gt=0, lt=1, description="lowest score kept")
    classes: list[str] | None = Field(None, min_length=1, description="keep these only")
    track: bool = Field(False, description="number the objects over time")
    coast_s: float = Field(0.25, ge=0, description="how long a tracked object is predicted (`coasted`) when missed")

    @property
    def wanted(self) -> bool:
        """Whether a detector is used."""
        return (self.weights is not None or DETECTOR_WEIGHTS.exists()) if self.enabled is None else self.enabled


class OverlayConfig(_Section):
    """The overlay on the output."""

    enabled: bool | None = Field(None, description="none: on for video and window, off for image folders")
    inset: bool = Field(False, description="the two inputs, small, in a corner")
    trails: bool = Field(False, description="paths of tracked objects")
    tint: bool = Field(False, description="colour people by their infrared contrast")


class OutputConfig(_Section):
    """Outputs."""

    out: Path | None = Field(None, description="file or folder; of a list, addresses go to `send`")
    send: list[str] = Field(
        [], description="addresses that get the result as a stream: rtsp, rtmp, srt, udp, tcp; /dev/videoN"
    )
    view: View = Field("fused", description="what files, streams, window and page show; recordings are always fused")
    palette: Palette = Field("white-hot", description="of infrared in other views than `fused`, and on the page")
    show: bool | None = Field(None, description="none: on when nothing else is asked for and there is a display")
    sinks: list[str] = Field([], description="NAME:ARGUMENT each, of sinks that other packages give")
    report: Path | None = None
    frame_latencies: bool = Field(False, description="also write per-frame latencies into the report")
    crf: int = Field(20, ge=0, le=51, description="H.264 quality, lower is better")
    preset: str = Field("ultrafast", description="x264 preset; superfast: files a fifth smaller for 2 ms a frame more")

    @model_validator(mode="before")
    @classmethod
    def _split_targets(cls, given: Any) -> Any:
        """Files and addresses of one list apart."""
        if not isinstance(given, dict) or not isinstance(given.get("out"), str | Path | list):
            return given
        outs = given["out"] if isinstance(given["out"], list) else [given["out"]]
        streams = [re.match(r"[^/]*://|/dev/video\d", str(each)) is not None for each in outs]
        places = [each for each, stream in zip(outs, streams, strict=True) if not stream]
        if len(places) > 1:
            raise ValueError(f"one file or folder, and any number of addresses: not {' and '.join(map(str, places))}")
        send = [str(each) for each, stream in zip(outs, streams, strict=True) if stream]
        return given | {"out": places[0] if places else None, "send": [*given.get("send", []), *send]}


class RecordConfig(_Section):
    """A recording beside the output, in segments that survive a killed process."""

    folder: Path | None = Field(None, description="folder, or an .mcap file that is not there yet; none: no recording")
    counts: bool = Field(True, description="16-bit infrared as raw counts (.mkv: FFV1); else as shown (.mp4)")
    segment_s: float = Field(60.0, gt=1, description="length of a segment")
    quota_gb: float | None = Field(
        20.0, gt=0, description="size from which the oldest files are removed; none: no limit"
    )
    events: bool = Field(False, description="also a clip around every detection, in the folder's `events`")
    before_s: float = Field(5.0, ge=0, description="seconds of an event clip before its first detection")
    after_s: float = Field(5.0, ge=0, description="seconds of an event clip after its last detection")
    longest_s: float = Field(120.0, gt=0, description="seconds after which a long event is split")

    @property
    def is_file(self) -> bool:
        """Whether it is one MCAP file."""
        return self.folder is not None and self.folder.suffix.lower() == ".mcap" and not self.folder.is_dir()

    @model_validator(mode="after")
    def _of_segments(self) -> RecordConfig:
        given = [name for name in ("events", "segment_s", "quota_gb") if name in self.model_fields_set]
        given = [name for name in given if getattr(self, name)]
        if self.is_file and given:
            raise ValueError(
                f"{given[0]} is for a folder, an .mcap file is one piece: give --record DIR, or leave it out"
            )
        return self


class MonitorConfig(_Section):
    """Monitoring of a run. It does not change the results."""

    metrics: str | None = Field(None, description="[HOST]:PORT of the Prometheus endpoint; without HOST: loopback")
    serve: str | None = Field(None, description="[HOST]:PORT of the page for browsers; without HOST: loopback")
    token: SecretStr | None = Field(None, description="token of the page; none: generated where others can connect")
    watch_token: SecretStr | None = Field(None, description="read-only token of the page")
    tls: tuple[Path, Path] | None = Field(
        None, description="certificate and key of page and metrics, PEM; none: no TLS"
    )
    log_json: bool = Field(False, description="events as JSON lines on stderr, instead of text")
    drift: bool = Field(True, description="with a rig: warn when infrared has shifted since the calibration")


class RunConfig(_Section, Versioned):
    """A run file: everything one run needs."""

    sources: SourceConfig = SourceConfig()
    rig: Path | None = None
    distance: float | None = Field(None, gt=0, description="metres of the plane on which the images are aligned")
    sync: SyncConfig = SyncConfig()
    engine: EngineConfig = EngineConfig()
    detector: DetectorConfig = DetectorConfig()
    overlay: OverlayConfig = OverlayConfig()
    output: OutputConfig = OutputConfig()
    record: RecordConfig = RecordConfig()
    monitor: MonitorConfig = MonitorConfig()
    max_frames: int | None = Field(None, gt=0)
    strict: bool = Field(False, description="doubts are errors")
    _file: Path | None = PrivateAttr(None)

    @property
    def files_read(self) -> list[str]:
        """Files that the run reads beside its sources, itself included: no output may take the place of one."""
        files = self._file, self.rig, self.sources.pairs, self.detector.weights, *(self.monitor.tls or ())
        return [str(file) for file in files if file is not None]

    @model_validator(mode="after")
    def _consistent(self) -> RunConfig:
        if self.detector.enabled and self.detector.weights is None and not DETECTOR_WEIGHTS.exists():
            raise ValueError("detection needs weights: give --detector FILE (any Ultralytics detector), or --no-detect")
        if not self.detector.wanted and (self.detector.track or self.overlay.trails):
            what = "tracking" if self.detector.track else "trails"
            raise ValueError(f"{what} without detection: give --detect or --detector FILE, or leave {what} out")
        if self.record.events and self.record.folder is None:
            raise ValueError("event clips are cut out of a recording: give --record DIR too")
        if self.record.events and not self.detector.wanted:
            raise ValueError("event clips without detection: give --detector FILE, or leave out --no-detect")
        if self.output.palette != "white-hot" and self.output.view == "fused" and self.monitor.serve is None:
            raise ValueError("a palette colours infrared, of which `fused` shows none: give another --view, or --serve")
        if self.overlay.trails and not self.detector.track:
            raise ValueError("trails need numbered objects: give --track too")
        return self


def load(given: Path | Mapping[str, Any] | None, overrides: dict[str, Any] | None = None) -> RunConfig:
    """Read a YAML run file and lay the command line's `overrides` (nested dicts) over it.

    Args:
        given: the file, or what it would hold.
        overrides: settings as in the file.

    Raises:
        InputError: names the file and the key.
    """
    if not isinstance(given, Path | Mapping | None):
        raise InputError(f"settings: are {type(given).__name__}: give a run file, or a mapping")
    path = given if isinstance(given, Path) else None
    data: Any = dict(given) if isinstance(given, Mapping) else {}
    if path is not None:
        try:
            data = read_yaml(path) or {}
        except YamlFileError as e:
            raise InputError(f"{path}: {e}") from e
        if not isinstance(data, dict):
            raise InputError(f"{path}: a run file is a mapping of settings, this holds a {type(data).__name__}")
    try:
        config = RunConfig.model_validate(_merge(data, overrides or {}))
    except ValidationError as e:
        raise InputError(f"{path or ('command line' if given is None else 'settings')}: {explain(e, RunConfig)}") from e
    config._file = path
    return config


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            merged[key] = _merge(below, value)
        elif value != {} or below is None:  # else: nothing is laid over what is no section, to be refused as such
            merged[key] = value
    return merged
