"""The layers of a TensorRT network, as defined and as built, and which of them may not be in an engine."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ..base import EngineError
from ..steady import CONTROLS

BRANCHES = ("haze_density", "illumination")
"""Outputs whose branches are named where a layer on them is refused."""
SMALL = 64
"""Elements up to which a tensor's precision costs nothing: strengths, colours, pooled features."""
FITTING = frozenset({"HALF", "UINT8", "INT32", "INT64", "BOOL"})
"""What larger tensors may hold: half precision, the 8-bit frames, positions of the brightest pixels, comparisons."""

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

    origin: the ONNX nodes that it was made of, where known. scratch: what it writes for itself alone, such as the
    partial sums of a mean, of a size that has nothing to do with the frame's.
    """

    name: str
    kind: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    origin: tuple[str, ...] = ()
    scratch: tuple[Value, ...] = ()

    @property
    def precision(self) -> str:
        """The types it writes, HALF, or HALF+UINT8 where there are several."""
        return "+".join(sorted({value.dtype for value in self.outputs}))


def defined(network: Any) -> list[Layer]:
    """The layers of a TensorRT INetworkDefinition. Strongly typed: these types are the engine's, whatever is fused."""

    def value(tensor: Any) -> Value:
        return Value(tensor.name, tuple(tensor.shape), tensor.dtype.name)

    layers = []
    for layer in (network.get_layer(index) for index in range(network.num_layers)):
        inputs = (layer.get_input(index) for index in range(layer.num_inputs))
        outputs = (layer.get_output(index) for index in range(layer.num_outputs))
        there = tuple(value(tensor) for tensor in inputs if tensor is not None)
        layers.append(Layer(layer.name, layer.type.name, there, tuple(value(tensor) for tensor in outputs)))
    return layers


def built(report: str, outputs: Sequence[str]) -> list[Layer]:
    """The layers that the builder made, read from its report: an engine itself can be inspected only beside a GPU.

    report: what the builder says at its most verbose after `Layers:`. outputs: of the network. EngineError where the
    report is not understood, or does not make every output.
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
    read = {*outputs, *(value.name for layer in layers for value in layer.inputs)}
    return [
        replace(
            layer,
            outputs=tuple(value for value in layer.outputs if value.name in read),
            scratch=tuple(value for value in layer.outputs if value.name not in read),
        )
        for layer in layers
    ]


def branch(layers: Sequence[Layer], output: str) -> list[Layer]:
    """The layers on which an output depends, in their order."""
    makers = {value.name: layer for layer in layers for value in layer.outputs}
    found: set[str] = set()
    waiting = [output]
    while waiting:
        layer = makers.get(waiting.pop())
        if layer is not None and layer.name not in found:
            found.add(layer.name)
            waiting.extend(value.name for value in layer.inputs)
    return [layer for layer in layers if layer.name in found]


def refusals(layers: Sequence[Layer]) -> list[str]:
    """What may not be in an engine, one line for each layer: plug-ins, and tensors wider than half precision.

    Float32 on purpose are only vectors of at most CONTROLS numbers: the controls and the state that is steadied. What
    a layer keeps to itself while it sums is not looked at: a mean in half precision is summed in float32.
    """
    on = {output: {layer.name for layer in branch(layers, output)} for output in BRANCHES}
    lines = []
    for layer in layers:
        where = "".join(f", on the branch of {output}" for output in BRANCHES if layer.name in on[output])
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


def _fits(value: Value) -> bool:
    elements = math.prod(value.shape)
    vector = elements == max(value.shape, default=1) and elements <= CONTROLS
    return value.dtype in FITTING or elements <= SMALL or vector
