"""Engines, detectors, sources and sinks of other packages, found by their entry points."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, Literal

Kind = Literal["engines", "detectors", "sources", "sinks"]


def plugins(kind: Kind) -> list[str]:
    """Names that installed packages give under the group `fusecam.KIND`."""
    return sorted(entry_points(group=f"fusecam.{kind}").names)


def plugin(kind: Kind, name: str) -> Callable[..., Any] | None:
    """What an entry point names, imported; None where there is none of this name. Raises what the import raises."""
    found = entry_points(group=f"fusecam.{kind}", name=name)
    return next(iter(found)).load() if found else None
