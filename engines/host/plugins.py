"""Plug-ins: engines, detectors, sources and sinks of other packages, registered by entry points."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, Literal

Kind = Literal["engines", "detectors", "sources", "sinks"]


def plugins(kind: Kind) -> list[str]:
    """Names of the entry points in the group `fusecam.KIND`, sorted."""
    return sorted(entry_points(group=f"fusecam.{kind}").names)


def plugin(kind: Kind, name: str) -> Callable[..., Any] | None:
    """Import the object of an entry point; None if there is no such entry point. Errors of the import propagate."""
    matches = entry_points(group=f"fusecam.{kind}", name=name)
    return next(iter(matches)).load() if matches else None
