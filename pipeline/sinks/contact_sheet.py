"""The contact sheet: for chosen frames, inputs, estimated maps and results side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ...calib.atomic import write_atomic
from ..core.frames import Pixels
from ..core.result import Result
from ..errors import InputError
from .base import SinkHealth

COLUMNS = ("visible", "infrared", "restored", "fused", "haze density", "illumination")
CELL_WIDTH = 400
CAPTION = 26
GAP = 4


class ContactSheet:
    """A sink that keeps the frames with the given output indices, one row each.

    row: (6 images, (H, W, 3) uint8 RGB) in the order of COLUMNS. Infrared is shown registered, the two maps in colour.
    """

    def __init__(self, wanted: Sequence[int]) -> None:
        self.health = SinkHealth()
        self.rows: list[list[Pixels]] = []
        self._wanted = set(wanted)

    def write(self, result: Result) -> None:
        """Keep the frame if it is wanted."""
        if result.index not in self._wanted:
            return
        fused = result.fused
        self.rows.append(
            [
                result.pair.visible.pixels,
                np.repeat(fused.infrared[..., None], 3, axis=2),
                fused.restored,
                result.image,
                _coloured(fused.haze_density, cv2.COLORMAP_VIRIDIS),
                _coloured(fused.illumination, cv2.COLORMAP_INFERNO),
            ]
        )
        self.health.written += 1

    def close(self, complete: bool) -> None:
        """Nothing to finish: `compose` makes the picture."""


def compose(rows: Sequence[tuple[str, Sequence[Pixels]]]) -> Pixels:
    """One picture of named rows with a caption over each column. (H, W, 3) uint8 RGB."""
    lines = []
    for title, images in rows:
        captions = f"{title}: {COLUMNS[0]}", *COLUMNS[1:]
        lines.append(np.hstack([_captioned(*cell) for cell in zip(captions, images, strict=True)]))
    return np.vstack(lines)


def save(picture: Pixels, path: Path) -> None:
    """Write (H, W, 3) RGB as PNG. Raises InputError naming the file."""
    write_atomic(path, cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes(), InputError)


def _captioned(text: str, image: Pixels) -> Pixels:
    height = round(image.shape[0] * CELL_WIDTH / image.shape[1])
    cell = np.full((height + CAPTION + GAP, CELL_WIDTH + GAP, 3), 24, np.uint8)
    cell[CAPTION : CAPTION + height, :CELL_WIDTH] = cv2.resize(
        image, (CELL_WIDTH, height), interpolation=cv2.INTER_AREA
    )
    cv2.putText(cell, text, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (235, 235, 235), 1, cv2.LINE_AA)
    return cell


def _coloured(values: Pixels, palette: int) -> Pixels:
    return np.asarray(cv2.applyColorMap(values, palette)[..., ::-1], np.uint8)
