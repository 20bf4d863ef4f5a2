"""Parity gate of the detector: compares the boxes of a compiled detector with those of eager torch before use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from ..base import Pixels
from ..build.parity.frames import SCENES, gate_frames

PIXELS = 1.0
"""Maximum error of the edges of a confident box in f32, in pixels of the network's input."""
MOST = 0.99
"""Fraction of the boxes whose score errors must be within SCORES; all must be within WORST."""
SCORES = {"f32": 0.01, "bf16": 1 / 16}
"""Maximum score error of MOST boxes, by precision. The relative step of bf16 is 1/128. An error of 1/16 changes the
mean average precision by a few tenths of a point (see the detector's model card)."""
WORST = {"f32": 0.01, "bf16": 1 / 4}
"""Maximum score error of any box. bf16 rounds in every layer, so a score on the steepest part of its sigmoid may have a
large error: 0.05 to 0.11 in twelve trainings of one network. It is random and says little about the engine."""
OVERLAP = 0.95
"""Minimum intersection over union of a confident box with its reference, in any precision."""
CONFIDENT = 0.25
"""Score from which a box is confident."""
FEWEST = 10
"""Minimum number of boxes compared per frame: if fewer are confident, those with the highest scores."""

Raw = npt.NDArray[np.float32]
"""(4 + classes, anchors) float32, see `suppress`."""
Run = Callable[[Pixels], Raw]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Results over all frames.

    Attributes:
        pixels: Maximum error of an edge, in pixels.
        score: Maximum error of a score.
        most: MOST quantile of the score errors.
        overlap: Minimum intersection over union.
        boxes: Number of boxes compared.
    """

    pixels: float
    score: float
    most: float
    overlap: float
    boxes: int

    def passed(self, precision: str) -> bool:
        """Whether all results are within the limits of a precision."""
        edges_match = self.pixels <= PIXELS or precision != "f32"
        scores_match = self.most <= SCORES[precision] and self.score <= WORST[precision]
        return edges_match and scores_match and self.overlap >= OVERLAP

    def __str__(self) -> str:
        """For example `boxes within 0.21 px, overlap 0.985, scores within 0.0210, 99 % of them 0.0040, of 84`."""
        boxes = f"boxes within {self.pixels:.2f} px, overlap {self.overlap:.3f}"
        return f"{boxes}, scores within {self.score:.4f}, {MOST * 100:.0f} % of them {self.most:.4f}, of {self.boxes}"


def compare(reference: Run, engine: Run, width: int, height: int, channels: int = 3) -> Agreement:
    """Run both on every test frame and compare their boxes.

    Compares anchors rather than detections: in non-maximum suppression, a rounding error may add or remove a box.

    reference, engine: map (height, width, channels) uint8 to `Raw`.
    """
    pixels, overlap = 0.0, 1.0
    scores: list[Raw] = []
    for image in frames(width, height, channels):
        expected, actual = reference(image), engine(image)
        best = expected[4:].max(axis=0)
        selected = best >= min(CONFIDENT, float(np.sort(best)[-FEWEST:][0]))
        expected, actual = expected[:, selected], actual[:, selected]
        pixels = max(pixels, float(np.abs(edges(expected) - edges(actual)).max()))
        overlap = min(overlap, float(_overlap(edges(expected), edges(actual)).min()))
        scores.append(np.abs(expected[4:] - actual[4:]).max(axis=0))
    errors = np.concatenate(scores)
    most = float(np.quantile(errors, MOST))
    return Agreement(round(pixels, 4), round(float(errors.max()), 5), round(most, 5), round(overlap, 4), errors.size)


def frames(width: int, height: int, channels: int = 3) -> Iterator[Pixels]:
    """Three scenes with people and cars, (height, width, channels) uint8.

    3 channels: visible RGB, then infrared repeated to RGB, for each scene. 4 channels: RGB and infrared together.
    """
    for _, visible, infrared in islice(gate_frames(width, height), len(SCENES)):
        if channels == 4:
            yield np.dstack([visible, infrared])
            continue
        yield visible
        yield np.repeat(infrared[..., None], 3, axis=2)


def edges(raw: Raw) -> Raw:
    """Convert boxes from centre, width, height to x1, y1, x2, y2. (4 + classes, anchors) to (4, anchors)."""
    return np.concatenate([raw[:2] - raw[2:4] / 2, raw[:2] + raw[2:4] / 2])


def _overlap(a: Raw, b: Raw) -> Raw:
    """Intersection over union of pairs of boxes, (4, anchors) each. Returns (anchors,)."""
    intersection = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod(axis=0)
    union = (a[2:] - a[:2]).prod(axis=0) + (b[2:] - b[:2]).prod(axis=0) - intersection
    return np.asarray(intersection / np.maximum(union, 1e-6), np.float32)
