"""Measurement of one engine or of the detector, frame by frame."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...calib.rig import load_rig
from ...engines import FusionEngine, create_engine
from ...engines.warp import Warp
from ..config import DetectorConfig
from ..core.frames import Pixels
from ..detection.detect import create_detector
from ..registration.register import Registrar
from .jobs import KEEPING, KEPT, DetectJob, FuseJob, Variant
from .watch import Watch, peak_mib

Triple = tuple[Pixels, Pixels, Warp]
"""Visible (H, W, 3) and infrared (h, w), uint8, and the rig's warp, as `FusionEngine.fuse` takes them."""
Progress = Callable[[int, int], None]
"""Progress callback: number of repeats or frames done, and the total."""
LONGEST_S = 120.0
LEAST = 10
INTERVAL_S = 1 / 25  # between frames, as a video gives it to the engine


def measure_engine(job: FuseJob, progress: Progress) -> dict[str, Any]:
    """Build the engine, time its first frame, then the repeats. Raises EngineError.

    first_frame_s: until the first fused frame, including the import of PyTorch or OpenVINO.
    samples_ns: each repeat in nanoseconds, from both cameras' frames to uint8 arrays out, the warp included.
    page_faults: per frame. peak_mib: of the whole process.
    """
    frames = read_frames(Path(job.frames))
    started = time.perf_counter()
    engine = build(job.spec, job.variant)
    engine.fuse(*frames[0])
    first = time.perf_counter() - started
    seen = _times(lambda number: engine.fuse(*frames[number % len(frames)], INTERVAL_S), job, progress)
    kept = {name: os.environ[name] for name in KEEPING if name in os.environ}
    return {"engine": engine.name, "first_frame_s": round(first, 3), **seen, "environment": kept}


def measure_detector(job: DetectJob, progress: Progress) -> dict[str, Any]:
    """The same for the detector, letterbox and suppression included: uint8 frame in to boxes out. Raises EngineError
    and InputError."""
    frames = [visible for visible, _, _ in read_frames(Path(job.frames))]
    started = time.perf_counter()
    detector = create_detector(DetectorConfig(enabled=True, weights=None if job.weights is None else Path(job.weights)))
    assert detector is not None  # it is enabled
    detector.detect(frames[0])
    first = time.perf_counter() - started
    seen = _times(lambda number: detector.detect(frames[number % len(frames)]), job, progress)
    return {"detector": detector.name, "first_frame_s": round(first, 3), **seen}


def _times(once: Callable[[int], object], job: FuseJob | DetectJob, progress: Progress) -> dict[str, Any]:
    if not job.repeats:
        return {"samples_ns": [], "peak_mib": round(peak_mib(), 1)}
    samples, seen = time_repeats(once, job.warmups, job.repeats, progress, job.rounds)
    seen["page_faults"] = round(seen["page_faults"] / len(samples), 1)
    return {"samples_ns": samples, **seen, "peak_mib": round(peak_mib(), 1)}


def build(spec: str, variant: Variant) -> FusionEngine:
    """The engine of a specification; the variant KEPT is eager torch with channels-last weights."""
    if variant != KEPT:
        return create_engine(spec)
    import torch

    from ...engines.backends.eager import EagerEngine
    from ...engines.registry import network, parse

    name = parse(spec)[0]
    return EagerEngine(name, network(name).to(memory_format=torch.channels_last))


def time_repeats(
    once: Callable[[int], object], warmups: int, repeats: int, progress: Progress, rounds: int = 1
) -> tuple[list[int], dict[str, Any]]:
    """Call `once` `warmups` times untimed and `repeats` times timed; its argument is the number of the call.

    Slow calls are warmed up once and stop after LONGEST_S / rounds, but not before LEAST / rounds repeats.

    Returns:
        Duration of each repeat in ns, and the figures of a `Watch` during the repeats.
    """
    longest, least = LONGEST_S / rounds, -(-LEAST // rounds)
    started = time.monotonic()
    for number in range(warmups):
        once(number)
        if time.monotonic() - started > longest / LEAST:
            break
    samples: list[int] = []
    watch = Watch()
    started = time.monotonic()
    for number in range(repeats):
        if number >= least and time.monotonic() - started > longest:
            break
        began = time.perf_counter_ns()
        once(warmups + number)
        samples.append(time.perf_counter_ns() - began)
        progress(number + 1, repeats)
    return samples, watch.seen()


def read_frames(folder: Path, most: int | None = None) -> list[Triple]:
    """Read the frames written by `prepare` into memory, at most `most`."""
    visible, infrared = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("visible", "infrared"))
    sizes = ((frames.shape[2], frames.shape[1]) for frames in (visible, infrared))
    warp = Registrar(load_rig(folder / "rig.yaml")).warp(*sizes)
    return [(np.array(v), np.array(i), warp) for v, i in zip(visible[:most], infrared[:most], strict=True)]
