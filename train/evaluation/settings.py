"""Settings of `fusecam eval`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...engines import FusionEngine, Strength, create_engine
from .scenes import AVERAGE, Half, Scene, find_scenes


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of an evaluation; the fields correspond to the options of `fusecam eval`.

    fused: folders by method. engines: evaluated in addition. labels: folder of label files, for detection or object
    visibility. prompt, dehaze, lift, hue: see `create_engine`, for all engines.

    Detection only: hazy: folder of the same scenes in haze, as additional conditions. hazy_fused: their fused images.
    detectors: weights by row; "" for all other rows. disturb: evaluate the clear scenes under DISTURBANCES, too.
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

    def find_scenes(self, note: Callable[[str], None]) -> list[Scene]:
        """Find the scenes; see `scenes.find_scenes`. Raises TrainError."""
        return find_scenes(
            self.infrared,
            self.visible,
            self.reference,
            self.restored_reference,
            self.fused,
            self.every,
            note,
            self.half,
            self.labels,
            self.pairs,
        )

    @property
    def engine_rows(self) -> dict[str, str]:
        """The engines by row: the names that the user gave, except where a baseline has that name."""
        return {f"{name} engine" if name == AVERAGE else name: name for name in self.engines}

    def create_engines(self, unlifted: bool = False) -> dict[str, FusionEngine]:
        """Create the engines, by row. unlifted: see `create_engine`. Raises EngineError."""
        return {
            row: create_engine(name, self.dehaze, self.lift, self.prompt, unlifted=unlifted, hue=self.hue)
            for row, name in self.engine_rows.items()
        }
