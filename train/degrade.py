"""Synthetic degradations of clear pairs during training: haze, night, glare, noise, and artefacts of infrared cameras.

Images are (N, C, h, w) floating point in [0, 1] on any device, colour is RGB. `random` is a torch.Generator on that
device, which makes a batch reproducible. Every function returns new tensors and draws its parameters independently for
each batch item.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Generator, Tensor

from ..engines import physics
from ..engines.networks.io import luma
from .veils import Veil, choose, drawn, grid, halos, night_air, smoke, smooth_field, some, uniform, with_white


class Mixture(BaseModel):
    """Probability of each degradation per batch item, 0 to 1 unless stated otherwise, and limits of its strength."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    haze: float = Field(0.75, ge=0, le=1)
    t_least: float = Field(0.08, gt=0, lt=1)
    """Lowest mean transmission of a hazy frame."""
    t_most: float = Field(0.85, gt=0, le=1)
    """Highest mean transmission of a hazy frame."""
    relief: float = Field(1, ge=0, le=2)
    """Scale of the depth variation within a frame; 0: uniform haze."""
    even: float = Field(0, ge=0, le=1)
    """Share of hazy frames with almost uniform haze."""
    air_least: float = Field(0.5, gt=0, le=1)
    """Lowest level of the airlight."""
    gray: float = Field(0, ge=0, le=1)
    """Share of hazy frames with an almost gray airlight."""
    smoke: float = Field(0, ge=0, le=1)
    """Clouds of smoke, in front of hazy and clear frames."""
    halos: float = Field(0, ge=0, le=1)
    """Share of dark frames whose lamps have halos."""
    night_fog: float = Field(0, ge=0, le=1)
    """Share of dark frames whose haze is dim and lit by lamps instead of white."""
    white: float = Field(0, ge=0, le=1)
    """Bright sky, white walls or lamps that are added to the clear frame: white that is no haze."""
    look: float = Field(0, ge=0, le=1)
    """Visible frames with the look of another camera: exposure, tone curve, saturation and white balance."""
    night: float = Field(0.2, ge=0, le=1)
    glare: float = Field(0.05, ge=0, le=1)
    gain: float = Field(0, ge=0, le=1)
    """Infrared after a camera's automatic gain: bright everywhere."""
    weak_infrared: float = Field(0.15, ge=0, le=1)
    stripes: float = Field(0.1, ge=0, le=1)
    noise: float = Field(0.006, ge=0, le=0.1)
    """Highest standard deviation of sensor noise in full light."""


class Degraded(NamedTuple):
    """A degraded batch and its ground truth."""

    visible: Tensor
    """(N, 3, h, w), degraded, quantised to multiples of 1/255."""
    infrared: Tensor
    """(N, 1, h, w), degraded, quantised to multiples of 1/255."""
    clear: Tensor
    """(N, 3, h, w): without haze, glare and noise, but still dark if the scene is."""
    thermal: Tensor
    """(N, 1, h, w): infrared at full contrast, without noise and stripes."""
    t: Tensor
    """Transmission, (N, 1, h, w), 1 where no haze was added."""
    air: Tensor
    """Airlight, (N, 3, h, w); meaningless where t is 1."""


def degrade(visible: Tensor, infrared: Tensor, mixture: Mixture, random: Generator) -> Degraded:
    """Degrade a batch of clear pairs. visible: (N, 3, h, w). infrared: (N, 1, h, w)."""
    n = visible.shape[0]
    scene = some(mixture.white, some(mixture.look, visible, other_camera, random), with_white, random)
    bright = luma(scene).mean(dim=(1, 2, 3)) > 0.2
    clear = some(drawn(n, mixture.night, random) & bright, scene, darken, random)
    glaring = some(mixture.glare, clear, glare, random)

    def draw_transmission(gray: Tensor, random: Generator) -> Tensor:
        return transmission(gray, mixture.t_least, mixture.t_most, random, mixture.relief, mixture.even)

    gray, hazy = luma(scene), drawn(n, mixture.haze, random)
    t = choose(hazy, some(hazy, gray, draw_transmission, random), torch.ones_like(gray))
    dark = luma(clear).mean(dim=(1, 2, 3)) < 0.2
    dim = drawn(n, mixture.night_fog, random) & dark
    air = choose(dim, some(dim, clear, night_air, random), airlight(scene, mixture.air_least, random, mixture.gray))
    veil = Veil(t, air).veiled(drawn(n, mixture.halos, random) & dark, clear, halos, random)
    veil = veil.veiled(drawn(n, mixture.smoke, random), clear, smoke, random)
    noisy = sensor_noise(haze(glaring, *veil), mixture.noise * uniform(n, 0, 1, random), random)

    thermal = some(mixture.gain, infrared, automatic_gain, random)
    weak = some(mixture.stripes, some(mixture.weak_infrared, thermal, weaken, random), stripe, random)
    return Degraded(quantise(noisy), quantise(weak), clear, thermal, *veil)


