"""The engine file and its sidecar: checked for before the work, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from ...calib.atomic import AtomicFile, atomic, write_atomic
from ..base import EngineError


def sidecar(out: Path) -> Path:
    """Where the description of an engine file lies: FILE.json beside FILE."""
    return out.with_name(f"{out.name}.json")


def check(out: Path) -> None:
    """EngineError where an engine and its sidecar could not be written; nothing is left behind."""
    for target in (out, sidecar(out)):
        if target.exists() and not target.is_file():
            raise EngineError(f"{target}: is a {'folder' if target.is_dir() else 'device'}; give --out a file's name")
    if not out.parent.is_dir():
        raise EngineError(f"{out.parent}: no such folder; make it first, or give --out another place")
    AtomicFile(out, EngineError).discard()


def write(out: Path, engine: bytes, description: str) -> None:
    """Put both files in place of what stood there before; EngineError, and nothing changed, where that fails.

    The sidecar carries the engine's hash, so that the two cannot be mistaken where a machine stops between them.
    """
    with atomic(sidecar(out), EngineError) as described:
        described.file.write(description.encode())
        described.file.flush()  # both are on the disk before either is put in place
        write_atomic(out, engine, EngineError)
