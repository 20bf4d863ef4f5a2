"""The parts of `python -m tests.gpu`, a row after the other. Nothing is imported before it is needed."""

from __future__ import annotations

import argparse
import copy
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

_HALF = ("f16",)
BACKENDS = {"eager": ("f32", "f16"), "graph": ("f16", "f32"), "compile": _HALF, "tensorrt": _HALF, "rtx": _HALF}
"""Their precisions. `graph` is the engine NAME:cuda; `compile` is torch.compile's code, captured as `graph` is."""
NEEDS = {"tensorrt": "torch_tensorrt", "rtx": "tensorrt_rtx"}
INFRARED = (640, 512)
WARM_UPS, REPEATS = 10, 200
LONGEST_S = {"cuda": 2.0, "cpu": 0.2}
COPIED_MIB = {"cuda": 1024, "cpu": 16}
STEPS, BATCH, WINDOW = {"cuda": 40, "cpu": 4}, {"cuda": 12, "cpu": 3}, (96, 128)

Report = dict[str, Any]


class Skipped(Exception):
    """This machine cannot run a part, which is no failure. One line: why."""


@dataclass(frozen=True)
class Placed:
    """A network on a device. run: arrays in and out, as the parity gate takes it. launch: once more on what lies there.

    bytes: of inputs and outputs by `frame` (what changes with each), `out`, and `all` that is read or written, with the
    weights.
    """

    run: Callable[..., Any]
    launch: Callable[[], object]
    bytes: dict[str, int]


def rows_of(asked: argparse.Namespace, deadline: float) -> Iterator[Report]:
    if asked.part == "copy":
        yield from copies(asked.device)
    elif asked.part == "train":
        yield from trains(asked.device, deadline)
    else:
        yield from backend(asked.part, asked, deadline)


def backend(part: str, asked: argparse.Namespace, deadline: float) -> Iterator[Report]:
    """Parity and latency of a backend, size by size; what fails is its row's `error`. A row that would take longer than
    the time that is left, by those before it, is left out.
    """
    from fusecam.engines.backends.eager import EagerEngine
    from fusecam.engines.build.parity import compare
    from fusecam.engines.registry import network, parse
    from fusecam.engines.warp import Shape

    if (needed := NEEDS.get(part)) and find_spec(needed) is None:
        raise Skipped(f"{needed} is not installed")
    slowest = 0.0  # seconds for a pixel
    for size in asked.sizes:
        shape = Shape.of(*(int(side) for side in size.split("x")), INFRARED)
        for name in asked.networks:
            for precision in BACKENDS[part] if asked.device == "cuda" else ("f32",):
                row: Report = {"network": name, "precision": precision, "size": [shape.width, shape.height]}
                began = time.monotonic()
                if began + slowest * shape.width * shape.height > deadline:
                    yield row | {"left_out": "no time was left"}
                    continue
                try:
                    module = network(parse(f"{name}:torch")[0])
                    engine = placed(part, asked.device, name, module, precision, shape)
                    row["ready_s"] = round(time.monotonic() - began, 2)
                    row |= latency(engine, asked.device, shape)
                    parity = compare(EagerEngine(name, module).run, engine.run, precision, shape)
                    row |= {"passed": parity.passed, "parity": str(parity)}
                    row["outputs"] = {key: parity.worst(key).outputs[key] for key in parity.frames[0].outputs}
                except Skipped:
                    raise
                except Exception as error:
                    row["error"] = one_line(error)
                slowest = max(slowest, (time.monotonic() - began) / (shape.width * shape.height))
                yield row


