"""`fusecam calibrate board`: from two sources that show a board to a rig file."""

from __future__ import annotations

import math
import re
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
from rich.console import Console

from ...calib.atomic import AtomicFile, write_atomic
from ...calib.board import Board, CalibrationError
from ...calib.find import suggest_size
from ...calib.report import html, text
from ...calib.rig import save_rig
from ...calib.solve import calibrate
from ...engines.host.terminal import say
from ..config import SourceConfig
from ..core.frames import Frame
from ..core.paths import check_not_foreign, check_not_input
from ..errors import InputError
from ..options import metres
from ..run.console import INTERRUPTED, interruptible, pairs_seen
from ..run.session import Session
from ..run.streams import Streams, open_streams
from ..sinks.window import WindowSink
from ..sources import open_source
from ..sources.camera import camera_device
from .capture import KEPT_WITHOUT, Views
from .target import Cameras

_REPORT = re.compile(rb"<!doctype html><meta charset=utf-8><title>Calibration</title>")
_COLOUR, _GREY = 8.0, 3.0  # mean difference of the colour channels above which a frame is coloured, below which grey


def calibrate_board(
    cameras: Cameras, board: Board, out: Path, report: Path, distance: float, most: int, show: bool, console: Console
) -> int:
    """Take at most `most` views, solve, write the rig and its report.

    Returns the exit code; writes nothing on an error.
    """
    config = cameras.settings()
    metres("--distance", distance)
    cameras.check_target(out)
    check_not_input(report, [cameras.infrared, cameras.visible, cameras.pairs], option="--report")
    check_not_input(report, [out], "the output", "--report")
    if report == out.with_suffix(".html"):  # a name that the user did not give
        check_not_foreign(report, _REPORT)
    AtomicFile(report, InputError).discard()
    _check_pair(config.sources)
    streams = open_streams(config)
    for note in streams.notes:
        say(console, note)
    taken = Views(board, streams.visible.info.names is not None, most)
    if _capture(streams, taken, board, show, console):
        return INTERRUPTED
    views = [shot.view for shot in taken.shots]
    if taken.sizes is None or not any(view.visible and view.infrared for view in views):
        _raise_no_view(taken, board)
    assert taken.sizes is not None
    calibration = calibrate(views, board, taken.sizes)
    rig = calibration.rig(distance)
    save_rig(rig, out)
    page = html(calibration, rig, {shot.view.name: shot.sight for shot in taken.shots})
    write_atomic(report, page.encode(), InputError)
    for line in text(calibration, rig):
        say(console, line)
    say(console, f"rig: {out}, report: {report}; for drift warnings: fusecam calibrate reference")
    return 0


def _check_pair(config: SourceConfig) -> None:
    """Refuse swapped recordings before the calibration starts. Raises InputError."""
    specs = {"--ir": config.ir.source or "", "--vis": config.vis.source or ""}
    if specs["--ir"] == specs["--vis"] or not all(_is_recorded(spec) for spec in specs.values()):
        return  # opening the sources refuses the same source twice
    colour = {}
    for option, spec in specs.items():
        with closing(open_source(spec, "visible", config)) as source:
            colour[option] = _colourfulness(next(iter(source), None))
    if colour["--ir"] > _COLOUR and colour["--vis"] < _GREY:
        raise InputError(
            f"{specs['--ir']}: is in colour while {specs['--vis']} is grey: --ir and --vis seem to be swapped"
        )


def _is_recorded(spec: str) -> bool:
    """Whether a source can be opened twice, unlike cameras, streams and pipes."""
    return not (camera_device(spec) or "://" in spec or spec == "-" or Path(spec).is_fifo())


def _colourfulness(frame: Frame | None) -> float:
    """Mean difference of the largest and the least colour channel, 0 to 255; small for grey."""
    if frame is None:
        return 0.0
    step = max(1, frame.pixels.shape[1] // 160)
    sample = frame.pixels[::step, ::step].astype(np.int16)
    return float((sample.max(axis=2) - sample.min(axis=2)).mean())


def _capture(streams: Streams, views: Views, board: Board, show: bool, console: Console) -> bool:
    """Collect the views. Returns whether the user interrupted a recording."""
    live, taken, told = streams.visible.info.live, 0, False
    with interruptible() as stop, Session(streams, stop=stop) as session, ExitStack() as shown:
        window = WindowSink() if show else None
        if window is not None:
            shown.callback(window.close, complete=True)
        if live:
            say(console, "hold the board still at many positions and tilts; Ctrl-C ends the capture")
        for pair in pairs_seen(session, streams, console, "looking for the board"):
            if pair.led_by == "infrared":
                continue
            views.update(pair)
            if not told and len(views.without) == KEPT_WITHOUT:
                told = True
                if size := _other_size(views, board):
                    say(console, f"no {board} yet, but one of {size} inner corners: if it is yours, --board {size}")
            if live and len(views.shots) > taken:
                taken = len(views.shots)
                say(console, f"view {taken} of {views.most} taken")
            if window is not None and not window.show(views.draw(pair.visible.pixels)):
                stop.set()
            if views.full:
                break
        return stop.is_set() and not live and not views.full


def _other_size(views: Views, board: Board) -> str:
    """Inner corners of the checkerboard that the first pictures without the given one show; empty where none does."""
    if views.seen or board.pattern != "checkerboard":
        return ""
    sizes = [suggest_size(picture) for pair in views.without for picture in pair if picture is not None]
    most = max(filter(None, sizes), key=math.prod, default=None)  # of a blurred or covered board only a part is found
    return "" if most is None else f"{most[0]}x{most[1]}"


def _raise_no_view(views: Views, board: Board) -> None:
    """Raise a CalibrationError that explains why no view shows the board to both cameras."""
    trouble, times = next(iter(views.troubles.most_common(1)), ("", 0))
    if trouble.startswith("the board goes on") and times >= 3:
        raise CalibrationError(f"--board {board}: {trouble}: the images show a larger one; give its inner corners")
    if size := _other_size(views, board):
        raise CalibrationError(f"no {board} was found, but one of {size} inner corners: give --board {size}")
    if not views.shots:
        moving = f", {views.moving} times it was moving" if views.moving else ""
        raise CalibrationError(f"no view of the {board} was taken{moving}: hold it still for half a second at a time")
    calibrate([shot.view for shot in views.shots], board, views.sizes or ((1, 1), (1, 1)))
