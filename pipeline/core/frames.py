"""Data types of the pipeline: a camera's frame, and two frames paired in time.

Colour is RGB everywhere; infrared is one channel. Times are integer nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[np.uint8]
Camera = Literal["visible", "infrared"]
Clock = Literal["media", "monotonic", "index"]
"""What a capture time counts from: `media` the start of a file, `monotonic` the host's CLOCK_MONOTONIC,
`index` the first image of a folder, by a nominal frame rate or by the images' own capture times."""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Statistics of a frame's raw samples, for the detection of frozen cameras.

    means: (h, w) float64, over blocks of samples, some 40 across; equal only where all samples are, but for chance.
    exact: whether the samples are as the sensor gave them, noise and all; not so behind a lossy codec.
    deep: whether they have more than 8 bits.
    key: whether it is a key frame of the codec.
    """

    means: npt.NDArray[np.float64]
    exact: bool
    deep: bool
    key: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Temperature:
    """Temperatures of an infrared frame: kelvin = scale * value + offset.

    values: (H, W), of any integer or float type, oriented as the frame's pixels.
    shown: the values that are black and white in its pixels.
    """

    values: npt.NDArray[Any]
    scale: float
    offset: float
    shown: tuple[float, float]

    def celsius(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Some of `values`, or means of them, in degrees Celsius."""
        kelvin: npt.NDArray[np.float64] = np.asarray(values, np.float64) * self.scale + self.offset
        return kelvin - 273.15


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image of one camera.

    pixels: uint8, (H, W, 3) RGB for the visible camera, (H, W) for the infrared one.
    time_ns: capture time on `clock`. Strictly increasing within a source.
    sequence: position in the source, from 0. Of videos and cameras without gaps; of images the place in the list of
        files, so that one that cannot be read leaves its place empty.
    pts, time_base: the presentation time as stored (`pts * time_base` seconds), kept so that an output
        video can carry it unchanged; None where the source has none (image folders).
    name: what an image is called in outputs: its stem, after its folders and `_` where stems are not unique; else None.
    file: of an image, its path below the folder or pattern that was given, else None.
    arrival_ns: CLOCK_MONOTONIC when the frame was decoded and handed over, of recordings taken up by the run: from then
        on its age is counted.
    trace: of the raw samples; None of images of a folder.
    counts: (H, W) uint16, of infrared of over 8 bits what the camera gave, oriented as `pixels`; else None.
    temperature: where the camera or its settings give one.
    """

    pixels: Pixels
    time_ns: int
    clock: Clock
    sequence: int
    camera: Camera
    pts: int | None = None
    time_base: Fraction | None = None
    name: str | None = None
    file: str | None = None
    arrival_ns: int = 0
    trace: Trace | None = None
    counts: npt.NDArray[np.uint16] | None = None
    temperature: Temperature | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


@dataclass(frozen=True, slots=True, eq=False)
class FramePair:
    """A visible frame and the infrared frame nearest to it in time.

    infrared: None where no infrared frame lies within the tolerance: the chain goes on with visible alone.
    skew_ns: infrared minus visible capture time, after offset and drift were removed; 0 without infrared.
    led_by: "infrared" where the visible camera is lost. `visible` then stands in for it: the infrared frame at its
        time on the visible clock, (h, w) as it came until `fuse_infrared_only` has made it RGB on the visible grid.
    """

    visible: Frame
    infrared: Frame | None
    skew_ns: int
    led_by: Camera = "visible"
