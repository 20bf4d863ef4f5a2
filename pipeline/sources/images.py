"""Folders and globs of images as a source, in natural order, timed by their position."""

from __future__ import annotations

import glob
import re
import threading
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from ..config import SourceConfig
from ..errors import InputError
from ..frames import Camera, Frame, Pixels
from .base import SourceHealth, SourceInfo
from .decode import read_still
from .picture import PictureMaker
from .timing import to_ns

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"})


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
    """Images as frames: time = index / rate, name = file stem, sizes as they are.

    Visible: (H, W, 3) RGB, 16 bits scaled to 8, alpha dropped, grey and palette expanded. Infrared: (H, W), over 8
    bits or float by percentiles of each picture by itself, colour as luma: nothing says that a folder is a sequence, so
    that no picture may change another (a fixed range serves sequences). EXIF orientation is applied; of files with
    several pages the first is taken. An image that cannot be read whole is skipped and counted; its position in time
    stays empty.
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
        self._rate = Fraction(config.side(camera).rate or config.fps).limit_denominator(100_000)
        self._picture = PictureMaker(spec, camera, config, self.health, still=True)
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
        still = read_still(file)
        if still.pages > 1 and not self._pages_told:
            self._pages_told = True
            self.health.warnings.append(f"{self._spec}: of images with several pages the first is used ({file.name})")
        return self._picture.make(still.values, time_ns, still.orientation)


def _natural(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key by which numbers in names count as numbers."""
    parts = re.split(r"([0-9]+)", str(path).lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part], str(path)
