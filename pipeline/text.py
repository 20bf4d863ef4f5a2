"""Anti-aliased text for drawing on frames, rendered once for each string and size."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .frames import Pixels

LONGEST = 60  # characters of one text; a longer one ends in dots


@lru_cache(maxsize=1024)
def text_mask(text: str, size: int) -> Pixels:
    """Coverage of one line of text, (H, W) uint8, 0 to 255; H depends on `size` alone, so that baselines agree.

    size: of the font in pixels, ascender to descender roughly. Characters that cannot be shown become spaces. The
    array is shared: not to be written to.
    """
    line = "".join(sign if sign.isprintable() else " " for sign in text)
    if len(line) > LONGEST:
        line = line[: LONGEST - 3] + "..."
    font = _font(size)
    ascent, descent = font.getmetrics()
    width = max(1, round(font.getlength(line)))
    canvas = Image.new("L", (width, ascent + descent))
    ImageDraw.Draw(canvas).text((0, ascent), line, fill=255, font=font, anchor="ls")
    mask = np.array(canvas)
    mask.flags.writeable = False
    return mask


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("this Pillow was built without FreeType, which text needs; install the wheel from PyPI")
    return font
