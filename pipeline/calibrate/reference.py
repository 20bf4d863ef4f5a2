"""`fusecam calibrate reference`: how edges agree under a rig that is known to be right, written into its file."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from ...calib.board import CalibrationError
from ...calib.rig import load_rig, save_rig
from ...engines.host.terminal import say
from ..config import MonitorConfig
from ..errors import InputError
from ..registration.agreement import edge_record
from ..registration.register import Registrar
from ..run.console import INTERRUPTED
from ..run.streams import frame_size
from .pairs import collected
from .target import Cameras


def record_reference(cameras: Cameras, rig_file: Path, out: Path, pairs: int, console: Console) -> int:
    """Collect up to `pairs` pairs, measure, write. Returns the exit code.

    Raises the sources' errors, RigError, and CalibrationError where edges do not agree; nothing is written then.
    """
    cameras.check_target(out)
    streams = cameras.opened(console, rig=rig_file, monitor=MonitorConfig(drift=False))
    rig = load_rig(rig_file, (frame_size(streams.visible), frame_size(streams.infrared)))
    if rig.foreign and out == rig_file:
        streams.close()
        raise InputError(f"{rig_file}: is another tool's calibration and stays as it is: give --out FILE")
    found = collected(streams, pairs, console)
    if found is None:
        return INTERRUPTED
    seen, felt = found
    edges = edge_record(zip(seen, felt, strict=True), Registrar(rig))
    if edges is None:
        raise CalibrationError(
            f"reference: edges of both cameras agree in fewer than 3 of {len(seen)} pairs; take a scene by day, with "
            "people, cars or buildings in it"
        )
    width = seen[0].shape[1]
    save_rig(rig.model_copy(update={"edges": edges.scaled(rig.visible.width / width)}), out)
    x, y = edges.shift_px
    say(
        console,
        f"{edges.pairs} of {len(seen)} pairs: infrared lies at {x:+.1f}, {y:+.1f} px from where the rig puts it, "
        f"all within {edges.spread_px:.1f} px of there; agreement {edges.agreement:.2f}",
    )
    say(console, f"rig: {out}; the drift monitor compares with this from now on")
    return 0
