"""The command `fusecam weights`: weights of the papers' networks. Only typer is imported until it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

weights = typer.Typer(help="Weights of the papers' networks: import them, list them.", no_args_is_help=True)


@weights.command("import")
def take(
    name: Annotated[str, typer.Argument(metavar="NAME", help="iassf or dfvo.")],
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="The authors' checkpoint, in one file or in several; or weights.safetensors of a training run.",
        ),
    ],
) -> None:
    """Take weights into the folder of your own, from where [bold]--engine[/bold] NAME finds them.

    Checkpoints are read without running anything in them; tensors are all that is taken.

    [bold]Example[/bold]

    fusecam weights import iassf IASSF.pth

    fusecam weights import dfvo runs/dfvo_small/weights.safetensors
    """
    from rich.console import Console

    from . import checkpoints

    found = checkpoints.take(name, files)
    Console().print(f"wrote {found.path}: {', '.join(file.split()[0] for file in found.source)}", soft_wrap=True)


@weights.command("list")
def show() -> None:
    """Which of them have weights, and where these came from."""
    from rich.console import Console

    from . import checkpoints

    console, found = Console(), {kept.name: kept for kept in checkpoints.kept()}
    for name, where in checkpoints.AUTHORS.items():
        if name in found:
            source = ", ".join(file.split()[0] for file in found[name].source) or "trained"
            console.print(f"{name}: {found[name].path} ({source})", soft_wrap=True, highlight=False)
        else:
            how = f"the authors' are at {where}" if where else "none are published: train some"
            console.print(f"{name}: none; {how}", soft_wrap=True, highlight=False)
