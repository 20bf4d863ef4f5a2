"""bfloat16 for the layers that tolerate it: halves the time of their convolutions on a CPU with AVX512_BF16 or AMX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...host.devices import features
from .convolutions import convolutions

if TYPE_CHECKING:
    from .ov import ov

CORE = ("candidate", "down1", "mix1", "down2", "mix2", "join1", "join0")
LAYERS = {"realtime": ("head", *(f"core.{layer}" for layer in CORE))}
"""Modules whose convolutions run in bf16, by network. For other networks bf16 is OpenVINO's hint for the whole graph.

`realtime` as a whole would fail the parity gate: bf16 rounds the airlight, and dense haze of t = 0.03 divides that
error by 0.03. The head and the inner layers of the core output small corrections; the first and last layers of the core
stay in f32.
"""


def narrowed(model: ov.Model, name: str) -> ov.Model:
    """Set the convolutions of LAYERS in a converted model to bf16, in place. name: of the network.

    Done by type conversions in the graph, since OpenVINO's precision hint is for whole graphs. A CPU without bf16
    instructions computes them in f32. Quantised convolutions stay int8.
    """
    from .ov import ov

    for layer in list(convolutions(model, LAYERS[name])):
        if layer.input_value(0).get_node().get_type_name() == "FakeQuantize":
            continue
        readers = list(layer.output(0).get_target_inputs())
        for operand in layer.inputs():
            operand.replace_source_output(ov.opset13.convert(operand.get_source_output(), "bf16").output(0))
        widened = ov.opset13.convert(layer.output(0), "f32").output(0)
        for reader in readers:
            reader.replace_source_output(widened)
    model.validate_nodes_and_infer_types()
    return model


def native() -> bool:
    """Whether this CPU has bf16 instructions. OpenVINO's own answer includes CPUs on which it emulates bf16."""
    return not features().isdisjoint(("avx512_bf16", "amx_bf16"))
