"""The convolutions of a network's modules in what OpenVINO made of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .ov import ov


def convolutions(model: ov.Model, modules: tuple[str, ...]) -> Iterator[ov.Node]:
    """The convolutions of these torch modules. A batch norm that is folded into one takes its name away, but what adds
    the bias after it still has the module's.
    """
    starts = tuple(f"__module.network.{module}{end}" for module in modules for end in (".", "/"))
    for operation in model.get_ordered_ops():
        if operation.get_type_name() == "Convolution":
            after = (each.get_node().get_friendly_name() for each in operation.output(0).get_target_inputs())
            if any(name.startswith(starts) for name in (operation.get_friendly_name(), *after)):
                yield operation
