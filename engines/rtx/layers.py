"""The layers of a TensorRT network, as defined and as built, and which of them may not be in an engine."""

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
"""Outputs whose branches are named where a layer on them is refused."""
SMALL = 64
"""Elements up to which a tensor's precision costs nothing: strengths, colours, pooled features."""
FITTING = frozenset({"HALF", "UINT8", "INT32", "INT64", "BOOL"})
"""What larger tensors may hold: half precision, the 8-bit frames, positions of the brightest pixels, comparisons."""

Branches = Mapping[str, frozenset[str]]

_LINE = re.compile(
    r"Name: (?P<name>.*?), LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*?)\], Constants: \[(?P<constants>.*?)\], "
    r"Outputs: \[(?P<outputs>.*?)\], TacticName: "
)
_TENSOR = re.compile(r"Name: (?P<name>.*?), Dimensions: \[(?P<shape>[\d,]*)\].*?Datatype: (?P<dtype>\w+)")
_ORIGIN = re.compile(r"\[ONNX Layer: (.*?)\]")


class Value(NamedTuple):
    """A tensor between layers. dtype: TensorRT's name of it, for example HALF or UINT8."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer.

    origin: the ONNX nodes that it was made of, none for constants and for what only orders others. scratch: what it
    writes for itself alone, such as the partial sums of a mean.
    """

    name: str
    kind: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    origin: tuple[str, ...] = ()
    scratch: tuple[Value, ...] = ()

    @property
    def precision(self) -> str:
        """The types it writes: HALF, HALF+UINT8 where there are several, `no data` where it only waits for others."""
        return "+".join(sorted({value.dtype for value in self.outputs})) or "no data"


def defined(network: Any) -> list[Layer]:
    """The layers of a TensorRT INetworkDefinition. Strongly typed: these types are the engine's, whatever is fused."""

    def value(tensor: Any) -> Value:
        return Value(tensor.name, tuple(tensor.shape), tensor.dtype.name)

    layers = []
    for layer in (network.get_layer(index) for index in range(network.num_layers)):
        inputs = (layer.get_input(index) for index in range(layer.num_inputs))
        outputs = (layer.get_output(index) for index in range(layer.num_outputs))
        there, made = (tuple(value(tensor) for tensor in side if tensor is not None) for side in (inputs, outputs))
        layers.append(Layer(layer.name, layer.type.name, there, made, tuple(_ORIGIN.findall(layer.metadata))))
    return layers


def built(report: str, outputs: Sequence[str], of: Sequence[Layer]) -> list[Layer]:
    """The layers that the builder made, read from its report: an engine itself can be inspected only beside a GPU.

    report: what the builder says at its most verbose after `Layers:`. outputs: of the network. of: the layers as
    defined. EngineError where the report is not understood, or does not make every output.
    """
    layers = []
    for line in report.splitlines():
        if not line.startswith("Name: "):
            continue
        match = _LINE.match(line)
        if match is None:
            raise EngineError(f"TensorRT-RTX reports a layer in a form unknown here: {line[:120]}")
        inputs, constants, made = (tuple(_values(match[key])) for key in ("inputs", "constants", "outputs"))
        layers.append(Layer(match["name"], match["kind"], inputs + constants, made, tuple(_ORIGIN.findall(line))))
    missing = set(outputs) - {value.name for layer in layers for value in layer.outputs}
    if missing:
        raise EngineError(f"TensorRT-RTX reports no layer that makes {', '.join(sorted(missing))}")
    # read by no other layer and not of the network: but a map of it may be read under another name
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
    """The ONNX nodes on which each output of BRANCHES depends; layers: as defined."""
    makers = {value.name: layer for layer in layers for value in layer.outputs}

    def nodes(output: str) -> frozenset[str]:
        found: dict[str, Layer] = {}
        waiting = [output]
        while waiting:
            layer = makers.get(waiting.pop())
            if layer is not None and layer.name not in found:
                found[layer.name] = layer
                waiting.extend(value.name for value in layer.inputs)
        return frozenset(node for layer in found.values() for node in layer.origin)

    return {output: nodes(output) for output in BRANCHES}


def on(layer: Layer, found: Branches) -> list[str]:
    """The outputs on whose branches a layer lies, with anything that it was made of."""
    return [output for output, nodes in found.items() if not nodes.isdisjoint(layer.origin)]


def refusals(layers: Sequence[Layer], found: Branches) -> list[str]:
    """What may not be in an engine, one line for each layer: plug-ins, and tensors wider than half precision.

    Float32 on purpose are only vectors of at most CONTROLS numbers: the controls and the state that is steadied. What
    a layer keeps to itself while it sums is not looked at: a mean in half precision is summed in float32.
    """
    lines = []
    for layer in layers:
        where = "".join(f", on the branch of {output}" for output in on(layer, found))
        if layer.kind.startswith("PLUGIN"):
            lines.append(f"{layer.name} is a plug-in{where}")
        wide = [value for value in (*layer.outputs, *layer.inputs) if not _fits(value)]
        if wide:
            size = "x".join(map(str, wide[0].shape))
            lines.append(f"{layer.name} ({layer.kind}) holds {wide[0].name}, {size}, as {wide[0].dtype}{where}")
    return lines


def precisions(layers: Sequence[Layer]) -> dict[str, int]:
    """How many layers write which precision, the most frequent first."""
    return dict(Counter(layer.precision for layer in layers).most_common())


def _values(text: str) -> Iterator[Value]:
    for match in _TENSOR.finditer(text):
        shape = tuple(int(side) for side in match["shape"].split(",") if side)
        yield Value(match["name"], shape, match["dtype"].upper())


def _sides(value: Value) -> tuple[int, ...]:
    return tuple(side for side in value.shape if side > 1)


def _fits(value: Value) -> bool:
    elements = math.prod(value.shape)
    vector = elements == max(value.shape, default=1) and elements <= CONTROLS
    return value.dtype in FITTING or elements <= SMALL or vector
