"""Secret key of the user, with which fusecam signs its files, so that files written by others are not trusted."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

LENGTH = 32


def folder() -> Path:
    """Folder of the user's data: $FUSECAM_HOME, else fusecam in $XDG_DATA_HOME or ~/.local/share."""
    home = os.environ.get("FUSECAM_HOME")
    if home:
        return Path(home)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "fusecam"


def key() -> bytes:
    """The key, LENGTH bytes, created on the first call. Raises OSError if it can be neither read nor created.

    A key that others can read or write is replaced, which invalidates its signatures.
    """
    path = folder() / "engines.key"
    existing = _read(path)
    if existing is not None:
        return existing
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", dir=path.parent)  # readable by the owner only
    new = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(LENGTH))
        try:
            path.hardlink_to(new)  # if two processes create one, the first wins
        except FileExistsError:
            if _read(path) is None:
                new.replace(path)
    finally:
        with suppress(OSError):
            new.unlink()
    existing = _read(path)
    if existing is None:
        raise PermissionError(1, "is not for its owner alone", str(path))
    return existing


def _read(path: Path) -> bytes | None:
    """The key in a file, None if it is missing or others may read or write it."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        if os.name == "posix":
            info = os.fstat(handle)
            if info.st_uid != os.geteuid() or stat.S_IMODE(info.st_mode) & 0o077 or not stat.S_ISREG(info.st_mode):
                return None
        content = file.read(LENGTH + 1)
    return content if len(content) == LENGTH else None
