"""Folders and globs of images as a source, in natural order, timed by their position."""

from __future__ import annotations

import glob
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

from ...engines.host.textfiles import what_text
from ..config import KelvinConfig, SourceConfig
from ..core.frames import Camera, Frame, Pixels
from ..core.paths import IMAGE_SUFFIXES
from ..errors import InputError
from ..pairing import labels_of
from .base import SourceHealth, SourceInfo
from .pixels.picture import PictureMaker, fourth_is_picture
from .pixels.polarity import Polarity
from .pixels.still import read_still
from .pixels.two_pictures import warn_no_temperatures
from .timing import to_ns

_SAMPLES = 12
_KELVIN = KelvinConfig(scale=1)


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
            candidates = [Path(match) for match in glob.glob(_any_case(str(path)), recursive=True)]  # noqa: PTH207
    except OSError as e:
        raise InputError(f"{spec}: cannot be read: {e.strerror}") from e
    images = [c for c in candidates if is_image(c) and c.is_file()]
    if not images:
        kinds = f"({', '.join(sorted(s[1:] for s in IMAGE_SUFFIXES))})"
        if not candidates and not path.is_dir():
            raise InputError(f"{spec}: no file matches this pattern")
        videos = [c.name for c in candidates if c.suffix.lower() in (".mp4", ".mkv", ".avi", ".mov", ".ts")]
        hint = f"; it holds videos such as {min(videos)}: give one, or use `fusecam batch`" if videos else ""
        raise InputError(f"{spec}: holds no images {kinds}{hint}")
    return sorted(images, key=_natural)


def _any_case(pattern: str) -> str:
    """A pattern whose suffix matches in any case: cameras write .JPG where later copies are .jpg."""
    stem, dot, suffix = pattern.rpartition(".")
    return stem + dot + "".join(f"[{c.lower()}{c.upper()}]" for c in suffix) if suffix.isalpha() else pattern


