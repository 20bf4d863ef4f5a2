"""Boxes as YOLO's text files have them: class, x, y, width, height, in parts of the frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...engines.detection.weights import DETECTOR_NAMES
from ..errors import TrainError

Boxes = npt.NDArray[np.float32]
"""(n, 5): class, x and y of the middle, width, height."""


def corners(boxes: Boxes) -> npt.NDArray[np.float32]:
    """x1, y1, x2, y2 of each, (n, 4), in parts of the frame."""
    middle, half = boxes[:, 1:3], boxes[:, 3:] / 2
    return np.hstack([middle - half, middle + half])


def of_corners(labels: npt.ArrayLike, places: npt.ArrayLike, width: float = 1, height: float = 1) -> Boxes:
    """Boxes of classes (n,) at x1, y1, x2, y2 (n, 4) in a frame of this size."""
    x1, y1, x2, y2 = (np.reshape(places, (-1, 4)) / np.array([width, height] * 2)).T
    return np.stack([labels, (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], 1).astype(np.float32)


def read_boxes(path: Path, names: Sequence[str] = tuple(DETECTOR_NAMES.values())) -> Boxes:
    """Read a file of boxes; an empty file has none. TrainError where it is missing or holds something else, other
    classes than `names` among it."""
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        boxes = np.array([[float(value) for value in line] for line in lines], np.float32).reshape(-1, 5)
    except OSError as error:
        raise TrainError(f"{path}: no boxes for this frame; give a file, empty if it shows nothing") from error
    except ValueError as error:
        raise TrainError(f"{path}: not boxes; each line is CLASS X Y WIDTH HEIGHT in parts of the frame") from error
    strange = [label for label in boxes[:, 0].tolist() if label not in range(len(names))]
    if strange:
        known = ", ".join(f"{number} {name}" for number, name in enumerate(names))
        raise TrainError(f"{path}: class {strange[0]:g}; there are {known}")
    if len(boxes) and not (boxes[:, 1:].min() >= 0 and boxes[:, 1:].max() <= 1.001):
        raise TrainError(f"{path}: boxes outside 0 to 1; they are given in parts of the frame's width and height")
    return boxes


def write_boxes(path: Path, boxes: Boxes) -> None:
    """Write what `read_boxes` reads."""
    lines = (f"{int(label)} " + " ".join(f"{value:.6f}" for value in box) for label, *box in boxes.tolist())
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
