"""What 8 bits by NNCF would bring, and cost: `pip install nncf && python -m tests.engines.int8`.

Networks of ours are quantised in their learned layers, others whole, after calibration on the sample clips and on the
gate's own frames, which is more than fair; then compared by the gate and timed beside f32 and bf16. No engine is built
that way.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nncf
import numpy as np
import openvino as ov

from fusecam.engines.base import Fused, Pixels
from fusecam.engines.eager import EagerEngine
from fusecam.engines.graph import examples
from fusecam.engines.openvino import _convert, _Ready, _run
from fusecam.engines.parity import compare, gate_warp
from fusecam.engines.parity.frames import gate_frames
from fusecam.engines.prompts.tasks import TASKS
from fusecam.engines.registry import UNLIFTED, network
from fusecam.engines.steady import STATE
from fusecam.engines.warp import Held, Shape, Warp
from fusecam.pipeline.bench.measure import Triple, read_frames
from fusecam.pipeline.bench.prepare import prepare

LEARNED = re.compile(r"__module\.network\.(core|head)\.")
AUTO, FRESH = np.full(len(TASKS), -1, np.float32), np.zeros(STATE + 1, np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", action="append", help="default: realtime and tiny")
    parser.add_argument("--repeats", type=int, default=100)
    options = parser.parse_args()
    size = 640, 480
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), size)
        frames = read_frames(Path(folder))
    warp = gate_warp(Shape.of(*size, size, 1))
    given = [_inputs(*frame) for frame in frames]
    given += [_inputs(visible, infrared, warp) for _, visible, infrared in gate_frames(*size)]
    for name in options.engine or UNLIFTED:
        _measure(name, frames, given, options.repeats)


def _measure(name: str, frames: list[Triple], given: list[dict[int, Pixels]], repeats: int) -> None:
    module = network(name, name in UNLIFTED).eval()
    shape = Shape.of(640, 480, (640, 480), 1)
    model = _convert(module, 1).clone()
    model.reshape({index: list(each.shape) for index, each in enumerate(examples(shape, planar=True))})
    names = [operation.get_friendly_name() for operation in model.get_ordered_ops()]
    left = [each for each in names if not LEARNED.search(each)] if name in UNLIFTED else []
    small = nncf.quantize(
        model,
        nncf.Dataset(given),
        subset_size=len(given),
        ignored_scope=nncf.IgnoredScope(names=left, validate=False),
    )
    runs = {"f32": _engine(model, "f32"), "bf16": _engine(model, "bf16"), "int8": _engine(small, "f32")}
    taken: dict[str, list[float]] = {precision: [] for precision in runs}
    for number in range(repeats):
        for precision, fuse in runs.items():
            started = time.perf_counter()
            fuse(*frames[number % len(frames)])
            taken[precision].append(time.perf_counter() - started)
    reference = EagerEngine(name, module).fuse
    for precision, fuse in runs.items():
        found = compare(reference, fuse, precision, shape)
        print(f"{name} {precision}: {np.median(taken[precision]) * 1e3:.2f} ms, {found}")


def _engine(model: ov.Model, precision: str) -> Callable[[Pixels, Pixels, Warp], Fused]:
    settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    ready = _Ready(ov.Core().compile_model(model, "CPU", settings).create_infer_request())
    return lambda visible, infrared, warp: _run(ready, visible, infrared, warp, AUTO, FRESH)[0]


def _inputs(visible: Pixels, infrared: Pixels, warp: Warp) -> dict[int, Pixels]:
    parts = [np.asarray(part)[None] for _, part in sorted(Held().take(warp), key=lambda each: each[0])]
    controls = np.concatenate([AUTO, FRESH])
    return dict(enumerate([np.moveaxis(visible, 2, 0)[None].copy(), infrared[None].copy(), *parts, controls]))


if __name__ == "__main__":
    main()
