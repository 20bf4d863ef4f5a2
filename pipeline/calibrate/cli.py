"""The commands `fusecam calibrate` and `fusecam view-rig`. Only typer is imported until they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

WHAT, BOARD, OUTPUT, VIEW = "What to calibrate", "The board", "Where it goes", "What to look at"
app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Measure how the two cameras stand: a rig file.")


def _option(*names: str, panel: str, metavar: str | None = None, default: bool = False, **more: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, metavar=metavar, show_default=default, **more)


Infrared = Annotated[
    str, _option("--ir", panel=WHAT, metavar="SOURCE", help="Infrared: folder, glob, video or camera.")
]
Visible = Annotated[str, _option("--vis", panel=WHAT, metavar="SOURCE", help="Visible: likewise, of the same moments.")]
Pairs = Annotated[
    str,
    _option(
        "--pairs",
        panel=WHAT,
        metavar="N|CSV",
        default=True,
        help="Pairs of frames to pool; or a file that says which images belong together: columns visible,infrared.",
    ),
]
Table = Annotated[
    Path | None,
    _option("--pairs", panel=WHAT, metavar="CSV", help="Which images belong together: columns visible,infrared."),
]
_POOLED = 30


def _pairs(text: str) -> tuple[int, Path | None]:
    """What `--pairs` means: how many pairs to pool, and the table of images, if it is one."""
    if not text.strip().lstrip("-").isdecimal():
        return _POOLED, Path(text)
    if not 3 <= int(text) <= 200:
        raise typer.BadParameter(f"{text} is not from 3 to 200, nor a CSV file", param_hint="--pairs")
    return int(text), None


@app.callback()
def calibrate() -> None:
    """Measure how the two cameras stand to each other: a rig file and a report."""


@app.command()
def board(
    ir: Infrared,
    vis: Visible,
    size: Annotated[
        str,
        _option("--board", panel=BOARD, metavar="WxH", help="Inner corners (or circles) across and down, as OpenCV."),
    ],
    square: Annotated[
        str, _option("--square", panel=BOARD, metavar="LENGTH", help="Side of a square (or pitch), with unit: 25mm.")
    ],
    out: Annotated[Path, _option("--out", "-o", panel=OUTPUT, metavar="YAML", help="The rig file to write.")],
    pattern: Annotated[
        str,
        _option(
            "--pattern", panel=BOARD, metavar="NAME", default=True, help="checkerboard, charuco, circles, acircles."
        ),
    ] = "checkerboard",
    marker: Annotated[
        str | None,
        _option(
            "--marker", panel=BOARD, metavar="LENGTH", help="ChArUco: side of a marker. Default: 0.75 of a square."
        ),
    ] = None,
    dictionary: Annotated[
        str, _option("--dictionary", panel=BOARD, metavar="NAME", default=True, help="ChArUco: which markers.")
    ] = "5X5_100",
    distance: Annotated[
        float,
        _option(
            "--distance", panel=OUTPUT, metavar="METRES", default=True, help="Where the rig aligns the two images."
        ),
    ] = 20.0,
    views: Annotated[
        int,
        _option(
            "--views", panel=WHAT, metavar="N", min=5, default=True, help="Most views to take from videos and cameras."
        ),
    ] = 30,
    show: Annotated[bool, _option("--show/--no-show", panel=WHAT, help="Window with board and coverage; q ends.")] = (
        False
    ),
    report: Annotated[
        Path | None,
        _option("--report", panel=OUTPUT, metavar="HTML", help="Default: the rig file's name with .html."),
    ] = None,
    pairs: Table = None,
) -> None:
    """Calibrate with a board that both cameras saw: lenses, pose, and the error to expect.

    Folders and globs: two images for each view, paired by name. Videos and cameras:
    views are taken where the board rests in a new place. Writes nothing if the
    views do not determine the rig; a board seen to 20 places and tilts does.
    """
    from ...calib.board import make_board
    from ...engines.host.terminal import Terminal
    from .board import Order, calibrate_board

    target = make_board(size, square, pattern, marker, dictionary)
    order = Order(ir, vis, target, out, distance, views, show, report or out.with_suffix(".html"), pairs)
    raise typer.Exit(calibrate_board(order, Terminal(stderr=True, emoji=False)))


@app.command()
def scene(
    ir: Infrared,
    vis: Visible,
    out: Annotated[Path, _option("--out", "-o", panel=OUTPUT, metavar="YAML", help="The rig file to write.")],
    pairs: Pairs = str(_POOLED),
    offset_ms: Annotated[
        float | None,
        _option("--offset-ms", panel=WHAT, metavar="X", help="Added to infrared times. Default: measured from videos."),
    ] = None,
) -> None:
    """Calibrate without a board, from the scene: one homography for what is far.

    Edges of both cameras are compared over many frames of the fixed rig. The more
    the scenes differ, the better; twenty from a drive do. Writes nothing if the
    frames do not single out one alignment.
    """
    from ...engines.host.terminal import Terminal
    from .scene import Order, calibrate_scene

    raise typer.Exit(
        calibrate_scene(Order(ir, vis, out, *_pairs(pairs), offset_ms), Terminal(stderr=True, emoji=False))
    )


@app.command()
def reference(
    ir: Infrared,
    vis: Visible,
    rig: Annotated[Path, _option("--rig", panel=WHAT, metavar="YAML", help="The rig file, known to be right.")],
    out: Annotated[
        Path | None, _option("--out", "-o", panel=OUTPUT, metavar="YAML", help="Default: the rig file itself.")
    ] = None,
    pairs: Pairs = str(_POOLED),
    offset_ms: Annotated[
        float | None,
        _option("--offset-ms", panel=WHAT, metavar="X", help="Added to infrared times. Default: the rig's."),
    ] = None,
) -> None:
    """Record in a rig file how edges agree today, for the drift monitor.

    From then on runs also notice a rig that is wrong from their first second.
    calibrate scene records this by itself; do it after calibrate board, or for
    a rig file that came from elsewhere, when view-rig looks right.
    """
    from ...engines.host.terminal import Terminal
    from .reference import record_reference

    console = Terminal(stderr=True, emoji=False)
    raise typer.Exit(record_reference(ir, vis, rig, out or rig, *_pairs(pairs), offset_ms, console))


def view_rig(
    ir: Annotated[str, _option("--ir", panel=VIEW, metavar="SOURCE", help="Infrared: camera, video or images.")],
    vis: Annotated[str, _option("--vis", panel=VIEW, metavar="SOURCE", help="Visible: likewise.")],
    rig: Annotated[Path, _option("--rig", panel=VIEW, metavar="YAML", help="The rig file to judge.")],
    distance: Annotated[
        float | None, _option("--distance", panel=VIEW, metavar="METRES", help="Where to align. Default: the rig's.")
    ] = None,
    offset_ms: Annotated[
        float | None, _option("--offset-ms", panel=VIEW, metavar="X", help="Added to infrared times, in milliseconds.")
    ] = None,
    mode: Annotated[
        str,
        _option("--mode", panel=OUTPUT, metavar="NAME", default=True, help="blend, blink, or side: side by side."),
    ] = "blend",
    out: Annotated[
        Path | None,
        _option("--out", "-o", panel=OUTPUT, metavar="FILE|DIR", help="A PNG (first pair), a video, or a folder."),
    ] = None,
    show: Annotated[
        bool | None, _option("--show/--no-show", panel=OUTPUT, help="Window; q closes it. Default: on without --out.")
    ] = None,
    pairs: Annotated[
        Path | None,
        _option("--pairs", panel=VIEW, metavar="CSV", help="Which images belong together, as for calibrate."),
    ] = None,
) -> None:
    """Show both cameras registered by a rig file, so that a person can judge it.

    blend: visible in cyan, infrared in red; what coincides has no coloured seams.
    Things nearer or farther than the aligned distance are off by the parallax
    that the calibration's report lists.
    """
    from ...engines.host.terminal import Terminal
    from .view import view_rig as run

    console = Terminal(stderr=True, emoji=False)
    raise typer.Exit(run(ir, vis, rig, distance, mode, out, show, offset_ms, pairs, console))
