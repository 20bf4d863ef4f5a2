"""Synthetic local haze (smoke, fog at night, halos) and white objects that are not haze (sky, walls, lamps).

Conventions as in `degrade`: images are (N, C, h, w) RGB or gray in [0, 1]; every batch item is drawn independently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..engines import physics
from ..engines.networks.io import luma

TINTS = ((-0.08, 0.02, 0.06), (0.07, 0.01, -0.08), (0.03, -0.02, -0.01))
"""Relative RGB offsets from gray: bluish fine smoke, brownish coarse smoke and dust, slightly reddish smoke."""


class Veil(NamedTuple):
    """A scattering medium between scene and camera: I = J t + A (1 - t)."""

    t: Tensor
    """Transmission, (N, 1, h, w)."""
    air: Tensor
    """Airlight, (N, 3, h, w)."""

    def veiled(
        self, where: Tensor, clear: Tensor, make: Callable[[Tensor, Generator], Veil], random: Generator
    ) -> Veil:
        """Add a veil in front of this one in some batch items.

        where: (N,) bool, the batch items. clear: (N, 3, h, w), passed to `make`, which returns the new veil.
        """
        if not where.any():
            return self
        t, air = self.t.clone(), self.air.clone()
        t[where], air[where] = Veil(t[where], air[where]).behind(make(clear[where], random))
        return Veil(t, air)

    def behind(self, near: Veil) -> Veil:
        """Combine two veils into one: light passes this veil first, then `near`."""
        t = self.t * near.t
        light = self.air * (1 - self.t) * near.t + near.air * (1 - near.t)
        return Veil(t, light / (1 - t).clamp(min=1e-4))


def uniform(n: int, low: float, high: float, random: Generator) -> Tensor:
    """Uniform random numbers in [low, high), one per batch item, (n, 1, 1, 1)."""
    return low + (high - low) * torch.rand(n, 1, 1, 1, generator=random, device=random.device)


def drawn(n: int, share: float, random: Generator) -> Tensor:
    """Select each batch item with probability `share`; (n,) bool."""
    return torch.rand(n, generator=random, device=random.device) < share


def choose(where: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """`torch.where` per batch item. where: (N,) bool. yes, no: (N, C, h, w)."""
    return torch.where(where[:, None, None, None], yes, no)


def some(
    share: float | Tensor, image: Tensor, change: Callable[[Tensor, Generator], Tensor], random: Generator
) -> Tensor:
    """Apply `change` to some batch items. share: probability per item, or a mask, (N,) bool. image: (N, C, h, w)."""
    where = share if isinstance(share, Tensor) else drawn(len(image), share, random)
    if not where.any():
        return image
    changed = image.clone()
    changed[where] = change(image[where], random)
    return changed


def smooth_field(like: Tensor, cells: int, random: Generator) -> Tensor:
    """Smooth random field with about unit variance and `cells` control points over the height, (N, 1, h, w)."""
    coarse = torch.randn(like.shape[0], 1, cells, cells + 1, generator=random, device=like.device)
    return F.interpolate(coarse, size=like.shape[-2:], mode="bicubic", align_corners=False)


def grid(like: Tensor) -> tuple[Tensor, Tensor]:
    """Normalised coordinates in [0, 1]: y as (1, 1, h, 1) and x as (1, 1, 1, w)."""
    down = torch.linspace(0, 1, like.shape[2], device=like.device)[None, None, :, None]
    return down, torch.linspace(0, 1, like.shape[3], device=like.device)[None, None, None, :]


def turbulence(like: Tensor, random: Generator) -> Tensor:
    """Turbulent noise: a sum of smooth fields at five scales, domain-warped, with about unit variance, (N, 1, h, w)."""
    total = torch.zeros_like(like[:, :1])
    for octave in range(5):
        total = total + 0.6**octave * smooth_field(like, 2 * 2**octave, random)
    down, across = grid(like)
    shift = [0.06 * smooth_field(like, 4, random) for _ in range(2)]
    at = torch.cat([2 * across - 1 + shift[0], 2 * down - 1 + shift[1]], dim=1).permute(0, 2, 3, 1)
    return F.grid_sample(total, at, padding_mode="reflection", align_corners=False) / 1.25


def smoke(image: Tensor, random: Generator) -> Veil:
    """A tinted smoke cloud with a ragged border, inside the frame or entering from one side. image: (N, 3, h, w)."""
    n = image.shape[0]
    down, across = grid(image)
    billows = turbulence(image, random)
    x, y = uniform(n, -0.1, 1.1, random), uniform(n, 0, 1, random)
    wide, high = uniform(n, 0.15, 0.7, random), uniform(n, 0.1, 0.5, random)
    distance = (((across - x) / wide).square() + ((down - y) / high).square()).sqrt()
    angle = uniform(n, 0, 6.2832, random)
    side = 1 + (across - x) * angle.cos() / wide + (down - y) * angle.sin() / high
    distance = choose(drawn(n, 0.3, random), side, distance)
    # width of the border: a soft transition or an almost opaque wall
    soft = uniform(n, 0.1, 0.5, random)
    inside = torch.sigmoid((1 - distance + 0.35 * billows) / soft)
    depth = uniform(n, 0.4, 3.5, random) * inside * (1 + 0.25 * turbulence(image, random)).clamp(min=0.2)
    return Veil(torch.exp(-depth), _smoke_air(image, billows, random))


def _smoke_air(image: Tensor, billows: Tensor, random: Generator) -> Tensor:
    """Airlight of smoke, (N, 3, h, w), scaled by the brightness of the scene: gray to white by day, dim by night."""
    n = image.shape[0]
    light = image.amax(dim=1, keepdim=True).flatten(2).quantile(0.9, dim=2)[..., None, None]
    gray = (uniform(n, 0.45, 1.05, random) * (0.2 + 0.8 * light)).clamp(0.06, 1)
    tints = image.new_tensor(TINTS)
    picked = tints[torch.randint(len(TINTS), (n,), generator=random, device=image.device)][..., None, None]
    tint = uniform(n, 0, 1.2, random) * picked + 0.01 * torch.randn(n, 3, 1, 1, generator=random, device=image.device)
    return (gray * (1 + tint) * (1 + 0.08 * billows)).clamp(0, 1)


def night_air(clear: Tensor, random: Generator) -> Tensor:
    """Airlight of fog at night, (N, 3, h, w): dim, brighter around the lamps of the frame and in their colours."""
    n = clear.shape[0]
    ambient = uniform(n, 0.1, 0.4, random) * (1 + 0.05 * torch.randn(n, 3, 1, 1, generator=random, device=clear.device))
    fog = ambient * (1 + 0.1 * smooth_field(clear, 3, random))
    return (fog + uniform(n, 0.2, 1.5, random) * glow(clear)).clamp(0, 1)


def glow(clear: Tensor) -> Tensor:
    """Glow of lamps in fog: bright pixels blurred at three scales, (N, 3, h, w)."""
    lamps = clear * ((luma(clear) - 0.55) / 0.3).clamp(0, 1)
    spread = torch.zeros_like(clear)
    for part, weight in ((24, 1.5), (8, 2), (3, 2.5)):
        window = clear.shape[3] // part // 2 * 2 + 1
        spread = spread + weight * physics.box(physics.box(lamps, window), window)
    return spread


def halos(clear: Tensor, random: Generator) -> Veil:
    """Haze that is visible only where lamps light it: halos, as on a humid night or behind a dirty window."""
    light = glow(clear)
    most = light.amax(dim=1, keepdim=True)
    air = (light / most.clamp(min=0.05)).clamp(0, 1) * uniform(len(clear), 0.6, 1, random)
    return Veil(1 - (uniform(len(clear), 0.4, 1.2, random) * most).clamp(0, 0.8), air)


def with_white(image: Tensor, random: Generator) -> Tensor:
    """Add a bright sky, white walls or lamps: white regions that a network may mistake for haze."""
    which = torch.randint(3, (len(image),), generator=random, device=image.device)
    which = torch.where((which == 0) & (luma(image).mean(dim=(1, 2, 3)) < 0.2), 2, which)  # no daytime sky at night
    for kind, change in enumerate((with_sky, with_walls, with_lamps)):
        image = some(which == kind, image, change, random)
    return image


def with_sky(image: Tensor, random: Generator) -> Tensor:
    """Add a white, clouded or pale blue sky above a random horizon, behind dark objects; usually over-exposed."""
    n = image.shape[0]
    down, _ = grid(image)
    gray = luma(image)
    calm = physics.guided_filter(gray, gray, 5, 1e-3)
    horizon = uniform(n, 0.15, 0.6, random)
    level = calm.flatten(2).quantile(0.45, dim=2)[..., None, None]
    behind = torch.sigmoid((calm - level) / 0.02) * torch.sigmoid((horizon - down) / 0.02)
    clouds = torch.sigmoid(uniform(n, 1, 4, random) * (turbulence(image, random) + uniform(n, -1, 3, random)))
    blue = image.new_tensor((0.6, 0.78, 0.95))[None, :, None, None] * uniform(n, 0.6, 1, random)
    white = uniform(n, 0.94, 1.05, random)
    sky = (clouds * white + (1 - clouds) * blue).clamp(0, 1)
    return image + behind * (sky - image)


def with_walls(image: Tensor, random: Generator) -> Tensor:
    """Add two almost white rectangles that keep some texture of the frame, like sunlit walls, vans or signs."""
    n = image.shape[0]
    down, across = grid(image)
    gray = luma(image)
    texture = gray - physics.box(gray, 9)
    for _ in range(2):
        x, y = uniform(n, 0, 1, random), uniform(n, 0.1, 0.9, random)
        width, height = uniform(n, 0.03, 0.25, random), uniform(n, 0.03, 0.3, random)
        inside = ((across - x).abs() < width) & ((down - y).abs() < height)
        white = uniform(n, 0.88, 1.02, random)
        white = white * (1 + 0.02 * torch.randn(n, 3, 1, 1, generator=random, device=image.device))
        face = (white + uniform(n, 0.1, 0.6, random) * texture).clamp(0, 1)
        image = torch.where(inside, face, image)
    return image


def with_lamps(image: Tensor, random: Generator) -> Tensor:
    """Add six small lamps, white, warm white, red or green, saturated in the centre."""
    n = image.shape[0]
    down, across = grid(image)
    colours = image.new_tensor(((1, 1, 1), (1, 0.85, 0.6), (1, 0.25, 0.15), (0.3, 1, 0.6)))
    for _ in range(6):
        x, y, radius = uniform(n, 0, 1, random), uniform(n, 0.1, 0.8, random), uniform(n, 0.004, 0.03, random)
        distance = ((across - x) * image.shape[3] / image.shape[2]).square() + (down - y).square()
        picked = colours[torch.randint(len(colours), (n,), generator=random, device=image.device)][..., None, None]
        image = image + uniform(n, 0.6, 3, random) * picked * torch.exp(-0.5 * distance / radius.square())
    return image.clamp(0, 1)
