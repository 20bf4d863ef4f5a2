"""The command `fusecam export`. Imports only typer until it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ..host.options import flag, place


def export(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="realtime, tiny, physics, average, iassf, dfvo, lure or detector.")
    ] = "realtime",
    format: Annotated[Literal["onnx"], typer.Option(help="For TensorRT-RTX see fusecam compile.")] = "onnx",
    size: Annotated[
        str, typer.Option(metavar="WxH", help="Size of visible frames, fixed; the detector's input follows from it.")
    ] = "640x480",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", parser=place, help="Default: NAME.onnx.", show_default=False),
    ] = None,
    unlifted: Annotated[bool, flag("--unlifted", help="Add the frame without enhancement, for the detector.")] = False,
) -> None:
    r"""Write a network as an ONNX file for other runtimes and compilers (TensorRT on Jetson, RKNN).

    Float32, planar, opset 18, fixed shapes: such compilers want no others.
    Infrared is to be on the visible grid, which the rig's map does, and boxes
    need non-maximum suppression. onnxruntime's output is compared with eager
    PyTorch before the file is written; it holds the table printed here.

    Needs: pip install 'fusecam\[onnx]'

    [bold]Example[/bold]

    fusecam export tiny --format onnx --size 640x512 --out tiny.onnx
    """
    from rich import box
    from rich.table import Table

    from ..backends.inputs import parse_size
    from ..host.terminal import Terminal, markup
    from .onnx_file import export_onnx

    width, height = parse_size(size)
    errors, console = Terminal(stderr=True, emoji=False), Terminal(emoji=False)
    with errors.status(f"exporting {markup(name)}"):
        exported = export_onnx(name, width, height, out or Path(f"{name}.onnx"), unlifted)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("", "name", "shape", "type", "holds"):
        table.add_column(column, no_wrap=column in ("name", "shape"), overflow="fold")
    for side, rows in (("in", exported.inputs), ("out", exported.outputs)):
        for row in rows:
            table.add_row(side, row.name, "x".join(map(str, row.shape)), row.dtype, markup(row.about))
    console.print(table)
    text = f"wrote {markup(exported.path)}: {exported.size / 1e6:.1f} MB"
    text += f"; onnxruntime agrees with PyTorch ({exported.agrees})"
    console.print(text, soft_wrap=True, highlight=False)
