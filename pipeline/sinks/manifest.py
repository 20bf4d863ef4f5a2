"""The list of files that a recorder wrote into its folder: only these may be removed."""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from ...calib.atomic import open_new, try_lock, write_atomic

MANIFEST = "fusecam-manifest.txt"
EVENTS = "events"
TRACKS = {"fused": "frames", "visible": "visible", "infrared": "infrared"}
"""Each with the name of its lines: TIME_fused.mp4 has TIME_frames.jsonl."""
ENDINGS = ["infrared.mkv"] + [f"{track}.mp4" for track in TRACKS] + [f"{lines}.jsonl" for lines in TRACKS.values()]
_HEAD = (
    "# Files that fusecam recorded here, oldest first. Only these are removed when room is needed;"
    " take out a line to keep its file.\n"
)
_STEM = r"\d{8}T\d{6}\.\d{3}Z"
_FILE = re.compile(rf"{_STEM}_[a-z]+\.(mp4|mkv|jsonl)|{EVENTS}/{_STEM}\.mp4")
_CLAIM = re.compile(_STEM)
_COMPACT = 5000  # names of removed files, after which the manifest is written anew


class Manifest:
    """The names of the recorder's own files in `folder`, in the order in which they were begun.

    A name is added once its file was made exclusively, so what is listed is ours. The order is that of the lines:
    neither names nor clocks count. Several runs may record into one folder, each adding a line in one step under a
    lock; a line cut off by a kill is no name. Every method may be called from any thread.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / MANIFEST
        self._lock = Lock()
        self._groups: dict[str, list[str]] = {}
        self._read_to: tuple[int, int] = (0, 0)  # inode, offset
        self._gone = 0

    def claim(self, stem_of: Callable[[int], str]) -> str:
        """The first of `stem_of(0)`, `stem_of(1)`, ... that no file and no other run has; from now on it is taken."""
        with self._lock, self._opened() as descriptor:
            self._read(descriptor)
            number = 0
            while (stem := stem_of(number)) in self._groups or self._taken(stem):
                number += 1
            self._append(descriptor, stem)
            self._groups[stem] = []
            return stem

    def create(self, name: str) -> UnbufferedFile:
        """A new file of our own. FileExistsError where the name is taken."""
        path = self.folder / name
        file = UnbufferedFile(open_new(path), path)
        try:
            self.add(name)
        except OSError:
            file.remove()
            raise
        return file

    def add(self, name: str) -> None:
        """List a file that was just made."""
        with self._lock, self._opened() as descriptor:
            self._append(descriptor, name)

    def groups(self) -> list[tuple[str, int]]:
        """Groups of files that can be removed, oldest first, with their sizes in bytes: segments, all files together,
        then event clips."""
        with self._lock, self._opened() as descriptor:
            self._read(descriptor)
            found = {group: self._size(names) for group, names in self._groups.items()}
            gone = [group for group, size in found.items() if size is None and self._groups[group]]
            self._gone += sum(len(self._groups.pop(group)) for group in gone)
            if self._gone > _COMPACT:
                self._compact()
            there = [(group, size) for group, size in found.items() if size is not None]
            return sorted(there, key=lambda each: each[0].startswith(EVENTS))  # stable

    def videos(self) -> dict[str, int]:
        """The listed videos that are there, oldest first, each with its bytes; a link is none of ours."""
        with self._lock, self._opened() as descriptor:
            self._read(descriptor)
            names = [name for listed in self._groups.values() for name in listed if name.endswith(".mp4")]
        found = {}
        for name in names:
            path = self.folder / name
            with suppress(OSError):
                status = path.lstat()
                if stat.S_ISREG(status.st_mode) and (path.parent == self.folder or not path.parent.is_symlink()):
                    found[name] = status.st_size
        return found

    def remove(self, group: str) -> bool:
        """Remove the files of a group. False where one of them is being written or may not be removed."""
        with self._lock, ExitStack() as held:
            names = self._groups.get(group, [])
            for name in names:
                try:
                    descriptor = os.open(self.folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                except FileNotFoundError:
                    continue
                except OSError:  # a link, say: not what was written
                    return False
                held.callback(os.close, descriptor)
                if not stat.S_ISREG(os.fstat(descriptor).st_mode) or not try_lock(descriptor):
                    return False
            try:
                for name in names:
                    (self.folder / name).unlink(missing_ok=True)
            except OSError:
                return False
            self._gone += len(names)
            self._groups.pop(group, None)
            return True

    def sync(self) -> None:
        """Wait until the disk has the list."""
        with self._lock, self._opened() as descriptor:
            os.fsync(descriptor)

    def _taken(self, stem: str) -> bool:
        return any(os.path.lexists(self.folder / f"{stem}_{ending}") for ending in ENDINGS)

    def _size(self, names: list[str]) -> int | None:
        """Bytes of the files that are there; None where none is."""
        sizes = []
        for name in names:
            with suppress(OSError):
                sizes.append((self.folder / name).lstat().st_size)
        return sum(sizes) if sizes else None

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The manifest, locked against other processes."""
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self._path, flags, 0o666)
            try:
                with suppress(OSError):  # a file system without locks
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                try:
                    current = os.path.samestat(self._path.lstat(), os.fstat(descriptor))
                except FileNotFoundError:
                    current = False
                if current:  # else it was written anew while we waited
                    yield descriptor
                    return
            finally:
                os.close(descriptor)

    def _append(self, descriptor: int, name: str) -> None:
        size = os.fstat(descriptor).st_size
        cut_off = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        line = f"{_HEAD if size == 0 else chr(10) if cut_off else ''}{name}\n".encode()
        try:
            if os.write(descriptor, line) != len(line):
                raise OSError(28, os.strerror(28))
        except OSError:
            os.ftruncate(descriptor, size)
            raise

    def _read(self, descriptor: int) -> None:
        """Take in what was added since the last time, by whichever run."""
        status = os.fstat(descriptor)
        inode, offset = self._read_to
        if inode != status.st_ino or offset > status.st_size:
            self._groups, offset = {}, 0
        added = os.pread(descriptor, status.st_size - offset, offset)
        whole = added[: added.rfind(b"\n") + 1]
        for name in whole.decode(errors="replace").splitlines():
            if _FILE.fullmatch(name):
                group = name if name.startswith(EVENTS) else name.partition("_")[0]
                names = self._groups.setdefault(group, [])
                if name not in names:
                    names.append(name)
            elif _CLAIM.fullmatch(name):
                self._groups.setdefault(name, [])
        self._read_to = status.st_ino, offset + len(whole)

    def _compact(self) -> None:
        lines = [name for group, names in self._groups.items() for name in (names or [group])]
        with suppress(OSError):
            write_atomic(self._path, (_HEAD + "".join(f"{line}\n" for line in lines)).encode())
            self._gone = 0


class UnbufferedFile:
    """A new file that is written without a buffer, each write whole or an OSError; locked until it is closed."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.path = path
        self._file = file

    def back(self, size: int, cut: bool = False) -> None:
        """The next write begins after so many bytes. cut: and what lies behind is taken away."""
        if cut:
            os.ftruncate(self._file.fileno(), size)
        self._file.seek(size)

    def write(self, content: bytes) -> int:
        """Write all of it."""
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._file.fileno(), rest) :]
        return len(content)

    def close(self, durable: bool = False) -> None:
        """Close it, on the disk if `durable`. Safe to call twice."""
        with suppress(OSError, ValueError):
            if durable:
                os.fsync(self._file.fileno())
        self._file.close()

    def remove(self) -> None:
        """Take it away again."""
        with suppress(OSError):
            self.path.unlink()
        self._file.close()
