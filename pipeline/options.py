"""The options of `fusecam` and `fusecam batch`: one table, from which parser, help and settings come."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from typer.core import TyperCommand

from ..engines.host.options import option, place, strength
from .core.looks import PALETTES, VIEWS
from .errors import InputError

RUN, HOW, OUTPUT, WATCH = "Input", "Processing", "Output", "Monitoring"


def _target(text: str | Path) -> str | Path:
    return str(text) if "://" in str(text) else place(text)


def _as_given(option: str, value: Any) -> Any:
    return value


def _names(option: str, text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _strength(option: str, text: str) -> float | str:
    return strength(option, text, InputError)


def _score(option: str, value: float) -> float:
    if not 0 < value < 1:
        raise InputError(f"{option} {value}: give a number between 0 and 1")
    return value


def _number(option: str, value: float) -> float:
    if not math.isfinite(value):
        raise InputError(f"{option} {value:g}: give a number")
    return value


def metres(option: str, value: float) -> float:
    """A distance. Raises InputError unless it is above 0 and finite."""
    if not 0 < value < math.inf:
        raise InputError(f"{option} {value:g}: give metres above 0")
    return value


def _one_of(names: Sequence[str]) -> Callable[[str, str], str]:
    def read(option: str, text: str) -> str:
        if text not in names:
            raise InputError(f"{option} {text}: unknown; use one of {', '.join(names)}")
        return text

    return read


@dataclass(frozen=True, slots=True)
class Option:
    """One option; its name is its key in `OPTIONS`, unless `names` says otherwise.

    setting: its key in a run file. brief: its line in the short help; options without one are left out there.
    single: not an option of `fusecam batch`. read: converts option and value to the setting. parser: text to value,
    for typer.
    """

    setting: str
    kind: Any
    panel: str
    metavar: str | None
    help: str
    brief: str = ""
    names: tuple[str, ...] = ()
    single: bool = False
    read: Callable[[str, Any], Any] = _as_given
    parser: Callable[[str], Any] | None = None
    least: int | None = None

    def parameter(self, name: str) -> inspect.Parameter:
        """For the signature of a typer command."""
        metavar = "" if self.kind is bool else self.metavar  # a flag takes no value
        declared = option(
            *self.names, panel=self.panel, metavar=metavar, help=self.help, parser=self.parser, min=self.least
        )
        kind: Any = Annotated[self.kind | None, declared]
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)


_CAMERA = (
    "Camera (dev0, 0, /dev/video0), video file, folder or glob of images, rtsp:// or http:// address, "
    "ROS recording (drive.mcap:/topic), named pipe, or - for standard input."
)
OPTIONS = {
    "ir": Option(
        "sources.ir.source", str, RUN, "SOURCE", _CAMERA, "Infrared: dev0, file, folder, rtsp://, pipe or -.",
        single=True,
    ),
    "vis": Option("sources.vis.source", str, RUN, "SOURCE", _CAMERA, "Visible, likewise.", single=True),
    "rig": Option(
        "rig", Path, HOW, "FILE|DIR",
        "Rig file (intrinsics and extrinsics), or a calibration by OpenCV, ROS or Kalibr. Without it infrared is "
        "scaled onto visible.",
        "Rig file: calibration of both cameras.",
    ),
    "out": Option(
        "output.out", list[Any], OUTPUT, "FILE|DIR|URL",
        "A video (.mp4, .mkv, .mov) or a folder of PNG images, with the detections beside it as .jsonl; or where to "
        "send the video: rtsp://, rtmp://, srt://, udp://, tcp://, /dev/videoN (v4l2loopback); recordings are sent in "
        "real time. Repeatable.",
        "Video, folder of images, or rtsp:// etc.",
        ("--out", "-o"), single=True, parser=_target,
    ),
    "show": Option(
        "output.show", bool, OUTPUT, None, "Window; q closes it. Default: on without --out, if there is a display.",
        "Window; q closes it.", ("--show/--no-show",), single=True,
    ),
    "engine": Option(
        "engine.name", str, HOW, "NAME", "NAME[:BACKEND[:PRECISION]]. 'fusecam doctor' lists the available ones.",
        "Fusion network; 'fusecam doctor' lists them.",
    ),
    "detect": Option(
        "detector.enabled", bool, HOW, None,
        "Detect on the fused frames. Default: on if detector weights are available.",
        "People, bicycles and cars.", ("--detect/--no-detect",),
    ),
    "track": Option(
        "detector.track", bool, HOW, None,
        "Number the objects over time; numbers are kept through gaps of up to 30 frames. Default: off.",
        "Number objects over time.", ("--track/--no-track",),
    ),
    "dehaze": Option(
        "engine.dehaze", str, HOW, "0..1|auto", "Strength of haze removal. Default: auto.",
        "Strength of haze removal.", read=_strength,
    ),
    "lift": Option(
        "engine.lift", str, HOW, "0..1|auto",
        "Strength of low-light enhancement; 0 keeps a night dark. Default: auto.",
        "Strength of low-light enhancement.", read=_strength,
    ),
    "record": Option(
        "record.folder", Path, OUTPUT, "DIR|FILE.mcap",
        "Record fused and raw streams in segments that stay playable when the process is killed; the oldest are "
        "removed when DIR is full (record.quota_gb). FILE.mcap: one file for Foxglove, Rerun and ROS 2.",
        "Fused and raw streams, in segments.", single=True, parser=place,
    ),
    "report": Option(
        "output.report", Path, OUTPUT, "JSON", "Write latencies, counts, time offset and machine.",
        "Latencies, counts, time offset.", single=True, parser=place,
    ),
    "serve": Option(
        "monitor.serve", str, WATCH, "[HOST]:PORT",
        "Page for browsers: stream, inputs, maps, latency, switches. Without HOST: loopback only; 0.0.0.0:PORT: "
        "for others too, with the token.",
        "Page for browsers.", single=True,
    ),
    "config": Option(
        "", Path, RUN, "YAML", "Run file with any setting; options given here override it.",
        "Run file: every setting.",
    ),
    "pairs": Option(
        "sources.pairs", Path, RUN, "CSV",
        "Table of pairs of images, or of clips of a batch: columns visible,infrared. Default: paired by name or "
        "capture time.",
    ),
    "max_frames": Option("max_frames", int, RUN, "N", "Stop after N output frames.", least=1),
    "strict": Option(
        "strict", bool, RUN, None,
        "Treat doubts (uncertain assumptions about the input) as errors instead of exit code 3.", names=("--strict",),
    ),
    "distance": Option(
        "distance", float, HOW, "METRES", "Distance of the alignment plane. Needs a full rig file.", read=metres,
    ),
    "offset_ms": Option(
        "sync.offset_ms", float, HOW, "X",
        "Added to infrared times, in milliseconds. Default: measured between recordings, none between live cameras.",
        read=_number,
    ),
    "hue": Option(
        "engine.hue", str, HOW, "0..1|auto",
        "Strength of the amber colour of warm objects; 0 keeps all colours. Default: auto (0.8).", read=_strength,
    ),
    "prompt": Option(
        "engine.prompt", str, HOW, "TEXT|auto",
        "Degradations, in words: 'foggy night, weak thermal contrast'. Instead of --dehaze and --lift. Default: auto.",
    ),
    "detector": Option(
        "detector.weights", Path, HOW, "FILE",
        "Another detector: any Ultralytics .pt file, which is a pickle, so load only what you trust, or the "
        ".safetensors of `fusecam train`. Default: fusecam's own.",
    ),
    "classes": Option(
        "detector.classes", str, HOW, "NAMES", "Classes to detect, with commas between: person,car. Default: all.",
        read=_names,
    ),
    "conf": Option(
        "detector.confidence", float, HOW, "0..1", "Lowest score of a detection. Default: 0.25.", read=_score
    ),
    "overlay": Option(
        "overlay.enabled", bool, OUTPUT, None,
        "Boxes and head-up line. Default: on for a video or window, off for image folders and batch.",
        names=("--overlay/--no-overlay",),
    ),
    "view": Option(
        "output.view", str, OUTPUT, "NAME",
        f"What is shown: {', '.join(VIEWS)}. Detection and recordings stay fused. Default: fused.",
        read=_one_of(VIEWS),
    ),
    "palette": Option(
        "output.palette", str, OUTPUT, "NAME",
        f"Colours of infrared in other views, and on the page: {', '.join(PALETTES)}. Default: white-hot.",
        read=_one_of(PALETTES),
    ),
    "inset": Option(
        "overlay.inset", bool, OUTPUT, None, "Show both inputs, small, in a corner of the overlay.",
        names=("--inset/--no-inset",),
    ),
    "trails": Option(
        "overlay.trails", bool, OUTPUT, None, "Draw the paths of tracked objects. Switches --track on.",
        names=("--trails/--no-trails",),
    ),
    "tint": Option(
        "overlay.tint", bool, OUTPUT, None, "Colour people by their infrared contrast.",
        names=("--tint/--no-tint",),
    ),
    "events": Option(
        "record.events", bool, OUTPUT, None, "Also keep a clip around every detection. Needs --record.",
        names=("--events/--no-events",), single=True,
    ),
    "frame_latencies": Option(
        "output.frame_latencies", bool, OUTPUT, None, "Add the latencies of every frame to --report.",
        names=("--frame-latencies",),
    ),
    "metrics": Option(
        "monitor.metrics", str, WATCH, "[HOST]:PORT",
        "Counters and latencies for Prometheus. Without HOST: loopback only.", single=True,
    ),
    "token": Option(
        "monitor.token", str, WATCH, "TEXT",
        "Token of the page, at least 8 characters (or $FUSECAM_TOKEN). Default: generated and printed; required "
        "with --log-json.",
        single=True,
    ),
    "watch_token": Option(
        "monitor.watch_token", str, WATCH, "TEXT",
        "A second, read-only token of the page (or $FUSECAM_WATCH_TOKEN).", single=True,
    ),
    "tls": Option(
        "monitor.tls", tuple[Path, Path], WATCH, "CERT KEY",
        "Serve page and metrics by https, with this certificate and its key, PEM files.", single=True,
    ),
    "log_json": Option(
        "monitor.log_json", bool, WATCH, None, "Events as JSON lines on stderr, instead of text.",
        names=("--log-json",), single=True,
    ),
}  # fmt: skip
"""Options by name, the most used first."""
OLD_NAMES = {"--weights": "--detector", "--every": "--stride", "--split": "--group-by"}
"""Deprecated option names of all commands, and their replacements."""
THIS_CLUSTER = "this"


class BareRay(TyperCommand):
    """A command whose `--ray` may stand without an address, which Typer cannot say."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give a bare `--ray` its value: what follows is taken for an address only if it looks like one."""
        for at, arg in enumerate(args):
            follows = args[at + 1] if at + 1 < len(args) else ""
            if arg == "--ray" and not re.fullmatch(r"ray://\S+|[\w.-]+:\d+|\[[0-9a-fA-F:.]+\]:\d+", follows):
                args = [*args[: at + 1], THIS_CLUSTER, *args[at + 1 :]]
        return super().parse_args(ctx, args)


