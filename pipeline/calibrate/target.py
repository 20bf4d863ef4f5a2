"""Inputs of a calibration and its rig file, checked before the work begins."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ...calib.atomic import AtomicFile
from ..config import RunConfig, load
from ..core.paths import check_not_input
from ..errors import InputError
from ..run.streams import Streams, open_streams


@dataclass(frozen=True, slots=True)
class Cameras:
    """Both sources. pairs: table of the images that belong together. offset_ms: of infrared, None for the default."""

    infrared: str
    visible: str
    pairs: Path | None = None
    offset_ms: float | None = None

    def check_target(self, out: Path, *read: Path | None) -> None:
        """Raises InputError if the file cannot be written, or if it is one of the inputs or of those in `read`."""
        check_not_input(out, (self.infrared, self.visible, self.pairs, *read))
        if out.is_dir() or not out.absolute().parent.is_dir():
            raise InputError(f"{out}: a file cannot be created there; give a name in an existing folder with --out")
        AtomicFile(out, InputError).discard()

    def settings(self, **more: Any) -> RunConfig:
        """Those of a run over both cameras. Raises InputError for invalid values."""
        sources = {"ir": self.infrared, "vis": self.visible, "pairs": self.pairs}
        sync = {} if self.offset_ms is None else {"offset_ms": self.offset_ms}
        return load(None, {"sources": sources, "sync": sync, **more})

    def opened(self, console: Console, **more: Any) -> Streams:
        """Open both, with these settings. Raises InputError and RigError."""
        config = self.settings(**more)
        with console.status("opening both cameras"):
            return open_streams(config)

    def view_command(self, rig: Path) -> str:
        """What the user types to judge the new rig file by eye."""
        table = [] if self.pairs is None else ["--pairs", str(self.pairs)]
        both = "--ir", self.infrared, "--vis", self.visible
        return shlex.join(["fusecam", "view-rig", *both, *table, "--rig", str(rig)])
