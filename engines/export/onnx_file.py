"""A network as an ONNX file that says what it takes, compared with torch before it is written."""

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
from ..detection.weights import DETECTOR_NAMES
from ..networks.smoothing import CONTROLS
from .graph import serialized, tidied, traced
from .networks import DETECTOR, DETECTOR_INPUT, DETECTOR_OUTPUT, INPUTS, DetectorGraph, FusionGraph, Port, without_bytes

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

OPSET = 18
"""Read by TensorRT 8.6 (JetPack 5) and later, and by RKNN-Toolkit2, which stops at 19."""
INSTALL = "pip install 'fusecam[onnx]'"


class Tensors(NamedTuple):
    """An input or output as the file has it. about: see `Port`."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    about: str


class Exported(NamedTuple):
    """What was written. agrees: what the comparison of onnxruntime with torch found, in words."""

    path: Path
    size: int
    inputs: list[Tensors]
    outputs: list[Tensors]
    agrees: str


def export_onnx(name: str, width: int, height: int, out: Path, unlifted: bool = False) -> Exported:
    """Write a network for frames of one size; what stood at `out` is replaced only by a file that agrees with torch.

    Args:
        name: a fusion network, or `detector`.
        width: of the visible frame in pixels.
        height: likewise.
        out: the file.
        unlifted: of networks that can, with the frame without enhancement.

    Raises:
        EngineError: an unknown name, a missing package, a place that cannot be written, a graph that does not agree.
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
    ports: tuple[Port, ...]
    made: tuple[Port, ...]
    if name == DETECTOR:
        module = DetectorGraph()
        box = Letterbox.of(width, height)
        given: tuple[Tensor, ...] = (torch.zeros(1, 3, box.height, box.width),)
        ports, made = (DETECTOR_INPUT,), (DETECTOR_OUTPUT,)
        about = {  # by which Ultralytics reads it
            "task": "detect", "stride": STRIDE, "batch": 1, "channels": 3,
            "imgsz": [box.height, box.width], "names": DETECTOR_NAMES,
        }  # fmt: skip
    else:
        module = FusionGraph(registry.network(name, unlifted))
        given, ports, made, about = module.examples(width, height), INPUTS, module.outputs, {}
    module.eval()
    with torch.inference_mode():
        module(*given)  # the detector lays out its anchors, which the exporter then takes as they are
    model = traced(name, module, given, [port.name for port in ports], [port.name for port in made], OPSET)
    without_bytes(model)
    model = tidied(model)
    sides = []
    for values, described in ((model.graph.inputs, ports), (model.graph.outputs, made)):
        sides.append([_described(value, port.about) for value, port in zip(values, described, strict=True)])
    inputs, outputs = sides
    notes = {"fusecam": version("fusecam"), "network": name, **about}
    for side, rows in (("inputs", inputs), ("outputs", outputs)):
        notes[side] = json.dumps([row._asdict() for row in rows])
    model.metadata_props.update({key: str(value) for key, value in notes.items()})
    model.producer_name, model.producer_version = "fusecam", version("fusecam")
    content = serialized(model)
    agrees = _compared(name, module, InferenceSession(content, providers=["CPUExecutionProvider"]), width, height)
    write_atomic(out, content, EngineError)
    return Exported(out, len(content), inputs, outputs, agrees)


def _described(value: Any, about: str) -> Tensors:
    value.doc_string = about  # which Netron shows
    return Tensors(value.name, tuple(value.shape.numpy()), "float32", about)


def _compared(name: str, module: nn.Module, session: InferenceSession, width: int, height: int) -> str:
    """onnxruntime against eager torch on scenes of the sample clips, in words. EngineError where it is too far off."""
    if isinstance(module, DetectorGraph):
        box = Letterbox.of(width, height)
        agreement = boxes.compare(
            lambda image: _eager(module, [_planes(image)])[0][0],
            lambda image: _run(session, [_planes(image)])[0][0],
            box.width,
            box.height,
        )
        passed, found = agreement.passed("f32"), str(agreement)
    else:
        auto = np.full((1, CONTROLS), -1, np.float32)
        auto[:, -1] = 0
        worst = np.inf
        for _, visible, infrared in islice(gate_frames(width, height), len(SCENES)):
            frames = [_planes(visible), _planes(infrared), np.ones((1, 1, height, width), np.float32), auto]
            error = np.square(_eager(module, frames)[0] - _run(session, frames)[0]).mean()
            worst = min(worst, -10 * np.log10(max(float(error), 1e-10)))
        passed, found = worst >= LIMITS_DB["f32"], f"fused within {worst:.0f} dB"
    if not passed:
        raise EngineError(f"{name}: not written: onnxruntime does not give what torch does ({found})")
    return found


def _planes(image: Pixels) -> np.ndarray[Any, Any]:
    """(H, W, 3) or (H, W) uint8 to (1, C, H, W) float32 in [0, 1]."""
    planes = image.reshape(*image.shape[:2], -1).transpose(2, 0, 1)[None]
    return np.ascontiguousarray(planes, np.float32) / 255


def _eager(module: nn.Module, given: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    with torch.inference_mode():
        made = module(*map(torch.from_numpy, given))
    return [each.numpy() for each in (made if isinstance(made, tuple) else (made,))]


def _run(session: InferenceSession, given: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    names = [each.name for each in session.get_inputs()]
    return list(session.run(None, dict(zip(names, given, strict=True))))
