"""Loss functions, most of them from papers; a recipe gives their weights (see `recipe.Losses`).

Images are (N, C, h, w) floating point in [0, 1]. Every loss returns a scalar, 0 at its best. In the formulas F is the
fused, V the visible, I the infrared and G the ground-truth (clear) image; a hat marks an estimate, an asterisk a ground
truth. "Sobel" is |Sobel_x| + |Sobel_y| with a replicated border.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..engines import physics
from ..engines.networks.io import luma

EDGE = 1e-3
"""Sobel strength below which the direction of an edge is meaningless; keeps gradients finite."""


def sobel(image: Tensor) -> Tensor:
    """|Sobel_x| + |Sobel_y| of every plane, (N, C, h, w)."""
    across, down = _sobel_parts(image, "replicate")
    return across.abs() + down.abs()


def intensity(fused: Tensor, clear: Tensor, infrared: Tensor) -> Tensor:
    """IASSF eq. 7: mean|F - max(G, I)|."""
    return (fused - torch.maximum(clear, infrared)).abs().mean()


def gradient(fused: Tensor, clear: Tensor, infrared: Tensor) -> Tensor:
    """IASSF eq. 8: mean|Sobel(F) - max(Sobel(G), Sobel(I))|."""
    return (sobel(fused) - torch.maximum(sobel(clear), sobel(infrared))).abs().mean()


def restoration(restored: Tensor, clear: Tensor) -> Tensor:
    """IASSF eq. 9: mean|V^ - G|."""
    return (restored - clear).abs().mean()


def squared_restoration(restored: Tensor, clear: Tensor) -> Tensor:
    """mean (V^ - G)², as in PSNR: penalises large errors, such as a day restored like a night, far more than eq. 9."""
    return ((restored - clear) ** 2).mean()


def restored_gradient(restored: Tensor, clear: Tensor) -> Tensor:
    """Gradient loss of LURE's first stage: mean|Sobel(V^) - Sobel(G)|."""
    return (sobel(restored) - sobel(clear)).abs().mean()


def unified(codes: Sequence[Tensor], pseudo: Sequence[Tensor]) -> Tensor:
    """LURE eq. 3: 1 - cos(Z, Z_pd) of the flattened codes; mean over scales and batch items.

    codes, pseudo: Z and Z_pd, one (N, C, h, w) per scale.
    """
    pairs = zip(codes, pseudo, strict=True)
    similarities = [F.cosine_similarity(a.flatten(1), b.flatten(1), dim=1, eps=1e-4) for a, b in pairs]
    return 1 - torch.stack(similarities).mean()


def retinex(reflectance: Tensor, light: Tensor, visible: Tensor) -> Tensor:
    """DFVO's reconstruction loss: mean|R ⊙ L - V|, R reflectance, L illumination."""
    return (reflectance * light - visible).abs().mean()


def mutual_smoothness(light: Tensor, visible: Tensor) -> Tensor:
    """DFVO's smoothness of illumination: 1.35 mean(|∂L| exp(-10 |∂L|)) + 1.55 mean(|∂L| / max(|∂V|, 0.01)).

    The first term does not penalise strong edges of L, the second penalises edges of L that V does not have. ∂ are
    forward differences. light, visible: L and V, (N, 1, h, w).
    """
    total = light.new_zeros(())
    for axis in (2, 3):
        grad_light, grad_visible = light.diff(dim=axis).abs(), visible.diff(dim=axis).abs()
        total = total + 1.35 * (grad_light * torch.exp(-10 * grad_light)).mean()
        total = total + 1.55 * (grad_light / grad_visible.clamp(min=0.01)).mean()
    return total


def content(fused: Tensor, enhanced: Tensor, infrared: Tensor) -> Tensor:
    """DFVO's content loss: w_E ||F - E||² + w_I ||F - I||², E the enhanced visible image.

    w is the softmax of the two sources' mean Sobel strengths, for each batch item.
    """
    strengths = torch.stack([sobel(enhanced).mean(dim=(1, 2, 3)), sobel(infrared).mean(dim=(1, 2, 3))])
    weight_enhanced, weight_infrared = torch.softmax(strengths, dim=0).unbind(0)
    error_enhanced = ((fused - enhanced) ** 2).mean(dim=(1, 2, 3))
    error_infrared = ((fused - infrared) ** 2).mean(dim=(1, 2, 3))
    return (weight_enhanced * error_enhanced + weight_infrared * error_infrared).mean()


def structure(fused: Tensor, enhanced: Tensor, infrared: Tensor) -> Tensor:
    """DFVO's structure loss: mean (Sobel(F) - max(Sobel(E), Sobel(I)))², E the enhanced visible image."""
    return ((sobel(fused) - torch.maximum(sobel(enhanced), sobel(infrared))) ** 2).mean()


