"""Files that are whole or not there: written beside their target, renamed into place when finished."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError


class AsideFile:
    """`target` under construction, in `NAME.partial` beside it, for one run at a time. Its folder is made if missing.

    A link stays one: what it points to is written. InputError for what is no file (a device, a pipe), which a rename
    would replace, and while another run writes the same target.
    file: where to write, binary and seekable. Errors while writing it are the caller's to catch (`errors_naming`).
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        with errors_naming(target):
            if target.is_dir():
                raise InputError(f"{target}: is a folder; give the name of a file")
            self._place = target.resolve()
            if self._place.exists() and not self._place.is_file():
                raise InputError(f"{target}: is no file, but a device or a pipe; give the name of a file")
            self._place.parent.mkdir(parents=True, exist_ok=True)
            self._partial = self._place.with_name(f"{self._place.name}.partial")
            self.file: BinaryIO = _alone(self._partial)
        self._unfinished = True

    def commit(self, durable: bool = True) -> None:
        """Put the finished file in place; what stood there before is replaced in one step.

        durable: first wait until it is on the disk, which costs milliseconds.
        """
        try:
            with errors_naming(self.target):
                self.file.flush()
                if durable:
                    os.fsync(self.file.fileno())  # a disk that fills up late says so here, not after the rename
                self._partial.replace(self._place)  # before it is closed, which takes the lock away
                self._unfinished = False
                self.file.close()
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what is unfinished; nothing after `commit`."""
        with suppress(OSError):  # buffered bytes that the disk refused are refused again
            self.file.close()
        if self._unfinished:  # else the name may be another run's by now
            self._unfinished = False
            with suppress(OSError):
                self._partial.unlink(missing_ok=True)


def _alone(partial: Path) -> BinaryIO:
    """Opened for writing, empty, locked until it is closed. What a killed run left is not locked, and overwritten."""
    while True:
        file = os.fdopen(os.open(partial, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            file.close()
            raise InputError(f"{partial}: another run is writing this; wait for it, or choose another place") from e
        except OSError:
            pass  # a file system without locks
        with suppress(FileNotFoundError):
            if os.path.samestat(partial.stat(), os.fstat(file.fileno())):
                file.truncate()
                return file
        file.close()  # renamed or removed by its owner between the two steps


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
