"""The physics shared by all engines, as tensor operations: haze (dark-channel prior) and light (Retinex).

Images are (N, C, H, W) floating point in [0, 1]. Every function is differentiable, can be exported (no cumulative sums,
no unfold, no data-dependent shapes) and works in half precision: no cancellation, and every divisor is bounded away
from zero.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

AIRLIGHT_GRID = (96, 128)
"""Height and width to which maps are resampled before the airlight is read, so that top-k has a constant shape."""
BRIGHTEST = 1e-3
"""Fraction of these points that gives the airlight."""
ALIKE = 1 / 512
"""Tolerance for ties: points that are darker than the last of the brightest by less than this, half an 8-bit level,
count too, with a decreasing weight."""


def dark_channel(image: Tensor, window: int = 15) -> Tensor:
    """Dark channel: the minimum over channels, then over a window; dark(x) = min_{y in Ω(x)} min_c I_c(y).

    image: (N, C, H, W). window: side in pixels; an even one reaches one pixel less to the right and below.
    Returns (N, 1, H, W), in the image's range. Pixels outside the image are ignored.
    """
    return min_filter(image.amin(dim=1, keepdim=True), window)


def min_filter(x: Tensor, window: int) -> Tensor:
    """Minimum over a square window, as a row and a column filter. (N, C, H, W) to (N, C, H, W)."""
    half = window // 2
    y = F.max_pool2d(-x, (1, window), stride=1, padding=(0, half))
    y = F.max_pool2d(y, (window, 1), stride=1, padding=(half, 0))
    return -(y if window % 2 else y[..., :-1, :-1])


def box(x: Tensor, window: int) -> Tensor:
    """Mean over an odd square window, over its part inside the image. (N, C, H, W) to (N, C, H, W).

    Computed as products with two band matrices of ones: on a CPU up to four times as fast as pooling, whose backward
    pass would take most of a training step. Division follows each product, so that no sum overflows half precision.
    """
    rows, columns = (_band_matrix(x.shape[axis], window, x) for axis in (2, 3))
    return rows @ x / rows.sum(dim=1)[:, None] @ columns / columns.sum(dim=0)


def _band_matrix(size: int, window: int, like: Tensor) -> Tensor:
    """1 where two pixels of an axis are at most window // 2 apart, else 0, (size, size)."""
    at = torch.arange(size, device=like.device)
    return ((at[:, None] - at[None, :]).abs() <= window // 2).to(like.dtype)


def reduce(x: Tensor, factor: int, whole: bool = False) -> Tensor:
    """Mean over factor x factor tiles; the last tiles may be partial. (N, C, H, W) to (N, C, ⌈H/f⌉, ⌈W/f⌉).

    whole: H and W are multiples of the factor: no partial tiles, so padding is skipped.
    """
    height, width = x.shape[-2:]
    planes = x.reshape(-1, 1, height, width)
    if not whole:
        planes = F.pad(planes, (0, -width % factor, 0, -height % factor))
    # mean over folded axes, rows, then columns: on a CPU twice as fast as pooling
    rows = planes.reshape(planes.shape[0], -1, factor, planes.shape[3]).mean(dim=2)
    y = rows.reshape(x.shape[0], x.shape[1], rows.shape[1], -1, factor).mean(dim=4)
    return y if whole else y / (_filled(height, y.shape[2], factor, x)[:, None] * _filled(width, y.shape[3], factor, x))


def _filled(size: int, tiles: int, factor: int, like: Tensor) -> Tensor:
    """Fraction of each tile of an axis that lies inside the image, (tiles,): 1 except for the last."""
    first = torch.arange(tiles, device=like.device, dtype=torch.float32) * factor
    return ((size - first) * (1 / factor)).clamp(max=1).to(like.dtype)


def enlarge(x: Tensor, factor: int, like: Tensor, whole: bool = False) -> Tensor:
    """Bilinear enlargement by `factor`, aligned to the tiles of `reduce`, cropped to the height and width of `like`.

    Columns by a convolution with `factor` output channels, rows by three weighted shifts: on a CPU many times as fast
    as the resize operators. x: (N, C, ⌈H/f⌉, ⌈W/f⌉). whole: H and W are multiples of the factor, which saves the crop
    and its copy. Returns (N, C, H, W).
    """
    (count, channels, rows, _), (height, width) = x.shape, like.shape[-2:]
    offset = (torch.arange(factor, device=x.device, dtype=torch.float32) + 0.5) / factor - 0.5
    above, below = (-offset).clamp(min=0), offset.clamp(min=0)
    above, here, below = (part.to(x.dtype)[:, None] for part in (above, 1 - above - below, below))

    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    lines = F.conv2d(x.reshape(1, 1, -1, x.shape[3]), torch.cat([above, here, below], dim=1)[:, None, None])
    x = lines.permute(0, 2, 3, 1).reshape(count, channels, rows + 2, 1, -1)
    x = x[:, :, :-2] * above + x[:, :, 1:-1] * here + x[:, :, 2:] * below
    x = x.flatten(2, 3)
    return x if whole else x[:, :, :height, :width]


def brightest(ranked: Tensor, fraction: float, values: Tensor | None = None) -> Tensor:
    """Mean of `values`, or of `ranked` itself, over the fraction of points where `ranked` is largest.

    Both maps are first resampled to AIRLIGHT_GRID, bilinear. With `values`, points less than ALIKE below the last of
    the largest count too, with a weight that falls to 0: on a plateau, each backend's top-k would pick other points.

    ranked: (N, 1, H, W). values: (N, C, H, W). fraction: in (0, 1]. Returns (N, C, 1, 1).
    """
    ranked = _sampled(ranked).flatten(2)
    top, _ = ranked.topk(places(fraction), dim=-1, sorted=False)
    if values is None:
        return top.mean(dim=-1)[..., None, None]
    # without a comparison, which would leave half precision
    picked = ((ranked - top.amin(dim=-1, keepdim=True) + ALIKE) * (2 / ALIKE)).clamp(0, 1)
    # the sum as a mean: exporters compute sums in float32, and no map may be float32
    weights = picked / (picked.mean(dim=-1, keepdim=True) * picked.shape[-1])
    return (_sampled(values).flatten(2) @ weights.transpose(1, 2))[..., None]


def places(fraction: float) -> int:
    """Number of points of AIRLIGHT_GRID in a fraction of them, at least 1."""
    return max(1, round(fraction * AIRLIGHT_GRID[0] * AIRLIGHT_GRID[1]))


def _sampled(x: Tensor) -> Tensor:
    """Bilinear resampling to AIRLIGHT_GRID by two matrix products: OpenVINO's resize operator takes up to seven times
    as long. (N, C, H, W) to (N, C, *AIRLIGHT_GRID).
    """
    rows, columns = (_interpolation_matrix(x.shape[2 + axis], points, x) for axis, points in enumerate(AIRLIGHT_GRID))
    return rows @ x @ columns.transpose(0, 1)


def _interpolation_matrix(size: int, points: int, like: Tensor) -> Tensor:
    """Weights of `_sampled` along one axis, (points, size)."""
    at = (torch.arange(points, device=like.device, dtype=torch.float32) + 0.5) * size / points - 0.5
    pixel = torch.arange(size, device=like.device, dtype=torch.float32)
    at = torch.minimum(at.clamp(min=0), pixel[-1])
    return (1 - (at[:, None] - pixel[None, :]).abs()).clamp(min=0).to(like.dtype)


def airlight(image: Tensor, dark: Tensor) -> Tensor:
    """Airlight A: mean colour of the pixels with the brightest dark channel.

    image: (N, C, H, W). dark: (N, 1, H, W), its dark channel. Returns (N, C, 1, 1) in [0, 1].
    """
    return brightest(dark, BRIGHTEST, image)


def transmission(image: Tensor, air: Tensor, omega: float = 0.95, window: int = 15) -> Tensor:
    """Transmission estimate t~ = 1 - ω dark(I ⊘ A), clamped to [0, 1]. Where A is 0 there is no haze and t~ is 1.

    image: (N, C, H, W). air: (N, C, 1, 1). Returns (N, 1, H, W).
    """
    return (1 - omega * dark_channel(image / air.clamp(min=2e-2), window)).clamp(0, 1)


def guided_coefficients(guide: Tensor, target: Tensor, window: int, eps: float) -> tuple[Tensor, Tensor]:
    """Guided filter's linear model (a, b), already averaged over windows: output = a guide + b.

    a = cov(g, p) / (var(g) + ε), b = mean(p) - a mean(g), both then box-filtered. var and cov are those of the
    differences to the local mean, box((g - box g)²): without cancellation, so exact enough in fp16 at any level and
    contrast.

    guide: (N, 1, H, W). target: (N, C, H, W). window: odd side in pixels. eps: ε, in units of the guide squared.
    Returns a, b: (N, C, H, W).
    """
    mean_g = box(guide, window)
    g = guide - mean_g
    variance = box(g * g, window)
    mean_p, covariance = mean_g, variance
    if target is not guide:
        mean_p = box(target, window)
        covariance = box(g * (target - mean_p), window)
    a = covariance / (variance + eps)
    return box(a, window), box(mean_p - a * mean_g, window)


def guided_filter(guide: Tensor, target: Tensor, window: int, eps: float) -> Tensor:
    """Edge-preserving smoothing of `target` along the edges of `guide`; arguments as for `guided_coefficients`.

    Returns (N, C, H, W), which may exceed the target's range slightly.
    """
    a, b = guided_coefficients(guide, target, window, eps)
    return a * guide + b


def fast_guided_filter(guide: Tensor, target: Tensor, window: int, eps: float, factor: int = 4) -> Tensor:
    """Guided filter whose coefficients are computed on the grid reduced by `factor` and applied at full size.

    window: odd side on the reduced grid. Other arguments and result as for `guided_filter`.
    """
    a, b = guided_coefficients(reduce(guide, factor), reduce(target, factor), window, eps)
    return enlarge(a, factor, guide) * guide + enlarge(b, factor, guide)


def haze_density(image: Tensor, window: int = 15, guide_window: int = 61, eps: float = 1e-4) -> tuple[Tensor, Tensor]:
    """Haze density H = 1 - t, where t is the transmission estimate refined by a guided filter on the gray image.

    image: (N, C, H, W). Returns H (N, 1, H, W) in [0, 1] and the airlight A (N, C, 1, 1).
    """
    air = airlight(image, dark_channel(image, window))
    rough = transmission(image, air, window=window)
    t = guided_filter(image.mean(dim=1, keepdim=True), rough, guide_window, eps)
    return 1 - t.clamp(0, 1), air


def smoothstep(x: Tensor, low: float, high: float) -> Tensor:
    """Smooth step: 0 at `low`, 1 at `high`, 3u² - 2u³ between."""
    u = ((x - low) * (1 / (high - low))).clamp(0, 1)
    return u * u * (3 - 2 * u)


def recover(image: Tensor, t: Tensor, air: Tensor, t0: float = 0.1) -> Tensor:
    """Scene radiance J = (I - A) / max(t, t0) + A, the inverse of the scattering model. Not clamped.

    image: (N, C, H, W). t: (N, 1, H, W). air: (N, C, 1, 1). Returns (N, C, H, W).
    """
    return (image - air) / t.clamp(min=t0) + air


def illumination(image: Tensor, factor: int = 4, window: int = 15, eps: float = 4e-3) -> Tensor:
    """Retinex illumination L: max(R, G, B) smoothed along its own edges on a reduced grid.

    image: (N, C, H, W) in [0, 1]. factor: of the reduced grid. window: odd side on it. Returns (N, 1, H, W) in [0, 1].
    """
    peak = image.amax(dim=1, keepdim=True)
    return fast_guided_filter(peak, peak, window, eps, factor).clamp(0, 1)


def lift_gain(light: Tensor, strength: Tensor | float, floor: float = 0.04) -> Tensor:
    """Retinex lift: V = R L becomes R L^γ, so a pixel is multiplied by ((L + δ) / (1 + δ))^(γ - 1), γ = 1 - s / 2.

    light: L, (N, 1, H, W) in [0, 1]. strength: s in [0, 1]; 0 gives a gain of 1. floor: δ, which bounds the gain in
    black: at s = 1 and δ = 0.04 to 5.1. Returns the gain, >= 1, (N, 1, H, W).
    """
    return torch.exp(-0.5 * strength * torch.log(((light + floor) / (1 + floor)).clamp(max=1)))


def lift(image: Tensor, gain: Tensor) -> Tensor:
    """Apply the gain g with a shoulder, so that nothing clips: V g / (1 + (g - 1) max(R, G, B)). Keeps the hue.

    image: (N, 3, H, W) in [0, 1]. gain: (N, 1, H, W), from `lift_gain`. Returns (N, 3, H, W) in [0, 1].
    """
    red, green, blue = image.chunk(3, dim=1)
    most = torch.maximum(torch.maximum(red, green), blue)  # compilers fuse it, unlike amax
    shoulder = gain.squeeze(1) / (1 + (gain.squeeze(1) - 1) * most.squeeze(1))
    return image * shoulder.unsqueeze(1)
