"""Restoration examples of both cameras: a clean frame, degraded by the tasks that its prompt names."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ...engines import physics
from ...engines.networks.io import luma
from ...engines.networks.tasks import TASKS
from .. import degrade
from ..objective import lifted

TASK_COUNT = len(TASKS)
HALF = TASK_COUNT // 2
DARK = 0.2
"""Mean luma below which a frame is of the night already: `low light` then asks for what it is to be lifted to."""


class Restoration(NamedTuple):
    """Degraded pairs, what they should become, and what prompts say of them."""

    visible: Tensor
    """(N, 3, h, w), degraded."""
    infrared: Tensor
    """(N, 1, h, w), degraded."""
    clear: Tensor
    """(N, 3, h, w)."""
    sharp: Tensor
    """(N, 1, h, w)."""
    strengths: Tensor
    """Of TASKS, (N, TASKS, 1, 1), 0 or 1."""


def make_restoration(visible: Tensor, infrared: Tensor, random: Generator) -> Restoration:
    """From uint8 pairs, (N, 3, h, w) and (N, 1, h, w): to each camera one of its three tasks, or none for a seventh.

    A fifth of the visible frames gets a second task, in the order of nature: the scene is dark, haze lies over it, the
    camera over-exposes it.
    """
    clear, sharp = visible.float() / 255, infrared.float() / 255
    n, device = clear.shape[0], clear.device

    def drawn(share: float) -> Tensor:
        return torch.rand(n, generator=random, device=device) < share

    def one_of(share: float) -> Tensor:
        picked = F.one_hot(torch.randint(HALF, (n,), generator=random, device=device), HALF).bool()
        return picked & drawn(share)[:, None]

    of_visible = one_of(6 / 7) | one_of(0.2)
    of_infrared = one_of(6 / 7)
    hazy, dark, bright = of_visible.unbind(dim=1)
    weak, by_four, by_eight = of_infrared.unbind(dim=1)

    night = luma(clear).mean(dim=(1, 2, 3)) < DARK
    scene = _where(dark & ~night, degrade.darken(clear, random), clear)
    lift = torch.ones(n, 1, 1, 1, device=device)
    light = physics.illumination(clear, 4, 15, 4e-3)
    target = _where(dark & night, lifted(clear, light, lift), clear)
    t = degrade.transmission(luma(clear), 0.1, 0.8, random, 0.6)
    scene = _where(hazy, degrade.haze(scene, t, degrade.airlight(clear, 0.55, random)), scene)
    scene = _where(bright, overexpose(scene, random), scene)
    spread = 0.006 * torch.rand(n, 1, 1, 1, generator=random, device=device)
    scene = degrade.sensor_noise(scene, spread, random)

    thermal = _where(weak, degrade.weaken(sharp, random), sharp)
    thermal = _where(by_four, coarsen(thermal, 4), thermal)
    thermal = _where(by_eight, coarsen(thermal, 8), thermal)
    strengths = torch.cat([of_visible, of_infrared], dim=1).float()[..., None, None]
    return Restoration(degrade.quantise(scene), degrade.quantise(thermal), target, sharp, strengths)


def overexpose(image: Tensor, random: Generator) -> Tensor:
    """A whole frame exposed 1.3 to 2.5 times too long, with a local glare: what is above white is lost."""
    gain = 1.3 + 1.2 * torch.rand(image.shape[0], 1, 1, 1, generator=random, device=image.device)
    return (degrade.glare(image, random) * gain).clamp(0, 1)


def coarsen(image: Tensor, factor: int) -> Tensor:
    """A camera with `factor` times fewer pixels on each side: means of tiles, enlarged bicubically."""
    small = physics.reduce(image, factor)
    return F.interpolate(small, size=image.shape[-2:], mode="bicubic", align_corners=False).clamp(0, 1)


def _where(which: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(which[:, None, None, None], yes, no)
