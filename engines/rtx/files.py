"""The engine file and its sidecar: checked for before the work, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    with _naming(out):
        _partial(out).touch()
        _partial(out).unlink()


def write(out: Path, engine: bytes, description: str) -> None:
    """Put both files in place of what stood there before; EngineError, and nothing changed, where that fails.

    The sidecar carries the engine's hash, so that the two cannot be mistaken where a machine stops between them.
    """
    files = {sidecar(out): description.encode(), out: engine}
    try:
        for target, content in files.items():
            with _naming(target), _partial(target).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for target in files:
            with _naming(target):
                _partial(target).replace(target)
    finally:
        for target in files:
            _partial(target).unlink(missing_ok=True)


def _partial(target: Path) -> Path:
    return target.with_name(f"{target.name}.{os.getpid()}.partial")


@contextmanager
def _naming(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EngineError(f"{target}: cannot be written: {error.strerror or error}; choose another place") from error
