"""Degradations made on the fly, on batches of clear pairs: haze, night, glare, and infrared as cameras give it.

Images are (N, C, h, w) floating point in [0, 1] on any device. `random` is a torch.Generator on that device, so that a
batch can be made again. Every function returns new tensors; what it drew is drawn for each batch item alone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Generator, Tensor

from ..engines import physics
from ..engines.networks.io import luma
from .veils import Veil, choose, drawn, halos, night_air, smoke, smooth_field, some, uniform, with_white


class Mixture(BaseModel):
    """How often each degradation is drawn (share of the batch items) and how strong it gets."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    haze: float = Field(0.75, ge=0, le=1)
    t_least: float = Field(0.08, gt=0, lt=1)
    """Least mean transmission."""
    t_most: float = Field(0.85, gt=0, le=1)
    relief: float = Field(1, ge=0, le=2)
    """How far depth varies within a frame; 0 gives even haze."""
    even: float = Field(0, ge=0, le=1)
    """Of the hazy frames, those in which it hardly varies."""
    air_least: float = Field(0.5, gt=0, le=1)
    gray: float = Field(0, ge=0, le=1)
    """Of the hazy frames, those whose airlight has hardly any tint."""
    smoke: float = Field(0, ge=0, le=1)
    """Clouds of smoke, before a hazy frame or a clear one."""
    halos: float = Field(0, ge=0, le=1)
    """Of the dark frames, those whose lamps have halos."""
    night_fog: float = Field(0, ge=0, le=1)
    """Of the dark frames, those whose haze is dim, lit by lamps, rather than white."""
    white: float = Field(0, ge=0, le=1)
    """Frames that get a bright sky, white walls or lamps, which stay."""
    night: float = Field(0.2, ge=0, le=1)
    glare: float = Field(0.05, ge=0, le=1)
    gain: float = Field(0, ge=0, le=1)
    """Infrared as automatic gain gives it: bright everywhere."""
    weak_infrared: float = Field(0.15, ge=0, le=1)
    stripes: float = Field(0.1, ge=0, le=1)
    noise: float = Field(0.006, ge=0, le=0.1)
    """Greatest standard deviation of the sensor's noise in full light."""


class Degraded(NamedTuple):
    """A degraded batch and what it was made from."""

    visible: Tensor
    """(N, 3, h, w), as a camera would give it, in steps of 1/255."""
    infrared: Tensor
    """(N, 1, h, w)."""
    clear: Tensor
    """(N, 3, h, w): without haze, glare and noise, as dark as the scene is."""
    thermal: Tensor
    """(N, 1, h, w): infrared with its contrast, without noise."""
    t: Tensor
    """(N, 1, h, w), 1 where no haze was added."""
    air: Tensor
    """(N, 3, h, w), the airlight where there is haze."""


def degrade(visible: Tensor, infrared: Tensor, mixture: Mixture, random: Generator) -> Degraded:
    """Degrade a batch of clear pairs, (N, 3, h, w) and (N, 1, h, w)."""
    n = visible.shape[0]
    scene = some(mixture.white, visible, with_white, random)
    bright = luma(scene).mean(dim=(1, 2, 3)) > 0.2
    clear = some(drawn(n, mixture.night, random) & bright, scene, darken, random)
    glaring = some(mixture.glare, clear, glare, random)

    def hidden(gray: Tensor, random: Generator) -> Tensor:
        return transmission(gray, mixture.t_least, mixture.t_most, random, mixture.relief, mixture.even)

    gray = luma(scene)
    t = choose(hazy := drawn(n, mixture.haze, random), some(hazy, gray, hidden, random), torch.ones_like(gray))
    dark = luma(clear).mean(dim=(1, 2, 3)) < 0.2
    dim = drawn(n, mixture.night_fog, random) & dark
    air = choose(dim, some(dim, clear, night_air, random), airlight(scene, mixture.air_least, random, mixture.gray))
    veil = Veil(t, air).veiled(drawn(n, mixture.halos, random) & dark, clear, halos, random)
    veil = veil.veiled(drawn(n, mixture.smoke, random), clear, smoke, random)
    given = sensor_noise(haze(glaring, *veil), mixture.noise * uniform(n, 0, 1, random), random)

    thermal = some(mixture.gain, infrared, automatic_gain, random)
    weak = some(mixture.stripes, some(mixture.weak_infrared, thermal, weaken, random), stripe, random)
    return Degraded(quantise(given), quantise(weak), clear, thermal, *veil)


