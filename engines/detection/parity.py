"""The detector's gate: no compiled detector runs whose boxes were not compared with those of eager torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from ..base import Pixels
from ..build.parity.frames import SCENES, gate_frames

PIXELS = 1.0
"""Largest difference of an edge of a confident box in f32, in pixels of the network's input."""
MOST = 0.99
"""Part of the boxes whose scores are held to SCORES; the rest are held to WORST."""
SCORES = {"f32": 0.01, "bf16": 1 / 16}
"""Largest difference of the scores of MOST boxes, by precision. Steps of bf16 are a hundred and twenty-eighth of a
number: eight of them, which moves the mean average precision by a few tenths of a point (the detector's card)."""
WORST = {"f32": 0.01, "bf16": 1 / 4}
"""Largest difference of any score. bf16 rounds in every layer, so that a score at the steepest of its sigmoid may move
far: .05 to .11 in twelve trainings of one network. Which it is is chance and says little of the engine."""
OVERLAP = 0.95
"""Least intersection over union of a confident box with what it should be, in any precision."""
CONFIDENT = 0.25
FEWEST = 10
"""Boxes compared of each frame even if none of them is confident: the best ones."""

Raw = npt.NDArray[np.float32]
"""(4 + classes, anchors), as `suppress` takes it."""
Run = Callable[[Pixels], Raw]


@dataclass(frozen=True, slots=True)
class Agreement:
    """The worst over all frames: difference of edges in pixels and of scores, intersection over union (`overlap`).
    most: the difference of scores that MOST boxes stay within. boxes: how many were compared.
    """

    pixels: float
    score: float
    most: float
    overlap: float
    boxes: int

    def passed(self, precision: str) -> bool:
        """Whether all stay within the limits of a precision."""
        near = self.pixels <= PIXELS or precision != "f32"
        alike = self.most <= SCORES[precision] and self.score <= WORST[precision]
        return near and alike and self.overlap >= OVERLAP

    def __str__(self) -> str:
        """For example `boxes within 0.21 px, overlap 0.985, scores within 0.0210, 99 % of them 0.0040, of 84`."""
        boxes = f"boxes within {self.pixels:.2f} px, overlap {self.overlap:.3f}"
        return f"{boxes}, scores within {self.score:.4f}, {MOST * 100:.0f} % of them {self.most:.4f}, of {self.boxes}"

    def as_dict(self) -> dict[str, Any]:
        """For a manifest."""
        return asdict(self)


def compare(reference: Run, engine: Run, width: int, height: int, channels: int = 3) -> Agreement:
    """Run both on every test frame, (height, width, channels) uint8. Anchors are compared before any suppression, which
    would turn a difference in the last digit into a box more or less."""
    pixels, overlap = 0.0, 1.0
    scores: list[Raw] = []
    for image in frames(width, height, channels):
        truth, found = reference(image), engine(image)
        best = truth[4:].max(axis=0)
        judged = best >= min(CONFIDENT, float(np.sort(best)[-FEWEST:][0]))
        expected, given = edges(truth[:, judged]), edges(found[:, judged])
        pixels = max(pixels, float(np.abs(expected - given).max()))
        overlap = min(overlap, float(_overlap(expected, given).min()))
        scores.append(np.abs(truth[4:, judged] - found[4:, judged]).max(axis=0))
    apart = np.concatenate(scores)
    most = float(np.quantile(apart, MOST))
    return Agreement(round(pixels, 4), round(float(apart.max()), 5), round(most, 5), round(overlap, 4), apart.size)


def frames(width: int, height: int, channels: int = 3) -> Iterator[Pixels]:
    """Three scenes of the sample clips with people and cars, (height, width, channels) uint8: visible and infrared
    each as RGB, or both as four channels."""
    for _, visible, infrared in islice(gate_frames(width, height), len(SCENES)):
        if channels == 4:
            yield np.dstack([visible, infrared])
            continue
        yield visible
        yield np.repeat(infrared[..., None], 3, axis=2)


def edges(raw: Raw) -> Raw:
    """x1, y1, x2, y2 of centres, widths and heights."""
    return np.concatenate([raw[:2] - raw[2:4] / 2, raw[:2] + raw[2:4] / 2])


def _overlap(a: Raw, b: Raw) -> Raw:
    both = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod(axis=0)
    either = (a[2:] - a[:2]).prod(axis=0) + (b[2:] - b[:2]).prod(axis=0) - both
    return np.asarray(both / np.maximum(either, 1e-6), np.float32)
