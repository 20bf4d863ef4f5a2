"""One engine or the detector measured: frames in, fused frames or boxes out, one after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...calib.rig import load_rig
from ...engines import FusionEngine, create_engine
from ...engines.warp import Warp
from ..config import DetectorConfig
from ..detect import create_detector
from ..frames import Pixels
from ..latency import LatencyRecorder
from ..register import Registrar
from .jobs import KEEPING, KEPT, DetectJob, FuseJob, Variant
from .watch import Watch, peak_mib

Triple = tuple[Pixels, Pixels, Warp]
"""Visible (H, W, 3) and infrared (h, w), uint8, and the rig's warp, as `FusionEngine.fuse` takes them."""
Tell = Callable[[int, int], None]
"""Takes how much of a measurement is done, and of how much."""
LONGEST_S = 120.0
LEAST = 10
INTERVAL_S = 1 / 25  # between frames, as a video gives it to the engine


def measure_engine(job: FuseJob, tell: Tell) -> dict[str, Any]:
    """Build the engine, time its first frame, then the repeats. Raises EngineError.

    first_frame_s: from nothing but the interpreter to the first fused frame, torch's or OpenVINO's import included.
    fuse: StageSummary of the repeats, from both cameras' frames to uint8 arrays out, the warp included; None for none.
    page_faults: per frame. peak_mib: of the whole process.
    """
    frames = read_frames(Path(job.frames))
    started = time.perf_counter()
    engine = build(job.spec, job.variant)
    engine.fuse(*frames[0])
    first = time.perf_counter() - started
    result = {"engine": engine.name, "first_frame_s": round(first, 3), "fuse": None}
    if job.repeats:
        recorder, seen = time_frames(engine, frames, job.warmups, job.repeats, tell)
        fuse = recorder.as_dict()["stages"]["fuse"]
        result |= {"fuse": fuse, **seen, "page_faults": round(seen["page_faults"] / fuse["count"], 1)}
    kept = {name: os.environ[name] for name in KEEPING if name in os.environ}
    return result | {"peak_mib": round(peak_mib(), 1), "environment": kept}


def measure_detector(job: DetectJob, tell: Tell) -> dict[str, Any]:
    """The same for the detector, letterbox and suppression included. Raises EngineError and InputError.

    detect: StageSummary of the repeats, uint8 frame in to boxes out; None for none.
    """
    frames = [visible for visible, _, _ in read_frames(Path(job.frames))]
    started = time.perf_counter()
    detector = create_detector(DetectorConfig(enabled=True, weights=None if job.weights is None else Path(job.weights)))
    assert detector is not None  # it is enabled
    detector.detect(frames[0])
    result = {"detector": detector.name, "first_frame_s": round(time.perf_counter() - started, 3), "detect": None}
    if job.repeats:
        recorder = LatencyRecorder()
        for number in range(job.warmups):
            detector.detect(frames[number % len(frames)])
        watch = Watch()
        for number in range(job.repeats):
            with recorder.stage("detect", number):
                detector.detect(frames[(job.warmups + number) % len(frames)])
            tell(number + 1, job.repeats)
        seen = watch.seen()
        result |= {"detect": recorder.as_dict()["stages"]["detect"], **seen}
        result["page_faults"] = round(seen["page_faults"] / job.repeats, 1)
    return result | {"peak_mib": round(peak_mib(), 1)}


def build(spec: str, variant: Variant) -> FusionEngine:
    """The engine of a specification; the variant KEPT is eager torch with channels-last weights."""
    if variant != KEPT:
        return create_engine(spec)
    import torch

    from ...engines.eager import EagerEngine
    from ...engines.registry import network, parse

    name = parse(spec)[0]
    return EagerEngine(name, network(name).to(memory_format=torch.channels_last))


def time_frames(
    engine: FusionEngine, frames: Sequence[Triple], warmups: int, repeats: int, tell: Tell
) -> tuple[LatencyRecorder, dict[str, Any]]:
    """Fuse `warmups` frames unrecorded and `repeats` recorded, as a video that begins anew when it is through.

    A network of seconds a frame is left after LONGEST_S, but not before LEAST repeats, and warmed up by one frame.
    Returns the recorder, with a sample of "fuse" for each repeat, and what a Watch saw during the repeats.
    """
    recorder = LatencyRecorder(frame_log=True)
    started = time.monotonic()
    for number in range(warmups):
        engine.fuse(*frames[number % len(frames)], INTERVAL_S)
        if time.monotonic() - started > LONGEST_S / LEAST:
            break
    watch = Watch()
    started = time.monotonic()
    for number in range(repeats):
        if number >= LEAST and time.monotonic() - started > LONGEST_S:
            break
        frame = frames[(warmups + number) % len(frames)]
        with recorder.stage("fuse", number):
            engine.fuse(*frame, INTERVAL_S)
        tell(number + 1, repeats)
    return recorder, watch.seen()


def read_frames(folder: Path, most: int | None = None) -> list[Triple]:
    """The frames that `prepare` left, in memory; the first `most` of them."""
    visible, infrared = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("visible", "infrared"))
    sizes = ((frames.shape[2], frames.shape[1]) for frames in (visible, infrared))
    warp = Registrar(load_rig(folder / "rig.yaml")).warp(*sizes)
    return [(np.array(v), np.array(i), warp) for v, i in zip(visible[:most], infrared[:most], strict=True)]
