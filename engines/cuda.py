"""Engines on an NVIDIA GPU: the network in half precision, as it is or compiled, captured once as a CUDA graph."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from .base import EngineRefused, Fused, Pixels
from .eager import EagerEngine
from .inputs import check_pair, check_size
from .parity import compare
from .steady import CONTROLS, STATE, State, Steady

CudaPrecision = Literal["f16", "f32"]
Compiler = Callable[[nn.Module, tuple[Tensor, ...]], Callable[..., Any]]
SIZES_KEPT = 4
WARM_UPS = 3
"""Runs before the capture, in which cuDNN chooses its algorithms."""


@dataclass(frozen=True, slots=True)
class _Graph:
    """A captured graph with its buffers: pinned on the host, fixed on the device."""

    graph: torch.cuda.CUDAGraph
    given: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    taken: tuple[Tensor, ...]


class CudaEngine:
    """A network on the current CUDA device: one graph for each frame size, static buffers, one copy in and one out.

    Each new size is compared with the network in eager torch on the CPU (see `parity`). One thread at a time.
    """

    def __init__(
        self,
        network_name: str,
        module: nn.Module,
        precision: CudaPrecision = "f16",
        dehaze: float = -1.0,
        lift: float = -1.0,
        compiler: Compiler | None = None,
    ) -> None:
        """network_name: for the engine's name. module: as in `networks`. dehaze, lift: 0 to 1, negative for auto.
        compiler: makes something faster of the module, see `tensorrt.build`; None: it runs as it is.

        Raises EngineRefused where torch finds no usable GPU.
        """
        self._name = f"{network_name}:{'cuda' if compiler is None else 'tensorrt'}:{precision}"
        self._compiler = compiler
        if not torch.cuda.is_available():
            raise EngineRefused(f"{self._name}: torch {torch.__version__} finds no usable CUDA device")
        self._reference = EagerEngine(network_name, module)
        self._precision = precision
        placed = copy.deepcopy(module).eval().requires_grad_(False).to(memory_format=torch.channels_last).cuda()
        self._module = placed.half() if precision == "f16" else placed
        self._strengths = np.array([dehaze, lift], np.float32)
        self._steady = Steady()
        self._graphs: OrderedDict[tuple[int, int], _Graph] = OrderedDict()

    @property
    def name(self) -> str:
        """NAME:BACKEND:PRECISION."""
        return self._name

    @property
    def notes(self) -> list[str]:
        """See `FusionEngine.notes`."""
        return []

    def prepare(self, width: int, height: int) -> None:
        """See `FusionEngine.prepare`."""
        check_size(self._name, width, height)
        self._graph((height, width))

    def fuse(self, visible: Pixels, infrared: Pixels, coverage: Pixels, elapsed_s: float | None = None) -> Fused:
        """See `FusionEngine.fuse`. The first frame of a size also captures its graph."""
        graph = self._graph(check_pair(self._name, visible, infrared, coverage))
        fused, state = _run(
            graph, (visible, infrared, coverage), self._strengths, self._steady.prior(visible, elapsed_s)
        )
        self._steady.keep(state)
        return fused

    def _graph(self, size: tuple[int, int]) -> _Graph:
        graph = self._graphs.pop(size, None)
        if graph is None:
            try:
                graph = self._capture(*size)
            except Exception as e:  # a compiler's may be any
                reason = " ".join(str(e).split())[:300]
                raise EngineRefused(f"{self._name}: cannot be built for {size[1]}x{size[0]}: {reason}") from e
            auto, fresh = np.full(2, -1, np.float32), np.zeros(STATE + 1, np.float32)
            built = graph
            parity = compare(
                self._reference.fuse,
                lambda *frames: _run(built, frames, auto, fresh)[0],
                self._precision,
                size[1],
                size[0],
            )
            if not parity.passed:
                raise EngineRefused(f"{self._name}: at {size[1]}x{size[0]} not what the network computes: {parity}")
        self._graphs[size] = graph
        if len(self._graphs) > SIZES_KEPT:
            self._graphs.popitem(last=False)
        return graph

    def _capture(self, height: int, width: int) -> _Graph:
        shapes = ((1, height, width, 3), (1, height, width), (1, height, width))
        given = (*(torch.zeros(s, dtype=torch.uint8) for s in shapes), torch.zeros(CONTROLS))
        given = tuple(tensor.pin_memory() for tensor in given)
        inputs = tuple(tensor.cuda() for tensor in given)
        module = self._module if self._compiler is None else self._compiler(self._module, inputs)
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.inference_mode(), torch.cuda.stream(aside):
            for _ in range(WARM_UPS):
                module(*inputs)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.graph(graph):
            outputs = tuple(output.contiguous() for output in module(*inputs))
        taken = tuple(torch.empty_like(output, device="cpu").pin_memory() for output in outputs)
        return _Graph(graph, given, inputs, outputs, taken)


def _run(graph: _Graph, frames: tuple[Pixels, Pixels, Pixels], strengths: State, prior: State) -> tuple[Fused, State]:
    for pinned, frame in zip(graph.given[:3], frames, strict=True):
        np.copyto(pinned.numpy()[0], frame)
    controls = graph.given[3].numpy()
    controls[:2], controls[2:] = strengths, prior
    for pinned, fixed in zip(graph.given, graph.inputs, strict=True):
        fixed.copy_(pinned, non_blocking=True)
    graph.graph.replay()
    for output, pinned in zip(graph.outputs, graph.taken, strict=True):
        pinned.copy_(output, non_blocking=True)
    torch.cuda.current_stream().synchronize()
    *images, state = (pinned.numpy() for pinned in graph.taken)
    return Fused(*(image[0].copy() for image in images)), state
