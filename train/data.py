"""Registered pairs for training: found in the folder layouts of public data sets, decoded once, kept in memory."""

from __future__ import annotations

from glob import has_magic
from itertools import takewhile
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..pipeline.core.frames import Camera
from ..pipeline.errors import InputError
from ..pipeline.pairing import camera_of, labels_of, pair_images
from ..pipeline.sources.images import is_image
from .errors import TrainError, as_train_error
from .images import read_image


def find_pairs(root: Path, without: Path | None = None) -> list[tuple[Path, Path]]:
    """Find all (visible, infrared) pairs of image files below a folder, sorted by the visible path.

    A marker in a folder's or a file's name identifies the camera (see `pipeline.pairing`); the rest of the path
    identifies the pair. This covers MSRS (train/vi, train/ir), LLVIP (visible/train, infrared/train), RoadScene
    (crop_LR_visible, cropinfrared), M3FD (Vis, Ir), KAIST (set00/V000/visible, set00/V000/lwir), VT5000 (RGB, T), FLIR
    ADAS v1 (_RGB, _PreviewData) and VEDAI (_co, _ir).

    Args:
        root: Folder, or a pattern of folders such as LLVIP/*/train.
        without: Folder whose files are ignored.

    Raises:
        TrainError: There is no pair, a visible file has no partner, or names are ambiguous.
    """
    base = root if root.is_dir() else Path(*takewhile(lambda part: not has_magic(part), root.parts))
    folders = [root] if base == root else list(base.glob(str(root.relative_to(base))))
    if not folders or not all(folder.is_dir() for folder in folders):
        raise TrainError(f"{root}: no such folder; give the data root, or a YAML file of your own pairs, with --data")
    files: dict[Camera, list[Path]] = {"visible": [], "infrared": []}
    for path in sorted(path for folder in folders for path in folder.rglob("*") if is_image(path)):
        if without is not None and without in path.absolute().parents:
            continue
        camera = camera_of((*path.relative_to(base).parent.parts, path.stem))
        if camera is not None:
            files[camera].append(path)
    visible, infrared = files["visible"], files["infrared"]
    if not visible:
        raise TrainError(f"{root}: no pairs; put them into folders named vis and ir")
    if not infrared:
        raise TrainError(f"{visible[0]}: no infrared file belongs to it; put it into a folder named ir beside vis")
    with as_train_error(InputError):
        labels = labels_of(visible, str(root)), labels_of(infrared, str(root))
        result = pair_images(*labels, sources=(f"{root}, visible", "infrared"), by_position=False)
    unpaired = next((visible[v] for v, i in result.pairs if i is None), None)
    if unpaired is not None:
        raise TrainError(f"{unpaired}: no infrared file belongs to it; add it, or remove this one")
    if result.doubts:
        raise TrainError(result.doubts[0])
    return [(visible[v], infrared[i]) for v, i in result.pairs if i is not None]


def split(pairs: list[tuple[Path, Path]], hold_out: int, held: bool) -> list[tuple[Path, Path]]:
    """Every `hold_out`-th pair if `held`, else the others. hold_out 0: no pair is held out."""
    if hold_out == 0:
        return [] if held else list(pairs)
    return [pair for index, pair in enumerate(pairs) if (index % hold_out == 0) == held]


class PairDataset(Dataset[tuple[Tensor, Tensor]]):
    """Pairs of one size as uint8 tensors: visible (3, H, W) RGB, infrared (1, H, W).

    All frames are decoded once and kept in memory. With `crop`, each access returns a random window at the frames' own
    scale; frames smaller than the window are enlarged to it. Without, whole frames are resized to `size`, whatever
    their aspect ratio; with `zoom` above 1, random windows of 1 / zoom to 1 of their sides. With `mirror`, half of the
    accesses return the pair mirrored left to right.
    """

    def __init__(
        self,
        pairs: list[tuple[Path, Path]],
        size: tuple[int, int],
        crop: bool = False,
        mirror: bool = True,
        zoom: float = 1.0,
    ) -> None:
        self.size, self.crop, self.mirror, self.zoom = size, crop, mirror, zoom
        self.frames = [self._load(*pair) for pair in pairs]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        frame = self.frames[index]
        if self.crop:
            frame = _window(frame, *self.size)
        elif self.zoom > 1:
            part = 1 - float(torch.rand(())) * (1 - 1 / self.zoom)
            frame = _resized(_window(frame, *(round(part * side) for side in frame.shape[:2])), self.size)
        if self.mirror and bool(torch.rand(()) < 0.5):
            frame = frame[:, ::-1]
        planes = torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1)))
        return planes[:3], planes[3:]

    def _load(self, visible: Path, infrared: Path) -> npt.NDArray[np.uint8]:
        """RGB and infrared as one (H, W, 4) array."""
        colour, gray = read_image(visible, "RGB"), read_image(infrared, "L")
        if colour.shape[:2] != gray.shape:
            raise TrainError(
                f"{infrared}: {gray.shape} beside a visible frame of {colour.shape[:2]}; register the pair first"
            )
        frame = np.dstack([colour, gray])
        height, width = self.size
        if self.crop:
            scale = max(height / frame.shape[0], width / frame.shape[1])
            if scale <= 1:
                return frame
            height, width = (
                max(least, round(side * scale)) for least, side in zip(self.size, frame.shape, strict=False)
            )
        elif self.zoom > 1:
            return frame
        return _resized(frame, (height, width))


def _window(frame: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """A window at a random place of the frame."""
    top = int(torch.randint(frame.shape[0] - height + 1, ()))
    left = int(torch.randint(frame.shape[1] - width + 1, ()))
    return frame[top : top + height, left : left + width]


def _resized(frame: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Resize (H, W, C) to a height and width; shrinking averages pixels."""
    height, width = size
    shrinks = height < frame.shape[0] and width < frame.shape[1]
    resized = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)
