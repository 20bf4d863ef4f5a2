"""Eight bits: what is quantised, what is left, what is said where it cannot be."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from fusecam.engines import EngineError, create_engine
from fusecam.engines.backends.openvino import int8
from fusecam.engines.backends.openvino.engine import WHOLE, OpenVinoEngine
from fusecam.engines.registry import available, network
from fusecam.engines.warp import Shape

pytestmark = pytest.mark.slow

SHAPE = Shape.of(640, 480)
needs_nncf = pytest.mark.skipif(int8.missing() is not None, reason=str(int8.missing()))


@cache
def calibrated(name: str) -> OpenVinoEngine:
    """The engine, quantised once for this file, on frames of SHAPE."""
    engine = OpenVinoEngine(name, lambda: network(name, True), "int8", unlifted=True)
    engine.prepare(*SHAPE)
    return engine


@needs_nncf
@pytest.mark.parametrize(("name", "count"), [("realtime", 7), ("tiny", 6)])
def test_only_listed_layers_are_quantised(name: str, count: int, capsys: pytest.CaptureFixture) -> None:
    model = calibrated(name)._converted(network(name), SHAPE)[WHOLE]
    assert capsys.readouterr().out == ""
    eight, whole = [], []
    for operation in model.get_ordered_ops():
        if operation.get_type_name() in ("Convolution", "MatMul"):
            before = [operation.input_value(side).get_node().get_type_name() for side in (0, 1)]
            after = next(iter(operation.output(0).get_target_inputs())).get_node()
            if after.get_type_name() == "Convert":  # back from bf16
                after = next(iter(after.output(0).get_target_inputs())).get_node()
            (eight if before[0] == "FakeQuantize" else whole).append(after.get_friendly_name())
    assert len(eight) == count
    modules = {re.sub(r"__module\.network\.(\w+\.[a-z]+\d?)\..*", r"\1", each) for each in eight}
    assert modules == set(int8.LAYERS[name])
    assert any("core.visible" in each for each in whole)
    assert any("core.candidate" in each for each in whole)


@needs_nncf
@pytest.mark.parametrize(
    ("name", "size"), [("realtime", (321, 243)), ("tiny", (160, 120)), ("tiny", (321, 243))]
)  # realtime at 160x120 is refused: in noise its state is another one
def test_int8_engines_pass_the_gate_at_uncalibrated_sizes(name: str, size: tuple[int, int]) -> None:
    calibrated(name).prepare(*size)


@needs_nncf
def test_infrared_larger_than_visible_passes_the_gate() -> None:
    calibrated("tiny").prepare(160, 120, (320, 240), 2)


@needs_nncf
def test_int8_is_close_to_f32_but_not_equal(street) -> None:
    visible, infrared = street(480, 640)
    near, exact = (
        engine.fuse(visible, infrared, np.full_like(infrared, 255)).image
        for engine in (calibrated("tiny"), create_engine("tiny:openvino:f32"))
    )
    difference = np.abs(near.astype(int) - exact)
    assert 0 < difference.mean() < 1


def test_missing_nncf_hides_int8_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "find_spec", lambda name: None)
    assert not [spec for spec, _ in available() if spec.endswith("int8")]
    with pytest.raises(EngineError, match=r"engine 'tiny:openvino:int8': .* NNCF: pip install 'fusecam\[int8\]'"):
        create_engine("tiny:openvino:int8")


def test_networks_without_int8_list_their_precisions() -> None:
    with pytest.raises(EngineError, match="physics:openvino has no precision 'int8'; known: f32"):
        create_engine("physics:openvino:int8")


@pytest.mark.parametrize("content", [None, b"", b"no video"])
def test_unreadable_calibration_clip_is_named(tmp_path: Path, content: bytes | None) -> None:
    clip = tmp_path / "fog_day_vis.mp4"
    if content is not None:
        clip.write_bytes(content)
    with pytest.raises(EngineError, match=r"fog_day_vis\.mp4: cannot be read.*reinstall fusecam"):
        list(int8._frames(clip, (64, 48)))
