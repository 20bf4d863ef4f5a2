"""`fusecam calibrate scene`: from what both cameras see of a scene to a rig file, without a board."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ...calib.rig import CameraModel, Rig, SceneRecord, save_rig
from ...calib.scene import SceneFit, align
from ...engines.host.terminal import say
from ..config import RunConfig, SyncConfig
from ..core.doubts import Doubts
from ..registration.agreement import edge_record
from ..registration.register import Registrar
from ..run.alignment import measure_alignment
from ..run.console import INTERRUPTED
from ..run.streams import Streams, open_streams
from .pairs import collected
from .target import check_target, settings, view_command

_AGAIN_MS = 8.0  # change of the time offset from which pairing is repeated: moving edges are off by a pixel
_PASSES = 3  # each pass reduces the error from wrongly paired frames of a moving rig


@dataclass(frozen=True, slots=True)
class SceneOptions:
    """Options of the command. pairs: number of pairs to pool. table: pairs of images."""

    infrared: str
    visible: str
    out: Path
    pairs: int
    table: Path | None
    offset_ms: float | None


def calibrate_scene(options: SceneOptions, console: Console) -> int:
    """Collect pairs, align, measure the time offset with the result, write. Returns the exit code.

    Raises the sources' errors, and CalibrationError where the pairs do not single out one alignment; nothing is
    written then.
    """
    check_target(options.out, options.infrared, options.visible, options.table)
    config = settings(options.infrared, options.visible, options.table, options.offset_ms)
    with console.status("opening both cameras"):
        streams = open_streams(config)
    recorded = streams.visible.info.kind == streams.infrared.info.kind == "video"
    offset = options.offset_ms
    found = _attempt(streams, options, console)
    for _ in range(_PASSES if recorded and options.offset_ms is None else 0):
        if found is None:
            break
        taken = streams.alignment.offset_ms
        offset = _measured_offset(config, streams, found[0], console)
        if offset is None or abs(offset - taken) <= _AGAIN_MS:
            break
        say(console, f"time offset {offset:+.1f} ms, assumed {taken:+.1f}: pairing again")
        config = config.model_copy(update={"sync": SyncConfig(offset_ms=offset)})
        streams = open_streams(config)
        found = _attempt(streams, options, console)
    if found is None:
        return INTERRUPTED
    rig, fit = found
    save_rig(rig, options.out)
    _report(fit, offset, options, console)
    return 0


def _measured_offset(config: RunConfig, streams: Streams, rig: Rig, console: Console) -> float | None:
    """The time offset in ms, measured with the new rig, which is more accurate; None, with a message, if unknown."""
    doubts = Doubts()
    with console.status("measuring the time offset"):
        infos = streams.infrared.info, streams.visible.info
        alignment = measure_alignment(config.sources, *infos, Registrar(rig), doubts)
    for doubt in doubts:
        say(console, doubt)
    return None if doubts else alignment.offset_ms


def _attempt(streams: Streams, options: SceneOptions, console: Console) -> tuple[Rig, SceneFit] | None:
    """Align pairs of both streams. None if the user interrupted."""
    pairs = collected(streams, options.pairs, console)
    if pairs is None:
        return None
    visible, infrared = pairs
    with console.status(f"aligning {len(visible)} pairs"):
        fit = align(visible, infrared)
    agreement = fit.agreement
    record = SceneRecord(
        pairs=agreement.pairs,
        used=agreement.used,
        parts=agreement.cells,
        error_px=agreement.error_px,
        partners=agreement.partners,
    )
    cameras = [CameraModel(width=pictures[0].shape[1], height=pictures[0].shape[0]) for pictures in (visible, infrared)]
    rows = tuple(tuple(float(x) for x in row) for row in fit.homography)
    rig = Rig.model_validate({"visible": cameras[0], "infrared": cameras[1], "homography": rows, "scene": record})
    edges = edge_record(zip(visible, infrared, strict=True), Registrar(rig))
    return rig.model_copy(update={"edges": edges}), fit


def _report(fit: SceneFit, offset_ms: float | None, options: SceneOptions, console: Console) -> None:
    agreement = fit.agreement
    scatter = "not known from so few" if agreement.error_px is None else f"{agreement.error_px:.1f} px"
    say(console, f"{agreement.used} of {agreement.pairs} pairs agree, {agreement.cells:.0%} of the image's parts")
    say(
        console,
        f"scatter at the visible image's corners: {scatter} (between halves of the pairs; an error that all pairs "
        "share does not show in it)",
    )
    if agreement.partners is not None:
        say(console, f"true pairs score above shuffled ones by {agreement.partners:.0f} standard deviations")
    if offset_ms is not None:
        say(console, f"time offset of these recordings: {offset_ms:+.1f} ms (not in the rig: others have their own)")
    view = view_command(options.infrared, options.visible, options.table, options.out)
    say(console, f"rig: {options.out}; judge it by eye: {view}")
