"""One training batch: degrade it, run the network, compute the losses."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..engines import physics
from ..engines.networks.io import luma
from ..engines.networks.realtime import Fusion, RealtimeFusion
from ..engines.networks.realtime_constants import DARK_NOISE, HUE
from ..engines.networks.realtime_core import FACTOR, PROFILES
from ..engines.networks.realtime_rules import floor_of, stand_out, trusted, trusted_chroma, without_floor
from . import losses
from .degrade import Degraded, Mixture, degrade
from .recipe import Losses


class Example(NamedTuple):
    """A degraded batch, its targets and the requested strengths."""

    given: Degraded
    """The degraded batch and its ground truth."""
    infrared: Tensor
    """(N, 1, h, w), without noise, and without the floor that the network subtracts."""
    target: Tensor
    """Target of the restored frame, (N, 3, h, w): the clear frame, lifted."""
    light: Tensor
    """Illumination of the clear frame, (N, 1, h, w)."""
    lift: Tensor
    """Strength of the lift, (N, 1, 1, 1), in [0, 1]."""
    hue: Tensor
    """Strength of the hue, (N, 1, 1, 1), 0 or HUE."""
    fused: Tensor
    """Target of the fused luma, (N, 1, h, w): the fusion rule applied to target and infrared."""


def make_example(visible: Tensor, infrared: Tensor, mixture: Mixture, factor: int, random: Generator) -> Example:
    """Degrade uint8 pairs and compute their targets.

    Half of the items get lift 0, so dark frames stay dark. Half get hue 0, so that luma alone must show warm objects.

    visible: (N, 3, h, w) uint8 RGB. infrared: (N, 1, h, w) uint8. factor: grid step of the core.
    """
    colour, thermal = visible.float() / 255, infrared.float() / 255
    given = degrade(colour, thermal, mixture, random)
    strength = torch.rand(colour.shape[0], 1, 1, 1, generator=random, device=random.device)
    lift = (2 * strength - 1).clamp(min=0)
    light = physics.illumination(given.clear, factor, 15, 4e-3)
    target = lifted(given.clear, light, lift)
    # the target infrared is without the floor, since the network subtracts it
    target_infrared = without_floor(given.thermal, floor_of(given.thermal, torch.ones_like(thermal)))
    hue = HUE * torch.randint(2, lift.shape, generator=random, device=random.device)
    fused = intended(luma(target), target_infrared, factor)
    return Example(given, target_infrared, target, light, lift, hue, fused)


def intended(bright: Tensor, thermal: Tensor, factor: int) -> Tensor:
    """Target of the fused luma, by the rule of `stand_out`. bright: restored luma, thermal: infrared, (N, 1, h, w)."""
    small, small_thermal = (physics.reduce(x, factor) for x in (bright, thermal))
    ones = torch.ones_like(small)
    share, _ = stand_out(small, small_thermal, ones, ones, 2 * PROFILES["realtime"].guide + 1)
    return bright + physics.enlarge(share, factor, bright) * (thermal - bright).clamp(min=0)


def lifted(clear: Tensor, light: Tensor, lift: Tensor) -> Tensor:
    """Target of the restored frame: the clear frame, lifted, without amplified noise and colour noise."""
    gain, smoothed = physics.lift_gain(light, lift), physics.box(clear, 5)
    image, base = physics.lift(clear, gain), physics.lift(smoothed, gain)
    image = base + trusted(luma(base), DARK_NOISE * (gain - 1)) * (image - base)
    return luma(image) + trusted_chroma(smoothed, base) * (image - luma(image))


def run(network: RealtimeFusion, example: Example, factor: int) -> Fusion:
    """Run the network on an example, with dehazing at full strength.

    factor: grid step of the core of `realtime`; 1 for frames of the grid's size.
    """
    dehaze = torch.ones_like(example.lift)
    valid = torch.ones_like(example.infrared)
    given, factor = example.given, factor * network.factor // FACTOR
    return network.fuse(given.visible, given.infrared, valid, dehaze, example.lift, factor, hue=example.hue)


def cost(result: Fusion, example: Example, weights: Losses, taught: Fusion | None = None) -> dict[str, Tensor]:
    """The losses with a weight above 0, by name, not yet weighted. taught: the teacher's result, for distillation."""
    fused, bright, target = luma(result.fused), luma(result.restored), luma(example.target)
    t, light, truth = result.maps.t, result.maps.light, example.given.t
    clear, air = example.given.clear, example.given.air
    factor = round(truth.shape[-1] / t.shape[-1])
    truth, light_truth, clear, air = (physics.reduce(x, factor) for x in (truth, example.light, clear, air))
    peak = clear.amax(dim=1, keepdim=True)
    thermal = example.infrared
    given: dict[str, tuple[Tensor, ...]] = {
        **dict.fromkeys(("restoration", "squared_restoration", "colour", "chroma"), (result.restored, example.target)),
        **dict.fromkeys(("restored_gradient", "perceptual", "lost_white"), (bright, target)),
        **dict.fromkeys(("gradient", "dissimilarity", "unshared_differences"), (fused, target, thermal)),
        **dict.fromkeys(("lost_edges", "lost_information", "structure", "content"), (fused, target, thermal)),
        "intensity": (fused, target, example.fused),
        "transmission": (t, truth),
        "airlight": (result.maps.air, air, truth),
        "illumination": (light, light_truth),
        "retinex": ((peak / light_truth.clamp(min=0.02)).clamp(max=1), light, peak),
        "mutual_smoothness": (light, peak),
    }
    if weights.lost_contrast > 0:
        given["lost_contrast"] = tuple(physics.reduce(x, factor) for x in (result.fused, example.target, thermal))
    if taught is not None:
        outputs = (torch.cat([each.restored, each.fused], dim=1) for each in (result, taught))
        given["distillation"] = tuple(outputs)
    return {name: getattr(losses, name)(*given[name]) for name, weight in weights if weight > 0 and name in given}