def haze(image: Tensor, t: Tensor, air: Tensor) -> Tensor:
    """The scattering model I = J t + A (1 - t). t: (N, 1, h, w). air: (N, 3, h, w) or (N, 3, 1, 1)."""
    return image * t + air * (1 - t)


def airlight(like: Tensor, least: float, random: Generator, gray: float = 0.0) -> Tensor:
    """Random airlight, (N, 3, h, w): gray, bluish or yellowish; in a third of the frames it varies over the frame.

    Most of the tint is on the blue-yellow axis, like that of daylight and of white balance. least: lowest level. gray:
    share of frames with a tenth of the tint.
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
    """Transmission t = exp(-β d) of a synthetic depth d, (N, 1, h, w), with β such that mean(d) has a transmission in
    [least, most].

    The depth is a random sum of a road up to a horizon, a slope in any direction, smooth fields, steps along the edges
    of the image's tones, and boxes that are nearer than their background.

    gray: (N, 1, h, w), the image whose edges the steps follow. relief: scale of the depth variation. even: share of
    frames with a seventh of it.
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
        # each component occurs in 40 % of the scenes
        weight = uniform(n, 0, 1, random) * (uniform(n, 0, 1, random) < 0.4)
        depth = depth + varies * weight * (field - field.mean(dim=(2, 3), keepdim=True))
    depth = depth.clamp(min=0.05)
    mean_t = least + (most - least) * uniform(n, 0, 1, random) ** 1.5
    return torch.exp(mean_t.log() * depth / depth.mean(dim=(2, 3), keepdim=True)).clamp(0.02, 1)


def tone_steps(gray: Tensor, random: Generator) -> Tensor:
    """A random depth in [-0.5, 0.5] for each of eight tones of the smoothed image, so that depth steps at its edges."""
    n = gray.shape[0]
    calm = physics.guided_filter(gray, gray, 9, 1e-2)
    spread = calm.amax(dim=(2, 3), keepdim=True) - calm.amin(dim=(2, 3), keepdim=True)
    tone = ((calm - calm.amin(dim=(2, 3), keepdim=True)) / spread.clamp(min=1e-3) * 7.99).long().clamp(0, 7)
    levels = torch.rand(n, 8, generator=random, device=gray.device) - 0.5
    return physics.box(levels.gather(1, tone.flatten(1)).reshape(gray.shape), 3)


def boxes(like: Tensor, random: Generator) -> Tensor:
    """Depth of three upright boxes nearer than their background: 0 outside, -0.1 to -0.6 inside, (N, 1, h, w)."""
    n, (down, across) = like.shape[0], grid(like)
    nearer = torch.zeros_like(like)
    for _ in range(3):
        x, y = uniform(n, 0, 1, random), uniform(n, 0.3, 0.9, random)
        width, height = uniform(n, 0.03, 0.2, random), uniform(n, 0.1, 0.35, random)
        inside = ((across - x).abs() < width) & ((down - y).abs() < height)
        nearer = torch.minimum(nearer, torch.where(inside, -uniform(n, 0.1, 0.6, random), 0.0))
    return nearer


def other_camera(image: Tensor, random: Generator) -> Tensor:
    """The look of another camera: I' = (gain I)^γ, a white balance, and the chroma scaled. Black stays black."""
    n = image.shape[0]
    gain, tone = torch.exp(uniform(n, -0.4, 0.3, random)), torch.exp(uniform(n, -0.5, 0.5, random))
    warmth, green = uniform(n, -0.08, 0.08, random), uniform(n, -0.04, 0.04, random)
    balance = 1 + torch.cat([warmth, green, -warmth], dim=1)
    toned = (image * gain * balance).clamp(0, 1) ** tone
    gray = luma(toned)
    return (gray + uniform(n, 0.3, 1.4, random) * (toned - gray)).clamp(0, 1)


