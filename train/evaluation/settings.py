"""What `fusecam eval` was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...engines import FusionEngine, Strength, create_engine
from .scenes import Half


@dataclass(frozen=True, slots=True)
class Settings:
    """What to evaluate. `fused` maps a method's name to its folder; `engines` are judged beside them.

    labels: folder of boxes, of which detection is judged, or the visibility told. prompt: see `create_engine`, for all
    engines.

    Of detection alone: `hazy`, the same scenes in haze, as further conditions; `hazy_fused`; `detectors`, weights by
    row, those for all others under ""; `disturb`, whether the clear scenes are judged under DISTURBANCES, too.
    """

    infrared: Path
    visible: Path
    labels: Path | None = None
    reference: Path | None = None
    restored_reference: Path | None = None
    fused: Mapping[str, Path] = field(default_factory=dict)
    engines: Sequence[str] = ()
    prompt: str = "auto"
    dehaze: Strength = "auto"
    lift: Strength = "auto"
    hue: Strength = "auto"
    every: int = 1
    split: str | None = None
    half: Half | None = None
    pairs: Path | None = None
    out: Path | None = None
    workers: int = 1
    hazy: Path | None = None
    hazy_fused: Mapping[str, Path] = field(default_factory=dict)
    detectors: Mapping[str, Path] = field(default_factory=dict)
    disturb: bool = False

    def create_engines(self, unlifted: bool = False) -> dict[str, FusionEngine]:
        """By the names that the user gave. unlifted: see `create_engine`. Raises EngineError."""
        return {
            name: create_engine(name, self.dehaze, self.lift, self.prompt, unlifted=unlifted, hue=self.hue)
            for name in dict.fromkeys(self.engines)
        }
