"""Batches of augmented windows from the training frames, in the format of Ultralytics' loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from ...engines.base import Pixels
from ..data import find_pairs, split
from ..errors import TrainError
from .augment import cut, jitter, narrowed, with_pole
from .boxes import Boxes, read_boxes
from .recipe import BOTH, DetectorRecipe, Kind, drawn

Batch = dict[str, Tensor]
"""img: (N, C, h, w) uint8, RGB, or RGB and infrared. cls: (n, 1). bboxes: (n, 4), centre x, centre y, width, height,
relative to the window. batch_idx: (n,), the image of each box."""
VARIANTS = ("degraded", "restored", "shown")
"""Suffixes of the file names of a pair's additional frames."""
WIDTH = 640
"""Reference width in pixels: frames are scaled to it, as at inference, before the random scale."""
Name = TypeVar("Name", bound=str)


@dataclass(frozen=True)
class Example:
    """One training frame and its boxes. infrared: second frame of the kinds that combine two cameras (see `BOTH`)."""

    image: Path
    boxes: Boxes
    kind: Kind
    infrared: Path | None = None


class Examples:
    """All frames of a recipe by source and kind, split into training and held-out frames."""

    def __init__(self, recipe: DetectorRecipe, folder: Path) -> None:
        """folder: output of `make_images`. Raises TrainError if it lacks frames."""
        held: set[tuple[str, str]] = set()
        self.shares: dict[str, float] = {}
        for number, pairs in enumerate(recipe.data):
            source = str(number)
            self.shares[source] = pairs.share
            if pairs.hold_out:
                held |= {(source, pair[0].stem) for pair in split(find_pairs(pairs.root), pairs.hold_out, held=True)}
            if pairs.validation is not None:
                held |= {(source, name) for name in pairs.validation.read_text(encoding="utf-8").split("\n")}
        if recipe.streets.scenes:
            self.shares["streets"] = recipe.streets.share
        self.train: dict[tuple[str, Kind], list[Example]] = {}
        self.held: list[Example] = []
        self.alone: dict[Path, Example] = {}
        """Maps the path of a degraded fused frame to the same frame without infrared."""
        for source in self.shares:
            for kind in kinds_of(recipe, source):
                self.train[source, kind] = []
                images, labels = folder / "images" / source, folder / "labels" / source
                for image in sorted((images / ("visible" if kind in BOTH else kind)).glob("*.jpg")):
                    name, _, which = image.stem.rpartition("_")
                    if kind in BOTH and which == "restored":
                        continue  # made for `alone`, not for kinds that combine two cameras
                    stem = name if which in VARIANTS else image.stem
                    boxes = read_boxes(labels / ("fused" if kind in BOTH else kind) / f"{image.stem}.txt", recipe.names)
                    infrared = images / "infrared" / f"{stem}.jpg" if kind in BOTH else None
                    example = Example(image, boxes, kind, infrared)
                    if (source, stem) not in held:
                        self.train[source, kind].append(example)
                    elif kind not in ("visible", "infrared"):
                        self.held.append(example)
                if not self.train[source, kind]:
                    raise TrainError(f"{folder / 'images' / source / kind}: no frames; remove {folder} to create them")
            by_name = {frame.image.name: frame for frame in self.train.get((source, "visible"), [])}
            for frame in self.train.get((source, "fused"), []):
                without = by_name.get(frame.image.name.replace("_degraded", "_restored"))
                if without is not None and frame.image.stem.endswith("_degraded"):
                    self.alone[frame.image] = without


