"""Layers of a TensorRT network, as defined and as built, and the check of their precision."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ..base import EngineError
from ..networks.smoothing import CONTROLS

BRANCHES = ("haze_density", "illumination")
"""Outputs whose branches are named in messages if a layer on them is refused."""
SMALL = 64
"""Number of elements up to which a tensor may have any precision: strengths, colours, pooled features."""
ALLOWED = frozenset({"HALF", "UINT8", "INT32", "INT64", "BOOL"})
"""Data types of larger tensors: half precision, 8-bit frames, indices of the brightest pixels, comparisons."""

Branches = Mapping[str, frozenset[str]]

_LINE = re.compile(
    r"Name: (?P<name>.*?), LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*?)\], Constants: \[(?P<constants>.*?)\], "
    r"Outputs: \[(?P<outputs>.*?)\], TacticName: "
)
_TENSOR = re.compile(r"Name: (?P<name>.*?), Dimensions: \[(?P<shape>[\d,]*)\].*?Datatype: (?P<dtype>\w+)")
_ORIGIN = re.compile(r"\[ONNX Layer: (.*?)\]")


class Value(NamedTuple):
    """A tensor between layers. dtype: TensorRT's name, for example HALF or UINT8."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @staticmethod
    def of(tensor: Any) -> Value:
        """From an ITensor."""
        return Value(tensor.name, tuple(tensor.shape), tensor.dtype.name)


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer.

    Attributes:
        name: Of the layer.
        kind: TensorRT's layer type.
        inputs, outputs: Its tensors.
        origin: The ONNX nodes it was built from; empty for constants and for layers that only synchronise.
        scratch: Outputs that no other layer reads, such as the partial sums of a mean.
    """

    name: str
    kind: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    origin: tuple[str, ...] = ()
    scratch: tuple[Value, ...] = ()

    @property
    def precision(self) -> str:
        """Data types of the outputs: for example HALF, or HALF+UINT8; `no data` for a layer that only synchronises."""
        return "+".join(sorted({value.dtype for value in self.outputs})) or "no data"


def defined(network: Any) -> list[Layer]:
    """Layers of an INetworkDefinition. If it is strongly typed, the engine has the same types, whatever is fused."""
    layers = []
    for layer in (network.get_layer(index) for index in range(network.num_layers)):
        inputs = (layer.get_input(index) for index in range(layer.num_inputs))
        outputs = (layer.get_output(index) for index in range(layer.num_outputs))
        read, written = (tuple(Value.of(tensor) for tensor in side if tensor is not None) for side in (inputs, outputs))
        layers.append(Layer(layer.name, layer.type.name, read, written, tuple(_ORIGIN.findall(layer.metadata))))
    return layers


def built(report: str, outputs: Sequence[str], of: Sequence[Layer]) -> list[Layer]:
    """Layers of a built engine, parsed from the builder's report, since inspecting an engine needs a GPU.

    Args:
        report: The builder's verbose log after `Layers:`.
        outputs: Names of the network's outputs.
        of: The layers as defined.

    Raises:
        EngineError: The report has an unknown format, or lacks an output.
    """
    layers = []
    for line in report.splitlines():
        if not line.startswith("Name: "):
            continue
        match = _LINE.match(line)
        if match is None:
            raise EngineError(f"TensorRT-RTX reports a layer in a form unknown here: {line[:120]}")
        inputs, constants, written = (tuple(_values(match[key])) for key in ("inputs", "constants", "outputs"))
        layers.append(Layer(match["name"], match["kind"], inputs + constants, written, tuple(_ORIGIN.findall(line))))
    missing = set(outputs) - {value.name for layer in layers for value in layer.outputs}
    if missing:
        raise EngineError(f"TensorRT-RTX reports no layer that makes {', '.join(sorted(missing))}")
    # scratch: neither read by another layer nor an output. Layers may read a map under another name, so its sides count
    read = {*outputs, *(value.name for layer in layers for value in layer.inputs)}
    known = {_sides(value) for layer in of for value in layer.outputs}

    def shared(value: Value) -> bool:
        return value.name in read or _sides(value) in known

    return [
        replace(
            layer,
            outputs=tuple(value for value in layer.outputs if shared(value)),
            scratch=tuple(value for value in layer.outputs if not shared(value)),
        )
        for layer in layers
    ]


def branches(layers: Sequence[Layer]) -> Branches:
    """The ONNX nodes on which each output of BRANCHES depends. layers: as defined."""
    producers = {value.name: layer for layer in layers for value in layer.outputs}

    def nodes(output: str) -> frozenset[str]:
        visited: dict[str, Layer] = {}
        pending = [output]
        while pending:
            layer = producers.get(pending.pop())
            if layer is not None and layer.name not in visited:
                visited[layer.name] = layer
                pending.extend(value.name for value in layer.inputs)
        return frozenset(node for layer in visited.values() for node in layer.origin)

    return {output: nodes(output) for output in BRANCHES}


def on(layer: Layer, nodes_of: Branches) -> list[str]:
    """The outputs on whose branches any ONNX node of a layer is. nodes_of: from `branches`."""
    return [output for output, nodes in nodes_of.items() if not nodes.isdisjoint(layer.origin)]


def refusals(layers: Sequence[Layer], nodes_of: Branches) -> list[str]:
    """Describe plug-ins, and layers with tensors wider than half precision, one line each. nodes_of: from `branches`.

    Float32 is allowed for vectors of at most CONTROLS numbers, the controls and the smoothed state, and for scratch: a
    mean in half precision is summed in float32.
    """
    lines = []
    for layer in layers:
        where = "".join(f", on the branch of {output}" for output in on(layer, nodes_of))
        if layer.kind.startswith("PLUGIN"):
            lines.append(f"{layer.name} is a plug-in{where}")
        wide = [value for value in (*layer.outputs, *layer.inputs) if not _is_allowed(value)]
        if wide:
            size = "x".join(map(str, wide[0].shape))
            lines.append(f"{layer.name} ({layer.kind}) holds {wide[0].name}, {size}, as {wide[0].dtype}{where}")
    return lines


def precisions(layers: Sequence[Layer]) -> dict[str, int]:
    """Number of layers by precision, the most frequent first."""
    return dict(Counter(layer.precision for layer in layers).most_common())


def _values(text: str) -> Iterator[Value]:
    """Tensors in a line of the report."""
    for match in _TENSOR.finditer(text):
        shape = tuple(int(side) for side in match["shape"].split(",") if side)
        yield Value(match["name"], shape, match["dtype"].upper())


def _sides(value: Value) -> tuple[int, ...]:
    """The shape without dimensions of 1."""
    return tuple(side for side in value.shape if side > 1)


def _is_allowed(value: Value) -> bool:
    elements = math.prod(value.shape)
    vector = elements == max(value.shape, default=1) and elements <= CONTROLS
    return value.dtype in ALLOWED or elements <= SMALL or vector
