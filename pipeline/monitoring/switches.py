"""Settings that can be changed during a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Switches:
    """Read by the run with every frame, set from any thread. A stage that the run does not have stays off."""

    overlay: bool = True
    detector: bool = True
    recording: bool = True
