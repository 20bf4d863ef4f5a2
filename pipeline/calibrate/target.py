"""Inputs of a calibration and its rig file, checked before the work begins."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from ...calib.atomic import AtomicFile
from ..config import RunConfig, load
from ..core.paths import check_not_input
from ..errors import InputError


def check_target(out: Path, *read: str | Path | None) -> None:
    """Raises InputError if the file cannot be written, or if it is one of those in `read`."""
    check_not_input(out, read)
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise InputError(f"{out}: a file cannot be created there; give a name in an existing folder with --out")
    AtomicFile(out, InputError).discard()


def settings(infrared: str, visible: str, pairs: Path | None, offset_ms: float | None = None, **more: Any) -> RunConfig:
    """Those of a run over both cameras. pairs: which images belong together. offset_ms: None for the default.

    Raises InputError for invalid values.
    """
    sync = {} if offset_ms is None else {"offset_ms": offset_ms}
    return load(None, {"sources": {"ir": infrared, "vis": visible, "pairs": pairs}, "sync": sync, **more})


def view_command(infrared: str, visible: str, pairs: Path | None, out: Path) -> str:
    """What the user types to judge the new rig file by eye."""
    table = [] if pairs is None else ["--pairs", str(pairs)]
    return shlex.join(["fusecam", "view-rig", "--ir", infrared, "--vis", visible, *table, "--rig", str(out)])
