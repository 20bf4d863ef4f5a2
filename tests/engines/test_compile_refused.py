"""`fusecam compile`: what is refused, and how a report of layers is read. No GPU and no TensorRT."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fusecam.engines import EngineError
from fusecam.engines.backends.inputs import parse_size
from fusecam.engines.networks.smoothing import CONTROLS
from fusecam.engines.rtx import compile as compiling
from fusecam.engines.rtx.compile import compile_engine, parse_targets
from fusecam.engines.rtx.layers import Layer, Value, built, refusals
from fusecam.engines.warp import Shape

pytestmark = pytest.mark.slow

TARGETS = ["sm75", "sm86"]
SHAPE = Shape.of(160, 120, (80, 64))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("640", "width and height"),
        ("640x480x3", "width and height"),
        ("-640x480", "width and height"),
        ("31x480", "32 to 8192"),
        ("640x0", "32 to 8192"),
        ("640x8193", "32 to 8192"),
    ],
)
def test_invalid_size_is_refused(text: str, told: str) -> None:
    with pytest.raises(EngineError, match=told):
        parse_size(text)


@pytest.mark.parametrize("text", ["sm90", "sm75,,sm99", "8.6", "", ","])
def test_unknown_target_error_lists_the_known_targets(text: str) -> None:
    with pytest.raises(EngineError, match=r"sm75 .*sm80 .*sm86 .*sm89 .*sm120 .*sm121"):
        parse_targets(text)


def test_unlifted_frame_is_refused_for_networks_without_one(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="--unlifted: physics has no such frame; realtime and tiny have one"):
        compile_engine("physics", SHAPE, TARGETS, tmp_path / "x.engine", unlifted=True)
    assert not list(tmp_path.iterdir())


def test_targets_are_sorted_and_unique() -> None:
    assert parse_targets("SM120, sm75,sm120") == ["sm75", "sm120"]


@pytest.mark.parametrize(
    ("name", "out", "told"),
    [
        ("nosuch", "x.engine", "unknown name.*realtime"),
        ("realtime:openvino", "x.engine", "unknown name.*alone.*realtime"),
        ("average", "missing/x.engine", "no such folder"),
        ("average", ".", "is a folder"),
        ("average", "/dev/null", "is a device"),
        ("average", "/proc/x.engine", "cannot be written"),
    ],
)
def test_invalid_arguments_are_refused_before_anything_is_loaded(
    name: str, out: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "tensorrt_rtx", lambda: pytest.fail("loaded"))
    with pytest.raises(EngineError, match=told):
        compile_engine(name, SHAPE, TARGETS, tmp_path / out)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module", ["tensorrt_rtx", "onnx", "onnxscript"])
def test_missing_package_is_named_in_the_error(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EngineError, match=r"pip install 'fusecam\[tensorrt-rtx\]'"):
        compile_engine("average", SHAPE, TARGETS, tmp_path / "x.engine")
    assert not list(tmp_path.iterdir())


def _layer(kind: str = "ELEMENTWISE", shape: tuple[int, ...] = (1, 1, 60, 80), dtype: str = "HALF") -> Layer:
    made = (Value("fused", shape, dtype),)
    return Layer("node", kind, (Value("visible", (1, 60, 80, 3), "UINT8"),), made, ("node_a", "node_c"))


@pytest.mark.parametrize(
    ("layer", "lines"),
    [
        (_layer(), 0),
        (_layer(dtype="UINT8"), 0),
        (_layer(dtype="FLOAT"), 1),
        (_layer(dtype="BF16"), 1),
        (_layer(shape=(1, 8, 8), dtype="FLOAT"), 0),
        (_layer(shape=(1, CONTROLS), dtype="FLOAT"), 0),
        (_layer(shape=(CONTROLS + 1,), dtype="FLOAT"), 1),
        (_layer(shape=(8, 10), dtype="FLOAT"), 1),
        (_layer(kind="PLUGIN_V3"), 1),
    ],
)
def test_wide_layers_of_a_physics_branch_are_refused(layer: Layer, lines: int) -> None:
    told = refusals([layer], {"haze_density": frozenset({"node_a"}), "illumination": frozenset({"node_b"})})
    assert len(told) == lines
    assert all("on the branch of haze_density" in line and "illumination" not in line for line in told)


def _line(output: str = "fused", dtype: str = "Half") -> str:
    tensor = "{{ Name: {}, Dimensions: [{}], Strides: [1,1,1,1], Datatype: {}, Format: Linear }}"
    visible, made = tensor.format("visible", "1,60,80,3", "UInt8"), tensor.format(output, "1,60,80,3", dtype)
    return (
        f"Name: kernel, LayerType: kgen, Inputs: [ {visible}], Constants: [], Outputs: [ "
        f"{made}, {tensor.format('sums', '256,752', 'Float')}], TacticName: t, StreamId: 0, "
        "Metadata: [ONNX Layer: node_a][ONNX Layer: node_b]"
    )


def test_layer_report_is_parsed() -> None:
    (layer,) = built(_line(), ["fused"], [_layer()])
    assert layer.outputs == (Value("fused", (1, 60, 80, 3), "HALF"),)
    assert layer.scratch == (Value("sums", (256, 752), "FLOAT"),)
    assert layer.origin == ("node_a", "node_b")
    assert not refusals([layer], {})
    assert refusals(built(_line(dtype="Float"), ["fused"], [_layer()]), {})


def test_large_map_without_reader_is_not_scratch() -> None:
    """Where a layer reads a map under another name, its size tells that it is one."""
    (layer,) = built(_line(), ["fused"], [_layer(shape=(1, 1, 256, 752))])
    assert not layer.scratch
    assert refusals([layer], {})


@pytest.mark.parametrize(
    ("report", "told"),
    [("", "no layer that makes fused"), (_line("other"), "makes fused"), ("Name: kernel, Kind: x", "form unknown")],
)
def test_malformed_layer_report_is_refused(report: str, told: str) -> None:
    with pytest.raises(EngineError, match=told):
        built(report, ["fused"], [_layer()])
