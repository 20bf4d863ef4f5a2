"""Detector training data from the user's own labelled recordings or from a public data set."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field, field_validator
from rich.console import Console

from ...calib.rig import RigError, load_rig
from ...engines.detection.weights import check_names
from ...engines.host.terminal import markup
from ...pipeline.registration.register import Registrar
from ..data import find_pairs
from ..errors import TrainError, as_train_error
from ..images import read_image
from ..recipe import Strict, check, located, read_recipe_file
from .boxes import USUAL, Annotations, write_boxes

VALIDATION, _MADE_OF = "validation.txt", "made_of.json"
_HELD = 8  # the last 1/8 of each folder is used for validation
_VALIDATION, _TEST = re.compile(r"val|valid|validation"), re.compile(r"test|set(0[6-9]|1[01])")
"""Names of the folders that hold a data set's published parts; KAIST numbers its own."""
Folders = Annotated[list[str], Field(min_length=1)]


class Recordings(Strict):
    """Schema of the file given as `--data`. Folders are relative to `path`, which is relative to the file."""

    path: Path = Path()
    train: Folders | str = "."
    """Folders of pairs, or glob patterns; folder and file names identify the cameras, see `data.find_pairs`."""
    val: Folders | str | None = None
    """Folders of validation pairs. None: the published ones, see `_published`, else the last eighth of each folder of
    `train`."""
    labels: Path = Path()
    """Folder of the label files, see `boxes.Annotations`."""
    names: list[str] | dict[str, list[str]] | None = None
    """Class names, by number too, or mapped to their names in the label files. None: person, bicycle, car."""
    rig: Path | None = None
    """Rig file for registering infrared onto the visible frames. None: already registered."""
    minutes: float | None = Field(None, gt=0)
    """Time limit of the training. None: that of the recipe."""

    @field_validator("names", mode="before")
    @classmethod
    def _numbered(cls, value: Any) -> Any:
        """`{0: person, 1: car}`, as Ultralytics has it, is a list."""
        numbered = isinstance(value, dict) and set(value) == set(range(len(value)))
        return [value[number] for number in range(len(value))] if numbered else value

    @field_validator("names")
    @classmethod
    def _some(cls, value: list[str] | dict[str, list[str]] | None) -> list[str] | dict[str, list[str]] | None:
        if value is not None:
            check_names(list(value))
        seen: set[str] = set()
        for name, aliases in value.items() if isinstance(value, dict) else ():
            lower = {alias.strip().lower() for alias in aliases}
            if "" in lower or not lower:
                raise ValueError(f"give {name} its names in the label files, as in {{{name}: [{name}]}}")
            if seen & lower:
                raise ValueError(f"label files' {min(seen & lower)} belongs to two classes; leave it in one")
            seen |= lower
        return value

    @property
    def called(self) -> Mapping[str, Sequence[str]]:
        """Classes in order, with their names in label files."""
        if self.names is None:
            return USUAL
        return self.names if isinstance(self.names, dict) else {name: [name] for name in self.names}


def read_recordings(file: Path) -> Recordings:
    """Read and validate a recordings file; returns it with resolved paths. Raises TrainError."""
    recordings = check(file, read_recipe_file(file), Recordings)
    root = located(file, recordings.path).absolute()
    rig = None if recordings.rig is None else located(file, recordings.rig)
    return recordings.model_copy(update={"path": root, "labels": root / recordings.labels, "rig": rig})


