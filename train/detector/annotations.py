"""Boxes as public data sets publish them: YOLO text, Pascal VOC's XML, Caltech's text (KAIST), by the image's name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ..errors import TrainError
from .boxes import Boxes, of_corners

USUAL: Mapping[str, Sequence[str]] = {
    "person": ("person", "people", "pedestrian", "person?", "cyclist", "rider"),
    "bicycle": ("bicycle", "bike"),
    "car": ("car", "van", "bus", "truck"),
}
"""Classes and what they are called in label files, where nothing else is asked for: as in the shipped detector."""
_CALTECH = "% bbGt"


class Annotations:
    """The label files below a folder.

    names: classes in their order, each with what it is called in the files, capitals aside. YOLO's files have numbers,
    which are places in that order. left_out counts the boxes of other classes by their name.
    """

    def __init__(self, folder: Path, names: Mapping[str, Sequence[str]]) -> None:
        """TrainError where there is no label file."""
        self.left_out: Counter[str] = Counter()
        self._classes = len(names)
        self._numbers = {called.lower(): at for at, every in enumerate(names.values()) for called in every}
        self._files: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in (".txt", ".xml") and path.is_file():
                self._files[path.stem].append(path)
        if not self._files:
            raise TrainError(f"{folder}: no label files (.txt, .xml) below it; name their folder as labels")

    def of(self, visible: Path, infrared: Path, width: int, height: int) -> Boxes | None:
        """What a pair of images shows; None where no label file has the name of either. Of several of that name the one
        whose folders have most in common with the image's. width, height: of the image, in pixels.
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
            raise TrainError(f"{path}: no boxes as YOLO, Pascal VOC or KAIST have them ({error})") from error
        found = np.array(rows, np.float64).reshape(-1, 5)
        places = np.clip(found[:, 1:] / [width, height, width, height], 0, 1)  # VOC's reach beyond the frame at times
        kept = (places[:, 2:] > places[:, :2]).all(1)
        return of_corners(found[kept, 0], places[kept])

    def _lines(self, text: str, width: int, height: int) -> Iterator[tuple[float, ...]]:
        """Class and corners in pixels."""
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
            x, y, w, h = (float(value) * side for value, side in zip(parts[1:5], (width, height) * 2, strict=True))
            if not 0 <= (number := int(parts[0])) < self._classes:
                self.left_out[parts[0]] += 1
            else:
                yield number, x - w / 2, y - h / 2, x + w / 2, y + h / 2

    def _voc(self, text: str) -> Iterator[tuple[float, ...]]:
        for thing in ElementTree.fromstring(text).iter("object"):
            if (number := self._number((thing.findtext("name") or "").strip())) is not None:
                corners = (thing.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax"))
                yield number, *(float(str(corner)) for corner in corners)

    def _number(self, called: str) -> int | None:
        number = self._numbers.get(called.lower())
        if number is None:
            self.left_out[called] += 1
        return number
