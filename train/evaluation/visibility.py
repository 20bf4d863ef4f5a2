"""Visibility of labelled objects: contrast in the fused image relative to the better camera."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from rich.table import Table
from rich.text import Text

from ...engines.detection.weights import DETECTOR_NAMES
from ..detector.boxes import corners, read_boxes
from ..metrics import LOST, Colour, Gray, contrasts, gray, kept, lab, rgb
from ..metrics.visibility import Box
from .output import new_table
from .scenes import Images, Scene, mean_and_maximum

NAMES = {number: "people" if name == "person" else f"{name}s" for number, name in DETECTOR_NAMES.items()}
WORST, AROUND = 10, 1.5
"""Number of example pictures, and their half side relative to the longer side of the object."""
LEGEND = (
    "Visibility: contrast (Lab distance of a labelled object, or of its upper or lower half, to a ring around it) over "
    f"that of the better camera's input image. median, and the share of objects under {LOST:g}. Objects that no camera "
    "shows (contrast below 5) do not count. Average and maximum are of the luma here, with the visible image's colours."
)


@dataclass(frozen=True, slots=True)
class ObjectVisibility:
    """A labelled object. kept: its contrast relative to the better camera, by row."""

    scene: str
    name: str
    box: Box
    kept: dict[str, float]


def score_objects(scene: Scene, images: Images, methods: Mapping[str, Gray | Colour]) -> list[ObjectVisibility]:
    """Measure the labelled objects of a scene that are visible to a camera. Raises TrainError for unreadable labels."""
    assert scene.labels is not None
    height, width = images.infrared.shape
    labels = read_boxes(scene.labels)
    boxes: list[Box] = [(x1, y1, x2, y2) for x1, y1, x2, y2 in corners(labels) * ([width, height] * 2)]
    if not boxes:
        return []
    infrared, simple = images.infrared, mean_and_maximum(gray(images.visible), images.infrared)
    rows: dict[str, Gray | Colour] = {
        "infrared only": infrared,
        "visible only": images.visible,
        **{name: _with_luma(images.visible, luma) for name, luma in simple.items()},
        **methods,
    }
    measured = {row: contrasts(lab(rgb(image)), boxes) for row, image in rows.items()}
    objects = []
    for at, box in enumerate(boxes):
        cameras = measured["infrared only"][at], measured["visible only"][at]
        if not math.isnan(kept(cameras[0], cameras)):
            parts = {row: kept(values[at], cameras) for row, values in measured.items()}
            objects.append(ObjectVisibility(scene.name, NAMES[int(labels[at, 0])], box, parts))
    return objects


def _with_luma(image: Colour, luma: Gray) -> Colour:
    planes = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    planes[..., 0] = luma
    return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YCrCb2RGB), np.uint8)


def figures(objects: Sequence[ObjectVisibility], row: str) -> dict[str, float]:
    """Number of objects, median visibility, and share with a visibility below LOST, in one row."""
    values = np.array([each.kept[row] for each in objects])
    return {
        "objects": float(len(values)),
        "median": float(np.median(values)) if len(values) else math.nan,
        "lost": float((values < LOST).mean()) if len(values) else math.nan,
    }


def by_kind(objects: Sequence[ObjectVisibility]) -> dict[str, dict[str, dict[str, float]]]:
    """`figures` by class and row, for the classes that occur."""
    kinds = {kind: [each for each in objects if each.name == kind] for kind in NAMES.values()}
    return {kind: {row: figures(members, row) for row in members[0].kept} for kind, members in kinds.items() if members}


def table(title: str, objects: Sequence[ObjectVisibility]) -> Table:
    """Table of median visibility and share of lost objects, by row, for each class that occurs."""
    kinds = by_kind(objects)
    headings = []
    for kind, rows in kinds.items():
        headings += [f"{kind} ({next(iter(rows.values()))['objects']:.0f})\nmedian", f"\nunder {LOST:g}"]
    made = new_table(f"Visibility: {title}", headings)
    for row in objects[0].kept:
        values = [kinds[kind][row] for kind in kinds]
        cells = [text for each in values for text in (f"{each['median']:.2f}", f"{100 * each['lost']:.1f} %")]
        made.add_row(Text(row), *cells)
    return made


def worst(objects: Sequence[ObjectVisibility], row: str) -> list[ObjectVisibility]:
    """The objects with the lowest visibility in a row, worst first."""
    return sorted(objects, key=lambda each: (each.kept[row], each.scene, each.box))[:WORST]


def close(image: Gray | Colour, where: Box, side: int = 160) -> Gray | Colour:
    """Square crop around an object, resized to `side` pixels; the frame border is replicated."""
    x1, y1, x2, y2 = where
    reach = max(8, round(AROUND * max(x2 - x1, y2 - y1)))
    padded = cv2.copyMakeBorder(image, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    top, left = round((y1 + y2) / 2), round((x1 + x2) / 2)
    cut = padded[top : top + 2 * reach, left : left + 2 * reach]
    return np.asarray(cv2.resize(cut, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)
