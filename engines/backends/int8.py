"""Eight bits: the wide layers of a converted network, quantised by NNCF and calibrated on the sample clips."""

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

from ..base import EngineError, Pixels
from ..build.parity import gate_warp
from ..build.parity.frames import SCENES
from ..build.store import digest_of
from ..networks.smoothing import STATE, STRENGTHS
from ..warp import Held, Shape
from .convolutions import convolutions

if TYPE_CHECKING:
    from .ov import ov

LAYERS = {
    "realtime": ("core.down1", "core.mix1", "core.down2", "core.mix2", "core.join1", "head.mix"),
    "tiny": ("core.down1", "core.mix1", "core.down2", "core.mix2", "core.join1"),
}
"""Modules whose convolutions are quantised, by network; other networks are not offered in eight bits.

Not those that see pixels or give maps or corrections, nor the U-Net's finest grid between them: in dense haze a small
step of the transmission is a large one of the image.
"""
EVERY = 44
"""Every how many-th frame of a clip calibrates: four of each."""
FOGS = ((0.03, 217), (0.06, 180), (0.12, 120), (0.25, 60))
"""Transmission and airlight in grey levels of the fog that they are drawn in once more."""


def clips_digest() -> str:
    """SHA-256 of the clips that calibrate, as part of a key of the store. Raises OSError."""
    with as_file(files("fusecam.samples")) as samples:
        return digest_of(clip for scene in SCENES for clip in _clips(samples, scene))


def missing() -> str | None:
    """Why nothing can be quantised here, None if it can."""
    return None if find_spec("nncf") else "eight bits need NNCF: pip install 'fusecam[int8]'"


def quantised(model: ov.Model, name: str, shape: Shape) -> ov.Model:
    """A copy of a network's converted model with the convolutions of LAYERS in eight bits, its sizes still dynamic.

    Activations by the extremes of the calibration frames, asymmetric; weights by channel, symmetric; then the mean
    error of each layer is taken from its bias. name: of the network. shape: at which it is calibrated. Raises
    EngineError where the sample clips cannot be read.
    """
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    chosen = {each.get_friendly_name() for each in convolutions(model, LAYERS[name])}
    left = [each.get_friendly_name() for each in model.get_ordered_ops() if each.get_friendly_name() not in chosen]
    given = list(_inputs(shape))
    nncf.set_log_level(logging.ERROR)
    with redirect_stdout(io.StringIO()):  # its progress bars
        return nncf.quantize(
            model,
            nncf.Dataset(given),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(given),
            fast_bias_correction=False,  # the fast one loses 10 dB
            ignored_scope=nncf.IgnoredScope(names=left, validate=False),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
            ),
        )


def _inputs(shape: Shape) -> Iterator[dict[int, Pixels]]:
    """What the model takes, by input, for frames of the clips as they are and in FOGS."""
    size = shape.width, shape.height
    shape = Shape.of(*size, (size[0] * shape.reduce, size[1] * shape.reduce), shape.reduce)
    warp = [np.asarray(part)[None] for _, part in sorted(Held().take(gate_warp(shape)), key=lambda each: each[0])]
    controls = np.concatenate([np.full(STRENGTHS, -1, np.float32), np.zeros(STATE + 1, np.float32)])
    with as_file(files("fusecam.samples")) as samples:
        for scene in SCENES:
            visible_clip, infrared_clip = _clips(samples, scene)
            pairs = zip(_frames(visible_clip, size), _frames(infrared_clip, shape.infrared), strict=False)
            for (visible, infrared), (t, airlight) in zip(pairs, FOGS, strict=False):
                foggy = (t * visible + (1 - t) * airlight).astype(np.uint8)
                thermal = np.ascontiguousarray(infrared[..., 1])[None]
                for seen in (visible, foggy):
                    planes = np.ascontiguousarray(np.moveaxis(seen, 2, 0))[None]
                    yield dict(enumerate([planes, thermal, *warp, controls]))


def _clips(samples: Path, scene: str) -> tuple[Path, Path]:
    return samples / f"{scene}_vis.mp4", samples / f"{scene}_ir.mp4"


def _frames(clip: Path, size: tuple[int, int]) -> Iterator[Pixels]:
    """Every EVERY-th frame at (width, height): (H, W, 3) RGB."""
    video, number = cv2.VideoCapture(str(clip)), 0
    while video.grab():
        if number % EVERY == EVERY // 2:
            found, image = video.retrieve()
            if found:
                colour = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
                yield np.asarray(cv2.resize(colour, size, interpolation=cv2.INTER_AREA), np.uint8)
        number += 1
    if number < EVERY:
        raise EngineError(f"{clip}: cannot be read, and eight bits are calibrated on it; install fusecam anew")
