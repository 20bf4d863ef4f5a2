"""Scenes of an evaluation: finds the images in folders by name, reads them, and checks their sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from ...pipeline.core.paths import IMAGE_SUFFIXES
from ...pipeline.errors import InputError
from ...pipeline.pairing import PairTable, pair_images, read_pairs
from ...pipeline.sources.images import is_image
from .. import images
from ..errors import TrainError, as_train_error
from ..metrics import Colour, Gray, gray, rgb

Half = Literal["select", "report"]
"""Half of the scenes sorted by name: `select`, for tuning, the 1st, 3rd, 5th ...; `report`: the others."""
SMALLEST = 32
"""Minimum width and height in pixels."""
AVERAGE, MAXIMUM = "average", "maximum"
"""Rows of the baselines, see `mean_and_maximum`."""
REGISTER = (
    "resize it; infrared is registered by fusecam --ir IR --vis VIS --rig RIG --view infrared --no-overlay --out NEW"
)
"""What to do about images of different sizes."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The files of one scene. fused: fused images by method."""

    name: str
    infrared: Path
    visible: Path
    reference: Path
    restored_reference: Path
    fused: Mapping[str, Path] = field(default_factory=dict)
    labels: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """The source images of one scene: infrared (H, W) uint8, the others (H, W, 3) uint8 RGB, all of equal size."""

    infrared: Gray
    visible: Colour
    reference: Colour
    restored_reference: Colour


def find_scenes(
    infrared: Path,
    visible: Path,
    reference: Path | None = None,
    restored_reference: Path | None = None,
    fused: Mapping[str, Path] | None = None,
    every: int = 1,
    note: Callable[[str], None] = lambda line: None,
    half: Half | None = None,
    labels: Path | None = None,
    pairs: Path | None = None,
) -> list[Scene]:
    """Find the scenes of an evaluation, sorted by the name of the visible image.

    The images of a scene are matched by the common part of their names, see `pipeline.pairing`.

    reference: folder of the clear visible images, default `visible`. restored_reference: folder of the ground truth of
    the restored images, default the reference. fused: folders by method. Scenes that lack an image are left out for all
    methods and reported to `note`. half: use one half of the scenes. every: then use every n-th scene, from the first.
    labels: folder of label files. pairs: table of visible and infrared images. Raises TrainError for a missing folder
    and if there is no scene.
    """
    with as_train_error(InputError):
        table = None if pairs is None else read_pairs(pairs)
    visible_files = list_images(visible)
    folders = {"infrared": infrared, "reference": reference, "restored reference": restored_reference}
    partners = {
        role: _partners(visible, visible_files, folder, note, table if role == "infrared" else None)
        for role, folder in folders.items()
        if folder is not None
    }
    common = [name for name in sorted(visible_files) if all(name in files for files in partners.values())]
    if not common:
        raise TrainError(f"{visible}: no image has a partner in every other folder")
    spare = len(visible_files) + sum(len(list_images(folder)) for folder in folders.values() if folder is not None)
    spare -= len(common) * (1 + len(partners))
    if spare:
        note(f"{spare} images have no counterpart in every source folder and are left out")

    chosen = (common[half == "report" :: 2] if half else common)[::every]
    if not chosen:
        raise TrainError(f"{visible}: the only scene is not in the half '{half}'; leave --half out")
    fused_files = {method: _partners(visible, visible_files, folder, note) for method, folder in (fused or {}).items()}
    for method, files in fused_files.items():
        missing = [name for name in chosen if name not in files]
        if len(missing) == len(chosen):
            raise TrainError(f"{(fused or {})[method]}: no image has the name of a scene, such as {chosen[0]}")
        if missing:
            note(f"{method} lacks {len(missing)} of {len(chosen)} scenes, {missing[0]} first: left out for all methods")
            chosen = [name for name in chosen if name in files]
    return [
        Scene(
            name,
            partners["infrared"][name],
            visible_files[name],
            partners.get("reference", visible_files)[name],
            partners.get("restored reference", partners.get("reference", visible_files))[name],
            {method: files[name] for method, files in fused_files.items()},
            labels / f"{name}.txt" if labels is not None else None,
        )
        for name in chosen
    ]


def _partners(
    visible: Path,
    visible_files: Mapping[str, Path],
    folder: Path,
    note: Callable[[str], None],
    table: PairTable | None = None,
) -> dict[str, Path]:
    """Map the name of each visible image to the matching image of `folder`."""
    files = list_images(folder)
    names, others = list(visible_files), list(files)
    labels = [(name,) for name in names], [(name,) for name in others]
    sources = str(visible), str(folder)
    with as_train_error(InputError):
        pairing = pair_images(*labels, sources=sources, table=table, by_position=False)
    for line in (*pairing.notes, *pairing.doubts):
        note(line)
    return {names[v]: files[others[i]] for v, i in pairing.pairs if i is not None}


def list_images(folder: Path) -> dict[str, Path]:
    """Image files of a folder, without subfolders, by stem. Raises TrainError if there are none."""
    if not folder.is_dir():
        raise TrainError(
            f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}: give a folder of images"
        )
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if is_image(path) and path.is_file():
            if path.stem in files:
                raise TrainError(f"{path}: {files[path.stem].name} has the same name: keep one of them")
            files[path.stem] = path
    if not files:
        raise TrainError(f"{folder}: no images in it ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return files


def read_image(path: Path) -> Gray | Colour:
    """See `train.images.read_image`. Raises TrainError, also for images smaller than SMALLEST."""
    image = images.read_image(path)
    if min(image.shape[:2]) < SMALLEST:
        raise TrainError(f"{path}: {_size(image)}: too small to be scored, at least {SMALLEST}x{SMALLEST} pixels")
    return image


def read_sources(scene: Scene) -> Images:
    """Read the source images of a scene. Raises TrainError for unreadable images and different sizes."""
    read: dict[Path, Gray | Colour] = {}
    for path in (scene.visible, scene.infrared, scene.reference, scene.restored_reference):
        if path not in read:
            read[path] = read_image(path)
            fits(read[path], path, read[scene.visible], scene.visible)
    return Images(
        gray(read[scene.infrared]),
        *(rgb(read[path]) for path in (scene.visible, scene.reference, scene.restored_reference)),
    )


def fits(image: Gray | Colour, path: Path, visible: Gray | Colour, visible_path: Path) -> None:
    """Raise TrainError if an image and the visible image differ in size."""
    if image.shape[:2] != visible.shape[:2]:
        raise TrainError(
            f"{path}: {_size(image)}, but {visible_path} is {_size(visible)}: metrics compare pixel by pixel; "
            f"{REGISTER}"
        )


def _size(image: Gray | Colour) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"


def mean_and_maximum(visible: Gray, infrared: Gray) -> dict[str, Gray]:
    """The fusion baselines: pixel-wise average and maximum of visible luma and infrared, (H, W) uint8 each."""
    average = ((visible.astype(np.uint16) + infrared) // 2).astype(np.uint8)
    return {AVERAGE: average, MAXIMUM: np.maximum(visible, infrared)}
