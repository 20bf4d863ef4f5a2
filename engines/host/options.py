"""How commands declare their options."""

from __future__ import annotations

from typing import Any

import typer


def option(*names: str, panel: str | None = None, default: bool = False, **more: Any) -> Any:
    """A `typer.Option` of a panel of the help, by default without its default value there."""
    return typer.Option(*names, rich_help_panel=panel, show_default=default, **more)
