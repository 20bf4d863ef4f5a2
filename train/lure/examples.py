"""Restoration examples of both cameras: clean frames, degraded according to their prompts."""

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
from ..veils import choose, drawn, uniform

TASK_COUNT = len(TASKS)
HALF = TASK_COUNT // 2
DARK = 0.2
"""Mean luma below which a frame is already dark; for `low light` the target is then the enhanced frame."""


class Restoration(NamedTuple):
    """Degraded pairs, their ground truth, and the strengths of the tasks in their prompts."""

    visible: Tensor
    """(N, 3, h, w), degraded."""
    infrared: Tensor
    """(N, 1, h, w), degraded."""
    clear: Tensor
    """(N, 3, h, w), ground truth of visible."""
    sharp: Tensor
    """(N, 1, h, w), ground truth of infrared."""
    strengths: Tensor
    """Strength of each of TASKS, (N, len(TASKS), 1, 1), 0 or 1."""


def make_restoration(visible: Tensor, infrared: Tensor, random: Generator) -> Restoration:
    """Degrade uint8 pairs, (N, 3, h, w) and (N, 1, h, w), by random tasks.

    Each frame gets one of the three tasks of its camera, or none with probability 1/7. A fifth of the visible frames
    get a second task. The order is physical: low light, then haze, then over-exposure.
    """
    clear, sharp = visible.float() / 255, infrared.float() / 255
    n, device = clear.shape[0], clear.device

    def one_of(share: float) -> Tensor:
        picked = F.one_hot(torch.randint(HALF, (n,), generator=random, device=device), HALF).bool()
        return picked & drawn(n, share, random)[:, None]

    visible_tasks = one_of(6 / 7) | one_of(0.2)
    infrared_tasks = one_of(6 / 7)
    hazy, dark, bright = visible_tasks.unbind(dim=1)
    weak, by_four, by_eight = infrared_tasks.unbind(dim=1)

    night = luma(clear).mean(dim=(1, 2, 3)) < DARK
    scene = choose(dark & ~night, degrade.darken(clear, random), clear)
    lift = torch.ones(n, 1, 1, 1, device=device)
    light = physics.illumination(clear, 4, 15, 4e-3)
    target = choose(dark & night, lifted(clear, light, lift), clear)
    t = degrade.transmission(luma(clear), 0.1, 0.8, random, 0.6)
    scene = choose(hazy, degrade.haze(scene, t, degrade.airlight(clear, 0.55, random)), scene)
    scene = choose(bright, overexpose(scene, random), scene)
    scene = degrade.sensor_noise(scene, uniform(n, 0, 0.006, random), random)

    thermal = choose(weak, degrade.weaken(sharp, random), sharp)
    thermal = choose(by_four, coarsen(thermal, 4), thermal)
    thermal = choose(by_eight, coarsen(thermal, 8), thermal)
    strengths = torch.cat([visible_tasks, infrared_tasks], dim=1).float()[..., None, None]
    return Restoration(degrade.quantise(scene), degrade.quantise(thermal), target, sharp, strengths)


def overexpose(image: Tensor, random: Generator) -> Tensor:
    """Over-expose a frame by a factor of 1.3 to 2.5 with local glare; values above 1 are clipped."""
    gain = uniform(len(image), 1.3, 2.5, random)
    return (degrade.glare(image, random) * gain).clamp(0, 1)


def coarsen(image: Tensor, factor: int) -> Tensor:
    """Reduce the resolution by `factor`: area average, then bicubic interpolation to the original size."""
    small = physics.reduce(image, factor)
    return F.interpolate(small, size=image.shape[-2:], mode="bicubic", align_corners=False).clamp(0, 1)
