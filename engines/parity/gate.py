"""The comparison itself: eager torch in f32 against a compiled engine, image and maps, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..base import Fused, Pixels
from ..warp import Shape, Warp
from .frames import gate_frames

LIMITS_DB = {"f32": 45.0, "f16": 40.0, "bf16": 40.0, "int8": 35.0}
"""Least PSNR of the fused image on every frame, by precision."""
SAME_DB = 99.0
"""What equal images get."""
Fuse = Callable[[Pixels, Pixels, Warp], Fused]
"""Visible, infrared, warp to the outputs, each call a picture on its own."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One frame: PSNR in dB of every output, and the largest difference of the fused image in grey levels."""

    frame: str
    fused: float
    restored: float
    haze_density: float
    illumination: float
    infrared: float
    unlifted: float | None
    largest: int

    @property
    def least(self) -> float:
        """The lowest PSNR of what has to reach the limit: the fused image, the one without lift, warped infrared."""
        return min(self.fused, self.infrared, _or_same(self.unlifted))


@dataclass(frozen=True, slots=True)
class Parity:
    """All frames at one size, and whether they pass.

    limit_db: what the fused image, the one without lift and warped infrared had to reach.
    """

    shape: Shape
    limit_db: float
    frames: tuple[Comparison, ...]

    @property
    def worst(self) -> Comparison:
        """The frame on which the fused image differs most."""
        return min(self.frames, key=lambda frame: frame.fused)

    @property
    def passed(self) -> bool:
        """Whether every frame reaches the limit."""
        return all(frame.least >= self.limit_db for frame in self.frames)

    def __str__(self) -> str:
        """For example `worst 46.2 dB (noise, 9 levels at most), limit 45 dB`."""
        worst, warped = self.worst, min(frame.infrared for frame in self.frames)
        dark = min(_or_same(frame.unlifted) for frame in self.frames)
        return (
            f"worst {worst.fused:.1f} dB ({worst.frame}, {worst.largest} levels at most), limit {self.limit_db:.0f} dB"
            + (f"; infrared is warped otherwise, {warped:.1f} dB" if warped < self.limit_db else "")
            + (f"; without lift {dark:.1f} dB" if dark < self.limit_db else "")
        )

    def as_dict(self) -> dict[str, Any]:
        """For a manifest or a sidecar."""
        return asdict(self) | {"passed": self.passed}

    @staticmethod
    def from_dict(stored: dict[str, Any]) -> Parity:
        """The inverse of `as_dict`. Raises KeyError or TypeError."""
        frames = tuple(Comparison(**frame) for frame in stored["frames"])
        width, height, infrared, reduce = stored["shape"]
        return Parity(Shape(width, height, tuple(infrared), reduce), stored["limit_db"], frames)


def compare(reference: Fuse, engine: Fuse, precision: str, shape: Shape) -> Parity:
    """Run both on every test frame of these sizes, and by a map that turns. precision: a key of LIMITS_DB."""
    rows = []
    warp = gate_warp(shape)
    for name, visible, infrared in gate_frames(shape.width, shape.height, shape.infrared):
        truth, found = reference(visible, infrared, warp), engine(visible, infrared, warp)
        largest = int(np.abs(truth.image.astype(np.int16) - found.image).max())
        rows.append(
            Comparison(
                name,
                _psnr(truth.image, found.image),
                _psnr(truth.restored, found.restored),
                _psnr(truth.haze_density, found.haze_density),
                _psnr(truth.illumination, found.illumination),
                _psnr(truth.infrared, found.infrared),
                None if found.unlifted is None or truth.unlifted is None else _psnr(truth.unlifted, found.unlifted),
                largest,
            )
        )
    return Parity(shape, LIMITS_DB[precision], tuple(rows))


def gate_warp(shape: Shape) -> Warp:
    """A map by which no infrared pixel lies on a visible one: it is turned by two degrees and ends before the frame."""
    width, height, infrared, reduce = shape
    u, v = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    x = (u - 0.07 + 0.035 * (v - 0.5)) * infrared[0] - 0.5
    y = (v - 0.035 * (u - 0.5)) * infrared[1] - 0.5
    covered = np.clip(np.minimum(x, infrared[0] - 1 - x) / (0.1 * infrared[0]), 0, 1)  # infrared's own border
    coverage = (255 * covered * ((y >= 0) & (y <= infrared[1] - 1))).astype(np.uint8)
    return Warp.of(x.astype(np.float32), y.astype(np.float32), coverage, infrared, reduce)


def _or_same(decibels: float | None) -> float:
    return SAME_DB if decibels is None else decibels


def _psnr(truth: Pixels, found: Pixels) -> float:
    error = float(np.square(truth.astype(np.float32) - found).mean())
    return SAME_DB if error == 0 else round(min(SAME_DB, 10 * math.log10(255**2 / error)), 2)
