"""The sample clips at any size: frames for the engines, streams for the whole chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from importlib.resources import as_file, files
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
import yaml

from ...calib.rig import Rig, load_rig, save_rig
from ..config import SourceConfig
from ..core.frames import Camera, Frame, Pixels
from ..sources import open_source
from .jobs import Size

RATE = 25
EVERY = 44
"""Stride of the frames on which engines are timed: four frames per scene."""
ENCODING = {"preset": "superfast", "crf": "20"}
"""x264 options of the streams, typical for recorders; decoding costs more than with fusecam's own fast preset."""


def prepare(folder: Path, size: Size, progress: Callable[[int], None] = lambda done: None) -> int:
    """Write the inputs of FuseJob and ChainJob to `folder`, at `size` (width, height). Returns the number of frames.

    visible.npy, infrared.npy: unregistered frames, four of each scene. vis.mp4, ir.mp4: the three scenes
    one after the other, both cameras at `size`, partners at equal times. rig.yaml: for that size.
    progress: called with the number of frames done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with as_file(files("fusecam.samples")) as samples, ExitStack() as open_now:
        rig = _rig_for(load_rig(samples / "rig.yaml"), size)
        save_rig(rig, folder / "rig.yaml")
        streams = {name: open_now.enter_context(_Stream(folder / f"{name}.mp4", size)) for name in ("vis", "ir")}
        taken: list[tuple[Pixels, Pixels]] = []
        done = 0
        for scene in _scenes(samples):
            for number, (visible, infrared) in enumerate(_partners(samples, *scene)):
                visible, infrared = _fit(visible, size), _fit(infrared, size)
                streams["vis"].write(visible)
                streams["ir"].write(infrared)
                if number % EVERY == EVERY // 2:
                    taken.append((visible, infrared))
                done += 1
                progress(done)
        np.save(folder / "visible.npy", np.stack([visible for visible, _ in taken]))
        np.save(folder / "infrared.npy", np.stack([infrared for _, infrared in taken]))
    return done


def _scenes(samples: Path) -> list[tuple[str, float]]:
    """Name and time offset in ms of each scene."""
    truth = yaml.safe_load((samples / "truth.yaml").read_text(encoding="utf-8"))
    return [(name, float(scene["time_offset_ms"])) for name, scene in truth["scenes"].items()]


def _partners(samples: Path, scene: str, offset_ms: float) -> Iterator[tuple[Pixels, Pixels]]:
    """Each visible frame of a scene with the infrared frame nearest in time."""
    infrared = list(_frames(samples / f"{scene}_ir.mp4", "infrared"))
    times = np.array([frame.time_ns for frame in infrared]) + round(offset_ms * 1e6)
    for frame in _frames(samples / f"{scene}_vis.mp4", "visible"):
        yield frame.pixels, infrared[int(np.abs(times - frame.time_ns).argmin())].pixels


def _frames(clip: Path, camera: Camera) -> Iterator[Frame]:
    source = open_source(str(clip), camera, SourceConfig())
    try:
        yield from source
    finally:
        source.close()


def _fit(image: Pixels, size: Size) -> Pixels:
    if (image.shape[1], image.shape[0]) == size:
        return image
    shrinks = image.shape[1] > size[0]
    return cast(Pixels, cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC))


def _rig_for(rig: Rig, size: Size) -> Rig:
    """The rig for images stretched to `size`, of any aspect ratio."""
    cameras = {"visible": rig.visible.resized(size), "infrared": rig.infrared.resized(size)}
    return rig.model_copy(update={**cameras, "edges": None})


class _Stream:
    """An H.264 file of RATE frames a second."""

    def __init__(self, path: Path, size: Size) -> None:
        self._out = av.open(str(path), "w")
        self._stream = self._out.add_stream("libx264", rate=RATE, options=ENCODING)
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p" if size[0] % 2 == size[1] % 2 == 0 else "yuv444p"
        self._count = 0

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is None:
            self._out.mux(self._stream.encode(None))
        self._out.close()

    def write(self, image: Pixels) -> None:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "gray" if image.ndim == 2 else "rgb24")
        frame.pts, frame.time_base = self._count, Fraction(1, RATE)
        self._count += 1
        self._out.mux(self._stream.encode(frame))
