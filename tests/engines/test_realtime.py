"""The real-time network: its parts, its promises on untrained and trained weights, and its trained weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fusecam.engines import EngineError, create_engine, physics
from fusecam.engines.networks import checkpoints, realtime, realtime_core
from fusecam.engines.networks.realtime import RealtimeFusion
from fusecam.engines.networks.realtime_core import PROFILES, Profile

pytestmark = pytest.mark.slow

LEAVE, FULL = torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)


def tensors(visible: np.ndarray, infrared: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    colour = torch.from_numpy(visible).permute(2, 0, 1)[None].float() / 255
    thermal = torch.from_numpy(infrared)[None, None].float() / 255
    return colour, thermal, torch.ones_like(thermal)


def hazy(visible: np.ndarray, t: float = 0.3, air: float = 0.85) -> np.ndarray:
    return (visible * t + 255 * air * (1 - t) + 0.5).astype(np.uint8)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(((a.astype(float) - b) ** 2).mean(), 1e-10)))


@pytest.fixture(scope="module")
def network() -> RealtimeFusion:
    return checkpoints.load("realtime")


@pytest.mark.parametrize(("name", "most"), [("realtime", 350_000), ("tiny", 50_000)])
def test_profiles_stay_within_their_size(name: str, most: int) -> None:
    assert sum(parameter.numel() for parameter in RealtimeFusion(PROFILES[name]).parameters()) <= most


def test_learning_starts_from_the_dark_channel_prior(street) -> None:
    visible, infrared = street(120, 160)
    colour, thermal, valid = tensors(hazy(visible), infrared)
    with torch.no_grad():
        maps = RealtimeFusion().core(colour, thermal, valid)
    dark = physics.dark_channel(colour, PROFILES["realtime"].window)
    air = physics.airlight(colour, dark)
    air = air + realtime_core.AIR_GRAYNESS * (air.mean(dim=1, keepdim=True) - air)
    rough = physics.transmission(colour, air, window=PROFILES["realtime"].window)
    expected = physics.guided_filter(realtime.luma(colour), rough, 15, 1e-3).clamp(realtime_core.T_LEAST, 1)
    torch.testing.assert_close(maps.t, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(maps.air, air.expand_as(maps.air), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "profile", [Profile(haze=False), Profile(light=False), Profile(gate=False), Profile(bounded=True), PROFILES["tiny"]]
)
@pytest.mark.parametrize("size", [(120, 160), (94, 66)])
def test_every_profile_runs_and_learns(street, profile: Profile, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = RealtimeFusion(profile).train()
    colour, thermal, valid = tensors(*street(*size))
    fused, restored, maps, *_ = network.fuse(colour, thermal, valid, FULL, 0.5 * FULL)
    assert fused.shape == restored.shape == colour.shape
    assert maps.t.shape[-2:] == tuple(-(-side // profile.factor) for side in size)
    (fused.mean() + restored.mean() + maps.light.mean()).backward()
    moved = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert {"core.maps.weight", "core.whole.weight", "core.air_field.weight"} <= moved


def test_full_size_path_equals_the_core_grid_on_smooth_frames(network) -> None:
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 96), torch.linspace(0, 1, 128), indexing="ij")
    small = torch.stack([0.3 + 0.3 * rows, 0.3 + 0.2 * columns, 0.4 + 0.1 * rows * columns])[None]
    large = physics.enlarge(small, 4, torch.empty(1, 1, 384, 512))
    thermal = 0.4 * small[:, :1]
    with torch.no_grad():
        _, at_grid, *_ = network.fuse(small, thermal, torch.ones_like(thermal), FULL, LEAVE, factor=1)
        thermal = physics.enlarge(thermal, 4, large)
        _, at_full, *_ = network.fuse(large, thermal, torch.ones_like(thermal), FULL, LEAVE)
    inside = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(physics.reduce(at_full, 4)[inside], at_grid[inside], rtol=0, atol=0.03)


def test_zero_strength_keeps_light_and_haze(network, street) -> None:
    visible, infrared = street(120, 160)
    colour, thermal, valid = tensors(hazy(visible), infrared)
    with torch.no_grad():
        _, restored, *_ = network.fuse(colour, thermal, valid, LEAVE, LEAVE)
    assert (restored - colour).abs().mean() < 0.02


def test_strengths_are_monotonic(network, street) -> None:
    visible, infrared = street(120, 160)
    colour, thermal, valid = tensors(hazy(visible // 3), infrared)
    with torch.no_grad():
        means = [network.fuse(colour, thermal, valid, s * FULL, LEAVE)[1].mean().item() for s in (0, 0.5, 1)]
        lifted = [network.fuse(colour, thermal, valid, FULL, s * FULL)[1].mean().item() for s in (0, 0.5, 1)]
    assert means[0] > means[1] > means[2]
    assert lifted[0] < lifted[1] < lifted[2]


@pytest.mark.parametrize("t", [0.2, 0.5])
def test_haze_is_removed(network, street, t: float) -> None:
    visible, infrared = street(240, 320)
    given = hazy(visible, t)
    colour, thermal, valid = tensors(given, infrared)
    with torch.no_grad():
        _, restored, maps, *_ = network.fuse(colour, thermal, valid, -FULL, LEAVE)
    restored = (restored[0].clamp(0, 1).permute(1, 2, 0).numpy() * 255).round()
    assert psnr(restored, visible) > psnr(given, visible) + 4
    assert 1 - maps.t.mean() > 0.6 * (1 - t)


def test_bounded_airlight_scatters_no_more_light_than_there_is(street) -> None:
    visible, infrared = street(240, 320)
    visible = visible // 4
    visible[20:60, 40:80] = 255  # a lamp, which the dark channel takes for fog
    colour, thermal, valid = tensors(visible, infrared)
    left = []
    for bounded in (False, True):
        torch.manual_seed(0)
        network = RealtimeFusion(Profile(bounded=bounded)).eval()
        with torch.no_grad():
            network.core.whole.bias[4] = -2  # haze everywhere, of the lamp's light
            _, restored, maps, *_ = network.fuse(colour, thermal, valid, FULL, LEAVE)
        veil = (realtime.luma(maps.air) * (1 - maps.t)).mean()
        left.append(((restored > 0.005).float().mean(), veil))
    assert left[0][1] > 2 * realtime.luma(colour).mean() and left[1][1] < realtime.luma(colour).mean()
    assert left[0][0] < 0.2 and left[1][0] > 0.5


@pytest.mark.parametrize("bounded", [False, True])
def test_bounded_airlight_is_no_brighter_than_white(bounded: bool) -> None:
    network = RealtimeFusion(Profile(bounded=bounded)).eval()
    fog = torch.full((1, 3, 120, 160), 0.9)
    with torch.no_grad():
        network.core.whole.bias[0] = 10
        brightest = network.core(fog, fog[:, :1], torch.ones(1, 1, 120, 160)).whole_air.max()
    assert (brightest <= 1) == bounded


@pytest.mark.parametrize("blue", [-0.02, 0.02])
def test_bounded_initial_airlight_has_the_tint_of_fog(blue: float) -> None:
    fog = 0.8 + blue * torch.tensor([-1.0, 0, 1]).reshape(1, 3, 1, 1).expand(1, 3, 120, 160)
    with torch.no_grad():
        air = (
            RealtimeFusion(Profile(bounded=True)).core(fog, fog[:, :1], torch.ones(1, 1, 120, 160)).whole_air.flatten()
        )
    assert float(air[2] - air[0]) == pytest.approx(2 * blue, abs=1e-3)


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("warmer", [-3, 3])
def test_bounded_airlight_is_tinted_no_more_than_the_haze_seen(warmer: float, bounded: bool) -> None:
    fog = 0.8 + 0.02 * torch.tensor([1.0, 0, -1]).reshape(1, 3, 1, 1).expand(1, 3, 120, 160)
    network = RealtimeFusion(Profile(bounded=bounded)).eval()
    with torch.no_grad():
        network.core.whole.bias[1] = warmer
        air = network.core(fog, fog[:, :1], torch.ones(1, 1, 120, 160)).whole_air.flatten()
    assert (-1e-4 <= float(air[0] - air[2]) <= 0.04 + 1e-4) == bounded


def test_without_coverage_the_result_is_the_restored_frame(network, street) -> None:
    visible, infrared = street(120, 160)
    colour, thermal, _ = tensors(hazy(visible), infrared)
    with torch.no_grad():
        fused, restored, *_ = network.fuse(colour, thermal, torch.zeros_like(thermal), -FULL, -FULL)
    torch.testing.assert_close(fused, restored, rtol=0, atol=1e-5)


def test_warm_bodies_are_bright(network, street, body) -> None:
    visible, infrared = street(240, 320)
    colour, thermal, valid = tensors(visible, infrared)
    with torch.no_grad():
        fused, restored, *_ = network.fuse(colour, thermal, valid, -FULL, LEAVE)
    rows, columns = body(240, 320)
    assert fused[..., rows, columns].mean() > restored[..., rows, columns].mean() + 0.4


def test_adversarial_frames_stay_finite_and_in_half_precision_near_single(network, adversarial) -> None:
    half = checkpoints.load("realtime").half()
    for name, frame in adversarial(120, 160).items():
        colour = torch.from_numpy(frame).permute(2, 0, 1)[None].float()
        thermal, valid = colour[:, :1].clone(), torch.ones(1, 1, 120, 160)
        with torch.no_grad():
            single = network.fuse(colour, thermal, valid, -FULL, -FULL)
            rough = half.fuse(*(x.half() for x in (colour, thermal, valid, -FULL, -FULL)))
        for exact, near in zip((*single[:2], *single[2]), (*rough[:2], *rough[2]), strict=True):
            assert exact.isfinite().all() and near.isfinite().all(), name
        assert (single[0].clamp(0, 1) - rough[0].float().clamp(0, 1)).abs().mean() < 0.02, name


@pytest.mark.parametrize("damage", ["absent", "broken", "other network"])
def test_unusable_weights_are_a_one_line_error(monkeypatch, tmp_path, damage: str) -> None:
    path = tmp_path / "realtime.safetensors"
    if damage == "broken":
        path.write_bytes(b"no weights at all")
    if damage == "other network":
        from safetensors.torch import save_file

        save_file({"core.maps.weight": torch.zeros(3)}, path)
    monkeypatch.setattr(checkpoints, "weights_file", lambda name: path)
    told = "tensors do not match the network realtime" if damage == "other network" else "cannot be read"
    with pytest.raises(EngineError, match=rf"realtime\.safetensors: {told}") as caught:
        checkpoints.load("realtime")
    assert "\n" not in str(caught.value)


def test_weights_are_small_and_half_precision() -> None:
    from safetensors.torch import load_file

    path = checkpoints.weights_file("realtime")
    assert path.stat().st_size < 3_000_000
    kinds = {name: tensor.dtype for name, tensor in load_file(path).items() if "num_batches" not in name}
    norms = {name for name, module in realtime.RealtimeFusion().named_modules() if isinstance(module, nn.BatchNorm2d)}
    for tensor, kind in kinds.items():
        assert kind == (torch.float32 if tensor.rpartition(".")[0] in norms else torch.float16), tensor


@pytest.mark.parametrize(
    ("engine", "size", "most"),
    [
        ("realtime:openvino:f32", (120, 160), 2),
        ("realtime:openvino:f32", (121, 163), 2),
        ("realtime:openvino:f32", (47, 33), 2),
        ("realtime:openvino:bf16", (120, 160), 2),
        ("realtime:openvino:bf16", (47, 33), 2),
    ],
)
def test_openvino_agrees_with_torch(street, engine: str, size: tuple[int, int], most: int) -> None:
    visible, infrared = street(*size)
    pair = hazy(visible), infrared, np.full_like(infrared, 255)
    exact = create_engine(engine.partition(":")[0] + ":torch").fuse(*pair)
    near = create_engine(engine).fuse(*pair)
    for a, b in ((exact.image, near.image), (exact.restored, near.restored)):
        assert np.abs(a.astype(int) - b).mean() < most / 4
        assert np.percentile(np.abs(a.astype(int) - b), 99) <= most
