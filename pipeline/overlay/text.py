"""Anti-aliased text for drawing on frames, rendered once for each string and size.

Pillow's own font has ASCII alone. For other text a font of this machine is used that has its characters, where
fontconfig finds one; characters that none has are drawn without their accents, or by their code (U+4EBA).
"""

from __future__ import annotations

import subprocess
import unicodedata
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..core.frames import Pixels

LONGEST = 60  # characters of one text; a longer one ends in dots


@lru_cache(maxsize=1024)
def text_mask(text: str, size: int) -> Pixels:
    """Coverage of one line of text, (H, W) uint8, 0 to 255; H depends on `size` alone, so that baselines agree.

    size: of the font in pixels, ascender to descender roughly. Characters that are not printable become spaces. The
    array is shared: not to be written to.
    """
    line = "".join(sign if sign.isprintable() else " " for sign in text)
    if len(line) > LONGEST:
        line = line[: LONGEST - 3] + "..."
    font = own = _font(size)
    ascent, descent = own.getmetrics()
    if not line.isascii():
        file = _file_with("".join(sorted({*line})))
        font = own if file is None else ImageFont.truetype(file, size)
        line = "".join(_spelt(sign, font) for sign in line)
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


@lru_cache(maxsize=64)
def _file_with(signs: str) -> str | None:
    """A font file of this machine that has all of these characters, as far as fontconfig knows one."""
    codes = " ".join(f"{ord(sign):x}" for sign in signs)
    try:
        found = subprocess.run(
            ["fc-match", "-f", "%{file}", f"sans:charset={codes}"],
            capture_output=True,
            text=True,
            timeout=2,
            check=True,
        )
        font = ImageFont.truetype(found.stdout, 16)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout if all(_has(font, sign) for sign in signs) else None


def _has(font: ImageFont.FreeTypeFont, sign: str) -> bool:
    """Whether a font has a glyph for a character, not only the box for missing ones."""
    return sign == " " or bytes(font.getmask(sign)) != bytes(font.getmask("\uffff"))


def _spelt(sign: str, font: ImageFont.FreeTypeFont) -> str:
    if _has(font, sign):
        return sign
    plain = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
    return plain or f"U+{ord(sign):04X} "
