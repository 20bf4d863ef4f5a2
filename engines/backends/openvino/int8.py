"""int8: post-training quantisation of a converted network's wide layers by NNCF, calibrated on the sample clips."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import redirect_stdout
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ...base import EngineError, Pixels
from ...build.parity import gate_warp
from ...build.parity.frames import SCENES
from ...build.store import digest_of
from ...networks.smoothing import STATE, STRENGTHS
from ...warp import Shape
from .convolutions import convolutions

if TYPE_CHECKING:
    from .ov import ov

LAYERS = {
    "realtime": ("core.down1", "core.mix1", "core.down2", "core.mix2", "core.join1", "head.mix"),
    "tiny": ("core.down1", "core.mix1", "core.down2", "core.mix2", "core.join1"),
}
"""Modules whose convolutions are quantised, by network; other networks have no int8.

The first and last layers and the finest scale of the U-Net stay in f32: in dense haze, a small error of transmission is
a large error of the image.
"""
EVERY = 44
"""Stride between calibration frames: four frames of each clip."""
FOGS = ((0.03, 217), (0.06, 180), (0.12, 120), (0.25, 60))
"""Transmission, and airlight in grey levels, of synthetic fog: each calibration frame is also used with fog."""


def clips_digest() -> str:
    """SHA-256 of the calibration clips, as part of a key of the store. Raises OSError."""
    with as_file(files("fusecam.samples")) as samples:
        return digest_of(clip for scene in SCENES for clip in _clips(samples, scene))


def missing() -> str | None:
    """Why quantisation is not possible here, None if it is."""
    return None if find_spec("nncf") else "int8 needs NNCF: pip install 'fusecam[int8]'"


def quantised(model: ov.Model, name: str, shape: Shape) -> ov.Model:
    """Quantise the convolutions of LAYERS to int8. Returns a copy, still with dynamic sizes.

    Activations: asymmetric, range from the minimum and maximum over the calibration frames. Weights: symmetric, per
    channel. Biases are corrected by the mean error of their layer.

    model: converted network. name: of the network. shape: frame sizes of the calibration. Raises EngineError if the
    sample clips cannot be read.
    """
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    quantised_names = {op.get_friendly_name() for op in convolutions(model, LAYERS[name])}
    names = [op.get_friendly_name() for op in model.get_ordered_ops()]
    ignored = [op_name for op_name in names if op_name not in quantised_names]
    samples = list(_inputs(shape))
    nncf.set_log_level(logging.ERROR)
    with redirect_stdout(io.StringIO()):  # its progress bars
        return nncf.quantize(
            model,
            nncf.Dataset(samples),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(samples),
            fast_bias_correction=False,  # the fast one loses 10 dB
            ignored_scope=nncf.IgnoredScope(names=ignored, validate=False),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
            ),
        )


def _inputs(shape: Shape) -> Iterator[dict[int, Pixels]]:
    """Calibration inputs by index, from frames of the clips, without fog and in FOGS."""
    size = shape.width, shape.height
    shape = Shape.of(*size, (size[0] * shape.reduce, size[1] * shape.reduce), shape.reduce)
    warp = [np.asarray(part)[None] for part in gate_warp(shape).parts]
    controls = np.concatenate([np.full(STRENGTHS, -1, np.float32), np.zeros(STATE + 1, np.float32)])
    with as_file(files("fusecam.samples")) as samples:
        for scene in SCENES:
            visible_clip, infrared_clip = _clips(samples, scene)
            pairs = zip(_frames(visible_clip, size), _frames(infrared_clip, shape.infrared), strict=False)
            for (visible, infrared), (t, airlight) in zip(pairs, FOGS, strict=False):
                foggy = (t * visible + (1 - t) * airlight).astype(np.uint8)
                thermal = np.ascontiguousarray(infrared[..., 1])[None]
                for image in (visible, foggy):
                    planes = np.ascontiguousarray(np.moveaxis(image, 2, 0))[None]
                    yield dict(enumerate([planes, thermal, *warp, controls]))


def _clips(samples: Path, scene: str) -> tuple[Path, Path]:
    return samples / f"{scene}_vis.mp4", samples / f"{scene}_ir.mp4"


def _frames(clip: Path, size: tuple[int, int]) -> Iterator[Pixels]:
    """Every EVERY-th frame of a clip, resized. size: (width, height). Yields (H, W, 3) uint8 RGB."""
    video, number = cv2.VideoCapture(str(clip)), 0
    while video.grab():
        if number % EVERY == EVERY // 2:
            success, image = video.retrieve()
            if success:
                colour = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
                yield np.asarray(cv2.resize(colour, size, interpolation=cv2.INTER_AREA), np.uint8)
        number += 1
    if number < EVERY:
        raise EngineError(f"{clip}: cannot be read, and int8 is calibrated on it; reinstall fusecam")
