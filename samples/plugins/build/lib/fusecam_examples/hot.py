"""A detector: `--detector hot` detects bright areas in the fused frame; `--detector hot:200` from level 200."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

import fusecam
from fusecam.engines.base import Pixels

SMALLEST = 12
"""Minimum area in pixels."""


class HotSpots:
    """Connected bright areas as objects of the class `hot`."""

    def __init__(self, argument: str, confidence: float, classes: Sequence[str] | None) -> None:
        """argument: threshold, the part after the colon. confidence: minimum score. classes: None: all."""
        self._level = int(argument or 230)
        self._confidence = confidence
        self._wanted = classes is None or "hot" in classes
        self.name = f"hot:{self._level}"

    def prepare(self, width: int, height: int) -> None:
        """Does nothing; a network would be compiled for this frame size here."""

    def detect(self, image: Pixels) -> list[fusecam.Detection]:
        """Detect objects. image: (H, W, 3) uint8 RGB. Returns boxes in pixels, sorted by descending score."""
        if not self._wanted:
            return []
        luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        count, labels, stats, _ = cv2.connectedComponentsWithStats((luma >= self._level).astype(np.uint8))
        detections = []
        for label in range(1, count):
            x, y, width, height, area = (int(value) for value in stats[label])
            score = float(luma[labels == label].mean()) / 255
            if area >= SMALLEST and score >= self._confidence:
                detections.append(fusecam.Detection("hot", score, (x, y, x + width, y + height)))
        return sorted(detections, key=lambda detection: -detection.score)
