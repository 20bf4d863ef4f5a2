"""The gate: what passes, what is refused and remembered, and what runs instead."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
import torch
from torch import Tensor

from fusecam.engines import EngineError, create_engine
from fusecam.engines.backends.eager import EagerEngine
from fusecam.engines.backends.graph import OUTPUTS
from fusecam.engines.backends.openvino.engine import WHOLE, OpenVinoEngine
from fusecam.engines.base import EngineRefused, Outputs
from fusecam.engines.build.parity import LIMITS_DB, Parity, compare, gate_frames
from fusecam.engines.fallback import FallbackEngine
from fusecam.engines.networks.average import Average
from fusecam.engines.networks.physics_fusion import PhysicsFusion
from fusecam.engines.networks.smoothing import CONTROLS
from fusecam.engines.registry import PAPERS, available
from fusecam.engines.warp import Shape

from . import tampered

pytestmark = pytest.mark.slow

KEY = {"network": "average", "code": "1"}


class Brighter(Average):
    """What a miscompiled `Average` may look like: right but for a few grey levels."""

    def forward(self, *given: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        fused, *rest = super().forward(*given)
        return fused.clamp(max=247) + 8, *rest


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("spec", [spec for spec, _ in available() if not re.search("torch|int8", spec)])
def test_every_available_engine_passes_the_gate(spec: str) -> None:
    """But those of eight bits, see test_eight_bits.py."""
    size = (96, 64) if spec.split(":")[0] in PAPERS else (640, 480)  # the papers' take seconds a frame
    create_engine(spec).prepare(*size)


@pytest.mark.parametrize("name", ["realtime", "tiny", "physics", "average"])
@pytest.mark.parametrize("size", [(160, 120), (321, 243), (32, 32)])
def test_f32_passes_the_gate_at_any_size(name: str, size: tuple[int, int]) -> None:
    create_engine(f"{name}:openvino:f32").prepare(*size)


def test_gate_frames_have_the_requested_sizes() -> None:
    names = []
    for name, visible, infrared in gate_frames(163, 121, (80, 66)):
        names.append(name)
        assert (visible.shape, infrared.shape) == ((121, 163, 3), (66, 80))
        assert visible.dtype == infrared.dtype == np.uint8
    assert len(set(names)) == len(names) == 10


def test_gate_reports_psnr_and_largest_difference() -> None:
    same, other = EagerEngine("average", Average()).run, EagerEngine("average", Brighter()).run
    parity = compare(same, other, "f32", Shape.of(64, 48, (40, 32)))
    black = next(row for row in parity.frames if row.frame == "black")
    truth, found = (np.zeros(3), np.full(3, 8)) if black.largest == 8 else (np.zeros(1), np.zeros(1))
    assert black.outputs["fused"] <= 10 * np.log10(255**2 / np.square(truth - found).mean()) + 0.01
    assert {output for output in OUTPUTS if black.outputs[output] == 99} == {*OUTPUTS} - {"fused"}
    assert parity.failed == ["fused"] and not parity.passed
    assert Parity.from_dict(parity.as_dict()) == parity
    assert compare(same, same, "f32", Shape.of(64, 48)).passed


TAMPERED = {
    "inverted haze": (tampered.output("haze_density", tampered.inverted), {"haze_density"}),
    "black illumination": (tampered.output("illumination", tampered.black), {"illumination"}),
    "negative restored frame": (tampered.output("restored", tampered.inverted), {"restored"}),
    "infrared elsewhere": (tampered.output("registered", tampered.black), {"registered"}),
    "state forgotten": (tampered.output("state", tampered.zeroed), {"state"}),
    "state not looked at": (tampered.controls(tampered.replaced(1, 0, CONTROLS - 1)), {"state", "fused"}),
    "dehaze ignored": (tampered.controls(tampered.replaced(1, -1)), {"state", "restored", "fused"}),
    "lift ignored": (tampered.controls(tampered.replaced(1, -1, 1)), {"state", "restored", "fused"}),
    "strengths swapped": (tampered.controls(tampered.swapped), {"state", "restored", "fused"}),
}


@pytest.fixture(scope="module")
def genuine() -> tuple[PhysicsFusion, ov.Model]:
    network = PhysicsFusion()
    return network, OpenVinoEngine("physics", lambda: network)._converted(network, Shape.of(64, 48))[WHOLE]


@pytest.mark.parametrize("what", TAMPERED)
def test_tampered_graph_is_refused(what: str, genuine: tuple[PhysicsFusion, ov.Model]) -> None:
    network, model = genuine
    tamper, wrong = TAMPERED[what]
    engine = OpenVinoEngine("physics", lambda: network)
    small, other = ((1, *network.steps(height, width)) for width, height in ((64, 48), (96, 64)))
    engine._models[small] = {WHOLE: model.clone()}
    engine.prepare(64, 48)  # as it is, it passes
    engine._models[other] = {WHOLE: model.clone()}
    tamper(engine._models[other][WHOLE])
    with pytest.raises(EngineRefused, match="at 96x64 the output differs from the network's") as refusal:
        engine.prepare(96, 64)
    for output in wrong - {"fused"}:
        assert f"; {output} " in str(refusal.value), refusal.value


def test_missing_extra_or_misshaped_outputs_fail_the_gate() -> None:
    right = EagerEngine("average", Average()).run

    def fewer(*given: Any) -> Outputs:
        return {name: value for name, value in right(*given).items() if name != "illumination"}

    def more(*given: Any) -> Outputs:
        return {**right(*given), "hue": np.zeros((4, 4), np.uint8)}

    def smaller(*given: Any) -> Outputs:
        return {name: value[::2] if name == "restored" else value for name, value in right(*given).items()}

    def not_a_number(*given: Any) -> Outputs:
        return {name: value * np.nan if name == "state" else value for name, value in right(*given).items()}

    for wrong, name in ((fewer, "illumination"), (more, "hue"), (smaller, "restored"), (not_a_number, "state")):
        assert compare(right, wrong, "f32", Shape.of(64, 48)).failed == [name]


def test_refused_engine_stays_refused_without_a_rebuild(home: Path, frame) -> None:
    OpenVinoEngine("average", Average, key=KEY).prepare(64, 48)  # leaves the conversion in the store
    calls = []

    def changed() -> Brighter:
        calls.append(1)
        return Brighter()

    for _ in range(2):
        with pytest.raises(EngineRefused, match=r"average:openvino:f32: at 160x120 .* dB at worst .*limit 45 dB"):
            OpenVinoEngine("average", changed, key=KEY).fuse(*frame)
    assert len(calls) == 1


def test_refused_backend_falls_back_with_a_note(home: Path, frame) -> None:
    OpenVinoEngine("average", Average, key=KEY).prepare(64, 48)
    makers = [
        lambda: OpenVinoEngine("average", Brighter, key=KEY),
        lambda: EagerEngine("average", Brighter()),
    ]
    engine = FallbackEngine(makers)
    assert (engine.name, engine.notes) == ("average:openvino:f32", [])
    fused = engine.fuse(*frame)
    assert engine.name == "average:torch:f32"
    assert np.array_equal(fused.image, makers[1]().fuse(*frame).image)
    (note,) = engine.notes
    assert "limit 45 dB" in note
    assert note.endswith("average:torch:f32 is used instead")
    with pytest.raises(EngineRefused):
        FallbackEngine(makers[:1]).prepare(160, 120)


def test_invalid_frames_do_not_change_the_backend(frame) -> None:
    engine = create_engine("average")
    with pytest.raises(EngineError, match="infrared has shape"):
        engine.fuse(frame[0], frame[1][:10], frame[2])
    assert (engine.name, engine.notes) == ("average:openvino:f32", [])


def test_failed_conversion_falls_back(home: Path, frame) -> None:
    class Looped(Average):
        def forward(self, *given: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
            fused, *rest = super().forward(*given)
            return torch.linalg.svd(fused.float()[0, :, :, 0])[0].to(torch.uint8), *rest

    with pytest.raises(EngineRefused, match="cannot be built for 160x120"):
        OpenVinoEngine("average", Looped).fuse(*frame)


def test_every_precision_has_a_limit() -> None:
    assert {spec.split(":")[2] for spec, _ in available()} <= set(LIMITS_DB)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("name", ["realtime", "tiny", "physics", "average"])
def test_gpu_engines_pass_the_gate(name: str) -> None:
    specs = [
        spec for spec, _ in available() if spec.split(":")[0] == name and spec.split(":")[1] in ("tensorrt", "cuda")
    ]
    assert specs
    for spec in specs:
        create_engine(spec).prepare(640, 480)
