"""The rig file that a calibration is to write: seen to be possible before the work begins."""

from __future__ import annotations

from pathlib import Path

from ..core.paths import spare
from ..errors import InputError


def check_target(out: Path, *read: str) -> None:
    """Raises InputError where no file can be written under this name, or where it is that of a source in `read`."""
    spare(out, read)
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise InputError(f"{out}: is no place for a file; give the name of one in an existing folder with --out")
