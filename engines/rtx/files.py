"""The engine file and its sidecar: checked before the build, written atomically."""

from __future__ import annotations

from pathlib import Path

from ...calib.atomic import AtomicFile, atomic, write_atomic
from ..base import EngineError


def sidecar(out: Path) -> Path:
    """Path of the sidecar of an engine file: FILE.json beside FILE."""
    return out.with_name(f"{out.name}.json")


def check(out: Path) -> None:
    """Raise EngineError if the engine or its sidecar cannot be written. Leaves no files behind."""
    for target in (out, sidecar(out)):
        if target.exists() and not target.is_file():
            raise EngineError(f"{target}: is a {'folder' if target.is_dir() else 'device'}; give --out a file's name")
    if not out.parent.is_dir():
        raise EngineError(f"{out.parent}: no such folder; create it, or give --out another path")
    AtomicFile(out, EngineError).discard()


def write(out: Path, engine: bytes, description: str) -> None:
    """Write both files, replacing existing ones. Raises EngineError, with no file changed, if that fails.

    The sidecar contains the engine's SHA-256: after a crash between the two writes, the mismatch can be detected.
    """
    with atomic(sidecar(out), EngineError) as described:
        described.file.write(description.encode())
        described.file.flush()  # both are on disk before either is replaced
        write_atomic(out, engine, EngineError)
