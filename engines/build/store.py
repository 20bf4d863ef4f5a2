"""On-disk store of compiled engines, keyed by everything they depend on; entries are signed by the user who built them.

<cache>/fusecam/engines/<digest>/manifest.json     the full key, facts, SHA-256 of every file, and a signature
                                 <files>           written by the backend

A compiled engine is a program, and other users may be able to write to the cache: on a shared disk, in a container's
volume, under a lax umask. So the manifest is signed (HMAC-SHA-256) with a key of this user, see `secret`, and only
files that match it are used. File owners and modes are no substitute: network file systems may report arbitrary ones.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ..base import EngineError
from ..host import secret

MANIFEST = "manifest.json"
LIMIT_MIB = 2048
"""Default size limit of all entries, overridden by $FUSECAM_ENGINES_MIB; the least recently used are evicted first."""
STALE_S = 3600
"""Age in seconds from which an incomplete folder, left by a process that ended, is removed."""

Key = Mapping[str, str]
"""Everything an entry depends on, by name: network, weights, code, shape, precision, backend, device, versions."""
Facts = dict[str, Any]


def folder() -> Path:
    """Folder of the store: fusecam/engines in $XDG_CACHE_HOME, else in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fusecam" / "engines"


def limit_bytes() -> int:
    """The size limit in bytes. Raises EngineError if $FUSECAM_ENGINES_MIB is not a number."""
    setting = os.environ.get("FUSECAM_ENGINES_MIB") or str(LIMIT_MIB)
    if not setting.isdecimal():
        raise EngineError(f"FUSECAM_ENGINES_MIB={setting}: give a whole number of MiB, or unset it for {LIMIT_MIB}")
    return int(setting) * 2**20


@cache
def code_digest(package: Path = Path(__file__).parents[1]) -> str:
    """SHA-256 of all source files of a package (by default `engines`) and of the parity gate's test frames.

    Part of every key. It covers all files rather than those a network uses: a list of files would be forgotten one day,
    and an unnecessary build costs only seconds.
    """
    files = (path for path in package.rglob("*") if path.suffix in (".py", ".jpg"))
    return digest_of(sorted(files))


def digest_of(paths: Iterable[Path]) -> str:
    """SHA-256 of the concatenated contents of files, and of all files in folders. Raises OSError."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if not file.is_dir():
                digest.update(file.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored engine.

    Attributes:
        path: Its folder.
        key, facts: As stored.
        size: Of its files, in bytes.
        used: Time of the last use, in seconds since the epoch.
        files: Contents by file name; only in the result of `find`.
    """

    path: Path
    key: dict[str, str]
    facts: Facts
    size: int
    used: float
    files: dict[str, bytes] = field(default_factory=dict, repr=False)


def find(key: Key) -> Entry | None:
    """The entry of `key` with its files, None if there is none. A damaged entry, or one without this user's signature,
    is removed.
    """
    try:
        path = folder() / _digest(key)
        entry = _read(path, files=True)
    except OSError:
        return None
    if entry is None or entry.key != dict(key):
        shutil.rmtree(path, ignore_errors=True)
        return None
    with suppress(OSError):  # a read-only store works as well
        os.utime(path / MANIFEST)
    return entry


def keep(key: Key, write: Callable[[Path], Facts]) -> str | None:
    """Store an entry. write: writes the files into the folder it is passed, and returns the facts.

    The entry is written atomically: another process sees all of it or nothing, and of two that write the same one, the
    later wins. Then the oldest entries are evicted down to the size limit.

    Returns None, or a message for the user if the disk is full or not writable: the engine then works, but the next
    start must build it again. Other exceptions of `write` propagate.
    """
    try:
        target = folder() / _digest(key)
        folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=folder(), ignore_cleanup_errors=True) as work:
            entry = Path(work) / target.name
            entry.mkdir()
            facts = write(entry)
            files = {file.name: [file.stat().st_size, digest_of([file])] for file in sorted(entry.iterdir())}
            manifest = {"key": dict(key), "facts": facts, "files": files}
            signed = manifest | {"signature": _signature(manifest)}
            (entry / MANIFEST).write_text(json.dumps(signed, indent=1), encoding="utf-8")
            _replace(entry, target)
        _shrink(limit_bytes(), spare=target)
    except OSError as e:
        where = e.filename if e.filename and Path(e.filename).is_relative_to(secret.folder()) else folder()
        return f"{where}: engines cannot be stored: {e.strerror or e}; every start builds them again"
    return None


def keep_files(key: Key, files: Mapping[str, bytes | memoryview], facts: Facts | None = None) -> str | None:
    """As `keep`, for files given by their names."""

    def write(folder: Path) -> Facts:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return facts or {}

    return keep(key, write)


def entries() -> list[Entry]:
    """All complete entries with this user's signature, the most recently used first."""
    read = (_read(path) for path in _folders())
    return sorted((entry for entry in read if entry is not None), key=lambda entry: -entry.used)


def clear() -> tuple[int, int]:
    """Remove everything, including incomplete and damaged entries. Returns their number and size in bytes."""
    count = size = 0
    for path in _folders(hidden=True):
        bytes_here = _size(path)
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            count, size = count + 1, size + bytes_here
    return count, size


def _digest(key: Key) -> str:
    """Folder name of an entry. Depends on the user's secret key, so users who share a store have separate entries."""
    return _signature(dict(key))[:24]


def _signature(content: Mapping[str, Any]) -> str:
    return hmac.new(secret.key(), json.dumps(content, sort_keys=True).encode(), "sha256").hexdigest()


def _folders(hidden: bool = False) -> list[Path]:
    try:
        return [path for path in folder().iterdir() if path.is_dir() and (hidden or not path.name.startswith("."))]
    except OSError:
        return []


def _read(path: Path, files: bool = False) -> Entry | None:
    """The entry in `path`, None if it is incomplete or not signed by this user. files: read and verify them, too."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        signature = manifest.pop("signature")
        if not hmac.compare_digest(signature, _signature(manifest)):
            return None
        contents, size = {}, 0
        for name, (length, digest) in manifest["files"].items():
            size += length
            if (path / name).stat().st_size != length:
                return None
            if files:
                contents[name] = (path / name).read_bytes()
                if hashlib.sha256(contents[name]).hexdigest() != digest:
                    return None
        used = (path / MANIFEST).stat().st_mtime
        return Entry(path, dict(manifest["key"]), dict(manifest["facts"]), size, used, contents)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _replace(entry: Path, target: Path) -> None:
    """Move folder `entry` to `target`. A reader between the two steps finds nothing and builds its own."""
    if target.exists():
        target.rename(entry.with_suffix(".old"))
    entry.rename(target)


def _shrink(limit: int, spare: Path) -> None:
    """Evict the least recently used entries but `spare`, until the folder is within `limit` bytes.

    The limit is that of the whole folder: damaged entries and those of other users count, and are evicted, too.
    """
    now = time.time()
    for path in _folders(hidden=True):
        if path.name.startswith(".") and now - path.stat().st_mtime > STALE_S:
            shutil.rmtree(path, ignore_errors=True)
    total = _size(spare)
    for path in sorted(_folders(), key=_used, reverse=True):
        if path != spare:
            total += _size(path)
            if total > limit:
                shutil.rmtree(path, ignore_errors=True)


def _used(path: Path) -> float:
    """Time of the last use in seconds since the epoch; 0 for a folder that is no entry."""
    try:
        return (path / MANIFEST).stat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
