"""Results as the pipeline makes them, for the sinks' tests."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from fusecam.engines.base import Fused
from fusecam.pipeline.core.detections import Detection
from fusecam.pipeline.core.frames import Clock, Frame, FramePair, Pixels
from fusecam.pipeline.core.result import Result


def picture(width: int = 64, height: int = 48, index: int = 0) -> Pixels:
    """A colour gradient with a bar that moves with `index`."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width, dtype=np.uint8)
    image[..., 1] = np.linspace(0, 255, height, dtype=np.uint8)[:, None]
    image[:, (index * 3) % max(1, width - 4) :][:, :4] = 255
    return image


def result(
    index: int = 0,
    image: Pixels | None = None,
    *,
    pts: int | None = None,
    time_base: Fraction | None = None,
    time_ns: int | None = None,
    clock: Clock = "media",
    name: str | None = None,
    infrared: bool = True,
    skew_ns: int = 3_100_000,
    detections: list[Detection] | None = None,
) -> Result:
    if image is None:
        image = picture(index=index)
    if time_ns is None:
        time_ns = round(pts * time_base * 10**9) if pts is not None and time_base is not None else index * 40_000_000
    visible = Frame(image, time_ns, clock, index, "visible", pts, time_base, name)
    partner = Frame(image[..., 0], time_ns + skew_ns, clock, index, "infrared") if infrared else None
    maps = np.full((8, 8), 51, np.uint8)
    return Result(
        index,
        FramePair(visible, partner, skew_ns if infrared else 0),
        Fused(image, image, maps, maps, image[..., 0] if infrared else np.zeros_like(image[..., 0])),
        image,
        detections or [],
    )
