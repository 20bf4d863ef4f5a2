"""Declaration and parsing of command line options."""

from __future__ import annotations

from typing import Any, Literal

import typer


def option(*names: str, panel: str | None = None, default: bool = False, **settings: Any) -> Any:
    """A `typer.Option` in a help panel. default: show the default value in the help."""
    return typer.Option(*names, rich_help_panel=panel, show_default=default, **settings)


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
