"""How commands declare their options, and read them."""

from __future__ import annotations

from typing import Any, Literal

import typer


def option(*names: str, panel: str | None = None, default: bool = False, **more: Any) -> Any:
    """A `typer.Option` of a panel of the help, by default without its default value there."""
    return typer.Option(*names, rich_help_panel=panel, show_default=default, **more)


def strength(option: str, text: str, error: type[Exception]) -> float | Literal["auto"]:
    """A number from 0 to 1, or auto; else an `error` that names the option."""
    if text == "auto":
        return "auto"
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise error(f"{option} {text}: give a number from 0 to 1, or auto")
    return value
