"""Measurement of the whole chain: two H.264 streams in, fused H.264 with overlay out."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from ...engines.host.terminal import Terminal
from ..config import RunConfig
from ..errors import InputError
from ..run.streams import build_tools, open_streams
from ..running import Run
from .jobs import ChainJob
from .measure import INTERVAL_S, Progress, read_frames
from .paced import paced
from .watch import Watch, peak_mib

PROGRESS_FRAMES = 25  # between two progress reports


def measure_chain(job: ChainJob, progress: Progress) -> dict[str, Any]:
    """Process the clips as the plain command does. Raises its expected errors.

    Returns:
        frames: number of input frames. out: number of output frames, equal to `frames` without a pace. fps: output
        frames per second. stages: StageSummary of each stage, as in the report of a run; `write` ends when the encoder,
        which has its own threads, has taken the frame. peak_mib: peak memory of the process, with a warm cache.
    """
    clips = Path(job.clips)
    config = RunConfig.model_validate(
        {
            "sources": {"ir": str(clips / "ir.mp4"), "vis": str(clips / "vis.mp4")},
            "rig": clips / "rig.yaml",
            "sync": {"offset_ms": 0},
            "engine": {"name": job.spec},
            "detector": {"weights": job.weights, "enabled": None if job.detect else False},
            "overlay": {"enabled": True},
            "output": {"out": clips / "out.mp4", "show": False},
        }
    )
    tools = build_tools(config.engine, config.detector)
    warm = read_frames(Path(job.frames), 1)[0]
    if tools.detector is not None:
        tools.detector.prepare(*warm[0].shape[1::-1])
    for _ in range(job.warmups):
        fused = tools.engine.fuse(*warm, INTERVAL_S)
        if tools.detector is not None:
            tools.detector.detect(fused.to_detect)
    streams = open_streams(config)
    frames = streams.visible.info.frames or 0
    decoding = None if job.fps is None else paced(streams, job.fps)
    watch = Watch()
    with Run(config, streams, tools, threading.Event(), Terminal(quiet=True)) as run:
        for done, _ in enumerate(run.results(), 1):
            if done % PROGRESS_FRAMES == 0:
                progress(done, frames)
    usage = watch.seen()
    if run.outcome.failure is not None:
        raise run.outcome.failure
    report = run.report
    if job.fps is None and report["frames"] != frames:
        raise InputError(f"{job.spec}: {report['frames']} of {frames} frames came out of the chain; see fusecam doctor")
    return {
        "engine": tools.engine.name,
        "detector": report["detector"],
        "frames": frames,
        "out": report["frames"],
        "seconds": report["seconds"],
        "fps": round(report["latency"]["fps"], 2),
        "stages": ({} if decoding is None else decoding.as_dict()["stages"]) | report["latency"]["stages"],
        "paired": report["sync"]["paired"],
        "warnings": report["warnings"],
        "peak_mib": round(peak_mib(), 1),
        "others": usage["others"],
        "busy": usage["busy"],
        "cpu_s": usage["cpu_s"],
    }
