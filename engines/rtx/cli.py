"""The command `fusecam compile`. Imports only typer until it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..host.options import flag, place

if TYPE_CHECKING:
    from rich.table import Table

    from ..warp import Shape
    from .build import Built


def compile_command(
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            parser=place,
            show_default=False,
            help="Engine file; FILE.json beside it describes it.",
        ),
    ],
    engine: Annotated[
        str, typer.Option(metavar="NAME", help="realtime, tiny, physics, average, iassf, dfvo or lure; in fp16.")
    ] = "realtime",
    size: Annotated[str, typer.Option(metavar="WxH", help="Size of visible frames, fixed.")] = "640x480",
    infrared: Annotated[
        str | None, typer.Option(metavar="WxH", show_default="as --size", help="Size of infrared frames.")
    ] = None,
    reduce: Annotated[
        int, typer.Option(metavar="N", min=1, max=16, help="Average infrared over NxN pixels before the warp.")
    ] = 1,
    unlifted: Annotated[bool, flag("--unlifted", help="Add the frame without enhancement, for a detector.")] = False,
    target: Annotated[
        str, typer.Option(metavar="LIST", help="Compute capabilities: sm75, 80, 86, 89, 120, 121.")
    ] = "sm75,sm86,sm89,sm120",
) -> None:
    r"""Build a TensorRT-RTX engine for NVIDIA RTX GPUs; no GPU is needed.

    Warp and network go through ONNX into one engine for all targets; the rig's
    map is an input. Unsupported operators and maps wider than fp16 are errors.
    FILE.json lists inputs, outputs, sizes, targets, versions, the hash of the
    weights and the precision of every layer.

    The engine is built, not run: compare its output and speed on your GPU with
    the network before you use it.

    Needs: pip install 'fusecam\[tensorrt-rtx]' (Linux, x86).

    [bold]Example[/bold]

    fusecam compile --engine tiny --size 1280x1024 --target sm89 --out tiny.engine
    """
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from ..backends.inputs import parse_size
    from ..host.terminal import Terminal, markup
    from ..warp import Shape
    from .compile import NOT_RUN, compile_engine, parse_targets

    infrared_size = None if infrared is None else parse_size(infrared, "--infrared")
    shape, targets = Shape.of(*parse_size(size), infrared_size, reduce), parse_targets(target)
    errors = Terminal(stderr=True, emoji=False)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("", total=None)

        def report(step: str) -> None:
            progress.update(task, description=markup(step))
            if not errors.is_terminal:
                errors.print(markup(step), highlight=False)

        built, description = compile_engine(engine, shape, targets, out, report, unlifted)
    console = Terminal(emoji=False)
    console.print(_table(built, description, shape))
    console.print(f"wrote {markup(out)} and {markup(out.name)}.json: {NOT_RUN}", highlight=False, soft_wrap=True)


def _table(built: Built, description: dict[str, Any], shape: Shape) -> Table:
    """Summary of the built engine. description: content of the sidecar."""
    from rich.table import Table

    def counts(which: str) -> str:
        return ", ".join(f"{count} {precision}" for precision, count in description["precisions"][which].items())

    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("engine", f"{description['engine']}, {shape}")
    table.add_row("one plan for", ", ".join(description["targets"]))
    table.add_row("size", f"{len(built.plan) / 1e6:.1f} MB")
    table.add_row(f"{len(built.defined)} layers defined", counts("defined"))
    table.add_row(f"{len(built.made)} layers built", counts("made"))
    seconds = description["seconds"]
    table.add_row("seconds", f"{seconds['export']:.1f} export, {seconds['build']:.1f} build")
    table.add_row("TensorRT-RTX", description["versions"]["tensorrt_rtx"])
    return table
