"""Compares all outputs of a compiled engine with those of eager torch in f32, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...base import Outputs, Pixels
from ...networks.smoothing import STATE, STRENGTHS, State
from ...warp import Shape, Warp
from .frames import SCENES, gate_frames

LIMITS_DB = {"f32": 45.0, "f16": 40.0, "bf16": 40.0, "int8": 35.0}
"""Lowest allowed PSNR of the fused images and of warped infrared on any frame, in dB, by precision."""
RESTORED_DB = {precision: limit - 5 for precision, limit in LIMITS_DB.items()}
"""The same for the restored image. `realtime` in int8 reaches 32.6 dB on the white frame."""
MAPS_DB = {"f32": 40.0, "f16": 20.0, "bf16": 20.0, "int8": 20.0}
"""The same for haze density, illumination and other maps. The haze density of `iassf` in bf16 reaches 22.3 dB in dense
haze."""
STATE_DB = {"f32": 30.0, "f16": 15.0, "bf16": 15.0, "int8": 15.0}
"""The same for the state, as its largest relative error in dB. `iassf`, which stretches its input's contrast, reaches
38.2 in f32 and 18.1 in bf16 on a contrast of one grey level."""
_IMAGES = dict.fromkeys(("fused", "unlifted", "registered"), LIMITS_DB)
_BY_OUTPUT = _IMAGES | {"restored": RESTORED_DB, "state": STATE_DB}
SAME_DB = 99.0
"""PSNR that stands for equal outputs, in dB."""
PAST = 0.6
"""Weight of the previous state in frames of a video."""
Run = Callable[[Pixels, Pixels, Warp, State], Outputs]
"""Maps visible, infrared, warp and controls (see `networks.smoothing`) to the outputs of the graph."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Result for one frame.

    Attributes:
        frame: Its name.
        outputs: PSNR in dB of every output by name; of the state, the largest relative error of its quantities, in dB.
        largest: Largest difference of the fused image, in grey levels.
    """

    frame: str
    outputs: dict[str, float]
    largest: int


@dataclass(frozen=True, slots=True)
class Parity:
    """Results for all frames at one size. precision: a key of LIMITS_DB."""

    shape: Shape
    precision: str
    frames: tuple[Comparison, ...]

    def limit(self, output: str) -> float:
        """Lowest allowed value of an output on any frame, in dB."""
        return _BY_OUTPUT.get(output, MAPS_DB)[self.precision]

    def worst(self, output: str) -> Comparison:
        """The frame on which an output differs most."""
        return min(self.frames, key=lambda frame: frame.outputs[output])

    @property
    def least(self) -> float:
        """The lowest PSNR of any image or map on any frame."""
        return min(self.worst(output).outputs[output] for output in self.frames[0].outputs if output != "state")

    @property
    def failed(self) -> list[str]:
        """The outputs below their limit on any frame."""
        return [name for name in self.frames[0].outputs if self.worst(name).outputs[name] < self.limit(name)]

    @property
    def passed(self) -> bool:
        """Whether all outputs reach their limits on all frames."""
        return not self.failed

    def __str__(self) -> str:
        """For example `fused 46.2 dB at worst (noise, 9 levels at most), limit 45 dB; state 3 dB (white), limit 45 dB`:
        the fused image, then every other output that is below its limit.
        """
        fused = self.worst("fused")
        text = f"fused {fused.outputs['fused']:.1f} dB at worst ({fused.frame}, {fused.largest} levels at most)"
        text += f", limit {self.limit('fused'):.0f} dB"
        for name in self.failed:
            if name != "fused":
                worst = self.worst(name)
                text += f"; {name} {worst.outputs[name]:.1f} dB ({worst.frame}), limit {self.limit(name):.0f} dB"
        return text

    def as_dict(self) -> dict[str, Any]:
        """For a manifest or a sidecar."""
        return asdict(self) | {"passed": self.passed}

    @staticmethod
    def from_dict(stored: dict[str, Any]) -> Parity:
        """The inverse of `as_dict`. Raises KeyError or TypeError."""
        frames = tuple(Comparison(**frame) for frame in stored["frames"])
        width, height, infrared, reduce = stored["shape"]
        return Parity(Shape(width, height, tuple(infrared), reduce), stored["precision"], frames)


def compare(reference: Run, engine: Run, precision: str, shape: Shape) -> Parity:
    """Run both on every test frame of these sizes, with a warp that rotates, and compare all outputs.

    precision: a key of LIMITS_DB.
    """
    rows, warp = [], gate_warp(shape)
    states = [np.zeros(STATE, np.float32)] * 2
    for name, visible, infrared, strengths, past in _trials(shape):
        expected, actual = (
            run(visible, infrared, warp, np.concatenate([strengths, state, [past]], dtype=np.float32))
            for run, state in zip((reference, engine), states, strict=True)
        )
        states = [expected["state"], actual["state"]]
        rows.append(_compared(name, expected, actual))
    return Parity(shape, precision, tuple(rows))


def _trials(shape: Shape) -> Iterator[tuple[str, Pixels, Pixels, State, float]]:
    """Every test frame with automatic strengths; then the scenes with fixed strengths; then the scenes as a video.

    Yields name, visible, infrared, strengths, (STRENGTHS,) float32, and the weight of the previous frame's state.
    """
    frames = list(gate_frames(shape.width, shape.height, shape.infrared))
    scenes = frames[: len(SCENES)]
    auto = np.full(STRENGTHS, -1, np.float32)
    for frame in frames:
        yield *frame, auto, 0.0
    # the opposite of what each scene needs: none in fog, full at clear night; and all different
    fixed = {"none": np.zeros(STRENGTHS), "all different": np.linspace(0.9, 0.1, STRENGTHS), "full": np.ones(STRENGTHS)}
    for (scene, visible, infrared), (strengths, values) in zip(scenes, fixed.items(), strict=True):
        yield f"{scene}, strengths {strengths}", visible, infrared, values.astype(np.float32), 0.0
    for index, (scene, visible, infrared) in enumerate(scenes):
        yield f"{scene}, frame {index + 1} of a video", visible, infrared, auto, PAST if index else 0.0


def _compared(name: str, expected: Outputs, actual: Outputs) -> Comparison:
    """Compare the outputs of a frame. An output that one side lacks, or that differs in shape or dtype, gets 0 dB."""
    decibels = {}
    for output in dict.fromkeys([*expected, *actual]):
        a, b = expected.get(output), actual.get(output)
        if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
            decibels[output] = 0.0
        elif a.dtype == np.uint8:
            decibels[output] = _decibels(np.square(a.astype(np.float32) - b).mean() / 255**2)
        else:
            error = np.abs(a - b) / np.maximum(1, np.abs(a))
            decibels[output] = _decibels(float(error.max(initial=0)) ** 2)
    largest = int(np.abs(expected["fused"].astype(np.int16) - actual["fused"]).max()) if decibels["fused"] else 255
    return Comparison(name, decibels, largest)


def gate_warp(shape: Shape) -> Warp:
    """A warp that rotates by two degrees, interpolates everywhere, and does not cover the whole frame."""
    width, height, infrared, reduce = shape
    u, v = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    x = (u - 0.07 + 0.035 * (v - 0.5)) * infrared[0] - 0.5
    y = (v - 0.035 * (u - 0.5)) * infrared[1] - 0.5
    covered = np.clip(np.minimum(x, infrared[0] - 1 - x) / (0.1 * infrared[0]), 0, 1)  # fades at infrared's border
    coverage = (255 * covered * ((y >= 0) & (y <= infrared[1] - 1))).astype(np.uint8)
    return Warp.of(x.astype(np.float32), y.astype(np.float32), coverage, infrared, reduce)


def _decibels(power: float) -> float:
    """PSNR in dB, 0 to SAME_DB, of an error power relative to full scale; 0 if that is not finite."""
    if power == 0:
        return SAME_DB
    return round(min(SAME_DB, max(0.0, -10 * math.log10(power))), 2) if math.isfinite(power) else 0.0
