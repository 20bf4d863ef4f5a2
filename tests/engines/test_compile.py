"""`fusecam compile`: what is built, what its sidecar says, and what is refused. No GPU: no engine is run here."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor

from fusecam.engines import EngineError, registry
from fusecam.engines.backends.graph import INPUTS, OUTPUTS, ImagePath, examples
from fusecam.engines.backends.openvino.ov import ov
from fusecam.engines.build.parity import gate_warp
from fusecam.engines.networks.average import Average
from fusecam.engines.networks.io import from_rgb, to_gray, to_rgb
from fusecam.engines.networks.smoothing import CONTROLS, STATE
from fusecam.engines.rtx import build as building
from fusecam.engines.rtx import export as exporting
from fusecam.engines.rtx.compile import compile_engine
from fusecam.engines.warp import Shape

pytestmark = pytest.mark.slow

TARGETS = ["sm75", "sm86", "sm89", "sm120"]
SIZE = (320, 240)
SHAPE = Shape.of(*SIZE, (160, 128))
SMALL = Shape.of(160, 120, (80, 64))
"""For the papers' networks, which take long to export."""
Adversarial = Callable[[int, int], dict[str, np.ndarray]]
Street = Callable[..., tuple[np.ndarray, np.ndarray]]
WITHOUT = [module for module in ("tensorrt_rtx", "onnx", "onnxscript") if find_spec(module) is None]
needs_tensorrt = pytest.mark.skipif(
    bool(WITHOUT), reason=f"{', '.join(WITHOUT)} not installed: pip install 'fusecam[tensorrt-rtx]'"
)


real = exporting.export


@dataclass(frozen=True)
class Engine:
    """A compiled network: its file, the sidecar's content, and the ONNX graph that TensorRT was given."""

    name: str
    shape: Shape
    file: Path
    about: dict[str, Any]
    onnx: bytes


@pytest.fixture(scope="module", params=[*registry.NETWORKS, *registry.PAPERS])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    name, graphs = request.param, []
    shape = SMALL if name in registry.PAPERS else SHAPE
    out = tmp_path_factory.mktemp("engines") / f"{name}.engine"
    with mock.patch.object(exporting, "export", lambda *given: graphs.append(real(*given)) or graphs[0]):
        compile_engine(name, shape, TARGETS, out)
    return Engine(name, shape, out, described(out), graphs[0])


def described(out: Path) -> dict[str, Any]:
    return json.loads(out.with_name(f"{out.name}.json").read_text())


@needs_tensorrt
def test_engine_is_built_and_described(engine: Engine) -> None:
    name, shape, about = engine.name, engine.shape, engine.about
    assert hashlib.sha256(engine.onnx).hexdigest() == about["onnx_sha256"]
    assert hashlib.sha256(engine.file.read_bytes()).hexdigest() == about["engine_sha256"]
    assert (about["engine"], about["width"], about["height"], about["targets"]) == (
        name,
        shape.width,
        shape.height,
        TARGETS,
    )
    assert about["infrared"] == {"width": shape.infrared[0], "height": shape.infrared[1], "reduce": 1}
    assert about["parameters"] == sum(parameter.numel() for parameter in registry.network(name).parameters())
    assert about["versions"]["torch"] == version("torch")
    assert about["versions"]["tensorrt_rtx"] == version("tensorrt_rtx")
    assert about["versions"]["fusecam"] == version("fusecam")
    assert "not run" in about["verified"]
    expected = [hashlib.sha256(file.read_bytes()).hexdigest() for file in registry.weights(name)] or [None]
    assert [about["weights_sha256"]] == expected
    assert {path.name for path in engine.file.parent.iterdir()} == {engine.file.name, f"{engine.file.name}.json"}


@needs_tensorrt
def test_engine_has_the_inputs_and_outputs_of_the_network(engine: Engine) -> None:
    about = engine.about
    given = examples(engine.shape)
    with torch.inference_mode():
        made = ImagePath(registry.network(engine.name))(*given)
    types = {torch.uint8: "UINT8", torch.float32: "FLOAT", torch.int32: "INT32"}
    for values, names, tensors in ((about["inputs"], INPUTS, given), (about["outputs"], OUTPUTS, made)):
        assert [(value["name"], value["shape"], value["dtype"]) for value in values] == [
            (name, list(tensor.shape), types[tensor.dtype]) for name, tensor in zip(names, tensors, strict=True)
        ]
    assert about["outputs"][-1]["shape"] == [1, STATE]


