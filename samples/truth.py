"""Ground truth: boxes from the id buffer, and depth as an 8-bit logarithm."""

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
"""How far beyond the frame, in its pixels, things are looked for that it cuts."""


@dataclass(frozen=True)
class Box:
    """One object in one visible frame.

    box: x1, y1, x2, y2 around its visible pixels, x2 and y2 one past the last. distance: metres along the optical
    axis to its middle. visible_fraction: visible pixels over those it would have, within the frame, unhidden.
    truncation: part of it that the frame cuts off, unhidden or not.
    """

    id: int
    kind: str
    box: tuple[int, int, int, int]
    distance: float
    visible_fraction: float
    truncation: float

    def record(self) -> dict[str, object]:
        """As in the truth files."""
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
    """Boxes of all objects with at least 12 visible pixels, by id.

    ids, covered: (h, w), see `draw`. beyond: the same as `covered` with MARGIN more on every side.
    """
    found = []
    inside = beyond[MARGIN:-MARGIN, MARGIN:-MARGIN]
    for actor in actors:
        seen = ids == actor.id
        pixels = int(np.count_nonzero(seen))
        if pixels < _LEAST_PIXELS:
            continue
        rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        whole, within, everywhere = (
            int(np.count_nonzero(bits & np.uint64(1 << actor.id))) for bits in (covered, inside, beyond)
        )
        distance = float((view.rotation @ positions[actor.id] + view.translation)[2])
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        truncation = 1 - within / max(everywhere, 1)
        found.append(Box(actor.id, actor.kind, box, distance, pixels / max(whole, pixels), truncation))
    return found


def encode_depth(depth: Array) -> Array:
    """Metres to uint8: round(254 ln(d / 2) / ln(100)) for 2 m .. 200 m, clipped; the sky (inf) is 255."""
    level = 254 * np.log(np.clip(depth, DEPTH_NEAR, DEPTH_FAR) / DEPTH_NEAR) / np.log(DEPTH_FAR / DEPTH_NEAR)
    return np.asarray(np.where(np.isinf(depth), SKY, np.round(level)), np.uint8)


def decode_depth(levels: Array) -> Array:
    """Inverse of `encode_depth`: float32 metres, inf where the level is 255."""
    metres = DEPTH_NEAR * (DEPTH_FAR / DEPTH_NEAR) ** (levels.astype(np.float32) / 254)
    return np.asarray(np.where(levels == SKY, np.inf, metres), np.float32)