def colour(image: Tensor, reference: Tensor) -> Tensor:
    """DFVO's colour loss: 1 - cosine of RGB vectors, weighted by max(R, G, B) of the reference: black has no hue."""
    cosine = F.cosine_similarity(image + 1e-2, reference + 1e-2, dim=1, eps=1e-4)
    return ((1 - cosine) * reference.amax(dim=1)).mean()


def chroma(image: Tensor, reference: Tensor) -> Tensor:
    """Colour loss of Text-IF, also used in LURE's second stage: mean|CbCr(F) - CbCr(V)|, BT.601."""
    a, b = image - luma(image), reference - luma(reference)
    blue, red = ((a[:, at] * scale - b[:, at] * scale).abs().mean() for at, scale in ((2, 0.564), (0, 0.713)))
    return blue + red


def perceptual(image: Tensor, reference: Tensor, levels: int = 4) -> Tensor:
    """Replacement of LURE's perceptual loss: L1 of local contrast on a pyramid of up to `levels` scales.

    The published loss compares VGG features, whose weights this project does not ship. Like the eye, this one compares
    contrast relative to the surroundings: each band is divided by the reference's local mean + 0.05.
    """
    total = image.new_zeros(())
    for _ in range(levels):
        base, base_reference = physics.box(image, 5), physics.box(reference, 5)
        level = base_reference + 0.05
        total = total + ((image - base) / level - (reference - base_reference) / level).abs().mean()
        if min(image.shape[-2:]) < 16:
            break
        image, reference = physics.reduce(base, 2), physics.reduce(base_reference, 2)
    return total / levels


