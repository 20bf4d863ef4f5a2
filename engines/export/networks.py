"""The networks as modules with planar float32 images, as compilers for other hardware need them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..backends.graph import OUTPUTS, ImagePath
from ..detection.weights import DETECTOR_NAMES
from ..networks.io import Network
from ..networks.smoothing import CONTROLS, STATE
from ..networks.tasks import TASKS

DETECTOR = "detector"


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output. about: channels, range and meaning."""

    name: str
    about: str


INPUTS = (
    Port("visible", "RGB, 0 to 1"),
    Port("infrared", "0 to 1, white-hot, on the visible grid (warp it first)"),
    Port("coverage", "1 where infrared is valid, 0 where it is not"),
    Port(
        "controls",
        f"strengths of {', '.join(task.name for task in TASKS)}, hue: 0 to 1, -1: chosen by the network; then `state` "
        f"of the frame before ({STATE}); then its weight, exp(-seconds), 0 for single images",
    ),
)
_ABOUT = {
    "fused": "RGB, 0 to 1",
    "restored": "visible without haze, RGB, 0 to 1",
    "haze_density": "1 - transmission, 0 to 1",
    "illumination": "0 to 1",
    "unlifted": "fused without enhancement, for the detector, RGB, 0 to 1",
    "state": "for `controls` of the next frame",
}
DETECTOR_INPUT = Port("images", "RGB, 0 to 1; the frame scaled to fit, 114/255 around it")
DETECTOR_OUTPUT = Port(
    "output0",
    f"for each anchor centre x, y, width, height in pixels of the input, then scores of "
    f"{', '.join(DETECTOR_NAMES.values())}; before non-maximum suppression",
)


class FusionGraph(nn.Module):
    """A fusion network with images (1, 3, H, W) or (1, 1, H, W) float32 in [0, 1]."""

    def __init__(self, network: Network) -> None:
        """network: takes registered infrared."""
        super().__init__()
        self.network = network
        names = (name for name in ImagePath(network).outputs if name != OUTPUTS[4])
        self.outputs = tuple(Port(name, _ABOUT[name]) for name in names)

    def forward(self, visible: Tensor, infrared: Tensor, coverage: Tensor, controls: Tensor) -> tuple[Tensor, ...]:
        """visible: (1, 3, H, W) RGB. infrared, coverage: (1, 1, H, W). controls: (1, CONTROLS). Returns `outputs`."""
        levels = (255 * visible).permute(0, 2, 3, 1), 255 * infrared[:, 0], 255 * coverage[:, 0]
        *images, state = self.network(*levels, controls.reshape(CONTROLS))
        planes = (image.permute(0, 3, 1, 2) if image.ndim == 4 else image.unsqueeze(1) for image in images)
        return *(plane.float() * (1 / 255) for plane in planes), state

    def examples(self, width: int, height: int) -> tuple[Tensor, ...]:
        """Example inputs: zeros."""
        planes = (torch.zeros(1, channels, height, width) for channels in (3, 1, 1))
        return *planes, torch.zeros(1, CONTROLS)


def remove_uint8(model: Any) -> None:
    """Replace casts to uint8 with Floor, the same for 0 to 255: most compilers do not support uint8 within a graph."""
    from onnx_ir import DataType, Node
    from onnx_ir.convenience import replace_all_uses_with

    for node in list(model.graph):
        if node.op_type == "Cast" and node.attributes["to"].as_int() == DataType.UINT8:
            floor = Node("", "Floor", [node.inputs[0]], name=f"{node.name}_floor")
            (level,), (cast,) = floor.outputs, node.outputs
            level.name, level.dtype, level.shape = f"{cast.name}_level", DataType.FLOAT, cast.shape
            model.graph.insert_before(node, floor)
            replace_all_uses_with(cast, level)
            model.graph.remove(node, safe=True)
        for value in node.outputs:
            if value.dtype == DataType.UINT8:
                value.dtype = DataType.FLOAT
