"""Plug-ins: engines, detectors, sources and sinks of other packages, registered by entry points."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def blamed(who: str, kind: type[Exception]) -> Iterator[None]:
    """Context in which another package's code runs: what it raises becomes one line that names it, of type `kind`.

    Errors of fusecam's own types are for the user already, and stay. A plug-in that asks for the program's end has
    failed, too: in a thread nobody would notice.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        if type(error).__module__.partition(".")[0] == __name__.partition(".")[0]:
            raise
        raise kind(f"{who}: {type(error).__name__}: {' '.join(str(error).split())}") from error
