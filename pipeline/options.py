"""The options that `fusecam` and `fusecam batch` share, declared once, and how they become configuration."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from .errors import InputError

RUN, HOW, OUTPUT, WATCH = "Input", "Processing", "Output", "Monitoring"


def _option(*names: str, panel: str = HOW, metavar: str | None = None, **more: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, metavar=metavar, show_default=False, **more)


def place(text: str | Path) -> Path:
    """A path to write to, given or a default. An empty one, as of a variable not set, would be the folder at hand."""
    if not str(text).strip():
        raise typer.BadParameter("is empty; give a file or folder")
    return Path(text)


Config = Annotated[
    Path | None, _option(panel=RUN, metavar="YAML", help="Run file with any setting; options given here override it.")
]
Pairs = Annotated[
    Path | None,
    _option(
        panel=RUN,
        metavar="CSV",
        help="Which images, or clips of a batch, belong together: columns visible,infrared. Default: by their names, "
        "or by the capture times in them.",
    ),
]
MaxFrames = Annotated[int | None, _option(panel=RUN, metavar="N", min=1, help="Stop after N output frames.")]
Strict = Annotated[
    bool | None,
    _option(
        "--strict",
        panel=RUN,
        help="Treat doubts (uncertain assumptions about the input) as errors instead of exit code 3.",
    ),
]
Rig = Annotated[
    Path | None,
    _option(
        metavar="FILE|DIR",
        help="Rig file (intrinsics and extrinsics), or a calibration by OpenCV, ROS or Kalibr. Without it infrared is "
        "scaled onto visible.",
    ),
]
Distance = Annotated[
    float | None, _option(metavar="METRES", help="Distance of the alignment plane. Needs a full rig file.")
]
OffsetMs = Annotated[
    float | None,
    _option(metavar="X", help="Added to infrared times, in milliseconds. Without it: from the rig file, or measured."),
]
Engine = Annotated[
    str | None, _option(metavar="NAME", help="NAME[:BACKEND[:PRECISION]]. 'fusecam doctor' lists what is here.")
]
Dehaze = Annotated[str | None, _option(metavar="0..1|auto", help="Strength of haze removal. Default: auto.")]
Lift = Annotated[
    str | None,
    _option(metavar="0..1|auto", help="Strength of low-light enhancement; 0 keeps a night dark. Default: auto."),
]
Hue = Annotated[
    str | None,
    _option(
        metavar="0..1|auto", help="Strength of the amber tint on warm objects; 0 keeps all colours. Default: auto."
    ),
]
Prompt = Annotated[
    str | None,
    _option(
        metavar="TEXT|auto",
        help="Degradations, in words: 'foggy night, weak thermal contrast'. Instead of --dehaze and --lift. "
        "Default: auto.",
    ),
]
Detect = Annotated[
    bool | None,
    _option("--detect/--no-detect", help="Detect on the fused frames. Default: on where there are weights."),
]
Weights = Annotated[
    Path | None,
    _option(
        metavar="FILE",
        help="Another detector: any Ultralytics .pt file, which is a pickle, so load only what you trust, or the "
        ".safetensors of `fusecam train`. Default: fusecam's own.",
    ),
]
Classes = Annotated[
    str | None, _option(metavar="NAMES", help="Classes to detect, with commas between: person,car. Default: all.")
]
Conf = Annotated[float | None, _option(metavar="0..1", help="Lowest score of a detection. Default: 0.25.")]
Track = Annotated[
    bool | None,
    _option(
        "--track/--no-track",
        help="Number the objects over time, and keep them through gaps of up to 0.25 s. Default: off.",
    ),
]
OverlayOn = Annotated[
    bool | None,
    _option(
        "--overlay/--no-overlay",
        panel=OUTPUT,
        help="Boxes and head-up line. Default: on for a video or window, off for image folders and batch.",
    ),
]
Inset = Annotated[
    bool | None,
    _option("--inset/--no-inset", panel=OUTPUT, help="Show both inputs, small, in a corner of the overlay."),
]
Trails = Annotated[
    bool | None,
    _option("--trails/--no-trails", panel=OUTPUT, help="Draw where tracked objects came from. Switches --track on."),
]
Tint = Annotated[
    bool | None,
    _option("--tint/--no-tint", panel=OUTPUT, help="Colour people by how far they stand out in infrared."),
]
Record = Annotated[
    Path | None,
    _option(
        panel=OUTPUT,
        metavar="DIR",
        parser=place,
        help="Record fused and raw streams in segments that stay playable when the process is killed; the oldest go "
        "when DIR is full (record.quota_gb).",
    ),
]
Events = Annotated[
    bool | None,
    _option("--events/--no-events", panel=OUTPUT, help="Also keep a clip around every detection. Needs --record."),
]
Report = Annotated[
    Path | None, _option(panel=OUTPUT, metavar="JSON", help="Write latencies, counts, time offset and machine.")
]
FrameLatencies = Annotated[
    bool | None, _option("--frame-latencies", panel=OUTPUT, help="Add the latencies of every frame to --report.")
]
Out = Annotated[
    Path | None,
    _option(
        "--out",
        "-o",
        panel=OUTPUT,
        metavar="FILE|DIR",
        parser=place,
        help="A video (.mp4, .mkv, .mov) or a folder of PNG images. Detections go beside it as .jsonl.",
    ),
]
Show = Annotated[
    bool | None,
    _option(
        "--show/--no-show", panel=OUTPUT, help="Window; q closes it. Default: on without --out, if there is a display."
    ),
]

Metrics = Annotated[
    str | None,
    _option(
        panel=WATCH, metavar="[HOST]:PORT", help="Counters and latencies for Prometheus. Without HOST: loopback only."
    ),
]
Serve = Annotated[
    str | None,
    _option(
        panel=WATCH,
        metavar="[HOST]:PORT",
        help="Page for browsers: stream, inputs, maps, latency, switches. Without HOST: loopback only; 0.0.0.0:PORT "
        "for others too, who need the token.",
    ),
]
Token = Annotated[
    str | None,
    _option(
        panel=WATCH,
        metavar="TEXT",
        help="Token of the page, at least 8 characters (or $FUSECAM_TOKEN). Default: a new one, printed; with "
        "--log-json one must be given.",
    ),
]
LogJson = Annotated[
    bool | None,
    _option("--log-json", panel=WATCH, help="Events as JSON lines on stderr, instead of text."),
]


Ray = Annotated[
    str | None,
    _option(
        panel=RUN,
        metavar="[ADDRESS]",
        help="Run the clips over a Ray cluster: HOST:PORT or ray://HOST:PORT; without ADDRESS the one that this "
        "machine is in, or a new one of this machine alone.",
    ),
]
RayCores = Annotated[
    int | None, _option(panel=RUN, metavar="N", min=1, help="Processor cores for each clip on the cluster. Default: 2.")
]
THIS_CLUSTER = "this"


class BareRay(TyperCommand):
    """A command whose `--ray` may stand without an address, which Typer cannot say."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give a bare `--ray` its value: what follows is taken for an address only if it looks like one."""
        for place, arg in enumerate(args):
            follows = args[place + 1] if place + 1 < len(args) else ""
            if arg == "--ray" and not re.fullmatch(r"ray://\S+|[\w.-]+:\d+|\[[0-9a-fA-F:.]+\]:\d+", follows):
                args = [*args[: place + 1], THIS_CLUSTER, *args[place + 1 :]]
        return super().parse_args(ctx, args)