@needs_tensorrt
@pytest.mark.parametrize("which", ["defined", "made"])
def test_every_map_of_the_physics_branches_is_float16(engine: Engine, which: str) -> None:
    rows = engine.about["layers"][which]
    for output in ("haze_density", "illumination"):
        maps = []
        for row in rows:
            if output in row["branches"]:
                tensors = (text.split() for text in row["outputs"])
                maps += [dtype for dtype, shape in tensors if math.prod(map(int, shape.split("x"))) > CONTROLS]
        floating = [dtype for dtype in maps if dtype not in ("UINT8", "INT32", "INT64", "BOOL")]
        assert set(floating) <= {"HALF"}, output
        assert floating or (engine.name, which) == ("average", "made"), f"no map on the branch of {output}"


@needs_tensorrt
def test_every_layer_is_listed(engine: Engine) -> None:
    import tensorrt_rtx as trt

    about = engine.about
    log = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    assert trt.OnnxParser(network, log).parse(engine.onnx)
    names = [network.get_layer(index).name for index in range(network.num_layers)]
    assert [row["name"] for row in about["layers"]["defined"]] == names
    assert sum(about["precisions"]["defined"].values()) == len(names)
    assert sum(about["precisions"]["made"].values()) == len(about["layers"]["made"])


@needs_tensorrt
def test_graph_equals_the_network(engine: Engine, adversarial: Adversarial, street: Street) -> None:
    assert_graph_computes(engine.onnx, engine.name, engine.shape, adversarial, street)


@needs_tensorrt
def test_graph_for_odd_sizes_equals_the_network(adversarial: Adversarial, street: Street) -> None:
    shape = Shape.of(161, 121, (333, 250), reduce=2)
    graph = exporting.export("realtime", registry.network("realtime"), shape)
    assert_graph_computes(graph, "realtime", shape, adversarial, street)


@needs_tensorrt
def test_unlifted_frame_is_an_optional_output(tmp_path: Path, adversarial: Adversarial, street: Street) -> None:
    graphs: list[bytes] = []
    with mock.patch.object(exporting, "export", lambda *given: graphs.append(real(*given)) or graphs[0]):
        compile_engine("tiny", SMALL, ["sm89"], tmp_path / "x.engine", unlifted=True)
    outputs = described(tmp_path / "x.engine")["outputs"]
    assert [value["name"] for value in outputs] == [*OUTPUTS[:-1], "unlifted", OUTPUTS[-1]]
    assert (outputs[-2]["shape"], outputs[-2]["dtype"]) == ([1, 120, 160, 3], "UINT8")
    assert_graph_computes(graphs[0], "tiny", SMALL, adversarial, street, unlifted=True)


@needs_tensorrt
def test_same_network_gives_the_same_graph() -> None:
    first, second = (exporting.export("average", registry.network("average"), Shape.of(96, 64)) for _ in range(2))
    assert first == second