def darken(image: Tensor, random: Generator) -> Tensor:
    """Turn day into night by the Retinex model V = R L: the day frame times a dim, uneven illumination with lamps."""
    n = image.shape[0]
    dim = torch.exp(-uniform(n, 0.9, 2.8, random))
    field = torch.exp(0.4 * smooth_field(image, 3, random))
    lamps = (smooth_field(image, 6, random) - 1.6).clamp(0, 1) * uniform(n, 0, 2, random)
    warmth = uniform(n, -0.08, 0.08, random)
    colour = torch.cat([1 + warmth, torch.ones_like(warmth), 1 - warmth], dim=1)
    return (image * (dim * field + 0.5 * lamps * dim.sqrt()) * colour).clamp(0, 1)


def glare(image: Tensor, random: Generator) -> Tensor:
    """Local over-exposure: a round, soft patch of light, saturated in its centre."""
    n, (down, across) = image.shape[0], grid(image)
    x, y, radius = uniform(n, 0, 1, random), uniform(n, 0, 0.7, random), uniform(n, 0.04, 0.2, random)
    distance = ((across - x) ** 2 + (down - y) ** 2) / (radius * radius)
    return (image + uniform(n, 0.3, 1.2, random) * torch.exp(-0.5 * distance)).clamp(0, 1)


def sensor_noise(image: Tensor, sd: Tensor, random: Generator) -> Tensor:
    """Gaussian noise of a sensor with automatic gain: σ² = sd² (1 + 0.03 / mean(image)), so dark frames are noisier.

    sd: (N, 1, 1, 1), standard deviation in full light.
    """
    light = image.mean(dim=(1, 2, 3), keepdim=True)
    gain = (1 + 0.03 / light.clamp(min=5e-3)).sqrt()
    noise = torch.randn(image.shape, generator=random, device=image.device)
    return (image + sd * gain * noise).clamp(0, 1)


def automatic_gain(infrared: Tensor, random: Generator) -> Tensor:
    """Automatic gain of an infrared camera on a scene of uniform temperature: most levels become bright.

    Plateau histogram equalisation, as in cameras: the clipped histogram limits the contrast of any level.
    """
    n = infrared.shape[0]
    level, counts = histogram(infrared)
    counts = counts.clamp(max=4 * level.shape[1] / 256)
    ranks = counts.cumsum(dim=1) / counts.sum(dim=1, keepdim=True)
    part = uniform(n, 0.3, 0.9, random)
    bright = ranks.gather(1, level).reshape(infrared.shape) ** uniform(n, 0.4, 1.2, random)
    return (1 - part) * infrared + part * bright


def histogram(image: Tensor) -> tuple[Tensor, Tensor]:
    """8-bit level of every pixel, (N, h w) long, and number of pixels at each, (N, 256). image: (N, 1, h, w)."""
    level = (image.clamp(0, 1) * 255).round().long().flatten(1)
    counts = torch.zeros(len(level), 256, device=image.device)
    return level, counts.scatter_add_(1, level, torch.ones_like(level).float())


def weaken(infrared: Tensor, random: Generator) -> Tensor:
    """Low contrast: scales the deviation from the mean, moves the mean to a random level, adds a little noise."""
    n = infrared.shape[0]
    contrast, level = uniform(n, 0.25, 0.8, random), uniform(n, 0.1, 0.5, random)
    noise = 0.01 * torch.randn(infrared.shape, generator=random, device=infrared.device)
    return (level + contrast * (infrared - infrared.mean(dim=(2, 3), keepdim=True)) + noise).clamp(0, 1)


def stripe(infrared: Tensor, random: Generator) -> Tensor:
    """Fixed-pattern noise of uncooled sensors: a random offset for each column."""
    offsets = torch.randn(infrared.shape[0], 1, 1, infrared.shape[3], generator=random, device=infrared.device)
    return (infrared + uniform(infrared.shape[0], 0.005, 0.03, random) * offsets).clamp(0, 1)


def quantise(image: Tensor) -> Tensor:
    """Round to multiples of 1/255, which matters in dense haze, where little contrast is left."""
    return (image.clamp(0, 1) * 255).round() / 255
