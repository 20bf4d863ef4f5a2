"""Finds the convolutions of torch modules in a converted OpenVINO model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .ov import ov


def convolutions(model: ov.Model, modules: tuple[str, ...]) -> Iterator[ov.Node]:
    """Yield the convolutions of torch modules.

    modules: names within the network, for example `core.down1`. A convolution with a folded batch norm has lost its
    name; it is found by the name of the operation after it, which adds the bias.
    """
    prefixes = tuple(f"__module.network.{module}{end}" for module in modules for end in (".", "/"))
    for operation in model.get_ordered_ops():
        if operation.get_type_name() == "Convolution":
            readers = (reader.get_node().get_friendly_name() for reader in operation.output(0).get_target_inputs())
            if any(name.startswith(prefixes) for name in (operation.get_friendly_name(), *readers)):
                yield operation