class RandomCrops(IterableDataset[Batch]):
    """`count` random batches of windows: draws source and kind by their shares, then frame, crop and augmentation.

    size: (height, width) of the windows; may be changed during training.
    """

    def __init__(self, recipe: DetectorRecipe, examples: Examples, count: int, seed: int) -> None:
        self.recipe, self.examples, self.count, self.size = recipe, examples, count, recipe.size
        self._random = np.random.default_rng(seed)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(self.count):
            yield collate([self._window() for _ in range(self.recipe.batch)])

    def _window(self) -> tuple[Pixels, Boxes]:
        height, width = self.size
        if self._random.random() >= self.recipe.quarters:
            return self._cut((height, width), 1.0)
        quarters = [self._cut((height // 2, width // 2), 0.5) for _ in range(4)]
        rows = [np.concatenate([image for image, _ in quarters[at : at + 2]], 1) for at in (0, 2)]
        places = [np.array([0, at % 2 / 2, at // 2 / 2, 0, 0], np.float32) for at in range(4)]
        half = np.array([1, 0.5, 0.5, 0.5, 0.5], np.float32)
        moved = [boxes * half + place for place, (_, boxes) in zip(places, quarters, strict=True)]
        return np.concatenate(rows), np.concatenate(moved)

    def _cut(self, size: tuple[int, int], usual: float) -> tuple[Pixels, Boxes]:
        source = self._draw(self.examples.shares)
        kind = self._draw({kind: self.recipe.kinds[kind] for kind in kinds_of(self.recipe, source)})
        pool = self.examples.train[source, kind]
        example = pool[int(self._random.integers(len(pool)))]
        image, boxes = read_frame(example), example.boxes
        alone = self.examples.alone.get(example.image)
        if alone is not None and self._random.random() < self.recipe.narrow:
            image, boxes = narrowed(image, boxes, read_frame(alone), alone.boxes, self._random)
        image, boxes = cut(image, boxes, size, self._random, usual * WIDTH / image.shape[1])
        if self.recipe.poles and self._random.random() < self.recipe.poles:
            image = with_pole(image, boxes, self._random)
        if image.shape[2] == 3:
            return jitter(image, self._random), boxes
        infrared = jitter(np.repeat(image[..., 3:], 3, 2), self._random)  # each camera is augmented independently
        return np.dstack([jitter(image[..., :3], self._random), infrared[..., 0]]), boxes

    def _draw(self, shares: Mapping[Name, float]) -> Name:
        weights = np.array(list(shares.values()))
        return list(shares)[int(self._random.choice(len(weights), p=weights / weights.sum()))]


class WholeFrames(IterableDataset[Batch]):
    """All held-out frames once, uncropped, resized to (height, width)."""

    def __init__(self, examples: list[Example], batch: int, size: tuple[int, int]) -> None:
        self.examples, self.batch, self.size = examples, batch, size

    def __len__(self) -> int:
        return -(-len(self.examples) // self.batch)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self.examples), self.batch):
            some = self.examples[start : start + self.batch]
            frames = [np.asarray(cv2.resize(read_frame(each), self.size[::-1]), np.uint8) for each in some]
            yield collate([(frame, each.boxes) for frame, each in zip(frames, some, strict=True)])


def kinds_of(recipe: DetectorRecipe, source: str) -> list[Kind]:
    """Frame kinds that the recipe draws from a source. source: index in the recipe's `data`, or `streets`."""
    return drawn(recipe, recipe.data[int(source)].kinds) if source.isdecimal() else list(recipe.kinds)


def read_frame(example: Example) -> Pixels:
    """Read a frame: (H, W, 3) uint8 RGB, or (H, W, 4) RGB and infrared. Raises TrainError."""
    image = _read(example.image)
    if example.infrared is None:
        return image
    heat = _read(example.infrared)
    return np.dstack([image, heat[..., 0]]) if example.kind == "four" else mean(image, heat)


def mean(a: Pixels, b: Pixels) -> Pixels:
    """Mean of two uint8 frames of equal shape, rounded down."""
    return np.asarray((a.astype(np.uint16) + b) // 2, np.uint8)


def _read(path: Path) -> Pixels:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise TrainError(f"{path}: not an image that can be read; remove the folder of frames to create it again")
    return np.asarray(image, np.uint8)


def collate(made: list[tuple[Pixels, Boxes]]) -> Batch:
    """Collate windows of equal size and their boxes into a batch."""
    boxes = torch.from_numpy(np.concatenate([boxes for _, boxes in made]))
    index = np.repeat(np.arange(len(made)), [len(boxes) for _, boxes in made])
    return {
        "img": torch.from_numpy(np.stack([image for image, _ in made])).permute(0, 3, 1, 2),
        "cls": boxes[:, :1],
        "bboxes": boxes[:, 1:],
        "batch_idx": torch.from_numpy(index).float(),
    }
