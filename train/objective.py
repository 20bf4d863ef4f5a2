"""What one training batch costs: degrade it, run the network, weigh the losses."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..engines import physics
from ..engines.networks.io import luma
from ..engines.networks.realtime import RealtimeFusion
from ..engines.networks.realtime_constants import DARK_NOISE, HUE
from ..engines.networks.realtime_core import FACTOR, PROFILES, Maps
from ..engines.networks.realtime_rules import floor_of, stand_out, trusted, trusted_chroma, without_floor
from . import losses
from .degrade import Degraded, Mixture, degrade
from .recipe import Losses


class Example(NamedTuple):
    """A degraded batch, what it should become, and how far the light is to be lifted."""

    given: Degraded
    infrared: Tensor
    """(N, 1, h, w), without noise and without the grey of automatic gain."""
    target: Tensor
    """(N, 3, h, w): the clear frame, lifted."""
    light: Tensor
    """(N, 1, h, w): its illumination."""
    lift: Tensor
    """(N, 1, 1, 1)."""
    hue: Tensor
    """(N, 1, 1, 1)."""
    fused: Tensor
    """(N, 1, h, w): luma that the network's rule of fusion makes of the target and the infrared."""


class Result(NamedTuple):
    """What the network made of an example."""

    fused: Tensor
    restored: Tensor
    maps: Maps


def make_example(visible: Tensor, infrared: Tensor, mixture: Mixture, factor: int, random: Generator) -> Example:
    """From uint8 pairs (N, 3, h, w) and (N, 1, h, w); half of them stay as dark as they are (lift 0).

    Half of them are fused without hue, so that luma alone has to show what is warm.
    """
    colour, thermal = visible.float() / 255, infrared.float() / 255
    given = degrade(colour, thermal, mixture, random)
    strength = torch.rand(colour.shape[0], 1, 1, 1, generator=random, device=random.device)
    lift = (2 * strength - 1).clamp(min=0)
    light = physics.illumination(given.clear, factor, 15, 4e-3)
    target = lifted(given.clear, light, lift)
    # the network takes the grey of automatic gain away, so that is the infrared to be found in the fused frame
    seen = without_floor(given.thermal, floor_of(given.thermal, torch.ones_like(thermal)))
    hue = HUE * torch.randint(2, lift.shape, generator=random, device=random.device)
    return Example(given, seen, target, light, lift, hue, intended(luma(target), seen, factor))


def intended(bright: Tensor, thermal: Tensor, factor: int) -> Tensor:
    """Fused luma by the rule of `stand_out`: the brighter of both where that washes out nothing that is visible."""
    small, small_thermal = (physics.reduce(x, factor) for x in (bright, thermal))
    ones = torch.ones_like(small)
    share, _ = stand_out(small, small_thermal, ones, ones, 2 * PROFILES["realtime"].guide + 1)
    return bright + physics.enlarge(share, factor, bright) * (thermal - bright).clamp(min=0)


def lifted(clear: Tensor, light: Tensor, lift: Tensor) -> Tensor:
    """The clear frame as it should come out: lifted, without the noise and the cast that the lift would amplify."""
    gain, calm = physics.lift_gain(light, lift), physics.box(clear, 5)
    image, base = physics.lift(clear, gain), physics.lift(calm, gain)
    image = base + trusted(luma(base), DARK_NOISE * (gain - 1)) * (image - base)
    return luma(image) + trusted_chroma(calm, base) * (image - luma(image))


def run(network: RealtimeFusion, example: Example, factor: int) -> Result:
    """Dehaze fully and lift as asked. factor: of the grid of `realtime`'s core, 1 for frames as small as it."""
    dehaze = torch.ones_like(example.lift)
    valid = torch.ones_like(example.infrared)
    given, factor = example.given, factor * network.factor // FACTOR
    made = network.fuse(given.visible, given.infrared, valid, dehaze, example.lift, factor, hue=example.hue)
    return Result(made.fused, made.restored, made.maps)


def cost(result: Result, example: Example, weights: Losses, taught: Result | None = None) -> dict[str, Tensor]:
    """Every loss that has a weight, unweighted, by name. taught: what the teacher made of it, for distillation."""
    fused, bright, target = luma(result.fused), luma(result.restored), luma(example.target)
    t, light, truth = result.maps.t, result.maps.light, example.given.t
    clear, air = example.given.clear, example.given.air
    factor = round(truth.shape[-1] / t.shape[-1])
    truth, light_truth, clear, air = (physics.reduce(x, factor) for x in (truth, example.light, clear, air))
    peak = clear.amax(dim=1, keepdim=True)
    thermal = example.infrared
    every = {
        "restoration": lambda: losses.restoration(result.restored, example.target),
        "squared_restoration": lambda: losses.squared_restoration(result.restored, example.target),
        "restored_gradient": lambda: losses.restored_gradient(bright, target),
        "intensity": lambda: losses.intensity(fused, target, example.fused),
        "gradient": lambda: losses.gradient(fused, target, thermal),
        "dissimilarity": lambda: losses.dissimilarity(fused, target, thermal),
        "unshared_differences": lambda: losses.unshared_differences(fused, target, thermal),
        "lost_edges": lambda: losses.lost_edges(fused, target, thermal),
        "lost_information": lambda: losses.lost_information(fused, target, thermal),
        "structure": lambda: losses.structure(fused, target, thermal),
        "content": lambda: losses.content(fused, target, thermal),
        "perceptual": lambda: losses.perceptual(bright, target),
        "colour": lambda: losses.colour(result.restored, example.target),
        "chroma": lambda: losses.chroma(result.restored, example.target),
        "lost_white": lambda: losses.lost_white(bright, target),
        "lost_contrast": lambda: losses.lost_contrast(
            *(physics.reduce(x, factor) for x in (result.fused, example.target, thermal))
        ),
        "transmission": lambda: losses.transmission(t, truth),
        "airlight": lambda: losses.airlight(result.maps.air, air, truth),
        "illumination": lambda: losses.illumination(light, light_truth),
        "retinex": lambda: losses.retinex((peak / light_truth.clamp(min=0.02)).clamp(max=1), light, peak),
        "mutual_smoothness": lambda: losses.mutual_smoothness(light, peak),
    }
    if taught is not None:
        every["distillation"] = lambda: losses.distillation(
            torch.cat([result.restored, result.fused], dim=1), torch.cat([taught.restored, taught.fused], dim=1)
        )
    return {name: every[name]() for name, weight in weights if weight > 0 and name in every}
