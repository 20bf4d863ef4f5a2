"""The commands `fusecam calibrate` and `fusecam view-rig`. Only typer is imported until they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...engines.host.options import flag, option, place

WHAT, BOARD, OUTPUT = "Input", "Board", "Output"
app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Calibrate the camera pair: a rig file.")


Out = Annotated[Path, option("--out", "-o", panel=OUTPUT, parser=place, metavar="YAML", help="Rig file to write.")]
Infrared = Annotated[str, option("--ir", panel=WHAT, metavar="SOURCE", help="Infrared: folder, glob, video or camera.")]
Visible = Annotated[str, option("--vis", panel=WHAT, metavar="SOURCE", help="Visible: likewise, at the same times.")]
Pairs = Annotated[
    str,
    option(
        "--pairs",
        panel=WHAT,
        metavar="N|CSV",
        default=True,
        help="Number of pairs to use, or a table of pairs: columns visible,infrared.",
    ),
]
Table = Annotated[
    Path | None, option("--pairs", panel=WHAT, metavar="CSV", help="Table of pairs: columns visible,infrared.")
]
Offset = Annotated[
    float | None,
    option("--offset-ms", panel=WHAT, metavar="X", help="Added to infrared times. Default: measured from videos."),
]
_POOLED = 30


def _pairs(text: str) -> tuple[int, Path | None]:
    """Parse `--pairs`: the number of pairs to pool, and the table of images, if one is given."""
    if not text.strip().lstrip("-").isdecimal():
        return _POOLED, Path(text)
    if not 3 <= int(text) <= 200:
        raise typer.BadParameter(f"{text} is not from 3 to 200, nor a CSV file", param_hint="--pairs")
    return int(text), None


@app.callback()
def calibrate() -> None:
    """Calibrate the camera pair: a rig file and a report."""


@app.command()
def board(
    ir: Infrared,
    vis: Visible,
    size: Annotated[
        str,
        option("--board", panel=BOARD, metavar="WxH", help="Inner corners, or circles, as OpenCV counts them."),
    ],
    square: Annotated[
        str, option("--square", panel=BOARD, metavar="LENGTH", help="Side of a square (or pitch), with unit: 25mm.")
    ],
    out: Out,
    pattern: Annotated[
        str,
        option(
            "--pattern", panel=BOARD, metavar="NAME", default=True, help="checkerboard, charuco, circles, acircles."
        ),
    ] = "checkerboard",
    marker: Annotated[
        str | None,
        option("--marker", panel=BOARD, metavar="LENGTH", help="ChArUco: side of a marker. Default: 0.75 of a square."),
    ] = None,
    dictionary: Annotated[
        str, option("--dictionary", panel=BOARD, metavar="NAME", default=True, help="ChArUco: marker dictionary.")
    ] = "5X5_100",
    distance: Annotated[
        float,
        option("--distance", panel=OUTPUT, metavar="METRES", default=True, help="Distance of the alignment plane."),
    ] = 20.0,
    views: Annotated[
        int,
        option(
            "--views",
            panel=WHAT,
            metavar="N",
            min=5,
            default=True,
            help="Maximum number of views to take from videos and cameras.",
        ),
    ] = 30,
    show: Annotated[bool, flag("--show/--no-show", panel=WHAT, help="Window with board and coverage; q ends.")] = (
        False
    ),
    report: Annotated[
        Path | None,
        option("--report", panel=OUTPUT, parser=place, metavar="HTML", help="Default: the rig file's name with .html."),
    ] = None,
    pairs: Table = None,
) -> None:
    """Calibrate intrinsics and extrinsics with a board that both cameras see.

    Folders: two images for each view, paired by name. Videos and cameras: a view
    is taken where the board rests in a new place. 20 places and tilts are enough;
    nothing is written if the views do not determine the rig.
    """
    from ...calib.board import make_board
    from ...engines.host.terminal import Terminal
    from .board import calibrate_board
    from .target import Cameras

    target, report = make_board(size, square, pattern, marker, dictionary), report or out.with_suffix(".html")
    console = Terminal(stderr=True, emoji=False)
    raise typer.Exit(calibrate_board(Cameras(ir, vis, pairs), target, out, report, distance, views, show, console))


@app.command()
def scene(
    ir: Infrared,
    vis: Visible,
    out: Out,
    pairs: Pairs = str(_POOLED),
    offset_ms: Offset = None,
) -> None:
    """Calibrate without a board: a homography for distant scenes.

    Edges of both cameras are compared over many frames; twenty different scenes
    of a drive are enough. Nothing is written if no alignment is clearly the best.
    """
    from ...engines.host.terminal import Terminal
    from .scene import calibrate_scene
    from .target import Cameras

    most, table = _pairs(pairs)
    console = Terminal(stderr=True, emoji=False)
    raise typer.Exit(calibrate_scene(Cameras(ir, vis, table, offset_ms), out, most, console))


@app.command()
def reference(
    ir: Infrared,
    vis: Visible,
    rig: Annotated[Path, option("--rig", panel=WHAT, metavar="YAML", help="Rig file, known to be correct.")],
    out: Annotated[
        Path | None,
        option("--out", "-o", panel=OUTPUT, parser=place, metavar="YAML", help="Default: the rig file itself."),
    ] = None,
    pairs: Pairs = str(_POOLED),
    offset_ms: Annotated[
        float | None,
        option("--offset-ms", panel=WHAT, metavar="X", help="Added to infrared times. Default: the rig's."),
    ] = None,
) -> None:
    """Store in a rig file how edges agree now, for the drift monitor.

    Runs then notice from the first second when the rig file is wrong. Use it after
    `calibrate board`, or for the rig file of another tool; `calibrate scene` does
    it by itself.
    """
    from ...engines.host.terminal import Terminal
    from .reference import record_reference
    from .target import Cameras

    most, table = _pairs(pairs)
    console = Terminal(stderr=True, emoji=False)
    raise typer.Exit(record_reference(Cameras(ir, vis, table, offset_ms), rig, out or rig, most, console))


@app.command()
def points(
    ir: Infrared,
    vis: Visible,
    out: Out,
    table: Annotated[
        Path | None, typer.Argument(metavar="CSV", help="Columns x_vis,y_vis,x_ir,y_ir, in pixels.", show_default=False)
    ] = None,
    serve: Annotated[
        str | None,
        option(
            "--serve",
            panel=WHAT,
            metavar="[HOST]:PORT",
            help="Address of the page for picking, also to correct points of the CSV. Default: loopback, a free port.",
        ),
    ] = None,
    pairs: Table = None,
    offset_ms: Offset = None,
) -> None:
    """Calibrate from points picked by hand, as a last resort: a homography.

    Pick the same distant places in both cameras, eight or more, near the corners
    too: in a browser, on the page whose address is printed, or in a CSV, where
    the first pixel is (0, 0).
    """
    from ...engines.host.terminal import Terminal
    from .points import calibrate_points
    from .target import Cameras

    console = Terminal(stderr=True, emoji=False)
    raise typer.Exit(calibrate_points(Cameras(ir, vis, pairs, offset_ms), out, table, serve, console))


def view_rig(
    ir: Annotated[str, option("--ir", panel=WHAT, metavar="SOURCE", help="Infrared: camera, video or images.")],
    vis: Annotated[str, option("--vis", panel=WHAT, metavar="SOURCE", help="Visible: likewise.")],
    rig: Annotated[Path, option("--rig", panel=WHAT, metavar="YAML", help="Rig file.")],
    distance: Annotated[
        float | None,
        option("--distance", panel=WHAT, metavar="METRES", help="Distance of the alignment plane. Default: the rig's."),
    ] = None,
    offset_ms: Annotated[
        float | None, option("--offset-ms", panel=WHAT, metavar="X", help="Added to infrared times, in milliseconds.")
    ] = None,
    mode: Annotated[
        str,
        option("--mode", panel=OUTPUT, metavar="NAME", default=True, help="blend, blink, or side: side by side."),
    ] = "blend",
    out: Annotated[
        Path | None,
        option(
            "--out",
            "-o",
            panel=OUTPUT,
            parser=place,
            metavar="FILE|DIR",
            help="A PNG (first pair), a video, or a folder.",
        ),
    ] = None,
    show: Annotated[
        bool | None, flag("--show/--no-show", panel=OUTPUT, help="Window; q closes it. Default: on without --out.")
    ] = None,
    pairs: Table = None,
) -> None:
    """Show both cameras registered by a rig file.

    blend: visible in cyan, infrared in red; aligned edges have no coloured seams.
    Objects off the alignment plane have parallax; see the calibration's report.
    """
    from ...engines.host.terminal import Terminal
    from .target import Cameras
    from .view import view_rig as run

    console = Terminal(stderr=True, emoji=False)
    raise typer.Exit(run(Cameras(ir, vis, pairs, offset_ms), rig, distance, mode, out, show, console))
