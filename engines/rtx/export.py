"""ONNX export of fusion networks in half precision, for TensorRT's parser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..backends.graph import INPUTS, ImagePath, examples
from ..export.graph import export_model, optimise, serialize
from ..warp import Shape

if TYPE_CHECKING:
    from ..networks.io import Network

_WIDENED = ("ReduceMax", "ReduceMin", "ReduceSum", "Abs")
"""Operators that the exporter computes in float32."""


def export(name: str, module: Network, shape: Shape) -> bytes:
    """Export the image path with a network to a serialised ONNX model with fixed frame sizes.

    Inputs and outputs are those of `ImagePath`: frames and images uint8, the warp's index int32, controls and state
    float32. The bytes depend only on the network, its weights, the sizes and the versions of the exporter.

    module: converted to half precision in place. Raises EngineError where ONNX lacks an operator.
    """
    path = ImagePath(module.half(), shape.reduce).eval()
    model = export_model(name, path, examples(shape), INPUTS, path.outputs)
    _remove_casts(model)
    _divide_once(model)
    return serialize(optimise(model))


def _remove_casts(model: Any) -> None:
    """Remove the casts to float32 and back around _WIDENED, which would make TensorRT store whole maps in float32.

    The exporter inserts them since torch on the CPU computes these in float32. Except for sums, half precision gives
    the same result.
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


def _divide_once(model: Any) -> None:
    """Replace the division of colours by a map with a multiplication by its reciprocal.

    TensorRT divides in float32, and would store a numerator that two divisions share in float32.
    """
    from onnx_ir import Node
    from onnx_ir.convenience import replace_all_uses_with

    for node in list(model.graph):
        if node.op_type != "Div" or not _colours_by_map(node):
            continue
        colours, divisor = node.inputs
        inverse = Node("", "Reciprocal", [divisor], name=f"{node.name}_inverse")
        product = Node("", "Mul", [colours, inverse.outputs[0]], name=f"{node.name}_product")
        for new, like in ((inverse, divisor), (product, node.outputs[0])):
            new.outputs[0].name, new.outputs[0].dtype, new.outputs[0].shape = new.name, like.dtype, like.shape
        model.graph.insert_before(node, [inverse, product])
        replace_all_uses_with(node.outputs[0], product.outputs[0])
        model.graph.remove(node, safe=True)


def _colours_by_map(node: Any) -> bool:
    """Whether a division has a numerator (N, C, H, W), C > 1, and a divisor (N, 1, H, W)."""
    numerator, divisor = ([] if value.shape is None else value.shape.numpy() for value in node.inputs)
    if len(numerator) != 4 or len(divisor) != 4:
        return False
    return bool(numerator[1] > divisor[1] == 1 and numerator[2:] == divisor[2:] != (1, 1))