def placed(part: str, device: str, name: str, module: Any, precision: str, shape: Any) -> Placed:
    """A network as a backend runs it, for one shape."""
    import torch

    from fusecam.engines.backends import cuda
    from fusecam.engines.backends.graph import KEPT, ImagePath, examples

    weights = sum(each.nbytes for each in module.state_dict().values()) // (2 if precision == "f16" else 1)
    if device == "cuda" and part in ("graph", "compile", "tensorrt"):
        compiler: Any = None
        if part == "compile":
            compiler = compiled
        elif part == "tensorrt":
            from fusecam.engines.backends.tensorrt import build as compiler
        graph = cuda.CudaEngine(name, module, precision, compiler=compiler)._capture(shape)
        given, outputs = graph.inputs, graph.outputs
        run, launch = graph.run, graph.graph.replay
    else:
        placed_module = copy.deepcopy(module).eval().requires_grad_(False).to(device)
        path = ImagePath(placed_module.half() if precision == "f16" else placed_module, shape.reduce)
        given = tuple(tensor.to(device) for tensor in examples(shape))
        if part == "rtx":
            call = of_rtx(name, module, shape, given)
        elif part == "compile":
            call = compiled(path, given)
        elif part == "eager":
            call = path
        else:
            raise Skipped(f"{part} needs a GPU")

        def launch() -> Any:
            with torch.inference_mode():
                return call(*given)

        def run(*pair: Any) -> dict[str, Any]:
            visible, infrared, warp, controls = pair
            for tensor, array in zip(given, (visible, infrared, *warp.parts, controls), strict=True):
                tensor.copy_(torch.from_numpy(array.copy()).reshape(tensor.shape))
            return {name: x[0].cpu().numpy().copy() for name, x in zip(path.outputs, launch(), strict=True)}

        outputs = launch()
    out = sum(tensor.nbytes for tensor in outputs)
    frame = sum(tensor.nbytes for place, tensor in enumerate(given) if place not in range(*KEPT.indices(len(given))))
    every = weights + out + sum(tensor.nbytes for tensor in given)
    return Placed(run, launch, {"frame": frame, "out": out, "all": every})


def compiled(module: Any, inputs: Any) -> Any:
    """By torch.compile, whole: a part that it would leave to Python is an error."""
    import torch

    torch.compiler.reset()  # it compiles one piece of code for a few networks and sizes only
    return torch.compile(module, fullgraph=True, dynamic=False)


def of_rtx(name: str, module: Any, shape: Any, given: Sequence[Any]) -> Callable[..., Any]:
    """A TensorRT-RTX engine built for this card, by the code of `fusecam compile`."""
    import torch

    from fusecam.engines.rtx.build import TARGETS, build, tensorrt_rtx
    from fusecam.engines.rtx.export import export

    target = "sm{}{}".format(*torch.cuda.get_device_capability()) if torch.cuda.is_available() else "none"
    if target not in TARGETS:
        raise Skipped(f"TensorRT-RTX builds for {', '.join(TARGETS)}; this device is {target}")
    trt = tensorrt_rtx()
    built = build(name, export(name, copy.deepcopy(module), shape), [target])
    engine = trt.Runtime(trt.Logger(trt.Logger.ERROR)).deserialize_cuda_engine(built.plan)
    context = engine.create_execution_context()
    types = {"UINT8": torch.uint8, "FLOAT": torch.float32, "HALF": torch.float16, "INT32": torch.int32}
    outputs = tuple(torch.empty(v.shape, dtype=types[v.dtype], device="cuda") for v in built.outputs)
    for value, tensor in zip((*built.inputs, *built.outputs), (*given, *outputs), strict=True):
        context.set_tensor_address(value.name, tensor.data_ptr())

    def call(*_: Any) -> Any:
        if not context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise RuntimeError("TensorRT-RTX did not run the engine")
        return outputs

    call.kept = engine  # type: ignore[attr-defined]  # it must live as long as its context
    return call


def latency(engine: Placed, device: str, shape: Any) -> Report:
    """device_ms: the graph alone, on inputs that lie there. whole_ms, whole_p99_ms: arrays in to arrays out."""
    import numpy as np

    from fusecam.engines.build.parity.frames import gate_frames
    from fusecam.engines.build.parity.gate import gate_warp
    from fusecam.engines.networks.smoothing import CONTROLS

    _, visible, infrared = next(gate_frames(shape.width, shape.height, shape.infrared))
    warp, controls = gate_warp(shape), np.full(CONTROLS, -1, np.float32)
    controls[-1] = 0
    whole = sorted(timed(lambda: engine.run(visible, infrared, warp, controls), device, alone=False))
    return {
        "device_ms": round(statistics.median(timed(engine.launch, device)), 4),
        "whole_ms": round(statistics.median(whole), 4),
        "whole_p99_ms": round(whole[int(0.99 * (len(whole) - 1))], 4),
        "repeats": len(whole),
        "bytes": engine.bytes,
    }


