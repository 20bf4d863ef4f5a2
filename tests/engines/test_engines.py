"""Fusion engines as the pipeline uses them: what they promise, and OpenVINO against torch."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from itertools import cycle

import numpy as np
import pytest

from fusecam.engines import EngineError, Fused, FusionEngine, available, create_engine, registry
from fusecam.engines.backends.lru import SIZES_KEPT
from fusecam.engines.backends.openvino.engine import OpenVinoEngine
from fusecam.engines.build.parity import gate_warp
from fusecam.engines.networks.average import Average
from fusecam.engines.warp import Shape, Warp

SPECS = ["physics", "physics:torch", "average", "average:torch"]


@pytest.fixture(scope="session")
def engines() -> dict[str, FusionEngine]:
    return {spec: create_engine(spec) for spec in SPECS}


@pytest.fixture(scope="session")
def physics(engines) -> FusionEngine:
    return engines["physics"]


def as_bytes(frame: np.ndarray) -> np.ndarray:
    return (frame * 255 + 0.5).astype(np.uint8)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = ((a.astype(np.float64) - b) ** 2).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-10)))


def full(infrared: np.ndarray) -> np.ndarray:
    return np.full_like(infrared, 255)


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("size", [(120, 160), (121, 163), (32, 32), (47, 33), (33, 200)])
def test_any_input_size_gives_a_uint8_result_of_that_size(engines, street, spec: str, size: tuple[int, int]) -> None:
    visible, infrared = street(*size)
    fused = engines[spec].fuse(visible, infrared, full(infrared))
    for image in (fused.image, fused.restored):
        assert image.shape == (*size, 3)
    assert np.array_equal(fused.infrared, infrared)
    for array in _arrays(fused):
        assert array.dtype == np.uint8
        assert array.flags.owndata
        assert array.flags.c_contiguous
    assert 0 <= fused.haze <= 1
    assert 0 <= fused.light <= 1


@pytest.mark.slow
@pytest.mark.parametrize("network", ["physics", "average"])
def test_openvino_f32_agrees_with_torch(engines, adversarial, street, network: str) -> None:
    compiled, eager = engines[network], engines[f"{network}:torch"]
    for size in ((120, 160), (121, 163)):
        infrared = street(*size, seed=5)[1]
        ramp = np.broadcast_to(np.linspace(0, 255, size[1]).astype(np.uint8), size)
        thermals = cycle([infrared, np.zeros_like(infrared), infrared[::-1], full(infrared)])
        for (name, frame), thermal in zip(adversarial(*size).items(), thermals, strict=False):
            ours = compiled.fuse(as_bytes(frame), thermal, ramp)
            reference = eager.fuse(as_bytes(frame), thermal, ramp)
            assert psnr(ours.image, reference.image) >= 45, name
            assert psnr(ours.restored, reference.restored) >= 45, name
            assert psnr(ours.haze_density, reference.haze_density) >= 45, name
            assert psnr(ours.illumination, reference.illumination) >= 45, name


def test_without_coverage_the_result_is_the_restored_frame(engines, street) -> None:
    visible, infrared = street(120, 160)
    nothing = np.zeros_like(infrared)
    for spec in SPECS:
        fused = engines[spec].fuse(visible, infrared, nothing)
        assert np.abs(fused.image.astype(int) - fused.restored).max() <= 1, spec
        dark = engines[spec].fuse(visible, nothing, nothing)
        assert np.abs(fused.image.astype(int) - dark.image).max() <= 1, spec


def test_coverage_border_has_no_seam(physics, street) -> None:
    visible, infrared = street(120, 160)
    coverage = np.broadcast_to(np.clip(np.arange(160) * 8 - 400, 0, 255).astype(np.uint8), (120, 160))
    covered, without = (
        physics.fuse(visible, infrared, c).image.astype(int) for c in (coverage, np.zeros_like(coverage))
    )
    added = np.abs(covered - without)
    assert added[:, :50].max() <= 1
    assert added[:, 80:].max() > 100
    assert np.diff(added[:, 48:70].mean(axis=(0, 2))).max() < 2


def test_clear_day_is_unchanged(physics, street) -> None:
    visible, infrared = street(120, 160)
    assert psnr(physics.fuse(visible, infrared, full(infrared)).restored, visible) >= 30


def test_haze_is_reduced(physics, street) -> None:
    clear, infrared = street(120, 160)
    hazy = as_bytes(0.35 * clear / 255 + 0.65 * 0.8)
    fused = physics.fuse(hazy, infrared, full(infrared))
    assert psnr(fused.restored, clear) > psnr(hazy, clear) + 5
    assert fused.restored.std() > 2 * hazy.std()
    assert fused.haze > physics.fuse(clear, infrared, full(infrared)).haze + 0.3


def test_night_is_lifted_without_amplifying_noise(physics, street) -> None:
    random = np.random.default_rng(0)
    day, infrared = street(120, 160)
    night = (0.12 * day + random.normal(0, 1.5, day.shape)).clip(0, 255).astype(np.uint8)
    fused = physics.fuse(night, infrared, full(infrared))
    assert fused.restored.mean() > 1.5 * night.mean()
    flat = (10 + random.normal(0, 1.5, (120, 160, 3))).clip(0, 255).astype(np.uint8)
    cold = np.full((120, 160), 30, np.uint8)
    lifted = physics.fuse(flat, cold, full(cold)).restored
    gain = lifted.mean() / flat.mean()
    assert gain > 2
    noise = [(x.astype(float) - x.mean(axis=(0, 1))).mean(axis=2).std() for x in (lifted, flat)]
    assert noise[0] < 0.5 * gain * noise[1]


def test_warm_bodies_are_bright_and_colours_are_kept(physics, street, body) -> None:
    visible, infrared = street(120, 160)
    fused = physics.fuse(visible, infrared, full(infrared))
    where = body(120, 160)
    assert fused.image[where].mean() > 150 > 50 > fused.restored[where].mean()
    elsewhere = np.ones((120, 160), bool)
    elsewhere[where] = False
    chroma = [
        (x - x.mean(axis=2, keepdims=True))[elsewhere] for x in (fused.image.astype(float), visible.astype(float))
    ]
    assert np.corrcoef(chroma[0].ravel(), chroma[1].ravel())[0, 1] > 0.97


def test_average_is_the_mean_of_both_lumas(engines, frame) -> None:
    visible, infrared, coverage = frame
    fused = engines["average"].fuse(visible, infrared, coverage)
    luma = visible @ np.array([0.299, 0.587, 0.114])
    expected = (visible + ((infrared - luma) / 2)[..., None]).clip(0, 255)
    assert np.abs(fused.image - expected).max() <= 0.51
    assert np.array_equal(fused.restored, visible)
    assert fused.haze == 0
    assert np.array_equal(fused.illumination, visible.max(axis=2))


@pytest.mark.parametrize("spec", SPECS)
def test_results_are_not_reused_and_inputs_are_not_modified(engines, frame, spec: str) -> None:
    kept = [x.copy() for x in frame]
    first = engines[spec].fuse(*frame)
    copies = [array.copy() for array in _arrays(first)]
    engines[spec].fuse(255 - frame[0], 255 - frame[1], frame[2])
    again = engines[spec].fuse(*frame)
    for a, b, c in zip(copies, _arrays(first), _arrays(again), strict=True):
        assert np.array_equal(a, b)
        assert np.array_equal(a, c)
    for a, b in zip(kept, frame, strict=True):
        assert np.array_equal(a, b)


def _arrays(fused: Fused) -> list[np.ndarray]:
    return [fused.image, fused.restored, fused.haze_density, fused.illumination, fused.infrared]


def test_views_and_read_only_frames_are_accepted(physics, frame) -> None:
    visible, infrared, coverage = frame
    expected = physics.fuse(visible, infrared, coverage).image
    wide = np.zeros((120, 320, 3), np.uint8)
    wide[:, ::2] = visible
    frozen = infrared.copy()
    frozen.flags.writeable = False
    assert np.array_equal(
        physics.fuse(wide[:, ::2], frozen, np.broadcast_to(np.uint8(255), (120, 160))).image, expected
    )


@pytest.mark.slow
def test_compiled_sizes_are_bounded(street) -> None:
    engine = OpenVinoEngine("average", Average)
    sizes = [(32, 32 + 4 * n) for n in range(SIZES_KEPT + 2)]
    for size in [*sizes, sizes[0]]:
        visible, infrared = street(*size)
        assert engine.fuse(visible, infrared, full(infrared)).image.shape == (*size, 3)
    assert len(engine._ready) == SIZES_KEPT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"visible": np.zeros((120, 160), np.uint8)}, r"visible has shape \(120, 160\): give \(height, width, 3\)"),
        ({"visible": np.zeros((120, 160, 4), np.uint8)}, "visible has shape"),
        ({"visible": np.zeros((120, 160, 3), np.float32)}, "visible is float32: give a uint8 array"),
        ({"visible": [[0]]}, "visible is list"),
        ({"visible": np.zeros((0, 0, 3), np.uint8)}, "frame of 0x0"),
        ({"visible": np.zeros((31, 160, 3), np.uint8)}, "frame of 160x31: give at least 32x32"),
        ({"infrared": np.zeros((120, 160), np.uint16)}, "infrared is uint16"),
        ({"infrared": np.zeros((120, 160, 1), np.uint8)}, "infrared has shape"),
        ({"infrared": np.zeros((160, 120), np.uint8)}, "visible is 160x120: register it"),
        ({"warp": np.ones((120, 160), bool)}, "coverage is bool"),
        ({"warp": np.zeros((60, 80), np.uint8)}, "coverage has shape"),
        (
            {"warp": Warp.registered(np.zeros((60, 80), np.uint8))},
            "visible is 160x120, the warp is for 80x60: make one",
        ),
        (
            {"warp": gate_warp(Shape(160, 120, (80, 60), 1))},
            r"infrared has shape \(120, 160\), the warp is for 80x60: make one",
        ),
    ],
)
@pytest.mark.parametrize("spec", ["physics", "physics:torch"])
def test_invalid_frames_are_a_one_line_error(engines, frame, spec: str, change, message: str) -> None:
    pair = dict(zip(("visible", "infrared", "warp"), frame, strict=True)) | change
    with pytest.raises(EngineError, match=message) as error:
        engines[spec].fuse(**pair)
    assert str(error.value).startswith(engines[spec].name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spec": "magic"}, "unknown name 'magic'; known: realtime, tiny, physics"),
        ({"spec": ""}, "unknown name ''"),
        ({"spec": "physics:onnx"}, "unknown backend 'onnx'; known: tensorrt, cuda, openvino, torch"),
        ({"spec": "physics:openvino:bf16"}, "physics:openvino has no precision 'bf16'; known: f32"),
        ({"spec": "realtime:openvino:int4"}, "has no precision 'int4'; known: f32"),
        ({"spec": "physics:torch:bf16"}, "torch has no precision 'bf16'; known: f32"),
        ({"spec": "physics:openvino:f32:x"}, "has no precision 'f32:x'"),
        ({"dehaze": 1.5}, "dehaze 1.5: give a number from 0 to 1, or auto"),
        ({"dehaze": float("nan")}, "dehaze nan"),
        ({"lift": -0.1}, "lift -0.1"),
        ({"lift": "strong"}, "lift 'strong'"),
        ({"lift": True}, "lift True"),
    ],
)
def test_unknown_engines_and_strengths_are_refused(arguments, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        create_engine(**arguments)


def test_unknown_network_is_refused() -> None:
    with pytest.raises(EngineError, match=r"^network 'nonsense': unknown; known: realtime, tiny, physics, average, "):
        registry.network("nonsense")


def test_engine_names_state_network_backend_and_precision(engines) -> None:
    assert [engines[s].name for s in ("physics", "average:torch")] == ["physics:openvino:f32", "average:torch:f32"]
    listed = [spec for spec, _ in available()]
    assert {engine.name for engine in engines.values()} <= set(listed)
    assert listed[0] == "realtime:openvino:f32"


def test_strengths_have_an_effect(street) -> None:
    clear, infrared = street(120, 160)
    hazy = as_bytes(0.35 * clear / 255 + 0.65 * 0.8)
    pair = hazy, infrared, full(infrared)
    untouched = create_engine("physics:torch", dehaze=0, lift=0.0).fuse(*pair).restored
    assert np.abs(untouched.astype(int) - hazy).max() <= 1
    half, whole = (create_engine("physics:torch", dehaze=d, lift=0).fuse(*pair).restored for d in (0.5, 1))
    assert hazy.mean() > half.mean() > whole.mean()
    lifted = create_engine("physics:torch", dehaze=1, lift=1).fuse(*pair).restored
    assert lifted.mean() > whole.mean() + 20


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, fusecam.engines as e; e.available(); print({'torch', 'openvino'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_any_memory_layout_of_frames_is_accepted(street) -> None:
    """BGR turned to RGB by a view, flipped, cut out, read-only: what users hand over."""
    visible, infrared = street(120, 160)
    engine, coverage = create_engine("average:openvino"), full(infrared)
    expected = engine.fuse(visible, infrared, coverage).image
    fixed = visible.copy()
    fixed.flags.writeable = False
    cut = np.pad(visible, ((5, 5), (5, 5), (0, 0)))[5:-5, 5:-5]
    for other in (visible[..., ::-1].copy()[..., ::-1], visible[::-1].copy()[::-1], cut, fixed):
        np.testing.assert_array_equal(engine.fuse(other, infrared, coverage).image, expected)


def test_dropped_engine_is_freed_at_once(street) -> None:
    """Its compiled graphs are tens of megabytes, and the garbage collector may not come by for minutes."""
    engine = OpenVinoEngine("average", Average)
    visible, infrared = street(48, 64)
    engine.fuse(visible, infrared, full(infrared))
    gone = weakref.ref(engine)
    gc.disable()
    try:
        del engine
        assert gone() is None
    finally:
        gc.enable()
