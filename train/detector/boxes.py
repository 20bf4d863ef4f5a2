"""Bounding boxes, and their label files: YOLO text, as written here; Pascal VOC XML, Caltech text (KAIST)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from ...engines.detection.weights import DETECTOR_NAMES
from ..errors import TrainError

Boxes = npt.NDArray[np.float32]
"""(n, 5) float32: class, centre x, centre y, width, height, relative to the frame size, as in YOLO."""
USUAL: Mapping[str, Sequence[str]] = {
    "person": ("person", "people", "pedestrian", "person?", "cyclist", "rider"),
    "bicycle": ("bicycle", "bike"),
    "car": ("car", "van", "bus", "truck"),
}
"""Default classes, those of the shipped detector, with their names in label files."""
_CALTECH = "% bbGt"


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


class Annotations:
    """Label files in a folder and its subfolders.

    names: the classes in order, each with its names in the label files (case-insensitive). YOLO files have class
    numbers, which index this order. left_out: number of boxes of other classes, by class name. outside: the file of
    each box that has no part in its image.
    """

    def __init__(self, folder: Path, names: Mapping[str, Sequence[str]]) -> None:
        """Raises TrainError if there is no label file."""
        self.folder, self.names = folder, list(names)
        self.left_out: Counter[str] = Counter()
        self.outside: list[Path] = []
        self._numbers = {alias.lower(): number for number, aliases in enumerate(names.values()) for alias in aliases}
        self._files: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in (".txt", ".xml") and path.is_file():
                self._files[path.stem].append(path)
        if not self._files:
            raise TrainError(
                f"{folder}: no label files (.txt, .xml) below it; set labels to their folder, relative to path"
            )

    def of(self, visible: Path, infrared: Path, width: int, height: int) -> Boxes | None:
        """Boxes of an image pair, or None if no label file has the name of either image.

        Of several label files with that name, the one whose path has the most folders in common with the image's path
        is read. width, height: size of the image in pixels. Raises TrainError.
        """
        for image in (visible, infrared):
            if files := self._files.get(image.stem):
                shared = {file: sum((Counter(file.parts) & Counter(image.parts)).values()) for file in files}
                best = [file for file in files if shared[file] == max(shared.values())]
                if len(best) > 1:
                    raise TrainError(
                        f"{image}: two label files fit: {best[0]} and {best[1]}; name one folder as labels"
                    )
                return self._read(best[0], width, height)
        return None

    def _read(self, path: Path, width: int, height: int) -> Boxes:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
            rows = list(self._voc(text) if path.suffix.lower() == ".xml" else self._lines(text, width, height))
        except OSError as error:
            raise TrainError(f"{path}: cannot be read: {error.strerror}") from error
        except (ElementTree.ParseError, ValueError, TypeError, IndexError) as error:
            raise TrainError(f"{path}: not a label file in YOLO, Pascal VOC or KAIST format ({error})") from error
        boxes = np.array(rows, np.float64).reshape(-1, 5)
        xyxy = np.clip(boxes[:, 1:] / [width, height, width, height], 0, 1)  # VOC boxes may exceed the frame
        valid = (xyxy[:, 2:] > xyxy[:, :2]).all(1)
        self.outside += [path] * int((~valid).sum())
        return of_corners(boxes[valid, 0], xyxy[valid])

    def _lines(self, text: str, width: int, height: int) -> Iterator[tuple[float, ...]]:
        """Parse YOLO or Caltech text; yields class, x1, y1, x2, y2 in pixels."""
        caltech = text.startswith(_CALTECH)
        for line in text.splitlines():
            parts = line.split()
            if not parts or line.startswith("%"):
                continue
            if caltech:
                x, y, w, h = (float(value) for value in parts[1:5])
                if (number := self._number(parts[0])) is not None:
                    yield number, x, y, x + w, y + h
                continue
            x, y, w, h = _box([float(value) for value in parts[1:]])
            if not 0 <= (number := int(parts[0])) < len(self.names):
                self.left_out[parts[0]] += 1
            else:
                x1, x2, y1, y2 = x - w / 2, x + w / 2, y - h / 2, y + h / 2
                yield number, x1 * width, y1 * height, x2 * width, y2 * height

    def _voc(self, text: str) -> Iterator[tuple[float, ...]]:
        for node in ElementTree.fromstring(text).iter("object"):
            if (number := self._number((node.findtext("name") or "").strip())) is not None:
                corners = (node.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax"))
                yield number, *(float(str(corner)) for corner in corners)

    def _number(self, name: str) -> int | None:
        """Class number of a class name; None, and counted in `left_out`, for other classes."""
        number = self._numbers.get(name.lower())
        if number is None:
            self.left_out[name] += 1
        return number


def _box(values: Sequence[float]) -> Sequence[float]:
    """Centre and size of what stands behind a YOLO file's class: a box, or a polygon's corners."""
    if len(values) < 6 or len(values) % 2:
        return values[:4]
    xs, ys = values[::2], values[1::2]
    return (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2, max(xs) - min(xs), max(ys) - min(ys)