def haze(image: Tensor, t: Tensor, air: Tensor) -> Tensor:
    """The scattering model I = J t + A (1 - t). t: (N, 1, h, w). air: (N, 3, h, w) or (N, 3, 1, 1)."""
    return image * t + air * (1 - t)


def airlight(like: Tensor, least: float, random: Generator, gray: float = 0.0) -> Tensor:
    """Airlight (N, 3, h, w): gray, bluish or yellowish, and for every third one a glow that varies over the frame.

    Most of the tint lies between blue and yellow, as daylight's and a white balance's does. gray: share of those with a
    tenth of it.
    """
    n = like.shape[0]
    level = uniform(n, least, 1, random)
    blue = torch.randn(n, 1, 1, 1, generator=random, device=like.device) * like.new_tensor((-1, 0, 1))[:, None, None]
    tint = 0.04 * blue + 0.015 * torch.randn(n, 3, 1, 1, generator=random, device=like.device)
    tint = choose(drawn(n, gray, random), 0.1 * tint, tint)
    glow = choose(drawn(n, 0.33, random), 0.12 * smooth_field(like, 3, random), torch.zeros_like(like[:, :1]))
    return ((level + tint) * (1 + glow)).clamp(0.3, 1)


def transmission(
    gray: Tensor, least: float, most: float, random: Generator, relief: float = 1.0, even: float = 0.0
) -> Tensor:
    """Transmission t = exp(-β d) of a made-up depth d, (N, 1, h, w); β is such that the mean of t is in [least, most].

    The depth is a random mix of what scenes have: a road that runs to a horizon, a slope in any direction, smooth
    fields, steps along the edges of the image's own tones, and boxes that stand nearer.
    gray: (N, 1, h, w), whose edges the steps follow. relief: how far the depth varies. even: share of frames in which
    it varies by a seventh of that.
    """
    n, device = gray.shape[0], gray.device
    down = torch.linspace(0, 1, gray.shape[2], device=device)[None, None, :, None].expand_as(gray)
    across = torch.linspace(-1, 1, gray.shape[3], device=device)[None, None, None, :].expand_as(gray)
    horizon = uniform(n, 0.2, 0.6, random)
    road = 0.15 / ((down - horizon).clamp(min=0) + 0.15)
    angle = uniform(n, 0, 6.2832, random)
    slope = across * angle.cos() + (2 * down - 1) * angle.sin()
    fields = [road, 0.5 * slope, 0.3 * smooth_field(gray, 3, random), 0.12 * smooth_field(gray, 8, random)]
    fields += [0.7 * tone_steps(gray, random), boxes(gray, random)]
    depth = torch.ones_like(gray)
    varies = choose(drawn(n, even, random), torch.full_like(gray, relief / 7), torch.full_like(gray, relief))
    for field in fields:
        # most scenes have only some of these
        weight = uniform(n, 0, 1, random) * (uniform(n, 0, 1, random) < 0.4)
        depth = depth + varies * weight * (field - field.mean(dim=(2, 3), keepdim=True))
    depth = depth.clamp(min=0.05)
    mean_t = least + (most - least) * uniform(n, 0, 1, random) ** 1.5
    return torch.exp(mean_t.log() * depth / depth.mean(dim=(2, 3), keepdim=True)).clamp(0.02, 1)


def tone_steps(gray: Tensor, random: Generator) -> Tensor:
    """A depth in [-0.5, 0.5] for each of eight gray tones of the smoothed image, so that it steps at its edges."""
    n = gray.shape[0]
    calm = physics.guided_filter(gray, gray, 9, 1e-2)
    spread = calm.amax(dim=(2, 3), keepdim=True) - calm.amin(dim=(2, 3), keepdim=True)
    tone = ((calm - calm.amin(dim=(2, 3), keepdim=True)) / spread.clamp(min=1e-3) * 7.99).long().clamp(0, 7)
    levels = torch.rand(n, 8, generator=random, device=gray.device) - 0.5
    return physics.box(levels.gather(1, tone.flatten(1)).reshape(gray.shape), 3)