def overrides(
    *,
    ir: str | None = None,
    vis: str | None = None,
    pairs: Path | None = None,
    dehaze: str | None = None,
    lift: str | None = None,
    hue: str | None = None,
    prompt: str | None = None,
    engine: str | None = None,
    detect: bool | None = None,
    weights: Path | None = None,
    classes: str | None = None,
    conf: float | None = None,
    track: bool | None = None,
    overlay: bool | None = None,
    inset: bool | None = None,
    trails: bool | None = None,
    tint: bool | None = None,
    offset_ms: float | None = None,
    out: Path | None = None,
    show: bool | None = None,
    report: Path | None = None,
    record: Path | None = None,
    events: bool | None = None,
    frame_latencies: bool | None = None,
    rig: Path | None = None,
    distance: float | None = None,
    max_frames: int | None = None,
    strict: bool | None = None,
    metrics: str | None = None,
    serve: str | None = None,
    token: str | None = None,
    log_json: bool | None = None,
) -> dict[str, Any]:
    """Options as nested settings for `config.load`; those not given (None) are left out."""
    for option, value in (("--dehaze", dehaze), ("--lift", lift)):
        if prompt is not None and prompt.strip().lower() != "auto" and value not in (None, "auto"):
            raise InputError(f"--prompt and {option} contradict each other: leave one of them out")
    if detect is False:
        given = {"--weights": weights, "--classes": classes, "--conf": conf, "--track": track, "--trails": trails}
        if other := next((option for option, value in given.items() if value), None):
            raise InputError(f"--no-detect and {other} contradict each other: leave one of them out")
    if trails and track is False:
        raise InputError("--trails and --no-track contradict each other: leave one of them out")
    if conf is not None and not 0 < conf < 1:
        raise InputError(f"--conf {conf}: give a number between 0 and 1")
    # What is given here overrules what stands against it in a run file.
    if detect is False:
        track, trails, events = False, False, bool(events)
    if track is False:
        trails = False
    if prompt is not None:
        dehaze, lift = dehaze or "auto", lift or "auto"
    elif dehaze is not None or lift is not None:
        prompt = "auto"
    return {
        "sources": {side: {"source": spec} for side, spec in _given(ir=ir, vis=vis).items()} | _given(pairs=pairs),
        "engine": _given(
            name=engine,
            dehaze=_strength("--dehaze", dehaze),
            lift=_strength("--lift", lift),
            hue=_strength("--hue", hue),
            prompt=prompt,
        ),
        "detector": _given(
            enabled=detect, weights=weights, classes=_names(classes), confidence=conf, track=True if trails else track
        ),
        "overlay": _given(enabled=overlay, inset=inset, trails=trails, tint=tint),
        "sync": _given(offset_ms=offset_ms),
        "output": _given(out=out, show=show, report=report, frame_latencies=frame_latencies),
        "record": _given(folder=record, events=events),
        "monitor": _given(metrics=metrics, serve=serve, token=token, log_json=log_json),
        **_given(rig=rig, distance=distance, max_frames=max_frames, strict=strict),
    }


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _strength(option: str, text: str | None) -> float | str | None:
    if text is None or text == "auto":
        return text
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise InputError(f"{option} {text}: give a number from 0 to 1, or auto")
    return value
