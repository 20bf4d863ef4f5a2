"""Files that are whole or not there: written beside their target, renamed into place when finished."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError


class AsideFile:
    """`target` under construction, in `NAME.partial` beside it. The target's folder is made if missing.

    file: where to write, binary and seekable. Errors while writing it are the caller's to catch (`errors_naming`).
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        with errors_naming(target):
            if target.is_dir():
                raise InputError(f"{target}: is a folder; give the name of a file")
            target.parent.mkdir(parents=True, exist_ok=True)
            self._partial = target.with_name(f"{target.name}.partial")
            self.file: BinaryIO = self._partial.open("wb")

    def commit(self, durable: bool = True) -> None:
        """Put the finished file in place; what stood there before is replaced in one step.

        durable: first wait until it is on the disk, which costs milliseconds.
        """
        try:
            with errors_naming(self.target):
                self.file.flush()
                if durable:
                    os.fsync(self.file.fileno())  # a disk that fills up late says so here, not after the rename
                self.file.close()
                self._partial.replace(self.target)
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what is unfinished; nothing after `commit`."""
        with suppress(OSError):  # buffered bytes that the disk refused are refused again
            self.file.close()
        with suppress(OSError):
            self._partial.unlink(missing_ok=True)


def write_aside(target: Path, content: bytes, durable: bool = True) -> None:
    """Put a whole file in place, made aside and renamed; `durable` as in `AsideFile.commit`. Raises InputError."""
    aside = AsideFile(target)
    try:
        with errors_naming(target):
            aside.file.write(content)
        aside.commit(durable)
    finally:
        aside.discard()


@contextmanager
def errors_naming(target: Path) -> Iterator[None]:
    """Turn the operating system's errors into an InputError that names `target`."""
    try:
        yield
    except OSError as e:
        reason = e.strerror or str(e)
        raise InputError(f"{target}: cannot be written: {reason}; choose another place") from e
