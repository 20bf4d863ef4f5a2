"""Compiled engines kept on disk: made once, found again by everything they depend on, never trusted when damaged.

<cache>/fusecam/engines/<digest>/manifest.json     the key in full, facts, size and SHA-256 of every file
                                 <files>           what the backend wrote
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    """The size limit; a setting that is no number counts as not given."""
    asked = os.environ.get("FUSECAM_ENGINES_MIB", "")
    return (int(asked) if asked.isdecimal() else LIMIT_MIB) * 2**20


def digest_of(files: Iterable[Path]) -> str:
    """SHA-256 of the files' contents, one after the other. Raises OSError."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """One kept engine. path: its folder. key, facts: as they were stored. used: when last, seconds since the epoch."""

    path: Path
    key: dict[str, str]
    facts: Facts
    size: int
    used: float


def find(key: Key) -> Entry | None:
    """The entry of `key`, None where there is none. One that is damaged, in any way, is removed and not found."""
    path = folder() / _digest(key)
    entry = _read(path, check=True)
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
    target = folder() / _digest(key)
    try:
        folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=folder(), ignore_cleanup_errors=True) as work:
            made = Path(work) / target.name
            made.mkdir()
            facts = write(made)
            files = {file.name: [file.stat().st_size, digest_of([file])] for file in sorted(made.iterdir())}
            manifest = {"key": dict(key), "facts": facts, "files": files}
            (made / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
            _replace(made, target)
        _shrink(limit_bytes(), spare=target)
    except OSError as e:
        return f"{folder()}: engines cannot be kept here: {e.strerror or e}; every start builds them anew"
    return None


def entries() -> list[Entry]:
    """Every whole entry, the one used last first."""
    found = (_read(path, check=False) for path in _folders())
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
    return hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()[:24]


def _folders(hidden: bool = False) -> list[Path]:
    try:
        return [path for path in folder().iterdir() if path.is_dir() and (hidden or not path.name.startswith("."))]
    except OSError:
        return []


def _read(path: Path, check: bool) -> Entry | None:
    """The entry in `path`, None if it is not whole. check: also compare every file with its SHA-256."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        size = 0
        for name, (length, digest) in manifest["files"].items():
            file = path / name
            size += length
            if file.stat().st_size != length or (check and digest_of([file]) != digest):
                return None
        used = (path / MANIFEST).stat().st_mtime
        return Entry(path, dict(manifest["key"]), dict(manifest["facts"]), size, used)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _replace(made: Path, target: Path) -> None:
    """Put `made` in the place of `target`. A reader between the two steps finds nothing and makes its own."""
    if target.exists():
        target.rename(made.with_suffix(".old"))
    made.rename(target)


def _shrink(limit: int, spare: Path) -> None:
    now = time.time()
    for path in _folders(hidden=True):
        if path.name.startswith(".") and now - path.stat().st_mtime > STALE_S:
            shutil.rmtree(path, ignore_errors=True)
    kept = 0
    for entry in sorted(
        entries(), key=lambda entry: entry.path != spare
    ):  # stable: after the spared one, the last used
        kept += entry.size
        if kept > limit and entry.path != spare:
            shutil.rmtree(entry.path, ignore_errors=True)


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
