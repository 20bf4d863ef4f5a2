"""Ground truth: bounding boxes from the id buffer, and logarithmic 8-bit depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .draw import View
from .textures import Array
from .world import Actor

DEPTH_NEAR, DEPTH_FAR = 2.0, 200.0
SKY = 255
_LEAST_PIXELS = 12
MARGIN = 200
"""Margin around the frame in pixels in which truncated objects are measured."""


@dataclass(frozen=True)
class Box:
    """One object in one visible frame.

    box: x1, y1, x2, y2 around its visible pixels, x2 and y2 exclusive. distance: metres along the optical axis to its
    centre. visible_fraction: visible pixels divided by all its pixels within the frame, including occluded ones.
    truncation: fraction of the object outside the frame, occluded or not.
    """

    id: int
    kind: str
    box: tuple[int, int, int, int]
    distance: float
    visible_fraction: float
    truncation: float

    def record(self) -> dict[str, object]:
        """Record of the truth file, with rounded values."""
        return {
            "id": self.id,
            "class": self.kind,
            "box": list(self.box),
            "distance": round(self.distance, 2),
            "visible_fraction": round(self.visible_fraction, 3),
            "truncation": round(self.truncation, 3),
        }


def boxes(
    actors: Sequence[Actor], ids: Array, covered: Array, beyond: Array, positions: dict[int, Array], view: View
) -> list[Box]:
    """Boxes of all objects with at least 12 visible pixels, sorted by id.

    ids, covered: (h, w), see `draw`. beyond: like `covered`, with MARGIN more pixels on every side. positions: ground
    point of each object in the world, by id.
    """
    result = []
    inside = beyond[MARGIN:-MARGIN, MARGIN:-MARGIN]
    for actor in actors:
        mask = ids == actor.id
        pixels = int(np.count_nonzero(mask))
        if pixels < _LEAST_PIXELS:
            continue
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        whole, within, everywhere = (
            int(np.count_nonzero(bits & np.uint64(1 << actor.id))) for bits in (covered, inside, beyond)
        )
        distance = float((view.rotation @ positions[actor.id] + view.translation)[2])
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        truncation = 1 - within / max(everywhere, 1)
        result.append(Box(actor.id, actor.kind, box, distance, pixels / max(whole, pixels), truncation))
    return result


def encode_depth(depth: Array) -> Array:
    """Metres to uint8: round(254 ln(d / 2) / ln(100)) for 2 m .. 200 m, clipped; the sky (inf) is 255."""
    level = 254 * np.log(np.clip(depth, DEPTH_NEAR, DEPTH_FAR) / DEPTH_NEAR) / np.log(DEPTH_FAR / DEPTH_NEAR)
    return np.asarray(np.where(np.isinf(depth), SKY, np.round(level)), np.uint8)


def decode_depth(levels: Array) -> Array:
    """Inverse of `encode_depth`: float32 metres, inf where the level is 255."""
    metres = DEPTH_NEAR * (DEPTH_FAR / DEPTH_NEAR) ** (levels.astype(np.float32) / 254)
    return np.asarray(np.where(levels == SKY, np.inf, metres), np.float32)
