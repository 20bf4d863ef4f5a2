"""`fusecam export`: an ONNX file that says what it takes, and gives what torch does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fusecam.engines import EngineError, registry
from fusecam.engines.detection.network import DetectorGraph
from fusecam.engines.export import onnx_file
from fusecam.engines.export.networks import DETECTOR, INPUTS
from fusecam.engines.export.onnx_file import OPSET, export_onnx
from fusecam.engines.networks.smoothing import CONTROLS, STRENGTHS

onnx = pytest.importorskip("onnx", reason="pip install 'fusecam[onnx]'")
runtime = pytest.importorskip("onnxruntime", reason="pip install 'fusecam[onnx]'")
pytest.importorskip("onnxscript", reason="pip install 'fusecam[onnx]'")

SIZE = (96, 64)
PLAIN = {1, 6, 7, 9, 11}  # float, int32, int64, bool, double: no bytes inside


@pytest.mark.slow
@pytest.mark.parametrize("name", [*registry.NETWORKS, *registry.PAPERS])
def test_onnxruntime_equals_the_network(name, tmp_path, street):
    """Within one grey level, where rounding falls elsewhere: at most in eight pixels of a hundred."""
    unlifted = name in registry.UNLIFTED
    made = export_onnx(name, *SIZE, tmp_path / "x.onnx", unlifted)
    visible, infrared = street(SIZE[1], SIZE[0])
    coverage = np.full_like(infrared, 255)
    coverage[:, :20] = 0
    controls = np.full(CONTROLS, -1, np.float32)
    controls[STRENGTHS:] = np.linspace(0.1, 0.9, CONTROLS - STRENGTHS)
    with torch.inference_mode():
        network = registry.network(name, unlifted).eval()
        arrays = (visible[None], infrared[None], coverage[None], controls)
        wanted = [each.numpy() for each in network(*map(torch.from_numpy, arrays))]
    planes = [visible.transpose(2, 0, 1)[None], infrared[None, None], coverage[None, None]]
    given = [*(plane.astype(np.float32) / 255 for plane in planes), controls[None]]
    session = runtime.InferenceSession(tmp_path / "x.onnx")
    found = session.run(None, dict(zip((port.name for port in INPUTS), given, strict=True)))
    assert [each.name for each in session.get_outputs()] == [row.name for row in made.outputs]
    assert ("unlifted" in [row.name for row in made.outputs]) == unlifted
    for row, expected, got in zip(made.outputs[:-1], wanted, found, strict=False):
        levels = np.round(255 * got).astype(int)
        levels = levels.transpose(0, 2, 3, 1) if expected.ndim == 4 else levels[:, 0]
        apart = np.abs(levels - expected)
        assert apart.max() <= 1 and (apart > 0).mean() <= 0.08, row.name
    assert np.allclose(found[-1], wanted[-1], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_detector_is_exported_with_its_metadata(tmp_path, street):
    made = export_onnx(DETECTOR, 128, 96, tmp_path / "detector.onnx")
    assert made.inputs[0].shape == (1, 3, 480, 640)  # the frame, its longer side at 640
    frame = np.ascontiguousarray(street(480, 640)[0].transpose(2, 0, 1)[None], np.float32) / 255
    with torch.inference_mode():
        wanted = DetectorGraph().eval()(torch.from_numpy(frame)).numpy()
    (found,) = runtime.InferenceSession(tmp_path / "detector.onnx").run(None, {"images": frame})
    assert np.abs(found - wanted).max() < 1e-2
    notes = {each.key: each.value for each in onnx.load(tmp_path / "detector.onnx").metadata_props}
    assert notes["task"] == "detect" and notes["imgsz"] == "[480, 640]" and "bicycle" in notes["names"]


@pytest.mark.slow
def test_command_writes_a_file_with_metadata(tmp_path):
    out = tmp_path / "average.onnx"
    out.write_bytes(b"older")
    command = [Path(sys.executable).with_name("fusecam"), "export", "average", "--size", "96x64", "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, env={"COLUMNS": "200", "PATH": ""})
    assert done.returncode == 0, done.stderr
    assert "1x3x64x96" in done.stdout and "RGB, 0 to 1" in done.stdout
    model = onnx.load(out)
    onnx.checker.check_model(model, full_check=True)
    assert [each.version for each in model.opset_import if each.domain in ("", "ai.onnx")] == [OPSET]
    notes = {each.key: each.value for each in model.metadata_props}
    assert [row["name"] for row in json.loads(notes["inputs"])] == [port.name for port in INPUTS]
    assert json.loads(notes["outputs"])[0] == {
        "name": "fused", "shape": [1, 3, 64, 96], "dtype": "float32", "about": "RGB, 0 to 1",
    }  # fmt: skip
    assert [each.doc_string for each in model.graph.input] == [port.about for port in INPUTS]
    shaped = onnx.shape_inference.infer_shapes(model).graph
    assert {value.type.tensor_type.elem_type for value in shaped.value_info} <= PLAIN
    assert b"/work" not in out.read_bytes() and [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize(
    ("name", "out", "told"),
    [("nosuch", "x.onnx", "unknown name.*realtime.*detector"), ("average", ".", "is a folder"),
     ("average", "/proc/x.onnx", "/proc/x.onnx")],
)  # fmt: skip
def test_invalid_requests_are_refused(name, out, told, tmp_path):
    with pytest.raises(EngineError, match=told):
        export_onnx(name, *SIZE, tmp_path / out)
    assert not list(tmp_path.iterdir())


def test_wrong_graph_is_not_written(tmp_path, monkeypatch):
    out = tmp_path / "x.onnx"
    out.write_bytes(b"older")
    monkeypatch.setattr(onnx_file, "remove_uint8", lambda model: model.graph.outputs[0].producer().replace_input_with(
        0, model.graph.inputs[0]
    ))  # fmt: skip
    with pytest.raises(EngineError, match="average: not written: onnxruntime differs from torch"):
        export_onnx("average", *SIZE, out)
    assert out.read_bytes() == b"older"


@pytest.mark.parametrize("module", ["onnx", "onnxscript", "onnxruntime"])
def test_missing_package_error_says_what_to_install(module, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EngineError, match=r"pip install 'fusecam\[onnx\]'"):
        export_onnx("average", *SIZE, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())
