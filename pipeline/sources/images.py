"""Folders and globs of images as a source, in natural order, timed by their position."""

from __future__ import annotations

import glob
import re
import threading
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..config import SourceConfig
from ..errors import InputError
from ..frames import Camera, Frame, Pixels
from .base import SourceHealth, SourceInfo
from .pixels import FalseColour
from .thermal import ThermalMapper
from .timing import to_ns

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"})
_RAW_MODES = ("I", "F")
"""Pillow's modes of more than 8 bits begin so: I;16, I;16B, I (32-bit integer), F."""


def find_images(spec: str, path: Path) -> list[Path]:
    """The images of a folder (not of its subfolders), of a glob pattern, or one image, in natural order: a9 before
    a10. Hidden files and other kinds of files are left out. Raises InputError when nothing is left.
    """
    try:
        if path.is_dir():
            candidates = list(path.iterdir())
        elif path.exists():
            candidates = [path]
        else:  # Path.glob takes no absolute pattern
            candidates = [Path(match) for match in glob.glob(str(path), recursive=True)]  # noqa: PTH207
    except OSError as e:
        raise InputError(f"{spec}: cannot be read: {e.strerror}") from e
    images = [c for c in candidates if is_image(c) and c.is_file()]
    if not images:
        kinds = f"({', '.join(sorted(s[1:] for s in SUFFIXES))})"
        if not candidates and not path.is_dir():
            raise InputError(f"{spec}: no file matches this pattern")
        videos = [c.name for c in candidates if c.suffix.lower() in (".mp4", ".mkv", ".avi", ".mov", ".ts")]
        hint = f"; it holds videos such as {min(videos)}: give one, or use `fusecam batch`" if videos else ""
        raise InputError(f"{spec}: holds no images {kinds}{hint}")
    return sorted(images, key=_natural)


def is_image(path: Path) -> bool:
    """Whether the name is that of an image which is not hidden."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


class ImageSource:
    """Images as frames: time = index / config.fps, name = file stem, sizes as they are.

    Visible: (H, W, 3) RGB, 16 bits scaled to 8, alpha dropped, grey and palette expanded. Infrared: (H, W), over 8
    bits or float through ThermalMapper, colour as luma. EXIF orientation is applied; of files with several pages the
    first is taken. An image that cannot be read whole is skipped and counted; its position in time stays empty.
    Raises InputError when not one of them can be read.
    """

    def __init__(
        self,
        spec: str,
        files: Sequence[Path],
        camera: Camera,
        config: SourceConfig,
        positions: Sequence[int] | None = None,
    ) -> None:
        """positions: of each file in time, strictly increasing; None: 0, 1, 2, ..."""
        self.health = SourceHealth()
        self._spec = spec
        self._files = files
        self._positions = range(len(files)) if positions is None else positions
        self._config = config
        self._camera: Camera = camera
        self._rate = Fraction(config.fps).limit_denominator(100_000)
        self._thermal = ThermalMapper(config.thermal)
        self._false_colour = FalseColour(spec, self.health)
        self._pages_told = False
        self._closed = threading.Event()
        self._sequence = 0
        self._frames = self._read_all()
        first = next(self._frames, None)
        if first is None:
            raise InputError(f"{spec}: none of its {len(files)} images can be read: {self._first_failure}")
        self._first: Frame | None = first
        self.info = SourceInfo(
            spec=spec,
            kind="images",
            camera=camera,
            width=first.size[0],
            height=first.size[1],
            rate=self._rate,
            frames=len(files),
            live=False,
            clock="index",
            names=tuple(file.stem for file in files),
        )

    def __iter__(self) -> Iterator[Frame]:
        while not self._closed.is_set():
            frame = self._first or next(self._frames, None)
            self._first = None
            if frame is None or self._closed.is_set():
                return
            self.health.delivered += 1
            yield frame

    def close(self) -> None:
        """End the iteration after the image in hand. Safe to call twice and from any thread."""
        self._closed.set()

    def arranged(self, order: Sequence[int | None]) -> ImageSource:
        """A fresh source whose image at position k is file `order[k]` of this one; None leaves the position empty."""
        taken = [(position, index) for position, index in enumerate(order) if index is not None]
        files = [self._files[index] for _, index in taken]
        return ImageSource(self._spec, files, self._camera, self._config, [position for position, _ in taken])

    def _read_all(self) -> Iterator[Frame]:
        for position, file in zip(self._positions, self._files, strict=True):
            time_ns = to_ns(position, 1 / self._rate)
            try:
                pixels = self._read(file, time_ns)
            except Exception as e:  # Pillow's plugins raise whatever they trip over in a damaged file
                self._count_corrupt(file, e)
                continue
            yield Frame(
                pixels=pixels,
                time_ns=time_ns,
                clock="index",
                sequence=self._sequence,
                camera=self._camera,
                name=file.stem,
                arrival_ns=time.monotonic_ns(),
            )
            self._sequence += 1

    def _count_corrupt(self, file: Path, error: Exception) -> None:
        self.health.corrupt += 1
        if self.health.corrupt == 1:
            self._first_failure = f"{file.name}: {' '.join(str(error).split()) or type(error).__name__}"
            self.health.warnings.append(f"{self._spec}: images that cannot be read are skipped ({self._first_failure})")

    def _read(self, file: Path, time_ns: int) -> Pixels:
        with Image.open(file) as opened:
            opened.load()
            if getattr(opened, "n_frames", 1) > 1 and not self._pages_told:
                self._pages_told = True
                self.health.warnings.append(
                    f"{self._spec}: of images with several pages the first is used ({file.name})"
                )
            image = ImageOps.exif_transpose(opened)
        if self._camera == "visible":
            return self._visible(image)
        if image.mode.startswith(_RAW_MODES):
            return self._thermal.map(np.asarray(image), time_ns)
        if image.mode not in ("L", "LA", "1"):
            step = max(1, min(image.size) // 96)
            self._false_colour.check(np.asarray(image.convert("RGB"))[::step, ::step])
            image = image.convert("RGB")
        return np.array(image.convert("L"))

    def _visible(self, image: Image.Image) -> Pixels:
        if image.mode == "F":
            raise ValueError("floating-point values are not a visible picture")
        if image.mode.startswith("I"):
            deep = np.asarray(image).astype(np.int64)
            grey = (np.clip(deep, 0, 65535) / 257 + 0.5).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        return np.array(image.convert("RGB"))


def _natural(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key by which numbers in names count as numbers."""
    parts = re.split(r"([0-9]+)", str(path).lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part], str(path)
