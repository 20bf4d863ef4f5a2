"""LURE: shapes, gradients through every module, its ablations, what prompts change, and its compiled form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fusecam.engines import EngineError, create_engine
from fusecam.engines.backends.eager import EagerEngine
from fusecam.engines.backends.openvino.engine import OpenVinoEngine
from fusecam.engines.networks import checkpoints, lure
from fusecam.engines.networks.lure import FULL, PROMPTS, Lure, Profile, split_prompts
from fusecam.engines.networks.lure_blocks import TextGuidedAttention, prior_rule
from fusecam.engines.networks.smoothing import CONTROLS, STRENGTHS
from fusecam.engines.networks.tasks import TASKS
from fusecam.engines.prompts.conditioning import Fixed

pytestmark = pytest.mark.slow

LEAST = Profile(
    widths=(8, 8, 12, 16),
    latent=(4, 4, 8, 8),
    tga_base=(1, 1, 1, 1),
    tga_bottleneck=(1, 1, 1, 2),
    fusion=(1, 1, 1, 2),
    heads=2,
    text=8,
)
"""Every kind of module, repeated where the paper repeats it, as small as can be."""
ABLATIONS = [
    LEAST,
    replace(LEAST, inner_residual=False),
    replace(LEAST, tga="gate"),
    replace(LEAST, rule="none"),
    replace(LEAST, rule="addition"),
]


def make(profile: Profile = LEAST, stirred: bool = True) -> Lure:
    """A network whose zero-initialised layers are not zero, as after training."""
    torch.manual_seed(0)
    network = Lure(profile)
    if stirred:
        for parameter in network.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


def pair(height: int, width: int, n: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    colour = torch.rand(n, 3, height, width, generator=random)
    return colour, torch.rand(n, 1, height, width, generator=random), torch.ones(n, 1, height, width)


def asked(*on: int, n: int = 1) -> torch.Tensor:
    strengths = torch.zeros(n, len(TASKS), 1, 1)
    strengths[:, list(on)] = 1
    return strengths


def test_sizes_equal_the_paper() -> None:
    network = Lure()
    full = FULL
    assert (full.widths, full.latent) == ((48, 96, 192, 384), (16, 32, 64, 128))
    assert [len(layer.look) for layer in network.encoder.layers] == [2, 2, 4, 8]
    assert [len(layer.find) for layer in network.encoder.layers] == [1, 1, 2, 2]
    assert [len(scale.to_infrared) for scale in network.fusion] == [1, 1, 2, 2]
    assert sum(parameter.numel() for parameter in network.parameters()) == 36_276_651


@pytest.mark.parametrize("profile", ABLATIONS)
def test_shapes_and_gradients_through_every_module(profile: Profile) -> None:
    network = make(profile).train()
    colour, thermal, valid = pair(24, 32, n=2)
    fused, restored = network.fuse(colour, thermal, valid, asked(0, 3, n=2))
    assert fused.shape == restored.shape == (2, 3, 24, 32)
    codes = network.encode(colour, split_prompts(asked(1, n=2))[0], lure.VISIBLE)
    assert [tuple(code.shape) for code in codes] == [
        (2, width, 24 // 2**at, 32 // 2**at) for at, width in enumerate(profile.latent)
    ]
    ((fused - 0.3) ** 2).mean().backward()
    without = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert not without
    still = [name for name, parameter in network.named_parameters() if not parameter.grad.any()]
    # a bias before a norm, or of keys in a softmax, changes nothing
    assert all("key_value" in name or name.endswith(("bias", "shift")) for name in still), still


def test_ablation_removes_the_inner_residual() -> None:
    network = make()
    layer, without = network.encoder.layers[0], make(replace(LEAST, inner_residual=False)).encoder.layers[0]
    missing = without.load_state_dict(layer.state_dict(), strict=False)
    assert (missing.missing_keys, set(missing.unexpected_keys)) == ([], {"linear.weight", "linear.bias"})
    text, modality = torch.rand(1, LEAST.text, 1, 1), torch.tensor([0])
    x = torch.rand(1, 8, 16, 16)
    features, code = layer(x, text, modality)
    same, specific = without(x, text, modality)
    assert torch.equal(features, same)
    assert torch.allclose(code, layer.linear(features) - specific, atol=1e-6)


def test_text_guided_attention_depends_on_position_and_the_gate_does_not() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 8, 12, 12)
    first, second = torch.randn(1, 8, 1, 1), torch.randn(1, 8, 1, 1)
    for gate in (False, True):
        tga = TextGuidedAttention(8, 8, 2, gate)
        tga.project = torch.nn.Identity()
        ratio = tga(x, first) / tga(x, second)
        varies = ratio.flatten(2).std(dim=2) > 1e-3
        assert varies.all() != gate


def test_prompts_are_split_into_shares_per_camera() -> None:
    visible, infrared = split_prompts(asked())
    assert visible.flatten().tolist() == infrared.flatten().tolist() == [0] * 6 + [1]
    visible, infrared = split_prompts(asked(0, 1, 5))
    assert visible.flatten().tolist() == [0.5, 0.5, 0, 0, 0, 0, 0]
    assert infrared.flatten().tolist() == [0, 0, 0, 0, 0, 1, 0]
    visible, _ = split_prompts(0.25 * asked(0))
    assert visible.flatten().tolist() == [0.25, 0, 0, 0, 0, 0, 0.75]
    assert visible.shape == (1, PROMPTS, 1, 1)


def test_prompts_change_their_own_camera_only() -> None:
    network = make()
    frames = pair(24, 32)
    with torch.inference_mode():
        plain, hazy, faint = (network.fuse(*frames, asked(*on)) for on in ((), (0,), (3,)))
    assert (plain[1] - hazy[1]).abs().max() > 1e-4
    assert torch.equal(plain[1], faint[1]), "the restored visible frame knows nothing of infrared's prompt"
    assert (plain[0] - faint[0]).abs().max() > 1e-4


@pytest.mark.parametrize("rule", ["l1", "addition"])
def test_fusion_starts_as_the_prior_rule(rule) -> None:
    network = make(replace(LEAST, rule=rule), stirred=False)
    x, y = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    assert torch.equal(network.fusion[0](x, y), prior_rule(x, y, rule))
    assert not torch.equal(make(replace(LEAST, rule="none"), stirred=False).fusion[0](x, y), prior_rule(x, y, "l1"))


def test_prior_rule_equals_densefuse() -> None:
    strong, faint = torch.full((1, 2, 6, 6), 3.0), torch.full((1, 2, 6, 6), -1.0)
    assert prior_rule(strong, faint, "l1")[0, 0, 3, 3].item() == pytest.approx(3 * 0.75 - 1 * 0.25, abs=1e-3)
    assert prior_rule(strong, faint, "addition")[0, 0, 3, 3].item() == 1
    assert torch.equal(prior_rule(strong, strong, "l1"), strong)


def test_any_size_runs_and_uncovered_pixels_get_no_infrared() -> None:
    engine = EagerEngine("lure", make())
    random = np.random.default_rng(0)
    for height, width in ((33, 47), (40, 32), (61, 83)):
        visible = random.integers(0, 256, (height, width, 3), np.uint8)
        infrared = random.integers(0, 256, (height, width), np.uint8)
        covered, bare = np.full_like(infrared, 255), np.zeros_like(infrared)
        fused = engine.fuse(visible, infrared, covered)
        assert fused.image.shape == fused.restored.shape == visible.shape
        assert fused.haze_density.shape == fused.illumination.shape == (-(-height // 4), -(-width // 4))
        alone = engine.fuse(visible, infrared, bare)
        assert np.array_equal(alone.image, alone.restored)
        assert np.array_equal(alone.image, engine.fuse(visible, 255 - infrared, bare).image)


def test_changed_prompt_fades_in() -> None:
    network = make()
    random = np.random.default_rng(0)
    visible, infrared = random.integers(0, 256, (32, 40, 3), np.uint8), random.integers(0, 256, (32, 40), np.uint8)
    state = np.zeros(80, np.float32)
    frames = [torch.from_numpy(x)[None] for x in (visible, infrared, np.full_like(infrared, 255))]
    for weight, expected in ((0.0, 1.0), (0.75, 0.75), (0.75, 0.5625)):
        strength = 1.0 if weight == 0 else 0.0
        controls = np.concatenate([[strength, -1, -1, -1, -1, -1, -1], state, [weight]]).astype(np.float32)
        with torch.inference_mode():
            state = network(*frames, torch.from_numpy(controls))[-1].numpy()[0]
        assert state[0] == pytest.approx(expected)
        assert not state[1:6].any(), "negative strengths are none"


def test_adversarial_frames_stay_finite_in_half_precision(adversarial) -> None:
    """bfloat16 and half on the CPU are slow: one size; finite, and near float32."""
    whole, half = make(), make().half()
    controls = torch.zeros(CONTROLS)
    controls[:6] = torch.tensor([1, 0, 0, 1, 0, 0])
    for name, frame in adversarial(32, 40).items():
        visible = torch.from_numpy((frame * 255).astype(np.uint8))[None]
        thermal = visible[..., 0].contiguous()
        given = visible, thermal, torch.full_like(thermal, 255), controls
        with torch.inference_mode():
            reference, found = whole(*given), half(*given)
        for index in (0, 1):
            error = (reference[index].float() - found[index].float()).square().mean()
            assert error < 255**2 / 10**4, f"{name}: under 40 dB"


def test_openvino_equals_torch(street) -> None:
    """At an odd size, with and without prompts; the gate has compared them on its own frames before."""
    network, strengths = make(), np.zeros(STRENGTHS, np.float32)

    class Changing(Fixed):
        def __call__(self, *given: object) -> np.ndarray:
            return strengths

    asked = Changing(strengths)
    engines = [
        OpenVinoEngine("lure", lambda: network, "f32", asked),
        EagerEngine("lure", network, asked),
    ]
    visible, infrared = street(33, 43)
    for now in ([0] * 7, [1, 1, 0, 0, 0, 1, 0]):
        strengths[:] = now
        ours, reference = (engine.fuse(visible, infrared, np.full_like(infrared, 255)) for engine in engines)
        for name in ("image", "restored", "haze_density", "illumination"):
            difference = np.abs(getattr(ours, name).astype(int) - getattr(reference, name))
            assert difference.max() <= 2, name


def test_missing_weights_error_says_how_to_get_them(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("FUSECAM_HOME", str(tmp_path))
    monkeypatch.setattr(checkpoints, "SHIPPED", "none of {name}.safetensors")
    with pytest.raises(EngineError, match=r"lure: no weights; train some with `fusecam train") as error:
        create_engine("lure:torch")
    assert "\n" not in str(error.value)


def test_trained_weights_are_imported_and_run(monkeypatch, tmp_path, street) -> None:
    monkeypatch.setenv("FUSECAM_HOME", str(tmp_path))
    network = make()
    checkpoints.write(tmp_path / "mine.safetensors", "lure", network.state_dict(), network.profile)
    assert checkpoints.import_weights("lure", [tmp_path / "mine.safetensors"]).profile["widths"] == (8, 8, 12, 16)
    visible, infrared = street(40, 48)
    covered = np.full_like(infrared, 255)
    engine = create_engine("lure:torch", prompt="foggy, weak thermal contrast")
    assert engine.notes == []
    expected = EagerEngine("lure", network, Fixed([1, 0, 0, 1, 0, 0, -1])).fuse(visible, infrared, covered)
    assert np.array_equal(engine.fuse(visible, infrared, covered).image, expected.image)
