import pytest
import torch

from fusecam.engines.networks.io import luma
from fusecam.train import degrade as d


def pairs(n: int = 12, height: int = 60, width: int = 80) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(7)
    coarse = torch.rand(n, 4, 6, 8, generator=random)
    frame = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    return frame[:, :3], frame[:, 3:]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


ALWAYS = d.Mixture(haze=1, smoke=1, halos=1, night_fog=1, white=1, night=1, glare=1, gain=1, weak_infrared=1, stripes=1)
NEVER = d.Mixture(haze=0, night=0, glare=0, weak_infrared=0, stripes=0, noise=0)


@pytest.mark.parametrize("mixture", [d.Mixture(), ALWAYS, NEVER])
@pytest.mark.parametrize("size", [(60, 80), (33, 47)])
def test_results_are_uint8_levels_in_range(mixture: d.Mixture, size: tuple[int, int]) -> None:
    visible, infrared = pairs(6, *size)
    made = d.degrade(visible, infrared, mixture, seeded())
    assert made.visible.shape == visible.shape and made.infrared.shape == infrared.shape
    assert made.t.shape == infrared.shape
    for image in (made.visible, made.infrared):
        assert image.min() >= 0 and image.max() <= 1
        torch.testing.assert_close(image * 255, (image * 255).round(), rtol=0, atol=1e-3)
    assert made.t.min() > 0 and made.t.max() <= 1


def test_empty_mixture_keeps_the_frames() -> None:
    visible, infrared = pairs()
    made = d.degrade(visible, infrared, NEVER, seeded())
    torch.testing.assert_close(made.visible, visible, rtol=0, atol=0.51 / 255)
    torch.testing.assert_close(made.infrared, infrared, rtol=0, atol=0.51 / 255)
    assert torch.equal(made.clear, visible) and (made.t == 1).all()


def test_another_camera_keeps_black_and_the_order_of_grays() -> None:
    ramp = torch.linspace(0, 1, 64).expand(16, 3, 1, 64)
    seen = d.other_camera(ramp, seeded())
    assert (seen[..., 0] == 0).all() and seen.max() <= 1
    assert (luma(seen).diff(dim=3) >= -1e-6).all()
    assert luma(seen)[..., 32].std() > 0.05


def test_batches_depend_on_the_seed_only() -> None:
    batch = pairs()
    first, again, other = (d.degrade(*batch, d.Mixture(), seeded(seed)).visible for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_haze_is_inverted_by_its_transmission_and_airlight() -> None:
    visible, _ = pairs()
    t = d.transmission(luma(visible), 0.3, 0.9, seeded())
    air = d.airlight(visible, 0.6, seeded())
    hazy = d.haze(visible, t, air)
    torch.testing.assert_close((hazy - air) / t + air, visible, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("least", "most"), [(0.08, 0.12), (0.3, 0.5), (0.8, 0.9)])
def test_transmission_has_the_requested_density(least: float, most: float) -> None:
    gray = luma(pairs(32)[0])
    optical = -d.transmission(gray, least, most, seeded()).log().mean(dim=(1, 2, 3))
    # mean depth is exact but for the floor of t, which only makes it thinner
    assert (optical <= -torch.tensor(least).log() + 1e-4).all()
    assert (optical >= -torch.tensor(most).log() * 0.99).all()


def test_transmission_varies_within_and_between_frames() -> None:
    t = d.transmission(luma(pairs(32)[0]), 0.2, 0.6, seeded())
    assert (t.std(dim=(1, 2, 3)) > 0.01).float().mean() > 0.6
    assert t.mean(dim=(1, 2, 3)).std() > 0.03


def test_uniform_haze_varies_less() -> None:
    gray = luma(pairs(32)[0])
    usual, even = (d.transmission(gray, 0.2, 0.6, seeded(), even=share).log() for share in (0, 1))
    assert even.std(dim=(2, 3)).mean() < 0.25 * usual.std(dim=(2, 3)).mean()


def test_gray_airlight_has_a_tenth_of_the_tint() -> None:
    made = (d.airlight(pairs(64)[0], 0.5, seeded(), gray=share).mean(dim=(2, 3)) for share in (0, 0.5, 1))
    usual, half, gray = (air.amax(dim=1) - air.amin(dim=1) for air in made)
    assert gray.mean() < 0.15 * usual.mean()
    assert 16 <= (half < 0.01).sum() <= 48


def test_airlight_is_nearly_gray_and_bright() -> None:
    air = d.airlight(pairs(64)[0], 0.5, seeded())
    tint = (air.amax(dim=1) - air.amin(dim=1)).mean()
    assert 0 < tint < 0.08 and air.min() >= 0.3 and air.max() <= 1 and air.mean() > 0.6


def test_airlight_is_tinted_between_blue_and_yellow() -> None:
    red, green, blue = d.airlight(pairs(64)[0], 0.5, seeded()).mean(dim=(2, 3)).unbind(1)
    assert (blue - red).std() > 2 * (green - (red + blue) / 2).std()
    assert (blue > red + 0.03).any() and (red > blue + 0.03).any()


def test_night_is_darker_and_noisier() -> None:
    visible, _ = pairs(32)
    night = d.darken(visible, seeded())
    assert (night.mean(dim=(1, 2, 3)) < 0.75 * visible.mean(dim=(1, 2, 3))).float().mean() > 0.9
    sd = torch.full((32, 1, 1, 1), 0.01)
    noise = [
        (d.sensor_noise(level * torch.ones_like(visible), sd, seeded()) - level).std() for level in (0.8, 0.2, 0.05)
    ]
    assert noise[0] < noise[1] < noise[2]


def test_glare_only_adds_light_and_saturates() -> None:
    visible, _ = pairs()
    glaring = d.glare(visible, seeded())
    assert (glaring >= visible - 1e-6).all() and (glaring == 1).any()


def test_weak_infrared_loses_contrast_and_stripes_are_columns() -> None:
    _, infrared = pairs()
    assert (d.weaken(infrared, seeded()).std(dim=(2, 3)) < infrared.std(dim=(2, 3))).all()
    flat = torch.full_like(infrared, 0.5)
    striped = d.stripe(flat, seeded())
    assert striped.std(dim=3).min() > 0
    assert torch.equal(striped, striped[:, :, :1].expand_as(striped))


def test_boxes_and_tones_make_steps() -> None:
    gray = luma(pairs()[0])
    nearer = d.boxes(gray, seeded())
    assert nearer.max() <= 0 and nearer.min() >= -0.6 and (nearer < 0).any()
    assert d.tone_steps(gray, seeded()).abs().max() <= 0.5 + 1e-6


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_constant_frames_stay_finite(level: float) -> None:
    made = d.degrade(torch.full((4, 3, 40, 50), level), torch.full((4, 1, 40, 50), level), ALWAYS, seeded())
    assert all(part.isfinite().all() for part in made)


@pytest.mark.parametrize("wrong", [{"haze": 1.5}, {"fog": 0.5}, {"t_least": 0}])
def test_invalid_mixtures_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        d.Mixture(**wrong)
