"""Media files are not trusted: how large their pictures may be, and which kinds of image are read at all."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import BinaryIO

from PIL import Image

MOST_PIXELS = 40_000_000
"""Of one picture; 8K video has 33 million. A few kilobytes may claim more than there is memory for."""
MOST_CHANNELS = 16
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "DIB", "PPM")
"""Whatever a file is called: others, such as EPS, would start programs."""
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # what it warns of is refused here


def open_image(file: Path | BinaryIO) -> Image.Image:
    """Pillow's image, not decoded yet, to be used in a `with` block.

    Raises ValueError where it is larger than MOST_PIXELS, else what Pillow raises.
    """
    image = Image.open(file, formats=FORMATS)
    try:
        check_pixels(*image.size)
    except ValueError:
        image.close()
        raise
    return image


def check_pixels(width: int, height: int, channels: int = 1) -> None:
    """Raise ValueError where a picture of that size is too large to be decoded."""
    if channels > MOST_CHANNELS:
        raise ValueError(f"{channels} channels are more than {MOST_CHANNELS}: save those of the picture alone")
    if width * height > MOST_PIXELS:
        raise ValueError(f"{width}x{height} is more than {MOST_PIXELS / 1e6:.0f} megapixels: scale it down")
