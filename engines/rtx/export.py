"""A fusion network as ONNX in half precision, for TensorRT's parser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..backends.graph import INPUTS, ImagePath, examples
from ..export.graph import serialized, tidied, traced
from ..warp import Shape

if TYPE_CHECKING:
    from ..networks.io import Network

_WIDENED = ("ReduceMax", "ReduceMin", "ReduceSum", "Abs")


def export(name: str, module: Network, shape: Shape) -> bytes:
    """The image path with a network as a serialised ONNX model for frames of one pair of sizes; the module is turned to
    half precision.

    Inputs and outputs are those of `ImagePath`, by their names: frames and images uint8, the warp's index int32,
    controls and state float32. The bytes depend on nothing but the network, its weights, the sizes and the versions of
    the exporter. EngineError for an operator that ONNX does not have.
    """
    path = ImagePath(module.half(), shape.reduce).eval()
    model = traced(name, path, examples(shape), INPUTS, path.outputs)
    _narrow(model)
    _multiply(model)
    return serialized(tidied(model))


def _narrow(model: Any) -> None:
    """Take out the casts to float32 and back that the exporter puts around maxima, minima, sums and absolute values.

    It follows torch on the CPU, which computes them wider. All but the sum are the same in half precision, and
    TensorRT would widen whole maps for them.
    """
    from onnx_ir import DataType
    from onnx_ir.convenience import replace_all_uses_with

    for node in list(model.graph):
        source = node.inputs[0].producer() if node.op_type in _WIDENED and node.inputs[0] is not None else None
        if source is None or source.op_type != "Cast" or source.inputs[0].dtype != DataType.FLOAT16:
            continue
        result = node.outputs[0]
        users = [user for user, _ in result.uses()]
        if any(user.op_type != "Cast" or user.attributes["to"].as_int() != DataType.FLOAT16 for user in users):
            continue
        node.replace_input_with(0, source.inputs[0])
        result.dtype = DataType.FLOAT16
        for user in users:
            replace_all_uses_with(user.outputs[0], result)


def _multiply(model: Any) -> None:
    """Colours divided by a map become colours times its reciprocal, one division for three.

    TensorRT divides in float32: of two quotients of one numerator, it would keep that numerator wide between layers.
    """
    from onnx_ir import Node
    from onnx_ir.convenience import replace_all_uses_with

    for node in list(model.graph):
        if node.op_type != "Div" or not _colours_by_map(node):
            continue
        colours, divisor = node.inputs
        inverse = Node("", "Reciprocal", [divisor], name=f"{node.name}_inverse")
        product = Node("", "Mul", [colours, inverse.outputs[0]], name=f"{node.name}_product")
        for made, like in ((inverse, divisor), (product, node.outputs[0])):
            made.outputs[0].name, made.outputs[0].dtype, made.outputs[0].shape = made.name, like.dtype, like.shape
        model.graph.insert_before(node, [inverse, product])
        replace_all_uses_with(node.outputs[0], product.outputs[0])
        model.graph.remove(node, safe=True)


def _colours_by_map(node: Any) -> bool:
    above, below = ([] if value.shape is None else value.shape.numpy() for value in node.inputs)
    return len(above) == len(below) == 4 and above[1] > below[1] == 1 and above[2:] == below[2:] != (1, 1)