def timed(once: Callable[[], object], device: str, alone: bool = True) -> list[float]:
    """Milliseconds of each repeat, until REPEATS or LONGEST_S. alone: by the device's clock."""
    import torch

    alone = alone and device == "cuda"
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2)) if alone else (None, None)
    started = time.monotonic()
    samples: list[float] = []
    for number in range(WARM_UPS + REPEATS):
        began = time.perf_counter()
        if first is not None and last is not None:
            first.record()
            once()
            last.record()
            last.synchronize()
            ms = first.elapsed_time(last)
        else:
            once()
            ms = (time.perf_counter() - began) * 1e3
        if number >= WARM_UPS or (number and time.monotonic() - started > LONGEST_S[device]):
            samples.append(ms)
        if samples and time.monotonic() - started > LONGEST_S[device]:
            break
    return samples


def copies(device: str) -> Iterator[Report]:
    """Rates of copies in GB/s: within the device (bytes read and written), to it and from it (pinned)."""
    import torch

    count = COPIED_MIB[device] * 2**20
    here, there = (torch.empty(count, dtype=torch.uint8, device=device) for _ in range(2))
    host = torch.empty(count // 4, dtype=torch.uint8, pin_memory=device == "cuda")
    part = here[: count // 4]
    for way, source, target, times in (
        ("within", here, there, 2),
        ("to", host, part, 1),
        ("from", part, host, 1),
    ):
        ms = statistics.median(timed(partial(target.copy_, source, non_blocking=True), device))
        yield {"way": way, "gb_s": round(times * source.nbytes / ms * 1e-6, 2)}


def trains(device: str, deadline: float) -> Iterator[Report]:
    """Training steps of `realtime` from nothing; the first one's loss is compared with that of the CPU."""
    import numpy as np
    import torch

    from fusecam.engines.build.parity.frames import SCENES, gate_frames
    from fusecam.engines.networks.realtime import RealtimeFusion
    from fusecam.train.degrade import Mixture
    from fusecam.train.objective import cost, make_example, run
    from fusecam.train.recipe import Losses

    torch.manual_seed(0)
    network = RealtimeFusion().train()
    scenes = list(gate_frames(WINDOW[1], WINDOW[0]))[: len(SCENES)] * (BATCH[device] // len(SCENES))
    visible = torch.from_numpy(np.stack([scene[1] for scene in scenes])).permute(0, 3, 1, 2)
    infrared = torch.from_numpy(np.stack([scene[2] for scene in scenes]))[:, None]
    losses = Losses()

    def loss_of(network: Any, example: Any) -> Any:
        parts = cost(run(network, example, 1), example, losses)
        return torch.stack([getattr(losses, name) * value for name, value in parts.items()]).sum()

    def moved(value: Any) -> Any:
        return type(value)(*map(moved, value)) if isinstance(value, tuple) else value.to(device)

    example = make_example(visible, infrared, Mixture(), 1, torch.Generator().manual_seed(0))
    here = loss_of(copy.deepcopy(network), example).item()
    network = network.to(device)
    there = loss_of(copy.deepcopy(network), moved(example)).item()
    yield {"first_loss": there, "first_loss_on_cpu": here, "passed": abs(there - here) <= 0.01 * abs(here)}
    visible, infrared = visible.to(device), infrared.to(device)
    for precision in ("f32", "bf16"):
        trained = copy.deepcopy(network)
        optimiser = torch.optim.AdamW(trained.parameters(), 1e-3)
        random = torch.Generator(device).manual_seed(0)
        found: list[float] = []
        began = time.monotonic()
        while len(found) < STEPS[device] and time.monotonic() < deadline:
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
                total = loss_of(trained, make_example(visible, infrared, Mixture(), 1, random))
            optimiser.zero_grad()
            total.backward()
            torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
            optimiser.step()
            found.append(float(total.detach()))
            if len(found) == 2:  # what is set up with the first steps is no part of their time
                began = time.monotonic()
        if len(found) < 4:
            yield {"precision": precision, "left_out": "no time was left"}
            continue
        half = len(found) // 2
        first, last = statistics.mean(found[:half]), statistics.mean(found[half:])
        yield {
            "precision": precision,
            "batch": [BATCH[device], *WINDOW],
            "steps": len(found),
            "step_ms": round((time.monotonic() - began) / (len(found) - 2) * 1e3, 2),
            "loss": [round(first, 4), round(last, 4)],
            # with the few steps of a CPU it need not fall yet
            "passed": last < first or (device == "cpu" and math.isfinite(last)),
        }


def one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
