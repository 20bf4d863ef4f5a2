"""Detects white-hot or black-hot infrared from what is hot on roads (people, engines) and the cold sky."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from ...core.frames import Pixels

_WIDTH = 160
_SPACING_NS = 250_000_000
_ENOUGH = 12
_STRONG = 2.5
ASSUMED = "white-hot, assumed"


class Polarity:
    """Polarity of one source: as set or, with `auto`, inferred from its first frames.

    White-hot is assumed unless the mean of `evidence` over up to 12 frames is strongly negative. Of 3,000 single frames
    of white-hot scenes (MSRS, LLVIP, RoadScene, M3SVD, the samples) one is.

    Attributes:
        inverted: whether the frames have to be inverted to white-hot.
        inferred: whether black-hot was inferred, not set.
        description: the polarity and whether it was set, found or assumed (ASSUMED); for the report.
    """

    def __init__(self, setting: Literal["auto", "white-hot", "black-hot"] = "auto") -> None:
        self.inverted = setting == "black-hot"
        self.inferred = False
        self.description = f"{setting}, as set" if setting != "auto" else ASSUMED
        self._open = setting == "auto"
        self._found: list[float] = []
        self._last_ns: int | None = None

    def update(self, infrared: Pixels, time_ns: int) -> None:
        """Take a frame into account: (H, W) uint8 as stored. Frames within 0.25 s of the last one used are ignored."""
        if not self._open or (self._last_ns is not None and 0 <= time_ns - self._last_ns < _SPACING_NS):
            return
        self._last_ns = time_ns
        self._found.append(evidence(infrared))
        if len(self._found) == _ENOUGH:
            self.settle()

    def settle(self) -> None:
        """Decide by the frames so far. Later frames do not change the result."""
        if self._open and self._found:
            mean = float(np.mean(self._found))
            self.inverted = self.inferred = mean < -_STRONG
            if abs(mean) > _STRONG:
                self.description = "black-hot, found" if self.inverted else "white-hot, found"
        self._open = False


def evidence(infrared: Pixels) -> float:
    """Evidence for white-hot (positive) or black-hot (negative). Inverting the image changes only the sign.

    It is a weighted sum of: skewness; contrast of the brightest minus that of the darkest spots, at two scales; mean
    level of the upper quarter (sky); correlation of level and texture, in the image and in its lower half. The weights
    were fitted by logistic regression on the training halves of MSRS and LLVIP, and on RoadScene.

    Args:
        infrared: (H, W) uint8.
    """
    height = max(8, round(_WIDTH * infrared.shape[0] / infrared.shape[1]))
    small = cv2.resize(infrared, (_WIDTH, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    spread = float(small.std())
    if spread < 1:
        return 0.0
    z = np.clip((small - small.mean()) / spread, -4, 4)
    spots = []
    for size in (1.5, 3.0):
        band = cv2.GaussianBlur(small, (0, 0), size) - cv2.GaussianBlur(small, (0, 0), 2 * size)
        darkest, brightest = np.percentile(band, (0.5, 99.5))
        spots.append(float(darkest + brightest) / (float(band.std()) + 1e-6))
    structure = np.log(cv2.GaussianBlur(np.abs(cv2.Laplacian(small, cv2.CV_32F)), (0, 0), 4) + 0.1)
    structure = (structure - structure.mean()) / (float(structure.std()) + 1e-6)
    half = height // 2
    features = np.array(
        [
            (z**3).mean(),
            *spots,
            z[: height // 4].mean(),
            (z * structure).mean(),
            (z[half:] * structure[half:]).mean(),
        ]
    )
    return float(np.tanh(features) @ (1.3, 1.8, 1.1, -3.0, 1.3, 1.4))
