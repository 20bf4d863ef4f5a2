"""Training tasks of IASSF and DFVO: network inputs from a batch of clear pairs, losses, and scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torchvision.transforms.functional import normalize

from ...engines import physics
from ...engines.networks.dfvo import DFVO
from ...engines.networks.dfvo import PROFILES as DFVO_PROFILES
from ...engines.networks.iassf import IASSF
from ...engines.networks.iassf import PROFILES as IASSF_PROFILES
from ...engines.networks.io import luma
from .. import losses
from ..degrade import Mixture, degrade, histogram
from ..errors import TrainError
from .recipe import DfvoSettings, IassfSettings

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Fused(NamedTuple):
    """A fused batch and its references, each (N, 1, h, w) in [0, 1]."""

    image: Tensor
    """Luma of the fused frame."""
    clear: Tensor
    """Luma of the clear visible frame."""
    infrared: Tensor


class IassfTask:
    """IASSF, eq. 6-9, with random haze in every batch, flips and 90° rotations."""

    def __init__(self, settings: IassfSettings, mixture: Mixture) -> None:
        switches = settings.model_dump(exclude={"variant", "restoration"})
        self.network = IASSF(replace(IASSF_PROFILES[settings.variant], **switches))
        self.settings, self.mixture = settings, mixture

    def cost(self, visible: Tensor, infrared: Tensor, random: Generator, progress: float) -> dict[str, Tensor]:
        """Weighted losses by name. visible: (N, 3, h, w), infrared: (N, 1, h, w), clear, in [0, 1]. progress: of the
        training, 0 to 1.
        """
        clear, thermal = turned(visible, infrared, random)
        hazy = degrade(clear, thermal, self.mixture, random).visible
        fused, restored, _ = _run(self.network, hazy, thermal)
        return {
            "intensity": losses.intensity(fused, clear, thermal),
            "gradient": losses.gradient(fused, clear, thermal),
            "restoration": self.settings.restoration * losses.restoration(restored, clear),
        }

    def fuse(self, visible: Tensor, infrared: Tensor, random: Generator, how: nn.Module | None) -> Fused:
        """Fuse a batch, as for `cost`. how: network; None: average."""
        hazy = degrade(visible, infrared, self.mixture, random).visible
        if how is None:
            image = (luma(hazy) + infrared) / 2
        else:
            assert isinstance(how, IASSF)
            image = luma(_run(how, hazy, infrared)[0])
        return Fused(image.clamp(0, 1), luma(visible), infrared)


class DfvoTask:
    """DFVO, eq. 10-25, self-supervised: trains on dark frames without ground truth."""

    def __init__(self, settings: DfvoSettings) -> None:
        self.network = DFVO(DFVO_PROFILES[settings.variant])
        self.settings = settings
        self._prior: Callable[[Tensor, Tensor], Tensor] = losses.perceptual
        if settings.prior == "resnet18":
            self._prior = Features()

    def cost(self, visible: Tensor, infrared: Tensor, random: Generator, progress: float) -> dict[str, Tensor]:
        """See `IassfTask`."""
        own, bright = self.settings, luma(visible)
        light, enhanced, rebuilt, fused = self.network.tasks(bright, infrared)
        chroma = visible - bright
        equal = equalised(bright)
        # detached: the fusion losses do not train the decoders of the other tasks
        source = strip_over_exposure(enhanced.detach(), infrared, visible, own.over_exposed)
        weight = own.fusion * int(100 * progress) / 100
        return {
            "infrared": own.infrared * losses.restoration(rebuilt, infrared),
            "retinex": own.retinex * losses.retinex(enhanced, light, bright),
            "smoothness": own.smoothness * losses.mutual_smoothness(light, bright),
            "histogram": own.histogram * self._prior(enhanced + chroma, equal + chroma),
            "content": weight * own.content * losses.content(fused, source, infrared),
            "structure": weight * own.structure * losses.structure(fused, source, infrared),
            "colour": weight * own.colour * losses.colour(fused + chroma, enhanced.detach() + chroma),
        }

    def fuse(self, visible: Tensor, infrared: Tensor, random: Generator, how: nn.Module | None) -> Fused:
        """See `IassfTask`."""
        bright = luma(visible)
        if how is None:
            image = (bright + infrared) / 2
        else:
            assert isinstance(how, DFVO)
            image = how.fuse(bright, infrared)
        return Fused(image, bright, infrared)


Task = IassfTask | DfvoTask


class Features(nn.Module):
    """Feature loss, eq. 15: mean (ψ(A) - ψ(B))², ψ the trunk of a ResNet-18 trained on ImageNet."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import ResNet18_Weights, resnet18

        try:
            network = resnet18(weights=ResNet18_Weights.IMAGENET1K_V1)
        except OSError as error:
            raise TrainError(f"prior: resnet18: its weights cannot be downloaded: {error}; use contrast") from error
        self.trunk = nn.Sequential(*list(network.children())[:8]).eval().requires_grad_(False)

    def forward(self, image: Tensor, reference: Tensor) -> Tensor:
        """Compute the loss. image, reference: (N, 3, h, w) RGB in [0, 1]."""
        self.to(image.device)
        a, b = (self.trunk(normalize(x, *IMAGENET)) for x in (image, reference))
        difference: Tensor = a - b
        return (difference * difference).mean()


def turned(visible: Tensor, infrared: Tensor, random: Generator) -> tuple[Tensor, Tensor]:
    """Randomly flip both batches and, if square, rotate them by multiples of 90°; all items equally."""
    both = torch.cat([visible, infrared], dim=1)
    flip, quarter = torch.randint(0, 4, (2,), generator=random, device=random.device).tolist()
    if flip & 1:
        both = both.flip(2)
    if flip & 2:
        both = both.flip(3)
    if both.shape[2] == both.shape[3]:
        both = both.rot90(quarter, (2, 3))
    return both[:, :3], both[:, 3:]


def equalised(bright: Tensor) -> Tensor:
    """Histogram equalisation of each item over 256 levels, as in OpenCV. (N, 1, h, w) in [0, 1]. No gradient."""
    levels, counts = histogram(bright.detach())
    cdf = counts.cumsum(dim=1)
    lowest = torch.where(counts > 0, cdf, torch.inf).amin(dim=1, keepdim=True)
    table = (cdf - lowest).clamp(min=0) / (levels.shape[1] - lowest).clamp(min=1)
    return table.gather(1, levels).view_as(bright)


def strip_over_exposure(enhanced: Tensor, infrared: Tensor, visible: Tensor, factor: float) -> Tensor:
    """Replace over-exposed pixels by infrared, eq. 17-19. Returns (N, 1, h, w).

    A pixel is over-exposed if the refined dark channel of `visible` exceeds `factor` times its mean.
    """
    dark = physics.dark_channel(visible, 10)
    dark = physics.guided_filter(luma(visible), dark, 31, 1e-2)
    return torch.where(dark > factor * dark.mean((2, 3), True), infrared, enhanced)


def _run(network: IASSF, hazy: Tensor, infrared: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return network.fuse(hazy, infrared, torch.ones_like(infrared), torch.ones_like(infrared[:1, :, :1, :1]))
