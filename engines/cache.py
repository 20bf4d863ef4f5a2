"""Converted networks kept on disk, so that only the first start pays for torch's import and the conversion."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import openvino as ov


def folder() -> Path:
    """Where converted networks are kept: fusecam/ in $XDG_CACHE_HOME, else in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fusecam"


def fingerprint(*parts: str, files: Iterable[Path] = ()) -> str:
    """Short digest of strings and of files' contents, for `converted`."""
    digest = hashlib.sha256("\0".join(parts).encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def converted(key: str, convert: Callable[[], ov.Model]) -> ov.Model:
    """The model stored under `key`, or else the one that `convert` makes, which is then stored.

    A folder appears under its final name only when complete. What cannot be read is made anew; where nothing can be
    written the model is used without being stored.
    """
    core = ov.Core()
    try:
        target = folder() / key
        if (target / "model.xml").is_file():
            return core.read_model(target / "model.xml")
    except (OSError, RuntimeError):
        pass
    model = convert()
    try:
        folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder(), ignore_cleanup_errors=True) as work:
            ov.save_model(model, Path(work) / "model" / "model.xml", compress_to_fp16=False)
            shutil.rmtree(target, ignore_errors=True)
            (Path(work) / "model").rename(target)
    except (OSError, RuntimeError):
        pass
    return model
