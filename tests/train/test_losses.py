import math

import pytest
import torch

from fusecam.train import losses


def image(seed: int, channels: int = 1, height: int = 24, width: int = 32) -> torch.Tensor:
    return torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(seed))


def ramp(across: float, down: float) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(12.0), torch.arange(16.0), indexing="ij")
    return (across * columns + down * rows)[None, None] / 100


@pytest.mark.parametrize(("across", "down"), [(1, 0), (0, 1), (2, -3)])
def test_sobel_of_a_ramp_is_eight_times_its_slope(across: float, down: float) -> None:
    inside = losses.sobel(ramp(across, down))[..., 1:-1, 1:-1]
    expected = 8 * (abs(across) + abs(down)) / 100
    torch.testing.assert_close(inside, torch.full_like(inside, expected))


G, THERMAL = image(1), image(2)
COLOURS = image(5, 3)
LARGER = torch.maximum(G, THERMAL)
SMOOTH = torch.full((2, 1, 24, 32), 0.5)


@pytest.mark.parametrize(
    ("name", "best", "worse"),
    [
        ("intensity", (LARGER, G, THERMAL), (LARGER + 0.1, G, THERMAL)),
        ("gradient", (G, G, 0 * THERMAL), (0.5 * G, G, 0 * THERMAL)),
        ("restoration", (G, G), (THERMAL, G)),
        ("squared_restoration", (G, G), (THERMAL, G)),
        ("restored_gradient", (G + 0.2, G), (THERMAL, G)),
        ("lost_white", (G, G), (G - 0.1, torch.ones_like(G))),
        ("lost_contrast", (COLOURS, COLOURS, 0 * G), (0 * COLOURS + 0.5, COLOURS, 0 * G)),
        ("retinex", (G, THERMAL, G * THERMAL), (G, THERMAL, G)),
        ("mutual_smoothness", (SMOOTH, G), (THERMAL, SMOOTH)),
        ("content", (G, G, G), (THERMAL, G, G)),
        ("structure", (G, G, 0 * THERMAL), (0 * G, G, 0 * THERMAL)),
        ("colour", (image(3, 3), image(3, 3)), (image(4, 3), image(3, 3))),
        ("chroma", (image(3, 3) + 0.1, image(3, 3)), (image(4, 3), image(3, 3))),
        ("perceptual", (G, G), (THERMAL, G)),
        ("dissimilarity", (G, G, G), (G, THERMAL, THERMAL)),
        ("transmission", (G, G), (THERMAL, G)),
        ("airlight", (G, THERMAL, torch.ones_like(G)), (G, THERMAL, 0 * G)),
        ("illumination", (G, G), (THERMAL, G)),
    ],
)
def test_losses_are_zero_at_the_optimum_and_positive_elsewhere(name: str, best, worse) -> None:
    loss = getattr(losses, name)
    assert loss(*best).item() == pytest.approx(0, abs=2e-5)
    assert loss(*worse).item() > 1e-2


def test_intensity_equals_a_hand_computed_value() -> None:
    fused, clear, infrared = (torch.tensor(v).reshape(1, 1, 1, 2) for v in ([0.5, 0.5], [0.2, 0.9], [0.4, 0.1]))
    assert losses.intensity(fused, clear, infrared).item() == pytest.approx((0.1 + 0.4) / 2)


def test_mutual_smoothness_equals_a_hand_computed_value() -> None:
    light = torch.tensor([0.0, 0.2]).reshape(1, 1, 1, 2)
    visible = torch.tensor([0.0, 0.4]).reshape(1, 1, 1, 2)
    light, visible = light.expand(1, 1, 2, 2), visible.expand(1, 1, 2, 2)
    across = 1.35 * 0.2 * math.exp(-2) + 1.55 * 0.2 / 0.4
    assert losses.mutual_smoothness(light, visible).item() == pytest.approx(across, rel=1e-5)


def test_content_loss_prefers_the_source_with_more_edges() -> None:
    flat = torch.full_like(G, 0.5)
    assert losses.content(G, G, flat) < losses.content(flat, G, flat)


def test_unshared_differences_is_two_minus_scd() -> None:
    metrics = pytest.importorskip("fusecam.train.metrics.statistics")
    frames = [(image(seed, height=64, width=64)[:1] * 255).round() for seed in (1, 2, 3)]
    fused, clear, infrared = frames
    arrays = [frame[0, 0].byte().numpy() for frame in (infrared, clear, fused)]
    scd = metrics.sum_of_correlations_of_differences(*arrays)
    ours = losses.unshared_differences(*(frame / 255 for frame in frames))
    assert ours.item() == pytest.approx(2 - scd, abs=1e-4)


def test_contrast_shown_by_colour_counts() -> None:
    white = torch.ones(1, 3, 24, 32)
    warm = torch.zeros(1, 1, 24, 32)
    warm[..., 8:16, 12:20] = 1
    amber = white + warm * torch.tensor([0.0, -0.1, -0.5])[None, :, None, None]
    assert losses.lost_contrast(amber, white, warm) < 0.8 * losses.lost_contrast(white, white, warm)


def test_lost_white_ignores_kept_white_and_gray() -> None:
    white, gray = torch.ones(1, 1, 8, 8), torch.full((1, 1, 8, 8), 0.6)
    assert losses.lost_white(white, white) == 0 and losses.lost_white(0 * gray, gray) == 0
    assert losses.lost_white(gray, white).item() == pytest.approx(0.4)


def test_colour_ignores_brightness_and_chroma_ignores_luma() -> None:
    reference = image(3, 3)
    assert losses.colour(0.5 * reference, reference).item() < 0.01
    assert losses.chroma(reference + 0.3, reference).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("black", [torch.zeros(2, 1, 24, 32), torch.full((2, 1, 24, 32), 1.0)])
def test_gradients_stay_finite_on_constant_frames(black: torch.Tensor) -> None:
    for loss in (losses.intensity, losses.gradient, losses.structure, losses.content, losses.dissimilarity):
        fused = black.clone().requires_grad_()
        loss(fused, black, black).backward()
        assert fused.grad is not None and fused.grad.isfinite().all(), loss.__name__
    fused = black.clone().requires_grad_()
    losses.unshared_differences(fused, black, black).backward()
    assert fused.grad is not None and fused.grad.isfinite().all()
    for pair in (losses.perceptual, losses.transmission, losses.illumination, losses.lost_white):
        fused = black.clone().requires_grad_()
        pair(fused, black).backward()
        assert fused.grad is not None and fused.grad.isfinite().all(), pair.__name__