def is_image(path: Path) -> bool:
    """Whether a file name is that of an image and not hidden."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


class ImageSource:
    """Images as frames: time = index / rate, name = file stem, sizes as they are.

    Visible: (H, W, 3) uint8 RGB, 16 bits scaled to 8, alpha dropped, grey and palette expanded. Infrared: (H, W) uint8,
    colour converted to luma, over 8 bits or float scaled by the percentiles of each image. A folder need not be a
    sequence, so images do not affect each other; set a fixed range for sequences. EXIF orientation is applied. Of files
    with several pages the first is read. An image that cannot be read completely is skipped and counted; its time and
    index stay unused. Raises InputError if none can be read.
    """

    def __init__(
        self,
        spec: str,
        files: Sequence[Path],
        camera: Camera,
        config: SourceConfig,
        places: Sequence[tuple[int, int]] | None = None,
        polarity: Polarity | None = None,
    ) -> None:
        """Read the first image.

        Args:
            spec: name of the source.
            files: the images.
            camera: which camera they are of.
            config: settings of both cameras.
            places: images to read, as (index in files, time in ns), in order of time; None: all, timed by the rate.
            polarity: polarity of infrared; None: as set, or inferred from some of the files.
        """
        self.health = SourceHealth()
        warn_no_temperatures(self.health, spec, config.side(camera))
        self.files = files
        self.labels = labels_of(files, spec)
        self._spec = spec
        self._config = config
        self._camera: Camera = camera
        self._polarity = polarity or _polarity(files, camera, config)
        self._rate = Fraction(config.side(camera).rate or config.fps).limit_denominator(100_000)
        self._places = self.by_rate(range(len(files))) if places is None else places
        self._picture = PictureMaker(spec, camera, config, self.health, True, self._polarity)
        self._closed = threading.Event()
        names = self._names()
        self._frames = self._read_all(names)
        first = next(self._frames, None)
        if first is None:
            raise InputError(f"{spec}: none of its {len(self._places)} images can be read: {self._first_failure}")
        self._first: Frame | None = first
        self.info = SourceInfo(
            spec=spec,
            kind="images",
            camera=camera,
            width=first.size[0],
            height=first.size[1],
            rate=self._rate if places is None else None,
            frames=len(self._places),
            live=False,
            clock="index",
            names=tuple(names),
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

    def by_rate(self, positions: Sequence[int]) -> list[tuple[int, int]]:
        """Positions with their times by the nominal rate."""
        return [(position, to_ns(position, 1 / self._rate)) for position in positions]

    def placed(self, places: Sequence[tuple[int, int]]) -> ImageSource:
        """A fresh source of some of the images at other times; see `places` above."""
        return ImageSource(self._spec, self.files, self._camera, self._config, places, self._polarity)

    def _names(self) -> list[str]:
        stems = [file.stem for file in self.files]
        return stems if len(set(stems)) == len(stems) else ["_".join(label) for label in self.labels]

    def _read_all(self, names: Sequence[str]) -> Iterator[Frame]:
        for index, time_ns in self._places:
            file = self.files[index]
            try:
                pixels = self._read(file, time_ns)
            except Exception as e:  # Pillow's plugins raise any exception on a damaged file
                self._count_corrupt(file, e)
                continue
            yield Frame(
                pixels=pixels,
                time_ns=time_ns,
                clock="index",
                sequence=index,
                camera=self._camera,
                name=names[index],
                file="/".join((*self.labels[index][:-1], file.name)),
                arrival_ns=time.monotonic_ns(),
                counts=self._picture.counts,
                temperature=self._picture.temperature,
            )

    def _count_corrupt(self, file: Path, error: Exception) -> None:
        self.health.corrupt += 1
        if self.health.corrupt == 1:
            reason = what_text(file) or " ".join(str(error).split()) or type(error).__name__
            self._first_failure = f"{file.name}: {reason}"
            self.health.warnings.append(f"{self._spec}: images that cannot be read are skipped ({self._first_failure})")

    def _read(self, file: Path, time_ns: int) -> Pixels:
        still = read_still(file, heat=self._camera == "infrared")
        if still.pages > 1:
            line = f"{self._spec}: of images with several pages the first is used ({file.name})"
            self.health.warn("pages", line)
        if still.radiometric and self._camera == "infrared":
            instead = "pip install flyr reads these" if still.radiometric == "FLIR" else "export these as 16-bit TIFF"
            used = (
                "their temperatures are used, not the picture that the camera drew"
                if still.kelvin
                else "the picture as the camera drew it is used, scale and marks included, not the temperatures beside "
                f"it: {instead}"
            )
            self.health.warn("radiometric", f"{self._spec}: radiometric JPEGs: {used} ({file.name})")
        kelvin = _KELVIN if still.kelvin else None
        return self._picture.make(still.values, time_ns, still.orientation, kelvin, still.white)


def has_fourth_picture(file: Path) -> bool:
    """Whether the fourth channel of a file is an image. False if the file cannot be read."""
    try:
        return fourth_is_picture(read_still(file).values)
    except Exception:  # reported when it is read as a frame
        return False


def _polarity(files: Sequence[Path], camera: Camera, config: SourceConfig) -> Polarity:
    """The polarity as set or, for infrared, inferred from files spread over the folder, assumed to be of one camera."""
    polarity = Polarity(config.side(camera).polarity)
    if camera == "infrared" and config.ir.polarity == "auto":
        sample = PictureMaker("", camera, config, SourceHealth(), True, polarity)
        for k in range(min(_SAMPLES, len(files))):
            with suppress(Exception):  # counted and reported when it is read as a frame
                still = read_still(files[k * len(files) // min(_SAMPLES, len(files))], heat=True)
                sample.make(still.values, k * 1_000_000_000, still.orientation)
    polarity.settle()
    return polarity


def _natural(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key that compares numbers in names as numbers."""
    parts = re.split(r"([0-9]+)", str(path).lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part], str(path)
