"""Compiled engines kept on disk: made once, found again by everything they depend on, used only if this user made them.

<cache>/fusecam/engines/<digest>/manifest.json     the key in full, facts, SHA-256 of every file, signature of all that
                                 <files>           what the backend wrote

A compiled engine is a program, and a cache may lie where others write: on a shared disk, in a container's volume, under
a lax umask. So the manifest is signed (HMAC-SHA-256) with a key of this user's, see `secret`, and no byte is used that
it does not vouch for. Owners and modes of the folders would say less: network disks make them up.
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
"""Of all entries together, unless $FUSECAM_ENGINES_MIB says otherwise; those used longest ago go first."""
STALE_S = 3600
"""Age from which a folder that a process left half-written is swept away."""

Key = Mapping[str, str]
"""Everything an entry depends on, by name: network, weights, code, shape, precision, backend, device, versions."""
Facts = dict[str, Any]


def folder() -> Path:
    """Where engines are kept: fusecam/engines in $XDG_CACHE_HOME, else in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fusecam" / "engines"


def limit_bytes() -> int:
    """The size limit. EngineError for a setting that is no number."""
    asked = os.environ.get("FUSECAM_ENGINES_MIB") or str(LIMIT_MIB)
    if not asked.isdecimal():
        raise EngineError(f"FUSECAM_ENGINES_MIB={asked}: give a whole number of MiB, or unset it for {LIMIT_MIB}")
    return int(asked) * 2**20


@cache
def code_digest(package: Path = Path(__file__).parents[1]) -> str:
    """SHA-256 of all source files of a package and of the frames that engines are judged on, by default of this one.

    A part of every key. All of them rather than those that a network uses: a list would be forgotten one day, and an
    engine that is built anew for nothing costs seconds.
    """
    files = (path for path in package.rglob("*") if path.suffix in (".py", ".jpg"))
    return digest_of(sorted(files))


def digest_of(paths: Iterable[Path]) -> str:
    """SHA-256 of the files' contents, one after the other; of a folder all that is in it. Raises OSError."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if not file.is_dir():
                digest.update(file.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """One kept engine. path: its folder. key, facts: as they were stored. used: when last, seconds since the epoch.

    files: their contents by name, only where `find` gave it.
    """

    path: Path
    key: dict[str, str]
    facts: Facts
    size: int
    used: float
    files: dict[str, bytes] = field(default_factory=dict, repr=False)


def find(key: Key) -> Entry | None:
    """The entry of `key` with its files, None where there is none. One that is damaged, or not of this user's making,
    is removed and not found.
    """
    try:
        path = folder() / _digest(key)
        entry = _read(path, files=True)
    except OSError:
        return None
    if entry is None or entry.key != dict(key):
        shutil.rmtree(path, ignore_errors=True)
        return None
    with suppress(OSError):  # a store that may only be read serves as well
        os.utime(path / MANIFEST)
    return entry


def keep(key: Key, write: Callable[[Path], Facts]) -> str | None:
    """Store what `write` puts into the folder it is given, with the facts that it returns. What hinders it, or None.

    The entry appears under its final name only when complete, so that another process sees all of it or nothing; of two
    that make the same one, the later wins. Older entries then give way to the size limit. What `write` raises passes,
    but for OSError: a disk that is full or may not be written to only costs the next start its time.
    """
    try:
        target = folder() / _digest(key)
        folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=folder(), ignore_cleanup_errors=True) as work:
            made = Path(work) / target.name
            made.mkdir()
            facts = write(made)
            files = {file.name: [file.stat().st_size, digest_of([file])] for file in sorted(made.iterdir())}
            manifest = {"key": dict(key), "facts": facts, "files": files}
            signed = manifest | {"signature": _signature(manifest)}
            (made / MANIFEST).write_text(json.dumps(signed, indent=1), encoding="utf-8")
            _replace(made, target)
        _shrink(limit_bytes(), spare=target)
    except OSError as e:
        where = e.filename if e.filename and Path(e.filename).is_relative_to(secret.folder()) else folder()
        return f"{where}: engines cannot be kept: {e.strerror or e}; every start builds them anew"
    return None


def entries() -> list[Entry]:
    """Every whole entry of this user's making, the one used last first."""
    found = (_read(path) for path in _folders())
    return sorted((entry for entry in found if entry is not None), key=lambda entry: -entry.used)


def clear() -> tuple[int, int]:
    """Remove everything, half-written and damaged entries too. Returns how many went, and their bytes."""
    count = size = 0
    for path in _folders(hidden=True):
        bytes_here = _size(path)
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            count, size = count + 1, size + bytes_here
    return count, size


def _digest(key: Key) -> str:
    """Another one for each user, so that those who share a store leave each other's entries alone."""
    return _signature(dict(key))[:24]


def _signature(content: Mapping[str, Any]) -> str:
    return hmac.new(secret.key(), json.dumps(content, sort_keys=True).encode(), "sha256").hexdigest()


def _folders(hidden: bool = False) -> list[Path]:
    try:
        return [path for path in folder().iterdir() if path.is_dir() and (hidden or not path.name.startswith("."))]
    except OSError:
        return []


def _read(path: Path, files: bool = False) -> Entry | None:
    """The entry in `path`, None if it is not whole or not signed. files: read and check them, too."""
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


def _replace(made: Path, target: Path) -> None:
    """Put `made` in the place of `target`. A reader between the two steps finds nothing and makes its own."""
    if target.exists():
        target.rename(made.with_suffix(".old"))
    made.rename(target)


def _shrink(limit: int, spare: Path) -> None:
    """Also of what others left here, and of what is damaged: the limit is that of the folder."""
    now = time.time()
    for path in _folders(hidden=True):
        if path.name.startswith(".") and now - path.stat().st_mtime > STALE_S:
            shutil.rmtree(path, ignore_errors=True)
    kept = _size(spare)
    for path in sorted(_folders(), key=_used, reverse=True):
        if path != spare:
            kept += _size(path)
            if kept > limit:
                shutil.rmtree(path, ignore_errors=True)


def _used(path: Path) -> float:
    """When last, seconds since the epoch; 0 for what is no entry."""
    try:
        return (path / MANIFEST).stat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
