"""Strict reading of image files for training and evaluation: damaged files raise an error."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..engines.host.media import open_image
from .errors import TrainError

EIGHT_BITS = {"L": "L", "1": "L", "LA": "L", "P": "RGB", "RGB": "RGB", "RGBA": "RGB", "CMYK": "RGB", "YCbCr": "RGB"}
"""Pillow modes of at most 8 bits per channel, and the mode they are converted to."""


def read_image(path: Path, mode: Literal["RGB", "L"] | None = None) -> npt.NDArray[np.uint8]:
    """Read an 8-bit image: (H, W) uint8 gray or (H, W, 3) uint8 RGB; alpha is dropped. Raises TrainError.

    Uses Pillow, because OpenCV silently fills the missing part of a truncated JPEG with gray. mode: RGB: gray is
    repeated. L: colour becomes luma. None: as stored.
    """
    try:
        with open_image(path) as file:
            if file.mode not in EIGHT_BITS:
                raise TrainError(
                    f"{path}: values of more than 8 bits ({file.mode}): convert it to an 8-bit image first"
                )
            return np.asarray(file.convert(mode or EIGHT_BITS[file.mode]))
    except FileNotFoundError as error:
        raise TrainError(f"{path}: no such file") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
        raise TrainError(f"{path}: not an image that can be read ({reason}): replace or remove it") from error
