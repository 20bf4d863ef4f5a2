"""Outputs: video, images, JSON lines, network streams, devices, a window."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from ...calib.atomic import naming, resolved
from ..config import OutputConfig
from ..core.paths import check_not_input
from ..errors import InputError
from .base import Sink, SinkHealth, close_all
from .device import DeviceSink
from .images import ImagesSink
from .jsonl import JsonLinesSink
from .network import NetworkSink
from .outputs import Outputs
from .plugged import PluggedSink
from .resize import FirstSize, Sized
from .video import FORMATS, VideoSink
from .window import WindowSink, check_display

__all__ = ["Outputs", "Sink", "SinkHealth", "check_display", "close_all", "is_video", "lines_of", "open_sinks"]


def is_video(out: Path) -> bool:
    """Whether an output of this name is a video (True) or a folder of images (False).

    Raises InputError for a name that is neither.
    """
    with naming(out, InputError):  # a name too long, for one
        folder = out.is_dir()
    if folder:
        if out.suffix.lower() in FORMATS:
            raise InputError(f"{out}: is a folder; give the name of a file, or a folder without a video's suffix")
        return False
    if out.suffix.lower() in FORMATS:
        return True
    if out.suffix:
        raise InputError(
            f"{out}: '{out.suffix}' is not supported; use {', '.join(FORMATS)} for a video, "
            "no suffix or an existing folder for images"
        )
    return False


def lines_of(out: Path) -> Path:
    """Path of the JSON lines of an output."""
    if is_video(out):
        return out.with_suffix(".jsonl")
    with naming(out, InputError):
        whole = resolved(out)
    return whole.with_name(whole.name + ".jsonl")


def open_sinks(
    config: OutputConfig,
    rate: Fraction | None = None,
    pixel_aspect: Fraction = Fraction(1),
    names: Sequence[str] | None = None,
    inputs: Sequence[str] = (),
) -> list[Sink]:
    """The sinks that `config.out`, `config.send` and `config.show` ask for, opened; [] for none.

    `out` with a video's suffix: VideoSink; without a suffix, or an existing folder: ImagesSink. Both with JSON lines
    beside them: `out` without the video's suffix, plus `.jsonl`.
    rate, pixel_aspect: the visible source's nominal frame rate, if known, and its pixels' width over height.
    names: its images' names, if it is a folder. inputs: all that the run reads, as the user wrote it; an output in the
    place of one is an InputError.
    """
    sinks: list[Sink] = []
    try:
        if config.out is not None:
            check_not_input(config.out, inputs)
            lines = lines_of(config.out)
            check_not_input(lines, inputs)
            if is_video(config.out):
                size = FirstSize()
                sinks.append(Sized(VideoSink(config.out, config, rate, pixel_aspect), size))
                sinks.insert(0, Sized(JsonLinesSink(lines), size))  # in place first: a batch knows its videos by them
            else:
                sinks.append(ImagesSink(config.out, names))
                sinks.append(JsonLinesSink(lines))
        for url in config.send:
            sink = NetworkSink(url, config, rate) if "://" in url else DeviceSink(url)
            sinks.append(Sized(sink, FirstSize()))
        for spec in config.sinks:
            sinks.append(PluggedSink(spec))
        if config.show:
            sinks.append(WindowSink())
    except InputError:
        close_all(sinks, complete=False)
        raise
    return sinks
