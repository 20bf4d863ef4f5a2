"""Limits for untrusted media files: image size, channels and formats."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

MOST_PIXELS = 40_000_000
"""Maximum of one image; 8K video has 33 million. A file of a few kilobytes may expand to more than the memory."""
MOST_CHANNELS = 16
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "DIB", "PPM")
"""Image formats that are read, whatever the file name: decoders of others, such as EPS, start programs."""
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # such images are refused here


def open_image(file: Path | BinaryIO) -> Image.Image:
    """Open an image with Pillow, not decoded yet. Use the result in a `with` block.

    Raises:
        ValueError: It is none of FORMATS, or larger than MOST_PIXELS.
        Exception: Pillow cannot read it, mostly OSError.
    """
    try:
        image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError as error:  # it names a Python object
        raise ValueError("empty, or of an unknown or damaged format") from error
    try:
        check_pixels(*image.size)
    except ValueError:
        image.close()
        raise
    return image


def check_pixels(width: int, height: int, channels: int = 1) -> None:
    """Raise ValueError if an image of this size exceeds MOST_PIXELS or MOST_CHANNELS."""
    if channels > MOST_CHANNELS:
        raise ValueError(f"{channels} channels are more than {MOST_CHANNELS}: save only those of the image")
    if width * height > MOST_PIXELS:
        raise ValueError(f"{width}x{height} is more than {MOST_PIXELS / 1e6:.0f} megapixels: scale it down")
