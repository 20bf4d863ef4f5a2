"""The command `fusecam train`. Only typer is imported until it runs, so that registering it costs nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[
        Path,
        typer.Argument(
            metavar="RECIPE",
            help="Name of a shipped recipe (realtime, tiny, detector, iassf, dfvo, lure, prompts), or a YAML file.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Checkpoints, weights, metrics and pictures go here. Default: runs/ and the network's name.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR|FILE",
            help="Root of the data sets (train/DATA.md). Default: $FUSECAM_DATA. A YAML file names your own labelled "
            "recordings, for the recipe detector.",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume from the last checkpoint in --out.")] = False,
    devices: Annotated[str, typer.Option(metavar="N|auto", help="Number of GPUs, or CPU processes.")] = "auto",
) -> None:
    """Train a fusion network or the detector.

    The recipe has data, degradations and schedule. weights.safetensors (fp16)
    is written after every epoch, for a fusion network with a contact sheet of
    held-out pairs. A recipe with the key `detector` trains the detector on
    frames that the engine fuses first.

    [bold]Example[/bold]

    fusecam train realtime --data DATA

    fusecam train detector --data my_recordings.yaml --out runs/mine
    """
    from ..engines.host.terminal import Terminal, markup
    from .errors import Interrupted, TrainError

    errors = Terminal(stderr=True, emoji=False)
    try:
        if devices != "auto" and not (devices.isdecimal() and int(devices) > 0):
            raise TrainError(f"--devices {devices}: give a count from 1, or auto")
        from .reading import named, read_own, read_training

        _without_adverts()
        if data is not None and data.is_file():
            training = read_own(named(recipe), data, Terminal(emoji=False))
        else:
            if data is not None:
                if not data.is_dir():
                    raise TrainError(f"--data {data}: no such file or folder")
                os.environ["FUSECAM_DATA"] = str(data.absolute())  # where recipes and further processes look
            training = read_training(named(recipe))
        folder = out or Path("runs") / training.name
        folder.mkdir(parents=True, exist_ok=True)
        if not resume and (folder / "last.ckpt").exists():
            raise TrainError(f"{folder}: holds a training already; go on with --resume, or choose another --out")
        if resume and not (folder / "last.ckpt").exists():
            errors.print(f"{markup(folder)}: no checkpoint to go on from yet: begins anew", soft_wrap=True)
        weights = training.run(folder, resume, devices)
    except Interrupted as ended:
        errors.print(markup(ended), highlight=False, soft_wrap=True)
        raise typer.Exit(130) from None
    except TrainError as error:
        message = str(error)
    except OSError as error:  # a full disk, a file where a folder should be, no rights
        message = f"{error.filename or folder}: {error.strerror or error}; choose another --out, or make room"
    except ModuleNotFoundError as error:
        if error.name != "lightning":
            raise
        message = "training needs lightning, which is not installed: pip install 'fusecam[train]'"
    else:
        Terminal(emoji=False).print(f"wrote {markup(weights)}", highlight=False, soft_wrap=True)
        return
    errors.print(f"[bold red]fusecam: error:[/] {markup(message)}", soft_wrap=True, highlight=False)
    raise typer.Exit(1)


def _without_adverts() -> None:
    """Lightning tells of other products, of its own deprecations and of what is meant as it is (small validation)."""
    import logging
    import warnings

    warnings.filterwarnings("ignore", module=r"lightning\.")
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
