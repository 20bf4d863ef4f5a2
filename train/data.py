"""Registered pairs for training, found by the layouts of the public data sets and kept decoded in memory."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .errors import TrainError
from .images import read_colour, read_gray

VISIBLE = ("vis", "vi", "visible", "rgb", "crop_lr_visible")
INFRARED = ("ir", "infrared", "lwir", "thermal", "cropinfrared")
"""Folder names of the two cameras, in lower case."""
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


def find_pairs(root: Path) -> list[tuple[Path, Path]]:
    """Every (visible, infrared) pair of files below a folder, sorted by the visible path.

    The rule: somewhere in the visible file's path is a folder named as in VISIBLE; with that one name replaced by one
    of INFRARED, the path leads to an infrared file of the same stem. That covers MSRS (train/vi, train/ir), LLVIP
    (visible/train, infrared/train), RoadScene (crop_LR_visible, cropinfrared), M3FD (Vis, Ir) and KAIST
    (set00/V000/visible, set00/V000/lwir). TrainError where the folder has no pair, or a visible file has no partner.
    """
    if not root.is_dir():
        raise TrainError(f"{root}: no such folder; name the folder that holds the pairs")
    pairs = []
    for visible in sorted(path for path in root.rglob("*") if path.suffix.lower() in IMAGES):
        parts = visible.relative_to(root).parts
        at = next((index for index, part in enumerate(parts[:-1]) if part.lower() in VISIBLE), None)
        if at is None:
            continue
        infrared = _partner(root.joinpath(*parts[:at]), Path(*parts[at + 1 :]))
        if infrared is None:
            raise TrainError(f"{visible}: no infrared file of this name; name its folder one of {', '.join(INFRARED)}")
        pairs.append((visible, infrared))
    if not pairs:
        raise TrainError(f"{root}: no pairs; put them into folders named {VISIBLE[0]} and {INFRARED[0]}")
    return pairs


def _partner(parent: Path, rest: Path) -> Path | None:
    for folder in sorted(path for path in parent.iterdir() if path.is_dir() and path.name.lower() in INFRARED):
        here = folder / rest
        for candidate in (here, *(here.with_suffix(suffix) for suffix in IMAGES)):
            if candidate.is_file():
                return candidate
    return None


def split(pairs: list[tuple[Path, Path]], hold_out: int, held: bool) -> list[tuple[Path, Path]]:
    """Every `hold_out`-th pair (held) or the others; 0 holds nothing out."""
    if hold_out == 0:
        return [] if held else list(pairs)
    return [pair for index, pair in enumerate(pairs) if (index % hold_out == 0) == held]


class PairDataset(Dataset[tuple[Tensor, Tensor]]):
    """Pairs as uint8 tensors: visible (3, H, W) RGB, infrared (1, H, W), of one size.

    Frames are decoded once. With `crop`, each access cuts a random window at the frames' own scale (frames smaller than
    the window are enlarged to it); without, the whole frame is resized to `size`, which also undoes a squeezed aspect.
    With `mirror`, half of the pairs come mirrored left to right.
    """

    def __init__(
        self, pairs: list[tuple[Path, Path]], size: tuple[int, int], crop: bool = False, mirror: bool = True
    ) -> None:
        self.size, self.crop, self.mirror = size, crop, mirror
        self.frames = [self._load(*pair) for pair in pairs]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        frame = self.frames[index]
        height, width = self.size
        if self.crop:
            top = int(torch.randint(frame.shape[0] - height + 1, ()))
            left = int(torch.randint(frame.shape[1] - width + 1, ()))
            frame = frame[top : top + height, left : left + width]
        if self.mirror and bool(torch.rand(()) < 0.5):
            frame = frame[:, ::-1]
        planes = torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1)))
        return planes[:3], planes[3:]

    def _load(self, visible: Path, infrared: Path) -> npt.NDArray[np.uint8]:
        """RGB and infrared as one (H, W, 4) array."""
        colour, gray = read_colour(visible), read_gray(infrared)
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
        shrinks = height < frame.shape[0] and width < frame.shape[1]
        resized = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return np.asarray(resized, np.uint8)
