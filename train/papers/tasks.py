"""What IASSF and DFVO learn from a batch of clear pairs: inputs, losses, and what the result is worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, Protocol

import torch
from torch import Generator, Tensor, nn

from ...engines import physics
from ...engines.networks.dfvo import DFVO
from ...engines.networks.dfvo import PROFILES as DFVO_PROFILES
from ...engines.networks.iassf import IASSF
from ...engines.networks.iassf import PROFILES as IASSF_PROFILES
from ...engines.networks.io import luma
from .. import losses
from ..degrade import Mixture, degrade
from ..errors import TrainError
from .recipe import DfvoSettings, IassfSettings

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Fused(NamedTuple):
    """A fused batch and what it is compared with, (N, C, h, w) each in [0, 1]."""

    image: Tensor
    """Luma of what came out, C = 1."""
    clear: Tensor
    """Luma of the visible frame as it should be."""
    infrared: Tensor


class Task(Protocol):
    """How one network learns. visible: (N, 3, h, w), infrared: (N, 1, h, w), both in [0, 1], clear."""

    @property
    def network(self) -> IASSF | DFVO:
        """What learns."""
        ...

    def cost(self, visible: Tensor, infrared: Tensor, random: Generator, progress: float) -> dict[str, Tensor]:
        """Weighted losses by name. progress: of the training, 0 to 1."""
        ...

    def fuse(self, visible: Tensor, infrared: Tensor, random: Generator, how: nn.Module | None) -> Fused:
        """A batch fused by a network; None: by averaging."""
        ...


class IassfTask:
    """Eq. 6-9, on haze that is made anew for every batch, with flips and right-angle turns."""

    def __init__(self, settings: IassfSettings, mixture: Mixture) -> None:
        switches = settings.model_dump(exclude={"variant", "restoration"})
        self.network = IASSF(replace(IASSF_PROFILES[settings.variant], **switches))
        self.settings, self.mixture = settings, mixture

    def cost(self, visible: Tensor, infrared: Tensor, random: Generator, progress: float) -> dict[str, Tensor]:
        """See `Task`."""
        clear, thermal = turned(visible, infrared, random)
        hazy = degrade(clear, thermal, self.mixture, random).visible
        fused, restored, _ = _run(self.network, hazy, thermal)
        return {
            "intensity": losses.intensity(fused, clear, thermal),
            "gradient": losses.gradient(fused, clear, thermal),
            "restoration": self.settings.restoration * losses.restoration(restored, clear),
        }

    def fuse(self, visible: Tensor, infrared: Tensor, random: Generator, how: nn.Module | None) -> Fused:
        """See `Task`."""
        hazy = degrade(visible, infrared, self.mixture, random).visible
        if how is None:
            image = (luma(hazy) + infrared) / 2
        else:
            assert isinstance(how, IASSF)
            image = luma(_run(how, hazy, infrared)[0])
        return Fused(image.clamp(0, 1), luma(visible), infrared)


class DfvoTask:
    """Eq. 10-25, without any truth: the dark frame as it is, and what its own structure says of it."""

    def __init__(self, settings: DfvoSettings) -> None:
        self.network = DFVO(DFVO_PROFILES[settings.variant])
        self.settings = settings
        self.alike: Callable[[Tensor, Tensor], Tensor] = losses.perceptual
        if settings.prior == "resnet18":
            self.alike = Features()

    def cost(self, visible: Tensor, infrared: Tensor, random: Generator, progress: float) -> dict[str, Tensor]:
        """See `Task`."""
        own, bright = self.settings, luma(visible)
        light, enhanced, rebuilt, fused = self.network.tasks(bright, infrared)
        chroma = visible - bright
        equal = equalised(bright)
        # the decoders of the other tasks do not learn from the fusion
        seen = strip_over_exposure(enhanced.detach(), infrared, visible, own.over_exposed)
        grown = own.fusion * int(100 * progress) / 100
        return {
            "infrared": own.infrared * losses.restoration(rebuilt, infrared),
            "retinex": own.retinex * losses.retinex(enhanced, light, bright),
            "smoothness": own.smoothness * losses.mutual_smoothness(light, bright),
            "histogram": own.histogram * self.alike(enhanced + chroma, equal + chroma),
            "content": grown * own.content * losses.content(fused, seen, infrared),
            "structure": grown * own.structure * losses.structure(fused, seen, infrared),
            "colour": grown * own.colour * losses.colour(fused + chroma, enhanced.detach() + chroma),
        }

    def fuse(self, visible: Tensor, infrared: Tensor, random: Generator, how: nn.Module | None) -> Fused:
        """See `Task`."""
        bright = luma(visible)
        if how is None:
            image = (bright + infrared) / 2
        else:
            assert isinstance(how, DFVO)
            image = how.fuse(bright, infrared)
        return Fused(image, bright, infrared)


class Features(nn.Module):
    """||ψ(A) - ψ(B)||² as a mean, ψ the trunk of a ResNet-18 that knows ImageNet (eq. 15)."""

    mean: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import ResNet18_Weights, resnet18

        try:
            network = resnet18(weights=ResNet18_Weights.IMAGENET1K_V1)
        except OSError as error:
            raise TrainError(f"prior: resnet18: its weights cannot be downloaded: {error}; say contrast") from error
        self.trunk = nn.Sequential(*list(network.children())[:8]).eval().requires_grad_(False)
        mean, spread = (torch.tensor(values)[None, :, None, None] for values in IMAGENET)
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)

    def forward(self, image: Tensor, reference: Tensor) -> Tensor:
        """Both (N, 3, h, w) in [0, 1]."""
        self.to(image.device)
        a, b = (self.trunk((x - self.mean) / self.spread) for x in (image, reference))
        difference: Tensor = a - b
        return (difference * difference).mean()


def turned(visible: Tensor, infrared: Tensor, random: Generator) -> tuple[Tensor, Tensor]:
    """A pair of batches flipped, or turned by right angles where they are square, all items alike."""
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
    """Histogram equalisation of each plane over 256 levels, (N, 1, h, w) in [0, 1], as OpenCV does it."""
    levels = (bright.detach() * 255).round().long().clamp(0, 255).flatten(1)
    counts = torch.zeros(len(levels), 256, device=bright.device).scatter_add_(
        1, levels, torch.ones_like(levels).float()
    )
    below = counts.cumsum(dim=1)
    least = torch.where(counts > 0, below, torch.inf).amin(dim=1, keepdim=True)
    table = (below - least).clamp(min=0) / (levels.shape[1] - least).clamp(min=1)
    return table.gather(1, levels).view_as(bright)


def strip_over_exposure(enhanced: Tensor, infrared: Tensor, visible: Tensor, factor: float) -> Tensor:
    """E' of eq. 17-19: E where the refined dark channel is below `factor` times its mean, elsewhere I. (N, 1, h, w)."""
    dark = physics.dark_channel(visible, 10)
    dark = physics.guided_filter(luma(visible), dark, 31, 1e-2)
    return torch.where(dark > factor * dark.mean((2, 3), True), infrared, enhanced)


def score(fused: Fused) -> dict[str, Tensor]:
    """Of fused lumas with both sources, means over the batch, more is better: Qabf (edges), VIF (information) and SSIM
    (similarity) as their losses have them.
    """
    return {
        "edges": 1 - losses.lost_edges(*fused),
        "information": 2 - losses.lost_information(*fused),
        "similarity": 1 - losses.dissimilarity(*fused),
    }


def _run(network: IASSF, hazy: Tensor, infrared: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return network.fuse(hazy, infrared, torch.ones_like(infrared), torch.ones_like(infrared[:1, :, :1, :1]))
