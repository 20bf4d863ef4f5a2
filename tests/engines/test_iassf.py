"""IASSF: equal to the authors' network, its haze density on the device, its ablations, its use as an engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fusecam.engines.backends.openvino.engine import OpenVinoEngine
from fusecam.engines.networks import published
from fusecam.engines.networks.iassf import HDE, IASSF, PROFILES

from .vectors import golden, parameters, run, state

pytestmark = pytest.mark.slow

TINY = replace(PROFILES["small"], width=8, depths=(1, 1, 2, 1, 1), pool=16, heads=(1, 1, 1, 1, 1))
ABLATIONS = {
    "w/o A": {"assisted": False},
    "w/o HDE": {"haze": False},
    "w/o PGM": {"prompt": False},
    "w/o FR-PEB": {"embed": False},
    "w/o P": {"fusion_prompt": False},
    "w/o FB-PEB": {"fusion_embed": False},
}


@pytest.fixture(scope="module")
def filled() -> IASSF:
    network = IASSF(replace(PROFILES["full"], airlight=False)).eval()
    network.restoration.load_state_dict(published.iassf_restoration(state("iassf_dehaze")))
    network.fusion.load_state_dict(published.iassf_fusion(state("iassf_fusion")))
    return network


@pytest.fixture
def tiny() -> IASSF:
    torch.manual_seed(0)
    return IASSF(TINY).eval()


def test_network_equals_the_authors_with_their_haze_density(filled) -> None:
    truth = golden("iassf")
    with torch.inference_mode():
        restored, infrared, _ = filled.restoration(truth["vis"], truth["ir"], truth["haze_density"])
        fused = filled.fusion(restored, infrared)
        mean = filled.restoration.encode(truth["vis"]).mean(dim=1)
    found = {"feature_mean": mean, "restored": restored, "infrared": infrared, "fused": fused}
    for name, value in found.items():
        assert (value - truth[name]).abs().max() < 1e-4 * truth[name].std(), name


def test_haze_density_is_close_to_the_authors(filled) -> None:
    truth = golden("iassf")
    with torch.inference_mode():
        density = filled.restoration.hde(filled.restoration.encode(truth["vis"]))
    assert density.shape[1] == 1
    assert (density - truth["haze_density"]).abs().mean() < 0.02
    with torch.inference_mode():  # the division by the airlight, which their code leaves out, makes a difference
        divided = HDE(airlight=True)(truth["feature_mean"])
    assert (divided - truth["haze_density"]).abs().mean() > 0.02


def test_parameter_count_equals_the_paper(filled) -> None:
    for network, name in ((filled.restoration, "iassf_dehaze"), (filled.fusion, "iassf_fusion")):
        assert sum(parameter.numel() for parameter in network.parameters()) == parameters(name)
    assert parameters("iassf_dehaze") == 9_184_895
    assert parameters("iassf_fusion") == 2_013_681


@pytest.mark.parametrize("size", [(32, 32), (47, 33), (121, 163)])
def test_any_input_size_gives_a_uint8_result_of_that_size(tiny, street, size: tuple[int, int]) -> None:
    visible, infrared = street(*size)
    fused, restored, density, light = run(tiny, visible, infrared, np.full_like(infrared, 255))
    assert fused.shape == restored.shape == (*size, 3)
    assert density.shape == light.shape == size
    assert fused.std() > 0


def test_openvino_equals_the_network(tiny) -> None:
    OpenVinoEngine("iassf", lambda: tiny).prepare(67, 45)  # refused where its parity with eager torch is not enough


def test_without_coverage_infrared_has_no_effect(tiny, street) -> None:
    visible, infrared = street(64, 80)
    nothing = np.zeros((64, 80), np.uint8)
    fused, restored, *_ = run(tiny, visible, infrared, nothing)
    assert np.abs(fused.astype(int) - restored).max() <= 1
    assert np.array_equal(fused, run(tiny, visible, nothing, nothing)[0])


def test_dehazing_strength_has_an_effect(tiny) -> None:
    torch.manual_seed(1)
    colour, thermal = torch.rand(1, 3, 32, 40), torch.rand(1, 1, 32, 40)
    whole = torch.ones_like(thermal)
    with torch.inference_mode():
        off, half, on, auto = (
            tiny.fuse(colour, thermal, whole, torch.full((1, 1, 1, 1), s))[1] for s in (0.0, 0.5, 1.0, -1.0)
        )
    assert torch.allclose(off, colour, atol=1e-6)
    assert torch.allclose(half, (off + on) / 2, atol=1e-5)
    assert torch.equal(on, auto)
    assert (on - off).abs().max() > 1e-2


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    network = IASSF(TINY)
    colour, thermal = torch.rand(2, 3, 32, 32), torch.rand(2, 1, 32, 32)
    fused, restored, _ = network.fuse(colour, thermal, torch.ones_like(thermal), torch.ones(1, 1, 1, 1))
    ((fused - 0.3) ** 2).mean().add(((restored - 0.3) ** 2).mean()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    # what shifts all scores of a head alike cannot change their softmax
    learning = {name: p for name, p in network.named_parameters() if not name.endswith("attention.bias.2.bias")}
    assert not [name for name, parameter in learning.items() if not (parameter.grad != 0).any()]


def test_gradients_pass_through_haze_density() -> None:
    torch.manual_seed(0)
    network = IASSF(TINY)
    features = network.restoration.encode(torch.rand(1, 3, 32, 48) * 2 - 1)
    network.restoration.hde(features).square().mean().backward()
    gradient = network.restoration.encode.enter.weight.grad
    assert gradient is not None
    assert gradient.isfinite().all()
    assert (gradient != 0).any()
    # and by the right amount: against the difference quotient, in float64, away from the kinks of minimum and rank
    hde = HDE().double()
    x = torch.rand(1, 2, 40, 40, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(1, 1, 40, 40, dtype=torch.float64)
    (slope,) = torch.autograd.grad((weights * hde(x)).sum(), x)
    step = 1e-7 * torch.randn_like(x)
    quotient = ((weights * hde(x + step)).sum() - (weights * hde(x - step)).sum()) / 2
    assert torch.allclose(quotient, (slope * step).sum(), rtol=1e-3)


@pytest.mark.parametrize("airlight", [True, False])
def test_haze_density_holds_in_half_precision(adversarial, airlight: bool) -> None:
    hde = HDE(airlight)
    for name, frame in adversarial(96, 128).items():
        # features of a trained encoder reach further than an image; their mean is what counts
        features = torch.from_numpy(frame).permute(2, 0, 1)[None].mul(4).sub(2).half().double()
        exact, half = hde(features), hde(features.half())
        assert half.isfinite().all(), name
        if name not in ("faint contrast", "dense haze"):  # their stretched contrast is that of rounding itself
            assert (half.double() - exact).abs().mean() < 2e-2, name


@pytest.mark.parametrize("name", ABLATIONS)
def test_ablations_remove_their_part(name: str) -> None:
    torch.manual_seed(0)
    whole = IASSF(TINY).eval()
    ablated = IASSF(replace(TINY, **ABLATIONS[name])).eval()
    shared = {key: value for key, value in whole.state_dict().items() if key in ablated.state_dict()}
    own = ablated.state_dict()
    ablated.load_state_dict(own | {key: v for key, v in shared.items() if v.shape == own[key].shape})
    colour, thermal = torch.rand(1, 3, 32, 32), torch.rand(1, 1, 32, 32)
    valid, fully = torch.ones_like(thermal), torch.ones(1, 1, 1, 1)
    with torch.inference_mode():
        before = whole.fuse(colour, thermal, valid, fully)
        after = ablated.fuse(colour, thermal, valid, fully)
        other = ablated.fuse(colour, 1 - thermal, valid, fully)
    assert not torch.equal(before[0], after[0])
    if name == "w/o A":
        assert torch.equal(after[1], other[1])  # the restored frame knows no infrared
    else:
        assert not torch.equal(after[1], other[1])
    counts = [sum(parameter.numel() for parameter in network.parameters()) for network in (whole, ablated)]
    assert counts[1] == counts[0] if name == "w/o HDE" else counts[1] < counts[0]