def lay_out(recordings: Recordings, folder: Path, console: Console) -> dict[str, Any]:
    """Fill `folder` with links to the pairs (vis, ir), their label files and the list of validation pairs.

    console: prints what was left out. Returns the keys that override those of the detector recipe. Raises TrainError.
    """
    out = folder.absolute().parent  # excluded from the search, since it may be inside the recordings
    train = [find_pairs(recordings.path / pattern, out) for pattern in _several(recordings.train)]
    held: set[tuple[Path, Path]] = set()
    if recordings.val is None:
        if recordings.train == ".":
            held, tests = _published(train[0], recordings.path)
            if tests:
                train = [[pair for pair in train[0] if pair not in tests]]
                console.print(f"note: {len(tests)} test pairs left out; train and val choose others", style="yellow")
        held = held or {pair for some in train for pair in some[len(some) - len(some) // _HELD :]}
    else:
        held = {pair for pattern in _several(recordings.val) for pair in find_pairs(recordings.path / pattern, out)}
    pairs = list(dict.fromkeys([*(pair for some in train for pair in some), *sorted(held)]))
    if not held or held.issuperset(pairs):
        raise TrainError(f"{recordings.path}: {len(pairs)} pairs, too few: give more, or another val")
    manifest = folder / _MADE_OF
    made_of = json.dumps([recordings.model_dump(mode="json", exclude={"minutes"}), [str(vis) for vis, _ in pairs]])
    if folder.exists() and not (manifest.is_file() and manifest.read_text("utf-8") == made_of):
        raise TrainError(f"{folder}: made from other recordings; remove it to create it again, or choose another --out")
    if not manifest.is_file():
        labels = Annotations(recordings.labels, recordings.called)
        _fill(folder, pairs, held, labels, recordings.rig, console)
        manifest.write_text(made_of, encoding="utf-8")
    boxes = str(folder.absolute() / "labels")
    source = {
        "root": str(folder.absolute()),
        "labels": {"fused": boxes, "visible": boxes, "infrared": boxes},
        "validation": str(folder.absolute() / VALIDATION),
    }
    schedule = {} if recordings.minutes is None else {"minutes": recordings.minutes}
    return {"data": [source], "names": list(recordings.called)} | schedule


def _published(pairs: Sequence[tuple[Path, Path]], root: Path) -> tuple[set[tuple[Path, Path]], set[tuple[Path, Path]]]:
    """Pairs that a data set publishes for validation, and for tests: in folders of that name, or listed in a file
    beside them (FLIR-aligned: align_validation.txt). None of either where nothing else would be left."""
    lists = (file.read_text("utf-8", errors="replace") for file in root.glob("*val*.txt"))
    listed = {Path(line).stem for text in lists for line in text.splitlines()}
    parts: tuple[set[tuple[Path, Path]], set[tuple[Path, Path]]] = set(), set()
    for pair in pairs:
        folders = [part.lower() for part in pair[0].relative_to(root).parts[:-1]]
        if any(map(_TEST.fullmatch, folders)):
            parts[1].add(pair)
        elif any(map(_VALIDATION.fullmatch, folders)) or not listed.isdisjoint(path.stem for path in pair):
            parts[0].add(pair)
    return (set(), set()) if len(parts[0] | parts[1]) == len(pairs) else parts


def _several(folders: list[str] | str) -> list[str]:
    return [folders] if isinstance(folders, str) else folders


def _fill(
    folder: Path,
    pairs: Sequence[tuple[Path, Path]],
    held: set[tuple[Path, Path]],
    labels: Annotations,
    rig: Path | None,
    console: Console,
) -> None:
    unlabelled, names = 0, []
    counts = np.zeros((2, len(labels.names)), int)  # boxes of each class to train on, and to validate
    aside = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    for name in ("vis", "ir", "labels"):
        (aside / name).mkdir(parents=True)
    register = None if rig is None else _warper(rig)
    for number, (visible, infrared) in enumerate(pairs):
        name = f"{number:06d}_{visible.stem}"
        with Image.open(visible) as image:
            size = image.size
        boxes = labels.of(visible, infrared, *size)
        unlabelled += boxes is None
        boxes = np.zeros((0, 5), np.float32) if boxes is None else boxes
        counts[int((visible, infrared) in held)] += np.bincount(boxes[:, 0].astype(int), minlength=counts.shape[1])
        write_boxes(aside / "labels" / f"{name}.txt", boxes)
        _link(visible, aside / "vis" / (name + visible.suffix))
        if register is None:
            _link(infrared, aside / "ir" / (name + infrared.suffix))
        else:
            Image.fromarray(register(read_image(infrared, "L"), size)).save(aside / "ir" / f"{name}.png")
        if (visible, infrared) in held:
            names.append(name)
    _tell(pairs, len(names), unlabelled, labels, counts, console)
    (aside / VALIDATION).write_text("\n".join(names) + "\n", encoding="utf-8")
    aside.rename(folder)


def _tell(
    pairs: Sequence[tuple[Path, Path]],
    held: int,
    unlabelled: int,
    labels: Annotations,
    counts: npt.NDArray[np.int_],
    console: Console,
) -> None:
    """Print what was found and what was not. Raises TrainError if it is nothing at all. counts: see `_fill`."""

    def note(line: str) -> None:
        console.print(f"note: {markup(line)}", style="yellow")

    if unlabelled:
        note(f"{unlabelled} of {len(pairs)} pairs have no label file: treated as images without objects")
    for label, boxes_of in labels.left_out.most_common():
        note(f"{boxes_of} boxes of class {label!r} left out; add it to names to train on it")
    if labels.outside:
        note(
            f"{len(labels.outside)} boxes left out, outside their image or empty, first in {labels.outside[0]}: YOLO "
            "boxes are shares of the image's sides, not pixels"
        )
    if not counts.any():
        raise TrainError(f"{pairs[0][0]} and {len(pairs) - 1} more: not one box of these classes in their label files")
    for number in np.flatnonzero(counts[0] == 0):
        note(
            f"not one box of class {labels.names[number]!r} to train on, so it is unlearned: take it out of names, or "
            "check the numbers in YOLO files, which count from 0"
        )
    for count, use, of_class in zip((len(pairs) - held, held), ("training", "validation"), counts, strict=True):
        boxes_by_name = ", ".join(f"{name} {n}" for name, n in zip(labels.names, of_class, strict=True))
        console.print(markup(f"{use} pairs: {count}; boxes: {boxes_by_name}"))
        if not of_class.any():
            raise TrainError(f"{labels.folder}: not one box for the {use} pairs; choose others with train and val")


def _warper(rig: Path) -> Callable[[np.ndarray, tuple[int, int]], np.ndarray]:
    with as_train_error(RigError):
        registrar = Registrar(load_rig(rig))
    return lambda infrared, size: registrar.warp(size, infrared.shape[::-1]).apply(infrared)


def _link(source: Path, place: Path) -> None:
    try:
        place.symlink_to(source.absolute())
    except OSError:  # symbolic links may need privileges, as on Windows
        shutil.copyfile(source, place)
        os.utime(place)
