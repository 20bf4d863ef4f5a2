"""List of the files that a recorder wrote to its folder. Only these may be deleted."""

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

from ....calib.atomic import open_new, try_lock, write_atomic

MANIFEST = "fusecam-manifest.txt"
EVENTS = "events"
TRACKS = {"fused": "frames", "visible": "visible", "infrared": "infrared"}
"""Tracks, each with the name of its JSON lines: TIME_fused.mp4 has TIME_frames.jsonl."""
ENDINGS = ["infrared.mkv"] + [f"{track}.mp4" for track in TRACKS] + [f"{lines}.jsonl" for lines in TRACKS.values()]
_HEAD = (
    "# Files that fusecam recorded here, oldest first. Only these are removed when room is needed;"
    " take out a line to keep its file.\n"
)
_STEM = r"\d{8}T\d{6}\.\d{3}Z"
_FILE = re.compile(rf"{_STEM}_[a-z]+\.(mp4|mkv|jsonl)|{EVENTS}/{_STEM}\.mp4")
_CLAIM = re.compile(_STEM)
_COMPACT = 5000  # number of deleted names after which the manifest is rewritten


class Manifest:
    """Names of the recorder's own files in `folder`, in the order of their creation.

    A name is added only after its file was created exclusively. The order is that of the lines, independent of names
    and clocks. Several runs may record to one folder: each appends lines atomically under a lock. An incomplete last
    line, after a kill, is ignored. All methods are thread-safe and raise OSError if the manifest cannot be accessed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / MANIFEST
        self._lock = Lock()
        self._groups: dict[str, list[str]] = {}
        self._read_to: tuple[int, int] = (0, 0)  # inode, offset
        self._gone = 0

    def claim(self, stem_of: Callable[[int], str]) -> str:
        """Reserve and return the first of `stem_of(0)`, `stem_of(1)`, ... that no file and no other run uses."""
        with self._lock, self._opened() as descriptor:
            self._read(descriptor)
            number = 0
            while (stem := stem_of(number)) in self._groups or self._taken(stem):
                number += 1
            self._append(descriptor, stem)
            self._groups[stem] = []
            return stem

    def create(self, name: str) -> UnbufferedFile:
        """Create and list a new file. Raises FileExistsError if it exists."""
        path = self.folder / name
        file = UnbufferedFile(open_new(path), path)
        try:
            self.add(name)
        except OSError:
            file.remove()
            raise
        return file

    def add(self, name: str) -> None:
        """List a file that was just created."""
        with self._lock, self._opened() as descriptor:
            self._append(descriptor, name)

    def groups(self) -> list[tuple[str, int]]:
        """Names and sizes in bytes of the groups of files, in order of deletion: segments with all their files, then
        event clips; oldest first."""
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
        """Existing listed videos with their sizes in bytes, oldest first, without symbolic links."""
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
        """Delete the files of a group. Returns False if one of them is being written or cannot be deleted."""
        with self._lock, ExitStack() as held:
            names = self._groups.get(group, [])
            for name in names:
                try:
                    descriptor = os.open(self.folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                except FileNotFoundError:
                    continue
                except OSError:  # e.g. a symbolic link: not our file
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
        """Flush the manifest to the disk."""
        with self._lock, self._opened() as descriptor:
            os.fsync(descriptor)

    def _taken(self, stem: str) -> bool:
        return any(os.path.lexists(self.folder / f"{stem}_{ending}") for ending in ENDINGS)

    def _size(self, names: list[str]) -> int | None:
        """Total size of the existing files in bytes, None if none exists."""
        sizes = []
        for name in names:
            with suppress(OSError):
                sizes.append((self.folder / name).lstat().st_size)
        return sum(sizes) if sizes else None

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the manifest and lock it against other processes."""
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
                if current:  # otherwise it was rewritten while this process waited
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
        """Read the lines that any run appended since the last call."""
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
    """Unbuffered new file, locked until it is closed. Each write is complete or raises OSError."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.path = path
        self._file = file

    def seek(self, size: int, cut: bool = False) -> None:
        """Set the position of the next write in bytes. cut: truncate the file there."""
        if cut:
            os.ftruncate(self._file.fileno(), size)
        self._file.seek(size)

    def write(self, content: bytes) -> int:
        """Write all bytes. Returns their number."""
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._file.fileno(), rest) :]
        return len(content)

    def close(self, durable: bool = False) -> None:
        """Close the file. durable: flush it to the disk first. Safe to call twice."""
        with suppress(OSError, ValueError):
            if durable:
                os.fsync(self._file.fileno())
        self._file.close()

    def remove(self) -> None:
        """Delete and close the file."""
        with suppress(OSError):
            self.path.unlink()
        self._file.close()