def dissimilarity(fused: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """1 - (SSIM(F, A) + SSIM(F, B)) / 2, over 7x7 windows."""
    return 1 - (_ssim(fused, first) + _ssim(fused, second)) / 2


def unshared_differences(fused: Tensor, clear: Tensor, infrared: Tensor) -> Tensor:
    """2 - SCD, the sum of correlations of differences: SCD = r(F - I, V) + r(F - V, I)."""
    return 2 - (_correlation(fused - infrared, clear) + _correlation(fused - clear, infrared)).mean()


def lost_edges(fused: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """1 - Qabf (see `metrics.perception.qabf`), in a differentiable form: orientations are compared modulo 180°."""
    across, down = _sobel_parts(fused)
    strength = _norm(across, down)
    preserved, total = fused.new_zeros(()), fused.new_zeros(())
    for source in (first, second):
        a, b = _sobel_parts(source)
        g = _norm(a, b)
        ratio = torch.minimum(g, strength) / torch.maximum(g, strength)
        angle = torch.atan2((a * down - b * across).abs(), (a * across + b * down).abs() + EDGE * EDGE)
        similarity = 0.9994 * torch.sigmoid(15 * (ratio - 0.5))
        similarity = similarity * 0.9879 * torch.sigmoid(22 * (0.2 - angle * (2 / torch.pi)))
        preserved, total = preserved + (similarity * g).mean(), total + g.mean()
    return 1 - preserved / total


def lost_information(fused: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """2 - VIF, visual information fidelity summed over both sources (see `metrics.structure.vif`)."""
    return 2 - (_vif(first, fused) + _vif(second, fused)).mean()


def scores(fused: Tensor, first: Tensor, second: Tensor) -> dict[str, Tensor]:
    """Qabf, VIF and SSIM of a fused batch against both sources; higher is better."""
    return {
        "edges": 1 - lost_edges(fused, first, second),
        "information": 2 - lost_information(fused, first, second),
        "similarity": 1 - dissimilarity(fused, first, second),
    }


def lost_white(restored: Tensor, clear: Tensor) -> Tensor:
    """Penalises white that is restored too dark: mean of max(G - V^, 0) where G is white. Both luma, (N, 1, h, w)."""
    return ((clear - restored).clamp(min=0) * ((clear - 0.85) / 0.1).clamp(0, 1)).mean()


def lost_contrast(fused: Tensor, clear: Tensor, infrared: Tensor) -> Tensor:
    """Local contrast of either camera should be kept in the fused frame, by colour if not by luma.

    mean of max(max(C(G), C(I)) - C(F), 0), over a small and a large window. The contrast C of a pixel is the distance
    of its opponent colours, (Y, R - G, (R + G) / 2 - B), from their local mean.

    fused, clear: (N, 3, h, w). infrared: (N, 1, h, w). Meant for frames of about 160x120.
    """
    total = fused.new_zeros(())
    for window in (9, 31):
        planes = (_opponent(fused), _opponent(clear), infrared)
        c_fused, c_clear, c_infrared = (_local_contrast(x, window) for x in planes)
        total = total + (torch.maximum(c_clear, c_infrared) - c_fused).clamp(min=0).mean()
    return total / 2


def distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """mean|S - T|: the outputs of student and teacher."""
    return (student - teacher).abs().mean()


def transmission(t: Tensor, truth: Tensor) -> Tensor:
    """mean|log t - log t*|: a relative error of t is the same relative error of the restored contrast."""
    return (t.clamp(min=1e-2).log() - truth.clamp(min=1e-2).log()).abs().mean()


def airlight(air: Tensor, truth: Tensor, t: Tensor) -> Tensor:
    """mean (1 - t*) |A - A*|: the error of the scattered light that is removed; 0 where there is no haze.

    air, truth: A and A*, (N, 3, h, w). t: t*, (N, 1, h, w).
    """
    return ((1 - t) * (air - truth).abs()).mean()


def illumination(light: Tensor, truth: Tensor) -> Tensor:
    """mean|√L - √L*|: the root weighs dark levels more, as the lift, a power of L, does."""
    return ((light + 1e-3).sqrt() - (truth + 1e-3).sqrt()).abs().mean()


def _opponent(image: Tensor) -> Tensor:
    """Opponent colours (Y, R - G, (R + G) / 2 - B), (N, 3, h, w)."""
    red, green, blue = image.chunk(3, dim=1)
    return torch.cat([luma(image), red - green, (red + green) / 2 - blue], dim=1)


def _local_contrast(planes: Tensor, window: int) -> Tensor:
    """Distance of each pixel, slightly smoothed, from its local mean over all channels, (N, h, w)."""
    difference = physics.box(planes, 3) - physics.box(planes, window)
    return (difference.square().sum(dim=1) + EDGE * EDGE).sqrt()


def _ssim(x: Tensor, y: Tensor) -> Tensor:
    """Mean SSIM over 7x7 windows, a scalar."""
    mean_x, mean_y = physics.box(x, 7), physics.box(y, 7)
    var_x, var_y = physics.box((x - mean_x) ** 2, 7), physics.box((y - mean_y) ** 2, 7)
    covariance = physics.box((x - mean_x) * (y - mean_y), 7)
    numerator = (2 * mean_x * mean_y + 1e-4) * (2 * covariance + 9e-4)
    return (numerator / ((mean_x**2 + mean_y**2 + 1e-4) * (var_x + var_y + 9e-4))).mean()


def _sobel_parts(image: Tensor, border: str = "constant") -> tuple[Tensor, Tensor]:
    padded = F.pad(image, (1, 1, 1, 1), mode=border)
    across, down = padded[..., :, 2:] - padded[..., :, :-2], padded[..., 2:, :] - padded[..., :-2, :]
    across = across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]
    return across, down[..., :, :-2] + 2 * down[..., :, 1:-1] + down[..., :, 2:]


def _norm(across: Tensor, down: Tensor) -> Tensor:
    return (across * across + down * down + EDGE * EDGE).sqrt()


def _vif(reference: Tensor, image: Tensor) -> Tensor:
    """Pixel-domain VIF over four scales, fewer for small images, (N,)."""
    x, y = 255 * reference, 255 * image
    carried, contained = x.new_full((len(x),), 1e-10), x.new_full((len(x),), 1e-10)
    for scale in range(4):
        size = 2 ** (4 - scale) + 1
        at = torch.arange(size, dtype=x.dtype, device=x.device) - size // 2
        taps = torch.exp(-(at**2) * 12.5 / (size * size))
        taps = taps / taps.sum()
        if scale:
            x, y = _filtered(x, taps)[..., ::2, ::2], _filtered(y, taps)[..., ::2, ::2]
        if min(x.shape[-2:]) < size:
            break
        moments = _filtered(torch.cat([x, y, x * x, y * y, x * y], 1), taps)
        mean_x, mean_y, square_x, square_y, product = moments.chunk(5, dim=1)
        var_x, var_y = (square_x - mean_x**2).clamp(min=0), (square_y - mean_y**2).clamp(min=0)
        gain = ((product - mean_x * mean_y) / (var_x + 1e-2)).clamp(min=0)
        noise = (var_y - gain * (product - mean_x * mean_y)).clamp(min=0)
        carried = carried + torch.log2(1 + gain * gain * var_x / (noise + 2)).sum((1, 2, 3))
        contained = contained + torch.log2(1 + var_x / 2).sum((1, 2, 3))
    return carried / contained


def _filtered(planes: Tensor, taps: Tensor) -> Tensor:
    """Separable filter of every plane, without padding (`valid`)."""
    count = planes.shape[1]
    row = taps.expand(count, 1, 1, -1)
    return F.conv2d(F.conv2d(planes, row, groups=count), row.mT, groups=count)


def _correlation(x: Tensor, y: Tensor) -> Tensor:
    """Pearson correlation of each batch item, (N,)."""
    x, y = x - x.mean(dim=(2, 3), keepdim=True), y - y.mean(dim=(2, 3), keepdim=True)
    norm = ((x * x).mean(dim=(1, 2, 3)) * (y * y).mean(dim=(1, 2, 3)) + 1e-8).sqrt()
    return (x * y).mean(dim=(1, 2, 3)) / norm
