"""Atomic file writes: a partial file beside the target is renamed into place when it is complete.

All atomic writes of fusecam use this module. It is in calib because calib imports no other package.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

SUFFIX = ".fusecam.partial"
"""Suffix of a partial file. It names the program, so that no other program's file is taken for fusecam's."""


class AtomicFile:
    """A target file, written as `NAME.fusecam.partial` beside it, by one process at a time.

    The partial file is created exclusively and never through a link; a leftover of a killed process is replaced. If the
    target is a link, the file that it points to is written. The target's folder is created if missing.

    Attributes:
        target: as given.
        path: the partial file.
        file: binary and seekable. The caller has to catch errors of writing to it (see `naming`).
    """

    def __init__(self, target: Path, error: type[Exception] = OSError) -> None:
        """Open the partial file.

        Args:
            target: the file to write.
            error: type of the exception for all failures, whose message is one line that names `target`. It is also
                raised if the target is not a file (a folder, a device, a pipe), or if another process writes it.
        """
        self.target, self._error = target, error
        with naming(target, error):
            if target.is_dir():
                raise error(f"{target}: is a folder; give the name of a file")
            self._place = resolved(target)
            if self._place.exists() and not self._place.is_file():
                raise error(f"{target}: is not a file, but a device or a pipe; give the name of a file")
            self._place.parent.mkdir(parents=True, exist_ok=True)
            self.path = self._place.with_name(self._place.name + SUFFIX)
            self.file: BinaryIO = _create(self.path)
        self._unfinished = True

    def commit(self, durable: bool = True) -> None:
        """Rename the partial file to the target, which atomically replaces any existing file.

        Args:
            durable: sync it to the disk first, which takes milliseconds.
        """
        try:
            with naming(self.target, self._error):
                self.file.flush()
                if durable:
                    os.fsync(self.file.fileno())  # reports a full disk before the rename
                if not _is(self.path, self.file.fileno()):
                    raise OSError(None, f"{self.path} was replaced meanwhile")
                self.path.replace(self._place)  # before closing, which releases the lock
                self._unfinished = False
                self.file.close()
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove the partial file; does nothing after `commit`. Safe to call twice."""
        with suppress(OSError):
            if self._unfinished and not self.file.closed and _is(self.path, self.file.fileno()):
                self.path.unlink()
        self._unfinished = False
        with suppress(OSError):  # flushing can fail again
            self.file.close()


def write_atomic(target: Path, content: bytes, error: type[Exception] = OSError, durable: bool = True) -> None:
    """Write a file atomically. error: as in `AtomicFile`. durable: as in `AtomicFile.commit`."""
    with atomic(target, error, durable) as aside:
        aside.file.write(content)


@contextmanager
def atomic(target: Path, error: type[Exception] = OSError, durable: bool = True) -> Iterator[AtomicFile]:
    """An `AtomicFile` for a `with` block: committed at its end, discarded when it raises.

    error: as in `AtomicFile`; OSErrors in the block are converted to it, too. durable: as in `AtomicFile.commit`.
    """
    aside = AtomicFile(target, error)
    try:
        with naming(target, error):
            yield aside
        aside.commit(durable)
    finally:
        aside.discard()


def resolved(path: Path) -> Path:
    """`path.resolve()`, whose loop of links is an OSError, as the other failures are, in every version of Python."""
    try:
        return path.resolve()
    except RuntimeError as e:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from e


@contextmanager
def naming(target: Path, error: type[Exception]) -> Iterator[None]:
    """Convert OSErrors to an `error` whose message names `target`."""
    try:
        yield
    except OSError as e:
        if isinstance(e, error):  # its line names the file already
            raise
        raise error(f"{target}: cannot be written: {e.strerror or e}; choose another place") from e


def open_new(path: Path) -> BinaryIO:
    """Create an empty file, unbuffered and locked (flock) until it is closed.

    Raises:
        FileExistsError: the name exists, also as a link.
    """
    descriptor = _exclusive(path)
    try_lock(descriptor)
    return os.fdopen(descriptor, "r+b", buffering=0)


def try_lock(descriptor: int) -> bool:
    """Lock an open file. False where another process, or another opening in this one, holds the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks
    return True


def _exclusive(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def _create(partial: Path) -> BinaryIO:
    while True:
        try:
            descriptor = _exclusive(partial)
        except FileExistsError:
            _remove_leftover(partial)
            continue
        if try_lock(descriptor) and _is(partial, descriptor):
            return os.fdopen(descriptor, "r+b")
        os.close(descriptor)  # another process took it for a leftover before it was locked


def _remove_leftover(partial: Path) -> None:
    """Remove the leftover of a killed process. Raises OSError if it is in use, or not made by AtomicFile."""
    try:
        descriptor = os.open(partial, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as e:
        raise OSError(e.errno, f"{partial} is in the way: remove it ({e.strerror})") from e
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise OSError(None, f"{partial} is in the way, and was not left by fusecam: remove it")
        if not try_lock(descriptor):
            raise OSError(None, f"{partial}: another run is writing this; wait for it")
        if _is(partial, descriptor):
            partial.unlink()
    finally:
        os.close(descriptor)


def _is(path: Path, descriptor: int) -> bool:
    """Whether a path is the open file. Links are not followed."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