def boxes(like: Tensor, random: Generator) -> Tensor:
    """Three upright boxes that stand nearer than what is behind them: 0 outside, down to -0.6 inside, (N, 1, h, w)."""
    n, device = like.shape[0], like.device
    down = torch.linspace(0, 1, like.shape[2], device=device)[None, None, :, None]
    across = torch.linspace(0, 1, like.shape[3], device=device)[None, None, None, :]
    nearer = torch.zeros_like(like)
    for _ in range(3):
        x, y = uniform(n, 0, 1, random), uniform(n, 0.3, 0.9, random)
        width, height = uniform(n, 0.03, 0.2, random), uniform(n, 0.1, 0.35, random)
        inside = ((across - x).abs() < width) & ((down - y).abs() < height)
        nearer = torch.minimum(nearer, torch.where(inside, -uniform(n, 0.1, 0.6, random), 0.0))
    return nearer


def darken(image: Tensor, random: Generator) -> Tensor:
    """Night by Retinex: V = R L, the reflectance of the day and a dim L that varies over the frame and has lamps."""
    n = image.shape[0]
    dim = torch.exp(-uniform(n, 0.9, 2.8, random))
    field = torch.exp(0.4 * smooth_field(image, 3, random))
    lamps = (smooth_field(image, 6, random) - 1.6).clamp(0, 1) * uniform(n, 0, 2, random)
    warmth = uniform(n, -0.08, 0.08, random)
    colour = torch.cat([1 + warmth, torch.ones_like(warmth), 1 - warmth], dim=1)
    return (image * (dim * field + 0.5 * lamps * dim.sqrt()) * colour).clamp(0, 1)


def glare(image: Tensor, random: Generator) -> Tensor:
    """Local over-exposure: a round veil of light that saturates in its middle."""
    n, device = image.shape[0], image.device
    down = torch.linspace(0, 1, image.shape[2], device=device)[None, None, :, None]
    across = torch.linspace(0, 1, image.shape[3], device=device)[None, None, None, :]
    x, y, radius = uniform(n, 0, 1, random), uniform(n, 0, 0.7, random), uniform(n, 0.04, 0.2, random)
    distance = ((across - x) ** 2 + (down - y) ** 2) / (radius * radius)
    return (image + uniform(n, 0.3, 1.2, random) * torch.exp(-0.5 * distance)).clamp(0, 1)


def sensor_noise(image: Tensor, sd: Tensor, random: Generator) -> Tensor:
    """Noise of a sensor whose gain follows the scene: sd² = sd₀² (1 + 0.03 / mean light), so darkness is noisier.

    sd: (N, 1, 1, 1), of full light.
    """
    light = image.mean(dim=(1, 2, 3), keepdim=True)
    gain = (1 + 0.03 / light.clamp(min=5e-3)).sqrt()
    noise = torch.randn(image.shape, generator=random, device=image.device)
    return (image + sd * gain * noise).clamp(0, 1)


def automatic_gain(infrared: Tensor, random: Generator) -> Tensor:
    """What a camera makes of a scene of even warmth: levels spread by their ranks, most of them bright.

    Plateau equalisation, as cameras have it: no level takes more than its share of the contrast.
    """
    n = infrared.shape[0]
    level = (infrared.clamp(0, 1) * 255).round().long().flatten(1)
    counts = torch.zeros(n, 256, device=infrared.device).scatter_add_(1, level, torch.ones_like(level).float())
    counts = counts.clamp(max=4 * level.shape[1] / 256)
    ranks = counts.cumsum(dim=1) / counts.sum(dim=1, keepdim=True)
    part = uniform(n, 0.3, 0.9, random)
    bright = ranks.gather(1, level).reshape(infrared.shape) ** uniform(n, 0.4, 1.2, random)
    return (1 - part) * infrared + part * bright


def weaken(infrared: Tensor, random: Generator) -> Tensor:
    """Low contrast: drawn towards a level, with a little noise."""
    n = infrared.shape[0]
    contrast, level = uniform(n, 0.25, 0.8, random), uniform(n, 0.1, 0.5, random)
    noise = 0.01 * torch.randn(infrared.shape, generator=random, device=infrared.device)
    return (level + contrast * (infrared - infrared.mean(dim=(2, 3), keepdim=True)) + noise).clamp(0, 1)


def stripe(infrared: Tensor, random: Generator) -> Tensor:
    """Fixed-pattern noise of uncooled sensors: every column has its own offset."""
    offsets = torch.randn(infrared.shape[0], 1, 1, infrared.shape[3], generator=random, device=infrared.device)
    return (infrared + uniform(infrared.shape[0], 0.005, 0.03, random) * offsets).clamp(0, 1)


def quantise(image: Tensor) -> Tensor:
    """To steps of 1/255: what thin haze costs nothing costs dense haze its last contrast."""
    return (image.clamp(0, 1) * 255).round() / 255
