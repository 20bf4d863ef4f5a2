"""Bounding boxes in YOLO format: class, centre x, centre y, width, height, relative to the frame size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...engines.detection.weights import DETECTOR_NAMES
from ..errors import TrainError

Boxes = npt.NDArray[np.float32]
"""(n, 5) float32: class, centre x, centre y, width, height, relative to the frame size."""


def corners(boxes: Boxes) -> npt.NDArray[np.float32]:
    """Corners x1, y1, x2, y2, (n, 4) float32, relative to the frame size."""
    middle, half = boxes[:, 1:3], boxes[:, 3:] / 2
    return np.hstack([middle - half, middle + half])


def of_corners(labels: npt.ArrayLike, places: npt.ArrayLike, width: float = 1, height: float = 1) -> Boxes:
    """Boxes from classes (n,) and corners x1, y1, x2, y2 (n, 4) in the units of width and height."""
    x1, y1, x2, y2 = (np.reshape(places, (-1, 4)) / np.array([width, height] * 2)).T
    return np.stack([labels, (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], 1).astype(np.float32)


def read_boxes(path: Path, names: Sequence[str] = tuple(DETECTOR_NAMES.values())) -> Boxes:
    """Read a YOLO label file; an empty file has no boxes. names: classes in order.

    Raises TrainError for a missing or malformed file, unknown classes, and coordinates outside 0 to 1.
    """
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        boxes = np.array([[float(value) for value in line] for line in lines], np.float32).reshape(-1, 5)
    except OSError as error:
        raise TrainError(f"{path}: no boxes for this frame; give a label file, empty if it has no objects") from error
    except ValueError as error:
        raise TrainError(
            f"{path}: not boxes; each line must be CLASS X Y WIDTH HEIGHT, relative to the frame"
        ) from error
    unknown = [label for label in boxes[:, 0].tolist() if label not in range(len(names))]
    if unknown:
        known = ", ".join(f"{number} {name}" for number, name in enumerate(names))
        raise TrainError(f"{path}: unknown class {unknown[0]:g}; the classes are {known}")
    if len(boxes) and not (boxes[:, 1:].min() >= 0 and boxes[:, 1:].max() <= 1.001):
        raise TrainError(f"{path}: box coordinates outside 0 to 1; they must be relative to the frame size")
    return boxes


def write_boxes(path: Path, boxes: Boxes) -> None:
    """Write a YOLO label file; inverse of `read_boxes`."""
    lines = (f"{int(label)} " + " ".join(f"{value:.6f}" for value in box) for label, *box in boxes.tolist())
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
