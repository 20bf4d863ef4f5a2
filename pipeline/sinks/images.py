"""A folder of PNG images, one for each output frame."""

from __future__ import annotations

import re
import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import cv2

from ...calib.atomic import write_atomic
from ..core.paths import check_not_foreign, writable_folder
from ..core.result import Result
from ..errors import InputError
from .base import SinkHealth

_COMPRESSION = 1  # zlib's quickest
_HEADER = 33  # bytes: signature and IHDR
_TEXT = b"tEXtSoftware\0fusecam"
_MARK = struct.pack(">I", len(_TEXT) - 4) + _TEXT + struct.pack(">I", zlib.crc32(_TEXT))
_MARKED = re.compile(b".{%d}%s" % (_HEADER, re.escape(_MARK)), re.DOTALL)


class ImagesSink:
    """Writes `folder/NAME.png` (8-bit RGB, lossless), NAME the visible frame's name, else its index as 000042.

    Every image is whole or not there. Images of an earlier run, known by a mark, are overwritten. Others in the way and
    two frames of one name are an InputError, at the opening where `names`, the names to come, are known. A run that
    ends early keeps the images it has finished.
    """

    def __init__(self, folder: Path, names: Sequence[str] | None = None) -> None:
        self.health = SinkHealth()
        self._folder = folder
        self._taken: set[str] = set()
        for name, times in Counter(names or ()).items():
            if times > 1:
                raise self._collision(name)
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder}: is a file; images need a folder")
        self._made = not folder.exists()
        writable_folder(folder, "--out")
        numbers = (path.stem for path in sorted(folder.glob("[0-9]" * 6 + "*.png")) if path.stem.isdigit())
        for name in numbers if names is None else names:
            check_not_foreign(self._place(name), _MARKED)

    def write(self, result: Result) -> None:
        """Store one image."""
        name = result.pair.visible.name or f"{result.index:06d}"
        if name in self._taken:
            raise self._collision(name)
        self._taken.add(name)
        check_not_foreign(self._place(name), _MARKED)
        bgr = cv2.cvtColor(result.image, cv2.COLOR_RGB2BGR)
        _, encoded = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, _COMPRESSION])
        png = encoded.tobytes()
        write_atomic(self._place(name), png[:_HEADER] + _MARK + png[_HEADER:], InputError, durable=False)
        self.health.written += 1

    def close(self, complete: bool) -> None:
        """Images are already complete; a folder that this run made and left empty is removed."""
        if self._made and not self.health.written:
            with suppress(OSError):  # somebody else's files are in it by now
                self._folder.rmdir()

    def _place(self, name: str) -> Path:
        return self._folder / f"{name}.png"

    def _collision(self, name: str) -> InputError:
        return InputError(f"{self._place(name)}: two frames have the name '{name}'; rename one of the inputs")
