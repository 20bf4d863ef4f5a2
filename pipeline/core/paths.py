"""Checks that outputs do not overwrite inputs, or files of others."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from ...calib.atomic import naming, resolved
from ..errors import InputError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".pgm", ".ppm"})

_HEAD_BYTES = 256


def check_not_input(
    target: Path, read: Iterable[str | Path | None], what: str = "the input", option: str = "--out"
) -> None:
    """InputError where `target` is one of the files, folders or image patterns in `read`, by any name or link, or an
    image in one of them.

    read: as the user wrote them, None for none. what, option: for the message.
    """
    with naming(target, InputError):
        place = resolved(target)
    for given in read:
        if given is None:
            continue
        try:
            source = resolved(Path(given))
        except (OSError, ValueError):  # it cannot be read, either
            continue
        folder = source.parent if any(sign in source.name for sign in "*?[") else source
        image = place.parent == folder and place.suffix.lower() in IMAGE_SUFFIXES and place.exists()
        if place in (source, folder) or image or _linked(place, source):
            raise InputError(f"{target}: is also {what} '{given}'; choose another place with {option}")


def check_not_foreign(target: Path, *begins: re.Pattern[bytes]) -> None:
    """InputError where `target`, a name that the user did not give, is a file that fusecam did not write.

    begins: how fusecam's files of this kind begin, any of these. An empty file is nobody's.
    """
    with naming(target, InputError):
        if not target.is_file():
            return
        with target.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    if head and not any(pattern.match(head) for pattern in begins):
        raise InputError(f"{target}: is in the way and was not written by fusecam; move it, or give another --out")


def writable_folder(folder: Path, option: str) -> None:
    """Make a folder, if need be. InputError where it cannot be made or written to. option: for the message."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise InputError(f"{folder}: cannot be written: {e.strerror}; choose another place with {option}") from e
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: this folder cannot be written to; choose another place with {option}")


def _linked(place: Path, source: Path) -> bool:
    try:
        return place.samefile(source)
    except (OSError, ValueError):
        return False  # one of them is not there, or no file
