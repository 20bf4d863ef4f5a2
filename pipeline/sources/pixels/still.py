"""Decodes image files to their stored values, with all bits and channels."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal

import cv2
import numpy as np
import numpy.typing as npt
import tifffile

from ....engines.host.media import check_pixels, open_image
from .orientation import UPRIGHT, Orientation, of_exif

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong with a file is raised, too

_ORIENTATION, _GDAL_NODATA = 274, 42113
_TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
_GREY_PNG = 0
_PNM_HEADS = (b"P2", b"P3", b"P5", b"P6")
_PNM_HEADER = 10_000
_SOME_COUNTS = 20_000
_MOST_RECORDS = 1000
_SMALL_MODES = ("L", "LA", "RGB", "RGBA")


@dataclass(frozen=True, slots=True, eq=False)
class Still:
    """An image as stored.

    values: (H, W) or (H, W, C), colour as RGB, alpha (if any) last; any integer or float type.
    radiometric: of a JPEG that holds temperatures beside its image: "FLIR" or "DJI"; else None.
    kelvin: whether `values` are these temperatures, in kelvin.
    white: value of white, where the file states one that its type does not.
    """

    values: npt.NDArray[Any]
    orientation: Orientation = UPRIGHT
    pages: int = 1
    radiometric: Literal["FLIR", "DJI"] | None = None
    kelvin: bool = False
    white: int | None = None


def read_still(file: Path | bytes, heat: bool = False) -> Still:
    """The first page of an image file, given by its path or its content. Raises the libraries' exceptions for one
    that cannot be read completely.

    heat: of FLIR's radiometric JPEGs read the temperatures, if the package flyr is there.
    """
    with BytesIO(file) if isinstance(file, bytes) else file.open("rb") as opened:
        still = _read_still(opened)
        if not heat or still.radiometric != "FLIR":
            return still
        try:
            import flyr
        except ImportError:
            return still
        try:
            _check_records(opened)
            values = flyr.unpack(opened).kelvin.astype(np.float32)
        except Exception as error:  # flyr raises any exception on damaged data
            raise ValueError("its temperatures are damaged (without flyr it is read as drawn)") from error
        return replace(still, values=values, kelvin=True)


def _read_still(file: BinaryIO) -> Still:
    head = file.read(26)
    file.seek(0)
    if head[:4] in _TIFF_HEADS and (still := _read_tiff(file)) is not None:
        return still
    file.seek(0)
    with open_image(file) as image:
        image.load()  # Pillow is the one that notices files which were cut short
        orientation = of_exif(image.getexif().get(_ORIENTATION))
        pages = int(getattr(image, "n_frames", 1))
        # of these Pillow keeps the high bytes, or scales them
        if head[:2] in _PNM_HEADS and (white := _pnm_white(file)) > 255:
            return Still(_by_opencv(file), white=white)
        if head[:8] == _PNG_HEAD and head[24] == 16 and head[25] != _GREY_PNG:
            return Still(_by_opencv(file), orientation)
        if image.mode.startswith(("I", "F")):
            return Still(np.asarray(image), orientation, pages)
        radiometric = _radiometric(getattr(image, "applist", []))
        if image.mode not in _SMALL_MODES:
            image = image.convert("L" if image.mode == "1" else "RGB")
        return Still(np.array(image), orientation, pages, radiometric)


def _check_records(file: BinaryIO) -> None:
    """See that flyr can read the directory of FLIR's records: of a damaged one it would read on for hours."""
    file.seek(0)
    data = file.read()
    start = data.find(b"FLIR\0\1\0") + 8
    entries = int.from_bytes(data[start + 28 : start + 32], "big")
    file.seek(0)
    if data[start : start + 4] not in (b"FFF\0", b"AFF\0") or entries > _MOST_RECORDS:
        raise ValueError("no directory of FLIR's records")


def _radiometric(segments: list[tuple[str, bytes]]) -> Literal["FLIR", "DJI"] | None:
    """FLIR's JPEGs keep their counts in APP1, DJI's in APP3, where others have at most a few bytes."""
    if any(name == "APP1" and data.startswith(b"FLIR\0") for name, data in segments):
        return "FLIR"
    return "DJI" if sum(len(data) for name, data in segments if name == "APP3") > _SOME_COUNTS else None


def _read_tiff(file: BinaryIO) -> Still | None:
    """Pictures of more than 8 bits or in separate planes; None for what Pillow reads as well."""
    with tifffile.TiffFile(file) as opened:
        page = opened.pages.first
        separate = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and page.samplesperpixel > 1
        if page.dtype is None or (page.dtype.itemsize == 1 and not separate):
            return None
        check_pixels(page.imagewidth, page.imagelength * page.imagedepth, page.samplesperpixel)
        orientation = of_exif(page.tags.valueof(_ORIENTATION))
        pages = len(opened.pages)
        try:
            values = np.squeeze(page.asarray())
        except ValueError as error:
            if "imagecodecs" not in str(error):  # a compression that tifffile leaves to others
                raise
            return Still(_by_opencv(file), orientation, pages)
        with suppress(TypeError, ValueError):  # not there, or no number
            none = float(page.tags.valueof(_GDAL_NODATA))
            if values.ndim == 2:
                values = np.where(values == none, np.float32(np.nan), values.astype(np.float32))
        if values.ndim == 3 and separate:
            values = np.moveaxis(values, 0, -1)
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and values.dtype.kind == "u":
            values = np.iinfo(values.dtype).max - values
        return Still(values, orientation, pages)


def _pnm_white(file: BinaryIO) -> int:
    file.seek(0)
    return int(re.sub(rb"#[^\n]*", b"", file.read(_PNM_HEADER)).split()[3])


def _by_opencv(file: BinaryIO) -> npt.NDArray[Any]:
    file.seek(0)
    data = np.frombuffer(file.read() + b"\n", np.uint8)  # without it the last number of a plain PNM has no end
    values: npt.NDArray[Any] | None = cv2.imdecode(data, cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if values is None:
        raise ValueError("its kind of compression or channels is not supported: save it as a plain TIFF or PNG")
    if values.ndim == 3 and values.shape[2] in (3, 4):
        order = [2, 1, 0, 3][: values.shape[2]]
        values = np.ascontiguousarray(values[..., order])
    return values
