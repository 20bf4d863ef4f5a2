"""Measurement jobs for child processes, serialisable to JSON."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

Size = tuple[int, int]
Variant = str
PLAIN, KEPT = "plain", "kept"
"""Variants of eager PyTorch: default, or channels-last weights with freed memory kept by the C library."""

KEEPING = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**36)}
"""Environment that makes glibc keep freed memory. Without it every large tensor is returned to the kernel, and eager
PyTorch spends most of its time on page faults, which is not a fair baseline. glibc reads it at process start, so it
needs a child process."""


@dataclass(frozen=True, slots=True)
class FuseJob:
    """One engine on prepared frames.

    frames: folder with visible.npy, infrared.npy and rig.yaml. variant: PLAIN or KEPT. repeats: 0 times
    only the start. rounds: number of equal jobs that share the measurement.
    """

    spec: str
    frames: str
    variant: Variant
    warmups: int
    repeats: int
    rounds: int = 1


@dataclass(frozen=True, slots=True)
class DetectJob:
    """The detector on the visible frames of `frames`. weights: None for fusecam's own. The rest as in FuseJob."""

    weights: str | None
    frames: str
    warmups: int
    repeats: int
    rounds: int = 1


@dataclass(frozen=True, slots=True)
class ChainJob:
    """The whole command on prepared clips: ir.mp4, vis.mp4 and rig.yaml in `clips`, with the frames for warm-ups.

    weights: of a detector, None for fusecam's own. detect: whether to run it. fps: pace of the clips, as of two
    cameras; None: as recordings, as fast as they go.
    """

    spec: str
    clips: str
    frames: str
    weights: str | None
    warmups: int
    detect: bool = True
    fps: float | None = None


@dataclass(frozen=True, slots=True)
class CostJob:
    """Parameters and arithmetic of a network for one frame of `size`, (width, height)."""

    name: str
    size: Size


Job = FuseJob | DetectJob | ChainJob | CostJob
_KINDS: dict[str, type[Job]] = {kind.__name__: kind for kind in (FuseJob, DetectJob, ChainJob, CostJob)}


def pack(job: Job) -> dict[str, Any]:
    """Convert a job to a JSON-serialisable dictionary."""
    return {"kind": type(job).__name__, **asdict(job)}


def unpack(packed: dict[str, Any]) -> Job:
    """Inverse of `pack`."""
    fields = dict(packed)
    return _KINDS[fields.pop("kind")](**fields)


def environment(job: Job) -> dict[str, str]:
    """Environment of the job's process: that of this process, with `KEEPING` only for the variant KEPT."""
    inherited = {name: value for name, value in os.environ.items() if name not in KEEPING}
    return inherited | (KEEPING if isinstance(job, FuseJob) and job.variant == KEPT else {})
