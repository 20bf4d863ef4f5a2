"""bfloat16 for the layers that bear it: half the time for their convolutions on a CPU with AVX512_BF16 or AMX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..host.devices import features
from .convolutions import convolutions

if TYPE_CHECKING:
    from .ov import ov

CORE = ("candidate", "down1", "mix1", "down2", "mix2", "join1", "join0")
LAYERS = {"realtime": ("head", *(f"core.{layer}" for layer in CORE))}
"""Modules whose convolutions are narrowed, by network. Of other networks bf16 is a hint to OpenVINO for everything.

`realtime` as a whole fails: its airlight would be rounded, and haze of t = 0.03 divides that by 0.03. What the head and
the core's layers give are small corrections; those of the core that see pixels or give maps stay as they are.
"""


def narrowed(model: ov.Model, name: str) -> ov.Model:
    """A converted model with the convolutions of LAYERS in bfloat16, all else as it was; changed in place.

    Said by conversions in the graph itself, since OpenVINO's own hint knows no exceptions. A CPU without bfloat16
    computes them in float32. What is in eight bits already stays so. name: of the network.
    """
    from .ov import ov

    for layer in list(convolutions(model, LAYERS[name])):
        if layer.input_value(0).get_node().get_type_name() == "FakeQuantize":
            continue
        readers = list(layer.output(0).get_target_inputs())
        for given in layer.inputs():
            given.replace_source_output(ov.opset13.convert(given.get_source_output(), "bf16").output(0))
        widened = ov.opset13.convert(layer.output(0), "f32").output(0)
        for reader in readers:
            reader.replace_source_output(widened)
    model.validate_nodes_and_infer_types()
    return model


def native() -> bool:
    """Whether this CPU has instructions for bfloat16; OpenVINO also counts those that it emulates it on."""
    return not features().isdisjoint(("avx512_bf16", "amx_bf16"))
