"""Engines that were really miscompiled: OpenVINO's graph of a network with one thing in it changed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import openvino as ov
from openvino import opset13 as op

from fusecam.engines.networks.smoothing import CONTROLS

Change = Callable[[ov.Output], ov.Node]
"""What is given instead of an output of the network, or of its controls."""


def output(name: str, change: Change) -> Callable[[ov.Model], None]:
    """Change what comes out under a name."""

    def apply(model: ov.Model) -> None:
        result = next(each for each in model.outputs if each.any_name == name).node
        before = result.input_value(0)
        before.get_tensor().set_names({"before"})
        after = change(before).output(0)
        after.get_tensor().set_names({name})
        result.input(0).replace_source_output(after)
        model.validate_nodes_and_infer_types()

    return apply


def controls(change: Change) -> Callable[[ov.Model], None]:
    """Change the strengths, state and weight that the network sees."""

    def apply(model: ov.Model) -> None:
        given = model.inputs[5].node.output(0)
        readers = list(given.get_target_inputs())
        after = change(given).output(0)
        for reader in readers:
            reader.replace_source_output(after)
        model.validate_nodes_and_infer_types()

    return apply


def inverted(levels: ov.Output) -> ov.Node:
    return op.subtract(op.constant(np.uint8(255)), levels)


def black(levels: ov.Output) -> ov.Node:
    return op.multiply(levels, op.constant(np.uint8(0)))


def zeroed(values: ov.Output) -> ov.Node:
    return op.multiply(values, op.constant(np.float32(0)))


def replaced(count: int, value: float, start: int = 0) -> Change:
    """`count` controls from `start` on are always `value`."""

    def change(given: ov.Output) -> ov.Node:
        mask = np.zeros(CONTROLS, np.float32)
        mask[start : start + count] = 1
        return op.add(op.multiply(given, op.constant(1 - mask)), op.constant(mask * np.float32(value)))

    return change


def swapped(given: ov.Output) -> ov.Node:
    """Dehazing takes the strength of lift and the other way round."""
    order = np.arange(CONTROLS)
    order[:2] = 1, 0
    return op.gather(given, op.constant(order), op.constant(0))
