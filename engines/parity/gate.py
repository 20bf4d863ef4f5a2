"""The comparison itself: eager torch in f32 against a compiled engine, image and maps, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..base import Fused, Pixels
from .frames import gate_frames

LIMITS_DB = {"f32": 45.0, "f16": 40.0, "bf16": 40.0, "int8": 35.0}
"""Least PSNR of the fused image on every frame, by precision."""
SAME_DB = 99.0
"""What equal images get."""
Fuse = Callable[[Pixels, Pixels, Pixels], Fused]
"""Visible, infrared, coverage to the outputs, each call a picture on its own."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One frame: PSNR in dB of the four outputs, and the largest difference of the fused image in grey levels."""

    frame: str
    fused: float
    restored: float
    haze_density: float
    illumination: float
    largest: int


@dataclass(frozen=True, slots=True)
class Parity:
    """All frames at one size, and whether they pass. limit_db: what the fused image had to reach."""

    size: tuple[int, int]
    limit_db: float
    frames: tuple[Comparison, ...]

    @property
    def worst(self) -> Comparison:
        """The frame on which the fused image differs most."""
        return min(self.frames, key=lambda frame: frame.fused)

    @property
    def passed(self) -> bool:
        """Whether every frame reaches the limit."""
        return bool(self.worst.fused >= self.limit_db)

    def __str__(self) -> str:
        """For example `worst 46.2 dB (noise, 9 levels at most), limit 45 dB`."""
        worst = self.worst
        return (
            f"worst {worst.fused:.1f} dB ({worst.frame}, {worst.largest} levels at most), limit {self.limit_db:.0f} dB"
        )

    def as_dict(self) -> dict[str, Any]:
        """For a manifest or a sidecar."""
        return asdict(self) | {"passed": self.passed}

    @staticmethod
    def from_dict(stored: dict[str, Any]) -> Parity:
        """The inverse of `as_dict`. Raises KeyError or TypeError."""
        frames = tuple(Comparison(**frame) for frame in stored["frames"])
        width, height = stored["size"]
        return Parity((width, height), stored["limit_db"], frames)


def compare(reference: Fuse, engine: Fuse, precision: str, width: int, height: int) -> Parity:
    """Run both on every test frame of this size. precision: a key of LIMITS_DB."""
    rows = []
    for name, visible, infrared in gate_frames(width, height):
        covered = np.full_like(infrared, 255)
        covered[:, : width // 8] = np.linspace(0, 255, width // 8).astype(np.uint8)  # the border of infrared's view
        truth, found = reference(visible, infrared, covered), engine(visible, infrared, covered)
        largest = int(np.abs(truth.image.astype(np.int16) - found.image).max())
        rows.append(
            Comparison(
                name,
                _psnr(truth.image, found.image),
                _psnr(truth.restored, found.restored),
                _psnr(truth.haze_density, found.haze_density),
                _psnr(truth.illumination, found.illumination),
                largest,
            )
        )
    return Parity((width, height), LIMITS_DB[precision], tuple(rows))


def _psnr(truth: Pixels, found: Pixels) -> float:
    error = float(np.square(truth.astype(np.float32) - found).mean())
    return SAME_DB if error == 0 else round(min(SAME_DB, 10 * math.log10(255**2 / error)), 2)
