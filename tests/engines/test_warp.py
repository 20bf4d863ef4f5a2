"""Infrared put onto the visible grid inside the engine's graph: the same as cv2.remap, in every precision."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from fusecam.engines import EngineError, create_engine, registry
from fusecam.engines.backends.eager import EagerEngine
from fusecam.engines.backends.graph import INPUTS, OUTPUTS, ImagePath, examples
from fusecam.engines.backends.kernels import loader
from fusecam.engines.backends.openvino.engine import OpenVinoEngine, _convert
from fusecam.engines.backends.openvino.ov import ov
from fusecam.engines.base import EngineRefused
from fusecam.engines.build import store
from fusecam.engines.build.parity import compare, gate_warp
from fusecam.engines.networks.average import Average
from fusecam.engines.networks.smoothing import CONTROLS
from fusecam.engines.warp import Shape, Warp, WarpBuffers

SHAPES = [
    Shape.of(160, 120, (80, 64)),
    Shape.of(163, 121, (57, 45)),
    Shape.of(64, 48, (160, 121)),
    Shape.of(64, 48, (331, 247), reduce=5),
]


def heat(shape: Shape) -> np.ndarray:
    """White noise, on which a place that is off by a tenth of a pixel is off by dozens of grey levels."""
    return np.random.default_rng(1).integers(0, 256, shape.infrared[::-1], np.uint8)


@cache
def converted(shape: Shape) -> ov.Model:
    path = ImagePath(registry.network("tiny").eval(), shape.reduce, planar=True)
    return _convert(path, examples(shape, planar=True))


def remapped(warp: Warp, infrared: np.ndarray) -> np.ndarray:
    """By OpenCV in floating point: its own version 4 rounds places to 1/32 of a pixel for bytes, but not for these."""
    side = warp.reduce
    height, width = (length // side for length in infrared.shape)
    tiles = infrared[: height * side, : width * side].reshape(height, side, width, side).mean((1, 3)).astype(np.float32)
    x, y = ((warp.map[..., axis] + 0.5) / side - 0.5 for axis in (0, 1))
    corners = [np.floor(x), np.floor(y)]
    right, down = x - corners[0], y - corners[1]

    def at(step_x: int, step_y: int) -> np.ndarray:
        columns = np.clip(corners[0] + step_x, 0, width - 1).astype(np.float32)
        rows = np.clip(corners[1] + step_y, 0, height - 1).astype(np.float32)
        return cv2.remap(tiles, columns, rows, cv2.INTER_NEAREST).astype(float)

    above = at(0, 0) * (1 - right) + at(1, 0) * right
    return above * (1 - down) + (at(0, 1) * (1 - right) + at(1, 1) * right) * down


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("precision", ["f32", "bf16", "f16", "loop"])
def test_graph_warps_like_opencv_remap(precision: str, shape: Shape) -> None:
    """In whatever the network after it computes: OpenVINO's f32 and bf16, torch's half precision; and as a loop."""
    warp, infrared = gate_warp(shape), heat(shape)
    visible = np.random.default_rng(2).integers(0, 256, (shape.height, shape.width, 3), np.uint8)
    given = [*(np.array(x)[None] for x in (visible, infrared, *warp.parts)), np.zeros(CONTROLS, np.float32)]
    if precision == "f16":
        with torch.inference_mode():
            outputs = ImagePath(registry.network("tiny").eval().half(), shape.reduce)(*map(torch.from_numpy, given))
        found = outputs[OUTPUTS.index("registered")][0].numpy()
    elif precision == "loop":
        if shape.reduce > 1:
            pytest.skip("the loop takes infrared as it is: such frames go through the graph")
        kernels, found = loader.compiled(False), np.empty((shape.height, shape.width), np.uint8)
        quads = np.zeros(infrared.shape, np.uint32)
        kernels.neighbours.of(infrared, quads)()
        sample = kernels.sample.of(quads.reshape(-1).view(np.int32), warp.index, warp.fractions, found)
        sample(0, shape.height, np.empty(shape.width, np.int32))
    else:
        given[0] = np.ascontiguousarray(given[0].transpose(0, 3, 1, 2))  # planar there
        model = converted(shape).clone()
        model.reshape({place: list(array.shape) for place, array in enumerate(given)})
        compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision})
        found = compiled(given)[OUTPUTS.index("registered")][0]
    off = np.abs(found - remapped(warp, infrared))
    assert found.dtype == np.uint8 and off.max() <= 1.5 and off.mean() < 0.4  # half a level is the rounding's
    if int(cv2.__version__.split(".")[0]) >= 5:
        assert np.abs(found.astype(int) - warp.apply(infrared)).max() <= 1


def test_integer_positions_are_exact_up_to_the_border() -> None:
    infrared = heat(Shape.of(160, 120))
    visible = np.zeros((120, 160, 3), np.uint8)
    for spec in ("average:torch", "average:openvino", "physics:openvino"):
        fused = create_engine(spec).fuse(visible, infrared, np.full_like(infrared, 255))
        np.testing.assert_array_equal(fused.infrared, infrared)


def test_outside_positions_replicate_the_border_and_nan_is_safe() -> None:
    infrared = heat(Shape.of(40, 32))
    x, y = np.meshgrid(np.linspace(-1e6, 1e6, 64), np.linspace(-1e6, 1e6, 48))
    x[0, 0], y[5, 5], x[7, 7] = np.nan, np.inf, -np.inf
    warp = Warp.of(x.astype(np.float32), y.astype(np.float32), np.zeros((48, 64), np.uint8), (40, 32))
    found = create_engine("average:torch").fuse(np.zeros((48, 64, 3), np.uint8), infrared, warp).infrared
    assert (found[:24, :32][8:] == infrared[0, 0]).all() and (found[24:, 32:] == infrared[-1, -1]).all()
    assert warp.index.min() >= 0 and warp.index.max() < infrared.size


def test_unchanged_warp_is_not_copied_again() -> None:
    held, warp = WarpBuffers(), gate_warp(SHAPES[0])
    assert [place for place, _ in held.changed_parts(warp)] == [0, 1, 2]
    assert not list(held.changed_parts(warp))
    ((place, coverage),) = held.changed_parts(warp.blank())
    assert place == 2 and not coverage.any()
    assert [place for place, _ in held.changed_parts(warp)] == [2]


@pytest.mark.parametrize("spec", ["average:torch", "average:openvino"])
def test_one_graph_serves_all_warps_of_a_size(spec: str) -> None:
    """Warps one after the other, and a coverage changed in place: each frame is fused with what came with it."""
    shape = Shape.of(64, 48, (64, 48))
    engine, visible, infrared = create_engine(spec), np.zeros((48, 64, 3), np.uint8), heat(shape)
    coverage = np.full((48, 64), 255, np.uint8)
    turned, straight = gate_warp(shape), Warp.registered(coverage)
    for _ in range(2):
        for warp in (turned, straight, turned.blank(), coverage):
            fused = engine.fuse(visible, infrared, warp)
            wanted, valid = (infrared, coverage) if warp is coverage else (remapped(warp, infrared), warp.coverage)
            assert np.abs(fused.infrared.astype(int) - wanted).max() <= 1.5
            assert np.abs(fused.image[..., 0] - wanted * (valid / 255) / 2).max() <= 1.5
        coverage[:, :32] = 0
        straight = Warp.registered(coverage)


class Shifted(Average):
    """What a backend may do that rounds places: infrared comes a pixel beside where it belongs."""

    def forward(self, visible, infrared, coverage, controls):
        return super().forward(visible, infrared.roll(1, dims=2), coverage, controls)


def test_inaccurate_warp_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    key = {"network": "average", "code": "1"}
    OpenVinoEngine("average", Average, key=key).prepare(96, 64)
    with pytest.raises(EngineRefused, match=r"at 96x64 with infrared of 80x64 the output differs .* limit 45 dB"):
        engine = OpenVinoEngine("average", Shifted, key=key)
        other = OpenVinoEngine("average", Average, key=key)
        engine._models[(1,)] = other._converted(Average(), Shape.of(96, 64))
        engine.prepare(96, 64, (80, 64))


def test_gate_compares_the_warped_infrared() -> None:
    right = EagerEngine("average", Average()).run

    def misplaced(*given):
        outputs = right(*given)
        return {**outputs, "registered": np.roll(outputs["registered"], 1, axis=1)}

    assert compare(right, misplaced, "f32", SHAPES[0]).failed == ["registered"]


def test_cache_key_holds_the_infrared_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for infrared, reduce in (((64, 48), 1), ((80, 60), 1), ((160, 120), 2)):
        create_engine("average:openvino").prepare(64, 48, infrared, reduce)
    assert sorted(entry.key["shape"] for entry in store.entries()) == [
        "64x48",
        "64x48 with infrared of 160x120 by 2",
        "64x48 with infrared of 80x60",
        "any of (1,)",
        "any of (2,)",
    ]


@pytest.mark.parametrize(("infrared", "reduce"), [((0, 48), 1), ((64, 3), 4), ((64, 48), 0)])
def test_invalid_sizes_are_a_one_line_error(infrared: tuple[int, int], reduce: int) -> None:
    for spec in ("average:torch", "average:openvino"):
        with pytest.raises(EngineError, match="cannot be reduced by") as error:
            create_engine(spec).prepare(64, 48, infrared, reduce)
        assert "\n" not in str(error.value)


def test_examples_match_the_inputs_of_the_graph() -> None:
    shape = SHAPES[1]
    assert len(examples(shape)) == len(INPUTS)
    outputs = ImagePath(Average())(*examples(shape))
    assert len(outputs) == len(OUTPUTS)
    assert outputs[OUTPUTS.index("registered")].shape == (1, 121, 163)
    assert outputs[OUTPUTS.index("registered")].dtype == torch.uint8
