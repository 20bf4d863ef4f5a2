"""Engines on NVIDIA GPUs: the network, in eager torch or compiled, captured as a CUDA graph once per frame size."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..base import EngineRefused, Outputs, Pixels
from ..build.parity import compare
from ..networks.io import Network
from ..networks.smoothing import State
from ..prompts.conditioning import OWN_CHOICE, StrengthSource
from ..warp import Shape, Warp, WarpBuffers
from .eager import EagerEngine
from .engine import BackendEngine
from .graph import KEPT, ImagePath, examples

CudaPrecision = Literal["f16", "f32"]
Compiler = Callable[[nn.Module, tuple[Tensor, ...]], Callable[..., Any]]
WARM_UPS = 3
"""Warm-up runs before the capture, in which cuDNN selects its algorithms."""


@dataclass(frozen=True, slots=True)
class _Graph:
    """A captured graph with its static buffers, on the device and in pinned host memory."""

    graph: torch.cuda.CUDAGraph
    host_inputs: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    host_outputs: dict[str, Tensor]
    held: WarpBuffers = field(default_factory=WarpBuffers)

    def run(self, visible: Pixels, infrared: Pixels, warp: Warp, controls: State) -> Outputs:
        """See `engine.Ready`."""
        for index, frame in enumerate((visible, infrared)):
            np.copyto(self.host_inputs[index].numpy()[0], frame)
        changed = [0, 1, len(self.host_inputs) - 1]
        for part, array in self.held.changed_parts(warp):
            np.copyto(self.host_inputs[KEPT][part].numpy()[0], array)
            changed.append(KEPT.start + part)
        np.copyto(self.host_inputs[-1].numpy(), controls)
        for index in changed:
            self.inputs[index].copy_(self.host_inputs[index], non_blocking=True)
        self.graph.replay()
        for output, pinned in zip(self.outputs, self.host_outputs.values(), strict=True):
            pinned.copy_(output, non_blocking=True)
        torch.cuda.current_stream().synchronize()
        return {name: pinned.numpy()[0].copy() for name, pinned in self.host_outputs.items()}


class CudaEngine(BackendEngine[_Graph]):
    """A network on the current CUDA device, as one CUDA graph for each pair of frame sizes.

    The graph computes everything from both cameras' frames to all outputs, in static buffers. Frames are copied to the
    device for each call, a warp only when it changes. For each new pair of sizes, the graph is compared with the
    network in eager torch on the CPU (see `parity`).
    """

    def __init__(
        self,
        network_name: str,
        module: Network,
        precision: CudaPrecision = "f16",
        strengths: StrengthSource = OWN_CHOICE,
        compiler: Compiler | None = None,
    ) -> None:
        """Copy the module to the device. Raises EngineRefused if torch finds no usable GPU.

        network_name: for the engine's name. module: as in `networks`. strengths: of each task, for each frame.
        compiler: compiles the module, see `tensorrt.build`; None: eager torch is captured.
        """
        super().__init__(f"{network_name}:{'cuda' if compiler is None else 'tensorrt'}:{precision}", strengths)
        self._compiler = compiler
        if not torch.cuda.is_available():
            raise EngineRefused(f"{self._name}: torch {torch.__version__} finds no usable CUDA device")
        self._reference = EagerEngine(network_name, module)
        self._precision = precision
        on_device = copy.deepcopy(module).eval().requires_grad_(False).to(memory_format=torch.channels_last).cuda()
        self._module = on_device.half() if precision == "f16" else on_device

    def _build(self, shape: Shape) -> _Graph:
        graph = self._capture(shape)
        self._check(compare(self._reference.run, graph.run, self._precision, shape))
        return graph

    def _capture(self, shape: Shape) -> _Graph:
        """Capture a graph for these sizes, after warm-up runs."""
        host_inputs = tuple(tensor.pin_memory() for tensor in examples(shape))
        inputs = tuple(tensor.cuda() for tensor in host_inputs)
        path = ImagePath(self._module, shape.reduce)
        module: Callable[..., Any] = path if self._compiler is None else self._compiler(path, inputs)
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.inference_mode(), torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                module(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.graph(graph):
            outputs = tuple(output.contiguous() for output in module(*inputs))
        pinned = (torch.empty_like(output, device="cpu").pin_memory() for output in outputs)
        host_outputs = dict(zip(path.outputs, pinned, strict=True))
        return _Graph(graph, host_inputs, inputs, outputs, host_outputs)