def assert_graph_computes(
    onnx: bytes, name: str, shape: Shape, adversarial: Adversarial, street: Street, unlifted: bool = False
) -> None:
    """OpenVINO takes the half-precision graph and computes it in float32: its rewriting has changed no result."""
    width, height = shape.width, shape.height
    visible = [(adversarial(height, width)[kind] * 255).astype(np.uint8) for kind in ("dense haze", "dark street")]
    infrared = street(*shape.infrared[::-1])[1][None]
    warp = gate_warp(shape)
    controls = np.zeros(CONTROLS, np.float32)
    controls[:2] = -1
    core, path = ov.Core(), ImagePath(registry.network(name, unlifted), shape.reduce).eval()
    graph = core.compile_model(core.read_model(onnx), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for frame in visible:
        pair = (frame[None], infrared, *(np.array(part)[None] for part in warp.parts), controls)
        with torch.inference_mode():
            wanted = [x.numpy() for x in path(*map(torch.from_numpy, pair))]
        given = graph(pair)
        for index, output in enumerate((*OUTPUTS[:5], "unlifted")[: len(wanted) - 1]):
            error = np.square(given[index].astype(float) - wanted[index]).mean()
            assert error < 255**2 / 10**4, f"{output}: PSNR under 40 dB, mean square error {error:.2f}"


class Island(Average):
    """The average, but one of its maps passes through float32."""

    def __init__(self, output: int) -> None:
        super().__init__()
        self.output = output

    def forward(self, visible: Tensor, infrared: Tensor, coverage: Tensor, controls: Tensor) -> tuple[Tensor, ...]:
        outputs = list(super().forward(visible, infrared, coverage, controls))
        light = from_rgb(visible, self._like.dtype).amax(dim=1, keepdim=True)
        wide = (light.float() * 0.7).to(light.dtype)
        outputs[self.output] = to_gray(wide) if self.output > 1 else to_rgb(torch.cat([wide, wide, wide], dim=1))
        return tuple(outputs)


class Determinant(Average):
    """The average, but its illumination takes an operator that TensorRT does not have."""

    def forward(self, visible: Tensor, infrared: Tensor, coverage: Tensor, controls: Tensor) -> tuple[Tensor, ...]:
        *outputs, light, state = super().forward(visible, infrared, coverage, controls)
        square = from_rgb(visible)[:, 0, :32, :32]
        return *outputs, light, state + torch.linalg.det(square)


@needs_tensorrt
@pytest.mark.parametrize(
    ("output", "told"),
    [(2, "on the branch of haze_density"), (3, "on the branch of illumination"), (0, "as FLOAT")],
)
def test_float32_island_is_refused(output: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "network", lambda *_: Island(output))
    kept = tmp_path / "kept.engine"
    kept.write_bytes(b"an older engine")
    with pytest.raises(EngineError, match=f"node_mul.*1x1x64x96, as FLOAT.*{told}|{told}.*1x1x64x96"):
        compile_engine("average", Shape.of(96, 64), TARGETS, kept)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.engine"]
    assert kept.read_bytes() == b"an older engine"


@needs_tensorrt
@pytest.mark.parametrize(("step", "name", "size"), [("_remove_casts", "physics", SIZE)])
def test_unconverted_graph_is_refused(
    step: str, name: str, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exporter's own graph widens maps."""
    monkeypatch.setattr(exporting, step, lambda model: None)
    with pytest.raises(EngineError, match=r"not all of it is half precision: .* as FLOAT"):
        compile_engine(name, Shape.of(*size), TARGETS, tmp_path / "x.engine")
    assert not list(tmp_path.iterdir())


@needs_tensorrt
def test_unsupported_operator_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "network", lambda *_: Determinant())
    with pytest.raises(EngineError, match=r"average: TensorRT-RTX does not support .*Det"):
        compile_engine("average", Shape.of(96, 64), TARGETS, tmp_path / "x.engine")
    assert not list(tmp_path.iterdir())


@needs_tensorrt
def test_command_builds_and_overwrites_an_engine(tmp_path: Path) -> None:
    out = tmp_path / "average.engine"
    out.write_bytes(b"an older engine")
    command = [Path(sys.executable).with_name("fusecam"), "compile", "--engine", "average", "--size", "65x33"]
    done = subprocess.run([*command, "--target", "SM120", "--out", out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "not run" in done.stdout
    about = described(out)
    assert (about["targets"], about["width"], about["height"]) == (["sm120"], 65, 33)
    assert about["infrared"] == {"width": 65, "height": 33, "reduce": 1}
    assert hashlib.sha256(out.read_bytes()).hexdigest() == about["engine_sha256"]
    assert len(list(tmp_path.iterdir())) == 2


@needs_tensorrt
def test_torch_tensorrt_converts_every_network() -> None:
    script = Path(__file__).with_name("convert_by_torch_tensorrt.py")
    command = [sys.executable, script, ",".join(registry.NETWORKS), "320x240", ",".join(TARGETS)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert set(result) == set(registry.NETWORKS)
    for name, found in result.items():
        assert found["left"] == [] and found["wide"] == [], name
        assert found["layers"] > 10 and found["bytes"] > 0, name
    without = {operator for found in result.values() for operator in found["left_without_ours"]}
    assert without == {"aten._to_copy.default"}, "a converter of ours that is not needed"


@needs_tensorrt
def test_known_targets_are_those_of_tensorrt() -> None:
    import tensorrt_rtx as trt

    known = {name.lower() for name in trt.ComputeCapability.__members__}
    assert set(building.TARGETS) == known - {"none", "current"}
