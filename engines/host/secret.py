"""A key of this user's on this machine, by which files that fusecam wrote are told from files that others put there."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

LENGTH = 32


def folder() -> Path:
    """Where fusecam keeps what is the user's own: $FUSECAM_HOME, else fusecam in $XDG_DATA_HOME or ~/.local/share."""
    home = os.environ.get("FUSECAM_HOME")
    if home:
        return Path(home)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "fusecam"


def key() -> bytes:
    """The key, made with the first call. OSError where it can be neither read nor made.

    It counts only if nobody else may read or write it; any other is replaced, and what was signed with it is void.
    """
    path = folder() / "engines.key"
    found = _read(path)
    if found is not None:
        return found
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", dir=path.parent)  # for the owner alone
    made = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(LENGTH))
        try:
            path.hardlink_to(made)  # of two processes that make one, the first wins
        except FileExistsError:
            if _read(path) is None:
                made.replace(path)
    finally:
        with suppress(OSError):
            made.unlink()
    found = _read(path)
    if found is None:
        raise PermissionError(1, "is not for its owner alone", str(path))
    return found


def _read(path: Path) -> bytes | None:
    """None where there is none, or where others could have read or written it."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        if os.name == "posix":
            about = os.fstat(handle)
            if about.st_uid != os.geteuid() or stat.S_IMODE(about.st_mode) & 0o077 or not stat.S_ISREG(about.st_mode):
                return None
        content = file.read(LENGTH + 1)
    return content if len(content) == LENGTH else None
