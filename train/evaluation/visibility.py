"""Which labelled objects a fused frame shows less than the better camera does."""

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
"""Pictures of lost objects, and how far around an object they reach, in its longer side."""
LEGEND = (
    "Visibility: contrast (Lab distance of a labelled object, or of its upper or lower half, to a ring around it) over "
    f"that of the better camera as fed. median, and the share of objects under {LOST:g}. Objects that no camera shows "
    "(contrast below 5) do not count. Average and maximum are of the luma here, with the visible image's colours."
)


@dataclass(frozen=True, slots=True)
class Seen:
    """One labelled object, and by row the part of the better camera's contrast that it keeps."""

    scene: str
    name: str
    box: Box
    kept: dict[str, float]


def look(scene: Scene, images: Images, methods: Mapping[str, Gray | Colour]) -> list[Seen]:
    """The labelled objects of one scene that a camera shows. Raises TrainError for labels that cannot be read."""
    assert scene.labels is not None
    height, width = images.infrared.shape
    found = read_boxes(scene.labels)
    boxes: list[Box] = [(x1, y1, x2, y2) for x1, y1, x2, y2 in corners(found) * ([width, height] * 2)]
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
    for at, where in enumerate(boxes):
        cameras = measured["infrared only"][at], measured["visible only"][at]
        if not math.isnan(kept(cameras[0], cameras)):
            parts = {row: kept(values[at], cameras) for row, values in measured.items()}
            objects.append(Seen(scene.name, NAMES[int(found[at, 0])], where, parts))
    return objects


def _with_luma(image: Colour, luma: Gray) -> Colour:
    planes = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    planes[..., 0] = luma
    return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YCrCb2RGB), np.uint8)


def figures(objects: Sequence[Seen], row: str) -> dict[str, float]:
    """Number, median and share under LOST of some objects in a row."""
    values = np.array([each.kept[row] for each in objects])
    return {
        "objects": float(len(values)),
        "median": float(np.median(values)) if len(values) else math.nan,
        "lost": float((values < LOST).mean()) if len(values) else math.nan,
    }


def by_kind(objects: Sequence[Seen]) -> dict[str, dict[str, dict[str, float]]]:
    """`figures` by kind of object and row, of the kinds that there are."""
    kinds = {kind: [each for each in objects if each.name == kind] for kind in NAMES.values()}
    return {kind: {row: figures(members, row) for row in members[0].kept} for kind, members in kinds.items() if members}


def table(title: str, objects: Sequence[Seen]) -> Table:
    """Median and share of lost objects, by row, for each kind of object that there is."""
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


def worst(objects: Sequence[Seen], row: str) -> list[Seen]:
    """The objects of which least is kept, the worst first."""
    return sorted(objects, key=lambda each: (each.kept[row], each.scene, each.box))[:WORST]


def close(image: Gray | Colour, where: Box, side: int = 160) -> Gray | Colour:
    """A square around an object, enlarged to `side` pixels; beyond the frame its border is repeated."""
    x1, y1, x2, y2 = where
    reach = max(8, round(AROUND * max(x2 - x1, y2 - y1)))
    padded = cv2.copyMakeBorder(image, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    top, left = round((y1 + y2) / 2), round((x1 + x2) / 2)
    cut = padded[top : top + 2 * reach, left : left + 2 * reach]
    return np.asarray(cv2.resize(cut, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)
