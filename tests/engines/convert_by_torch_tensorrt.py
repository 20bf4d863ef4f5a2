"""Every network through Torch-TensorRT's converters and TensorRT's builder, without a GPU; run by test_compile.

Prints one JSON object: for each network, what of it stays with torch, with our converters and without them, what is
wider than half precision, the number of layers, and the bytes of the engine. A process of its own, since Torch-TensorRT
asks for the GPU when it is imported.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any
from unittest import mock

import torch

from fusecam.engines.backends.graph import ImagePath, examples
from fusecam.engines.backends.tensorrt import register
from fusecam.engines.registry import network
from fusecam.engines.rtx.layers import defined, refusals
from fusecam.engines.warp import Shape

GPU = {
    "get_device_capability": lambda *_: (8, 9),
    "current_device": lambda: 0,
    "mem_get_info": lambda *_: (8 << 30, 16 << 30),
}
"""What Torch-TensorRT asks of CUDA before it converts; the answers decide nothing that is checked here."""


def lowered(name: str, inputs: tuple[torch.Tensor, ...]) -> torch.fx.GraphModule:
    """The image path with the network in half precision, as Torch-TensorRT's converters see it."""
    from torch_tensorrt.dynamo._settings import CompilationSettings
    from torch_tensorrt.dynamo.lowering import get_decompositions, post_lowering, pre_export_lowering

    settings = CompilationSettings()
    with torch.no_grad():
        program = pre_export_lowering(torch.export.export(ImagePath(network(name).half()).eval(), inputs), settings)
    program = program.run_decompositions(get_decompositions(False, False, False))
    return post_lowering(program.module(), settings)


def left(graph: torch.fx.GraphModule) -> list[str]:
    """Operators that no converter takes."""
    from torch_tensorrt.dynamo.conversion._ConverterRegistry import DYNAMO_CONVERTERS

    called = [node for node in graph.graph.nodes if node.op == "call_function"]
    return sorted({str(node.target) for node in called if node not in DYNAMO_CONVERTERS})


def build(graph: torch.fx.GraphModule, inputs: tuple[torch.Tensor, ...], targets: list[str]) -> dict[str, Any]:
    """The graph as TensorRT has it, and built."""
    import tensorrt as trt
    from torch_tensorrt.dynamo._settings import CompilationSettings
    from torch_tensorrt.dynamo.conversion._conversion import infer_module_output_dtypes
    from torch_tensorrt.dynamo.conversion._TRTInterpreter import TRTInterpreter
    from torch_tensorrt.dynamo.utils import prepare_inputs

    interpreter = TRTInterpreter(
        graph,
        prepare_inputs(inputs),
        output_dtypes=infer_module_output_dtypes(graph),
        compilation_settings=CompilationSettings(),
    )
    interpreter._construct_trt_network_def()
    definition = interpreter.ctx.net
    config = interpreter.builder.create_builder_config()
    config.num_compute_capabilities = len(targets)
    for index, target in enumerate(targets):
        config.set_compute_capability(getattr(trt.ComputeCapability, target.upper()), index)
    plan = interpreter.builder.build_serialized_network(definition, config)
    found = defined(definition)
    return {"wide": refusals(found, {}), "layers": len(found), "bytes": plan.nbytes if plan else 0}


def main() -> None:
    names, (width, height), targets = sys.argv[1].split(","), map(int, sys.argv[2].split("x")), sys.argv[3].split(",")
    inputs = examples(Shape.of(width, height, (width // 2, height // 2)))
    with contextlib.ExitStack() as answered:
        for function, answer in GPU.items():
            answered.enter_context(mock.patch.object(torch.cuda, function, answer))
        import torch_tensorrt  # noqa: F401

        graphs = {name: lowered(name, inputs) for name in names}
        result: dict[str, dict[str, Any]] = {name: {"left_without_ours": left(graphs[name])} for name in names}
        register()
        for name, graph in graphs.items():
            result[name]["left"] = left(graph)
            if not result[name]["left"]:
                result[name] |= build(graph, inputs, targets)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
