"""Writes a network to an ONNX file with a description of its inputs, after a comparison with torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...calib.atomic import AtomicFile, write_atomic
from .. import registry
from ..base import EngineError, Pixels
from ..build.parity import LIMITS_DB, gate_frames
from ..build.parity.frames import SCENES
from ..detection import parity as boxes
from ..detection.letterbox import STRIDE, Letterbox
from ..detection.network import DetectorGraph
from ..detection.weights import DETECTOR_NAMES
from ..networks.smoothing import CONTROLS
from .graph import export_model, optimise, serialize
from .networks import DETECTOR, DETECTOR_INPUT, DETECTOR_OUTPUT, INPUTS, FusionGraph, Port, remove_uint8

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

OPSET = 18
"""Supported by TensorRT 8.6 (JetPack 5) and later, and by RKNN-Toolkit2, whose latest opset is 19."""
INSTALL = "pip install 'fusecam[onnx]'"


class Tensors(NamedTuple):
    """An input or output of the file. about: see `Port`."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    about: str


class Exported(NamedTuple):
    """The file written. size: in bytes. agrees: result of the comparison of onnxruntime with torch, as text."""

    path: Path
    size: int
    inputs: list[Tensors]
    outputs: list[Tensors]
    agrees: str


def export_onnx(name: str, width: int, height: int, out: Path, unlifted: bool = False) -> Exported:
    """Export a network for one frame size. An existing file is replaced only if the new one agrees with torch.

    Args:
        name: A fusion network, or `detector`.
        width, height: Of the visible frame, in pixels.
        out: The file.
        unlifted: Add the unlifted frame as an output, if the network has it.

    Raises:
        EngineError: The name is unknown, a package is missing, the file cannot be written, or outputs differ.
    """
    if name not in (*registry.NAMES, DETECTOR):
        raise EngineError(f"export {name}: unknown name; known: {', '.join((*registry.NAMES, DETECTOR))}")
    if unlifted and name not in registry.UNLIFTED:
        raise EngineError(f"--unlifted: {name} has no such frame; {' and '.join(registry.UNLIFTED)} have one")
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
        from onnxruntime import InferenceSession
    except ImportError as error:
        raise EngineError(f"export needs ONNX ({error}): {INSTALL}") from error
    AtomicFile(out, EngineError).discard()
    module: FusionGraph | DetectorGraph
    in_ports: tuple[Port, ...]
    out_ports: tuple[Port, ...]
    if name == DETECTOR:
        module = DetectorGraph()
        box = Letterbox.of(width, height)
        examples: tuple[Tensor, ...] = (torch.zeros(1, 3, box.height, box.width),)
        in_ports, out_ports = (DETECTOR_INPUT,), (DETECTOR_OUTPUT,)
        about = {  # metadata that Ultralytics reads
            "task": "detect", "stride": STRIDE, "batch": 1, "channels": 3,
            "imgsz": [box.height, box.width], "names": DETECTOR_NAMES,
        }  # fmt: skip
    else:
        module = FusionGraph(registry.network(name, unlifted))
        examples, in_ports, out_ports, about = module.examples(width, height), INPUTS, module.outputs, {}
    module.eval()
    with torch.inference_mode():
        module(*examples)  # the detector computes its anchors, which become constants
    model = export_model(
        name, module, examples, [port.name for port in in_ports], [port.name for port in out_ports], OPSET
    )
    remove_uint8(model)
    model = optimise(model)
    sides = []
    for values, ports in ((model.graph.inputs, in_ports), (model.graph.outputs, out_ports)):
        sides.append([_described(value, port.about) for value, port in zip(values, ports, strict=True)])
    inputs, outputs = sides
    metadata = {"fusecam": version("fusecam"), "network": name, **about}
    for side, rows in (("inputs", inputs), ("outputs", outputs)):
        metadata[side] = json.dumps([row._asdict() for row in rows])
    model.metadata_props.update({key: str(value) for key, value in metadata.items()})
    model.producer_name, model.producer_version = "fusecam", version("fusecam")
    content = serialize(model)
    agrees = _compared(name, module, InferenceSession(content, providers=["CPUExecutionProvider"]), width, height)
    write_atomic(out, content, EngineError)
    return Exported(out, len(content), inputs, outputs, agrees)


def _described(value: Any, about: str) -> Tensors:
    value.doc_string = about  # shown by Netron
    return Tensors(value.name, tuple(value.shape.numpy()), "float32", about)


def _compared(name: str, module: nn.Module, session: InferenceSession, width: int, height: int) -> str:
    """Compare onnxruntime with eager torch on the scenes of the parity gate. Returns the result as text.

    Raises EngineError if they differ too much.
    """
    if isinstance(module, DetectorGraph):
        box = Letterbox.of(width, height)
        agreement = boxes.compare(
            lambda image: _eager(module, [_planes(image)])[0][0],
            lambda image: _run(session, [_planes(image)])[0][0],
            box.width,
            box.height,
        )
        passed, result = agreement.passed("f32"), str(agreement)
    else:
        auto = np.full((1, CONTROLS), -1, np.float32)
        auto[:, -1] = 0
        worst = np.inf
        for _, visible, infrared in islice(gate_frames(width, height), len(SCENES)):
            frames = [_planes(visible), _planes(infrared), np.ones((1, 1, height, width), np.float32), auto]
            error = np.square(_eager(module, frames)[0] - _run(session, frames)[0]).mean()
            worst = min(worst, -10 * np.log10(max(float(error), 1e-10)))
        passed, result = worst >= LIMITS_DB["f32"], f"fused within {worst:.0f} dB"
    if not passed:
        raise EngineError(f"{name}: not written: onnxruntime differs from torch ({result})")
    return result


def _planes(image: Pixels) -> np.ndarray[Any, Any]:
    """(H, W, 3) or (H, W) uint8 to (1, C, H, W) float32 in [0, 1]."""
    planes = image.reshape(*image.shape[:2], -1).transpose(2, 0, 1)[None]
    return np.ascontiguousarray(planes, np.float32) / 255


def _eager(module: nn.Module, arrays: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    with torch.inference_mode():
        outputs = module(*map(torch.from_numpy, arrays))
    return [output.numpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]


def _run(session: InferenceSession, arrays: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    names = [port.name for port in session.get_inputs()]
    return list(session.run(None, dict(zip(names, arrays, strict=True))))
