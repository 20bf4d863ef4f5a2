"""What the real-time network should make of a degraded batch."""

import torch

from fusecam.engines import physics
from fusecam.engines.networks.io import luma
from fusecam.train.degrade import Mixture
from fusecam.train.objective import intended, lifted, make_example

HEIGHT, WIDTH = 60, 80


def flat(*colour: float) -> torch.Tensor:
    return torch.tensor(colour)[None, :, None, None].expand(1, -1, HEIGHT, WIDTH).clone()


def test_lift_raises_true_colour_but_not_a_dark_colour_cast() -> None:
    strong = torch.ones(1, 1, 1, 1)
    for colour, grows in (((0.02, 0.035, 0.02), False), ((0.3, 0.05, 0.05), True)):
        clear = flat(*colour)
        made = lifted(clear, physics.illumination(clear, 1, 15), strong)
        assert luma(made).mean() > 1.3 * luma(clear).mean()
        before, after = (float((x.amax(dim=1) - x.amin(dim=1)).mean()) for x in (clear, made))
        assert (after > 1.3 * before) == grows


def test_dark_coat_before_a_white_wall_has_a_dark_target() -> None:
    bright, warm = flat(0.95), flat(0.1)
    bright[..., 25:35, 36:44] = 0.1
    warm[..., 25:35, 36:44] = 0.95
    coat = slice(27, 33), slice(38, 42)
    assert intended(bright, warm, 1)[0, 0, *coat].mean() < 0.4
    assert intended(0 * bright + 0.1, warm, 1)[0, 0, *coat].mean() > 0.8  # before a dark wall it is


def test_fusion_target_uses_infrared_after_gain_without_its_floor() -> None:
    random = torch.Generator().manual_seed(0)
    visible = torch.randint(256, (4, 3, HEIGHT, WIDTH), generator=random, dtype=torch.uint8)
    infrared = torch.randint(60, (4, 1, HEIGHT, WIDTH), generator=random, dtype=torch.uint8)
    made = make_example(visible, infrared, Mixture(gain=1, weak_infrared=0, stripes=0), 1, random)
    assert (made.given.infrared.mean(dim=(1, 2, 3)) > 1.5 * infrared.float().mean() / 255).all()
    assert (made.infrared.mean(dim=(1, 2, 3)) < made.given.infrared.mean(dim=(1, 2, 3))).all()
    assert made.hue.unique().numel() <= 2 and made.fused.shape == infrared.shape
