"""The sample clips at any size: frames for the engines, streams for the whole chain."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
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
from ..core.frames import Pixels
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
        write_visible, write_infrared = (
            open_now.enter_context(_written(folder / f"{name}.mp4", size)) for name in ("vis", "ir")
        )
        taken: list[tuple[Pixels, Pixels]] = []
        done = 0
        truth = yaml.safe_load((samples / "truth.yaml").read_text(encoding="utf-8"))
        for name, scene in truth["scenes"].items():
            for number, partners in enumerate(_partners(samples, name, scene["time_offset_ms"])):
                visible, infrared = (_fit(image, size) for image in partners)
                write_visible(visible)
                write_infrared(infrared)
                if number % EVERY == EVERY // 2:
                    taken.append((visible, infrared))
                done += 1
                progress(done)
        np.save(folder / "visible.npy", np.stack([visible for visible, _ in taken]))
        np.save(folder / "infrared.npy", np.stack([infrared for _, infrared in taken]))
    return done


def _partners(samples: Path, scene: str, offset_ms: float) -> Iterator[tuple[Pixels, Pixels]]:
    """Each visible frame of a scene with the infrared frame nearest in time."""
    with closing(open_source(str(samples / f"{scene}_ir.mp4"), "infrared", SourceConfig())) as source:
        infrared = list(source)
    times = np.array([frame.time_ns for frame in infrared]) + round(offset_ms * 1e6)
    with closing(open_source(str(samples / f"{scene}_vis.mp4"), "visible", SourceConfig())) as source:
        for frame in source:
            yield frame.pixels, infrared[int(np.abs(times - frame.time_ns).argmin())].pixels


def _fit(image: Pixels, size: Size) -> Pixels:
    if (image.shape[1], image.shape[0]) == size:
        return image
    shrinks = image.shape[1] > size[0]
    return cast(Pixels, cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC))


def _rig_for(rig: Rig, size: Size) -> Rig:
    """The rig for images stretched to `size`, of any aspect ratio."""
    cameras = {"visible": rig.visible.resized(size), "infrared": rig.infrared.resized(size)}
    return rig.model_copy(update={**cameras, "edges": None})


@contextmanager
def _written(path: Path, size: Size) -> Iterator[Callable[[Pixels], None]]:
    """An H.264 file of RATE frames a second; gives what to call with each image."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE, options=ENCODING)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p" if size[0] % 2 == size[1] % 2 == 0 else "yuv444p"
        places = itertools.count()

        def write(image: Pixels) -> None:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "gray" if image.ndim == 2 else "rgb24")
            frame.pts, frame.time_base = next(places), Fraction(1, RATE)
            out.mux(stream.encode(frame))

        yield write
        out.mux(stream.encode(None))
