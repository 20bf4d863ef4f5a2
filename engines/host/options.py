"""Declaration and parsing of command line options."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import typer


def option(*names: str, panel: str | None = None, default: bool = False, **settings: Any) -> Any:
    """A `typer.Option` in a help panel. default: show the default value in the help."""
    return typer.Option(*names, rich_help_panel=panel, show_default=default, **settings)


def flag(*names: str, panel: str | None = None, **settings: Any) -> Any:
    """An `option` without a value, which the help would otherwise give the type `<bool>`."""
    return option(*names, panel=panel, metavar="", **settings)


def place(text: str | Path) -> Path:
    """A path to write to: parser of options. Refuses an empty one (an unset shell variable), which would mean the
    current folder, and standard output."""
    if not str(text).strip():
        raise typer.BadParameter("is empty; give a file or folder")
    if str(text) == "-":
        raise typer.BadParameter("standard output is not supported; give a file or folder")
    return Path(text)


def strength(option: str, text: str, error: type[Exception]) -> float | Literal["auto"]:
    """Parse a number from 0 to 1, or `auto`. Raises `error`, which names the option, for other text."""
    if text == "auto":
        return "auto"
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise error(f"{option} {text}: give a number from 0 to 1, or auto")
    return value