def taking(single: bool, after: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a typer command these options after its first `after` parameters; it has them as `**given`."""

    def declare(command: Callable[..., Any]) -> Callable[..., Any]:
        *own, _ = inspect.signature(command, eval_str=True).parameters.values()
        shared = [option.parameter(name) for name, option in OPTIONS.items() if single or not option.single]
        own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
        command.__signature__ = inspect.Signature([*own[:after], *shared, *own[after:]])  # type: ignore[attr-defined]
        return command

    return declare


def overrides(**given: Any) -> dict[str, Any]:
    """Options as nested settings for `config.load`; those not given (None) are left out."""
    given = {name: value for name, value in given.items() if value is not None and value != []}
    prompt, detect, trails = given.get("prompt"), given.get("detect"), given.get("trails")
    clashes = []
    if prompt is not None and prompt.strip().lower() != "auto":
        clashes += [("--prompt", f"--{name}") for name in ("dehaze", "lift") if given.get(name, "auto") != "auto"]
    if detect is False:
        others = [name for name in ("detector", "classes", "conf", "track", "trails") if given.get(name)]
        clashes += [("--no-detect", f"--{name}") for name in others]
    if trails and given.get("track") is False:
        clashes.append(("--trails", "--no-track"))
    if clashes:
        raise InputError("{} and {} contradict each other: leave one of them out".format(*clashes[0]))
    # Options given here override contradicting settings of a run file.
    if detect is False:
        given |= {"track": False, "trails": False, "events": given.get("events", False)}
    if given.get("track") is False:
        given["trails"] = False
    if trails:
        given["track"] = True
    if prompt is not None:
        given = {"dehaze": "auto", "lift": "auto"} | given
    elif given.keys() & {"dehaze", "lift"}:
        given["prompt"] = "auto"
    settings: dict[str, Any] = {}
    for name, value in given.items():
        *sections, key = OPTIONS[name].setting.split(".")
        section = settings
        for each in sections:
            section = section.setdefault(each, {})
        section[key] = OPTIONS[name].read(f"--{name.replace('_', '-')}", value)
    return settings
