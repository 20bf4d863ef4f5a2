"""A user's own labelled recordings, or a public data set as it is published, as training data of the detector."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pydantic import Field, field_validator
from rich.console import Console

from ...calib.rig import RigError, load_rig
from ...engines.host.terminal import markup
from ...pipeline.registration.register import Registrar
from ..data import find_pairs
from ..errors import TrainError
from ..images import read_gray
from ..recipe import Strict, check, located, read_recipe_file
from .annotations import USUAL, Annotations
from .boxes import write_boxes

VALIDATION, _MADE_OF = "validation.txt", "made_of.json"
_HELD = 8  # of so many frames the last one validates
Folders = Annotated[list[str], Field(min_length=1)]


class Recordings(Strict):
    """What the file given as `--data` says. Folders count from `path`, that from the file's own."""

    path: Path = Path()
    train: Folders | str = "."
    """Folders of pairs, or patterns; the cameras are told by the names of folders and files (see `data.find_pairs`)."""
    val: Folders | str | None = None
    """The same, to validate by. None: the last eighth of each of `train`."""
    labels: Path = Path()
    """Folder of the label files, see `annotations`."""
    names: list[str] | dict[str, list[str]] | None = None
    """Classes, or what each is called in the label files. None: person, bicycle and car."""
    rig: Path | None = None
    """Registers infrared onto the visible frames. None: it is registered already."""
    minutes: float | None = Field(None, gt=0)
    """How long the training lasts. None: as the recipe says."""

    @field_validator("names")
    @classmethod
    def _some(cls, value: list[str] | dict[str, list[str]] | None) -> list[str] | dict[str, list[str]] | None:
        if value is not None and not 0 < len(value) == len(set(value)):
            raise ValueError("name every class once")
        return value

    @property
    def called(self) -> Mapping[str, Sequence[str]]:
        """Classes in their order, and what they are called in label files."""
        if self.names is None:
            return USUAL
        return self.names if isinstance(self.names, dict) else {name: [name] for name in self.names}


def read_recordings(file: Path) -> Recordings:
    """Read and check such a file; its paths become whole. TrainError in one line."""
    asked = check(file, read_recipe_file(file), Recordings)
    root = located(file, asked.path).absolute()
    rig = None if asked.rig is None else located(file, asked.rig)
    return asked.model_copy(update={"path": root, "labels": root / asked.labels, "rig": rig})


def lay_out(asked: Recordings, folder: Path, console: Console) -> dict[str, Any]:
    """Fill `folder` with links to the pairs (vis, ir), their boxes (labels) and the names of those that validate.

    Returns the keys of a detector's recipe that follow from it. console: told what was left out. Raises TrainError.
    """
    out = folder.absolute().parent  # it may lie among the recordings
    train = [find_pairs(asked.path / each, out) for each in _several(asked.train)]
    if asked.val is None:
        held = {pair for some in train for pair in some[len(some) - len(some) // _HELD :]}
    else:
        held = {pair for each in _several(asked.val) for pair in find_pairs(asked.path / each, out)}
    pairs = list(dict.fromkeys([*(pair for some in train for pair in some), *sorted(held)]))
    if not held or held.issuperset(pairs):
        raise TrainError(f"{asked.path}: {len(pairs)} pairs, too few to train and to validate: give more, or other val")
    made_of, there = (
        json.dumps([asked.model_dump(mode="json", exclude={"minutes"}), [str(vis) for vis, _ in pairs]]),
        folder / _MADE_OF,
    )
    if folder.exists() and not (there.is_file() and there.read_text("utf-8") == made_of):
        raise TrainError(f"{folder}: made of other recordings; remove it to make it anew, or choose another --out")
    if not there.is_file():
        labels = Annotations(asked.labels, asked.called)
        _fill(
            folder, pairs, held, labels, asked.rig, lambda line: console.print(f"note: {markup(line)}", style="yellow")
        )
        there.write_text(made_of, encoding="utf-8")
    boxes = str(folder.absolute() / "labels")
    source = {
        "root": str(folder.absolute()),
        "labels": {"fused": boxes, "visible": boxes, "infrared": boxes},
        "validation": str(folder.absolute() / VALIDATION),
    }
    schedule = {} if asked.minutes is None else {"minutes": asked.minutes}
    return {"data": [source], "names": list(asked.called)} | schedule


def _several(folders: list[str] | str) -> list[str]:
    return [folders] if isinstance(folders, str) else folders


def _fill(
    folder: Path,
    pairs: Sequence[tuple[Path, Path]],
    held: set[tuple[Path, Path]],
    labels: Annotations,
    rig: Path | None,
    note: Callable[[str], None],
) -> None:
    unlabelled, count, names = 0, 0, []
    aside = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    for each in ("vis", "ir", "labels"):
        (aside / each).mkdir(parents=True)
    register = None if rig is None else _registering(rig)
    for number, (visible, infrared) in enumerate(pairs):
        name = f"{number:06d}_{visible.stem}"
        with Image.open(visible) as image:
            size = image.size
        boxes = labels.of(visible, infrared, *size)
        unlabelled += boxes is None
        count += 0 if boxes is None else len(boxes)
        write_boxes(aside / "labels" / f"{name}.txt", np.zeros((0, 5), np.float32) if boxes is None else boxes)
        _link(visible, aside / "vis" / (name + visible.suffix))
        if register is None:
            _link(infrared, aside / "ir" / (name + infrared.suffix))
        else:
            Image.fromarray(register(read_gray(infrared), size)).save(aside / "ir" / f"{name}.png")
        if (visible, infrared) in held:
            names.append(name)
    if not count:
        raise TrainError(f"{pairs[0][0]} and {len(pairs) - 1} more: not one box of these classes in their label files")
    if unlabelled:
        note(f"{unlabelled} of {len(pairs)} pairs have no label file: taken as showing nothing")
    for called, boxes_of in labels.left_out.most_common():
        note(f"{boxes_of} boxes of class {called!r} left out; add it to names to learn it")
    (aside / VALIDATION).write_text("\n".join(names) + "\n", encoding="utf-8")
    aside.rename(folder)


def _registering(rig: Path) -> Callable[[np.ndarray, tuple[int, int]], np.ndarray]:
    try:
        registrar = Registrar(load_rig(rig))
    except RigError as error:
        raise TrainError(str(error)) from error
    return lambda infrared, size: registrar.warp(size, infrared.shape[::-1]).apply(infrared)


def _link(source: Path, place: Path) -> None:
    try:
        place.symlink_to(source.absolute())
    except OSError:  # where links need rights, as on Windows
        shutil.copyfile(source, place)
        os.utime(place)
