"""The command `fusecam weights`: import, remove and list weights. Imports only typer until it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

weights = typer.Typer(help="Weights of the fusion networks: import, list, remove.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="realtime, tiny, iassf, dfvo or lure.")]


@weights.command("import")
def take(
    name: Name,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="weights.safetensors of a training run; for iassf and dfvo also the authors' checkpoints.",
        ),
    ],
) -> None:
    """Import weights of a network; they replace the shipped ones.

    Checkpoints are read as tensors only; no code in them is executed.

    [bold]Example[/bold]

    fusecam weights import iassf IASSF.pth

    fusecam weights import realtime runs/realtime/weights.safetensors
    """
    from .host.terminal import Terminal, markup
    from .networks import checkpoints

    imported = checkpoints.import_weights(name, files)
    source = ", ".join(file.split()[0] for file in imported.source)
    Terminal(emoji=False).print(f"wrote {markup(imported.path)}: {markup(source)}", soft_wrap=True)


@weights.command("remove")
def drop(name: Name) -> None:
    """Remove imported weights; the shipped ones are used again.

    [bold]Example[/bold]

    fusecam weights remove realtime
    """
    from .host.terminal import Terminal, markup
    from .networks import checkpoints

    Terminal(emoji=False).print(f"removed {markup(checkpoints.remove(name))}", soft_wrap=True)


@weights.command("list")
def show() -> None:
    """List networks, their weights and where these came from."""
    from .host.terminal import Terminal, markup
    from .networks import checkpoints

    console, known = Terminal(emoji=False), {weights.name: weights for weights in checkpoints.list_weights()}
    for name in checkpoints.NAMES:
        if name in known:
            source = ", ".join(file.split()[0] for file in known[name].source)
            source = source or ("imported" if checkpoints.find_imported(name) else "shipped")
            if known[name].damaged:
                source += "; damaged" + (f": fusecam weights remove {name}" if checkpoints.find_imported(name) else "")
            console.print(f"{name}: {markup(known[name].path)} ({markup(source)})", soft_wrap=True, highlight=False)
        else:
            address = checkpoints.AUTHORS.get(name)
            how = f"the authors' are at {address}" if address else "none are published: train some"
            console.print(f"{name}: none; {how}", soft_wrap=True, highlight=False)
