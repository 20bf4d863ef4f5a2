"""Throughput and memory of the runtime around the networks, on two long clips made for it.

    python -m tests.e2e.soak --frames 20000

Decodes two 640x480 H.264 streams, pairs them, warps infrared by a rig with lens distortion, draws the overlay with
boxes and inset, and encodes H.264: everything but the fusion network and the detector, whose places are taken by a
pass-through and a fixed set of boxes. Prints frames per second and the resident memory along the way.

    python -m tests.e2e.soak --faults --frames 200000

instead runs the default chain, network and detector included, on two simulated cameras that break every few seconds
(see `soak_faults`), and fails if a frame is unaccounted for or memory grows.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from pathlib import Path

import av
import numpy as np
import psutil
from rich.console import Console

from fusecam.engines.base import Fused, Pixels
from fusecam.engines.warp import Size, Warp
from fusecam.pipeline.config import RunConfig
from fusecam.pipeline.core.detections import Detection
from fusecam.pipeline.run.streams import Tools, open_streams
from fusecam.pipeline.running import run_streams

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
RATE = 25


class PassThrough:
    """The visible frame as it is, in the place of a fusion network."""

    name = "pass-through"

    notes: tuple[str, ...] = ()

    def prepare(self, width: int, height: int, infrared: Size | None = None, reduce: int = 1) -> None:
        """Nothing to build."""

    def fuse(self, visible: Pixels, infrared: Pixels, warp: Warp, elapsed_s: float | None = None) -> Fused:
        empty = np.zeros((120, 160), np.uint8)
        return Fused(visible, visible, empty, empty, warp.apply(infrared))


class Boxes:
    """Four boxes, in the place of a detector."""

    def detect(self, image: Pixels) -> list[Detection]:
        return [Detection("person", 0.9, (40.0 + 90 * i, 200.0, 80.0 + 90 * i, 320.0), i) for i in range(4)]


def looped(clip: Path, target: Path, frames: int) -> Path:
    """The packets of a clip over and over, `frames` of them, with times that go on."""
    with av.open(str(clip)) as source:
        stream = source.streams.video[0]
        packets = [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in source.demux(stream) if p.size]
        step = round(1 / (stream.time_base * RATE))
        with av.open(str(target), "w") as out:
            copy = out.add_stream_from_template(stream)
            for number in range(frames):
                content, pts, dts, key = packets[number % len(packets)]
                shift = number // len(packets) * len(packets) * step
                packet = av.Packet(content)
                packet.stream, packet.time_base = copy, stream.time_base
                packet.pts, packet.dts, packet.is_keyframe = pts + shift, dts + shift, key
                out.mux(packet)
    return target


def soak(frames: int, folder: Path, console: Console) -> tuple[float, list[float]]:
    """Run; returns frames per second and the resident memory in MiB at every tenth of the frames."""
    config = RunConfig.model_validate(
        {
            "sources": {
                "ir": str(looped(SAMPLES / "fog_day_ir.mp4", folder / "ir.mp4", frames)),
                "vis": str(looped(SAMPLES / "fog_day_vis.mp4", folder / "vis.mp4", frames)),
            },
            "rig": SAMPLES / "rig.yaml",
            "sync": {"offset_ms": 0},
            "overlay": {"enabled": True, "inset": True},
            "output": {"out": folder / "out.mp4", "show": False},
        }
    )
    memory: list[float] = []
    process = psutil.Process()

    class Watch:
        """A sink that only looks at the memory."""

        def __init__(self) -> None:
            from fusecam.pipeline.sinks import SinkHealth

            self.health = SinkHealth()

        def write(self, result: object) -> None:
            self.health.written += 1
            if self.health.written % max(frames // 10, 1) == 0:
                memory.append(process.memory_info().rss / 2**20)

        def close(self, complete: bool) -> None:
            """Nothing is open."""

    tools = Tools(PassThrough(), Boxes())
    streams = open_streams(config)
    finished = run_streams(config, streams, tools, threading.Event(), console, more_sinks=[Watch()])
    if finished.outcome.failure is not None:
        raise finished.outcome.failure
    if finished.outcome.frames != frames:
        raise SystemExit(f"{finished.outcome.frames} frames came out of {frames}")
    console.print(finished.recorder.table("soak"))
    return finished.outcome.frames / finished.outcome.seconds, memory


def size(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=2000, help="length of the clips (default: %(default)s)")
    parser.add_argument("--faults", action="store_true", help="the default chain on cameras that break")
    parser.add_argument("--every", type=int, default=200, help="frames between two faults (default: %(default)s)")
    parser.add_argument("--engine", default="realtime", help="with --faults (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=8, help="of the faults (default: %(default)s)")
    parser.add_argument("--fps", type=float, default=50, help="of both cameras, with --faults (default: %(default)s)")
    parser.add_argument("--size", type=size, help="WIDTHxHEIGHT of both cameras, with --faults (default: 640x480)")
    options = parser.parse_args()
    frames, console = options.frames, Console()
    if options.faults:
        from . import soak_faults

        with tempfile.TemporaryDirectory() as folder:
            wrong = soak_faults.soak(
                frames,
                SAMPLES,
                Path(folder),
                console,
                options.engine,
                options.seed,
                options.every,
                options.fps,
                options.size,
            )
        raise SystemExit("; ".join(wrong) or 0)
    with tempfile.TemporaryDirectory() as folder:
        rate, memory = soak(frames, Path(folder), console)
    print(f"{frames} frames at {rate:.1f} fps; resident MiB at each tenth: {', '.join(f'{m:.0f}' for m in memory)}")


if __name__ == "__main__":
    main()
