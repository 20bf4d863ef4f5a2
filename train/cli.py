"""The command `fusecam train`. Heavy imports are deferred until it runs, so that `fusecam` starts fast."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ..engines.host.options import flag, place


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
            parser=place,
            help="Folder for checkpoints, weights, metrics and contact sheets. Default: runs/NETWORK.",
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
    resume: Annotated[bool, flag("--resume", help="Resume from the last checkpoint in --out.")] = False,
    devices: Annotated[str, typer.Option(metavar="N|auto", help="Number of GPUs, or CPU processes.")] = "auto",
) -> None:
    """Train a fusion network or the detector.

    The recipe defines data, degradations and schedule. weights.safetensors
    (fp16) is written after every epoch; a fusion network also gets a contact
    sheet of held-out pairs. A recipe with the key `detector` first fuses the
    training frames with the engine, then trains the detector on them.

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

        _silence_lightning()
        if data is not None and data.is_file():
            training = read_own(named(recipe), data, Terminal(emoji=False))
        else:
            if data is not None:
                if not data.is_dir():
                    raise TrainError(f"--data {data}: no such file or folder")
                os.environ["FUSECAM_DATA"] = str(data.absolute())  # read by recipes and worker processes
            training = read_training(named(recipe))
        folder = out or Path("runs") / training.name
        folder.mkdir(parents=True, exist_ok=True)
        taken = [name for name in ("last.ckpt", "weights.safetensors") if (folder / name).exists()]
        if not resume and taken:
            raise TrainError(
                f"{folder}: contains a training ({taken[0]}); continue it with --resume, or choose another --out"
            )
        if resume and not (folder / "last.ckpt").exists():
            errors.print(f"{markup(folder)}: no checkpoint yet: starting from scratch", soft_wrap=True)
        weights = training.run(folder, resume, devices)
    except Interrupted as ended:
        errors.print(markup(ended), highlight=False, soft_wrap=True)
        raise typer.Exit(130) from None
    except TrainError as error:
        message = str(error)
    except OSError as error:  # full disk, a file instead of a folder, missing permissions
        message = f"{error.filename or folder}: {error.strerror or error}; choose another --out, or free disk space"
    except ModuleNotFoundError as error:
        if error.name != "lightning":
            raise
        message = "training needs lightning, which is not installed: pip install 'fusecam[train]'"
    else:
        Terminal(emoji=False).print(f"wrote {markup(weights)}", highlight=False, soft_wrap=True)
        return
    errors.print(f"[bold red]fusecam: error:[/] {markup(message)}", soft_wrap=True, highlight=False)
    raise typer.Exit(1)


def _silence_lightning() -> None:
    """Hide Lightning's tips, its internal deprecation warnings and its warnings about small validation sets."""
    import logging
    import warnings

    warnings.filterwarnings("ignore", module=r"lightning\.")
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
