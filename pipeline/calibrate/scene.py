"""`fusecam calibrate scene`: from what both cameras see of a scene to a rig file, without a board."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from ...calib.rig import Rig, SceneRecord, save_rig
from ...calib.scene import align
from ...engines.host.terminal import say
from ..config import SourceConfig
from ..core.doubts import Doubts
from ..registration.agreement import edge_record
from ..registration.register import Registrar
from ..run.alignment import measure_alignment
from ..run.console import INTERRUPTED
from ..run.streams import Streams
from .pairs import collected
from .target import Cameras

_AGAIN_MS = 8.0  # change of the time offset from which pairing is repeated: moving edges are off by a pixel
_PASSES = 3  # each pass reduces the error from wrongly paired frames of a moving rig


def calibrate_scene(cameras: Cameras, out: Path, pairs: int, console: Console) -> int:
    """Collect up to `pairs` pairs, align, measure the time offset with the result, write. Returns the exit code.

    Raises the sources' errors, and CalibrationError where the pairs do not single out one alignment; nothing is
    written then.
    """
    cameras.check_target(out)
    streams = cameras.opened(console)
    recorded = streams.visible.info.kind == streams.infrared.info.kind == "video"
    offset = cameras.offset_ms
    rig = _attempt(streams, pairs, console)
    for _ in range(_PASSES if recorded and offset is None else 0):
        if rig is None:
            break
        taken = streams.alignment.offset_ms
        offset = _measured_offset(cameras.settings().sources, streams, rig, console)
        if offset is None or abs(offset - taken) <= _AGAIN_MS:
            break
        say(console, f"time offset {offset:+.1f} ms, assumed {taken:+.1f}: pairing again")
        streams = replace(cameras, offset_ms=offset).opened(console)
        rig = _attempt(streams, pairs, console)
    if rig is None:
        return INTERRUPTED
    save_rig(rig, out)
    assert rig.scene is not None
    _report(rig.scene, offset, console)
    say(console, f"rig: {out}; judge it by eye: {cameras.view_command(out)}")
    return 0


def _measured_offset(config: SourceConfig, streams: Streams, rig: Rig, console: Console) -> float | None:
    """The time offset in ms, measured with the new rig, which is more accurate; None, with a message, if unknown."""
    doubts = Doubts()
    with console.status("measuring the time offset"):
        infos = streams.infrared.info, streams.visible.info
        alignment = measure_alignment(config, *infos, Registrar(rig), doubts)
    for doubt in doubts:
        say(console, doubt)
    return None if doubts else alignment.offset_ms


def _attempt(streams: Streams, most: int, console: Console) -> Rig | None:
    """Align pairs of both streams. None if the user interrupted."""
    pairs = collected(streams, most, console)
    if pairs is None:
        return None
    visible, infrared = pairs
    with console.status(f"aligning {len(visible)} pairs"):
        fit = align(visible, infrared)
    sizes = [{"width": images[0].shape[1], "height": images[0].shape[0]} for images in pairs]
    content = {"visible": sizes[0], "infrared": sizes[1], "homography": fit.homography.tolist(), "scene": fit.agreement}
    rig = Rig.model_validate(content)
    edges = edge_record(zip(visible, infrared, strict=True), Registrar(rig))
    return rig.model_copy(update={"edges": edges})


def _report(agreement: SceneRecord, offset_ms: float | None, console: Console) -> None:
    scatter = "not known from so few" if agreement.error_px is None else f"{agreement.error_px:.1f} px"
    say(console, f"{agreement.used} of {agreement.pairs} pairs agree, {agreement.parts:.0%} of the image's parts")
    say(
        console,
        f"scatter at the visible image's corners: {scatter} (between halves of the pairs; an error that all pairs "
        "share does not show in it)",
    )
    if agreement.partners is not None:
        say(console, f"true pairs score above shuffled ones by {agreement.partners:.0f} standard deviations")
    if offset_ms is not None:
        say(console, f"time offset of these recordings: {offset_ms:+.1f} ms (not in the rig: others have their own)")
