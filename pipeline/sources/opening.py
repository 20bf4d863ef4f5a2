"""Opens the source that a user's specification names."""

from __future__ import annotations

import stat
from pathlib import Path

from ...engines.host.plugins import plugins
from ..config import SourceConfig
from ..core.frames import Camera
from ..errors import InputError
from ..pairing import belongs_to_infrared, labels_of
from .as_recorded import as_recorded, note_in_video
from .bag import BagSource, bag_place
from .base import Source
from .camera import camera_device, list_cameras, open_camera
from .file import open_file, polarity_of_file
from .images import ImageSource, find_images, has_fourth_picture, is_image
from .network import SCHEMES, open_network
from .pipe import open_pipe
from .pixels.polarity import Polarity
from .plugged import LivePlugged, PluggedSource


def open_source(spec: str, camera: Camera, config: SourceConfig, start_s: float = 0.0) -> Source:
    """Open a camera, file, folder or stream, with its first frame already decoded.

    spec: `0`, `dev0` or `/dev/video0` (camera); an address such as rtsp://HOST/PATH; `-` (standard input) or a named
    pipe; a ROS recording, with or without :/TOPIC; a folder, a glob pattern or one image; else a video file. A file
    that is called like a camera needs ./ before it. start_s: of a video file, seconds after its start from where (or
    somewhat before) to read; times stay those stored. camera: which of the two it is, from which follow the pixels:
    (H, W, 3) RGB or (H, W).

    Raises InputError, one line: what is wrong with `spec`, what to do. Returns within about `config.open_timeout_s`
    even when nothing answers. Times of files and pipes are those stored in them (clock "media"), of folders index / fps
    ("index"), of cameras and live streams capture times on CLOCK_MONOTONIC ("monotonic").
    """
    if not spec.strip() or "\0" in spec:
        raise InputError(f"{spec!r}: is not a source: give a camera, a video file, a folder of images or an address")
    if device := camera_device(spec):
        return open_camera(spec, device, camera, config)
    scheme, separator, rest = spec.partition("://")
    if separator:
        if scheme.lower() not in SCHEMES and scheme in plugins("sources"):
            source = PluggedSource(spec, scheme, rest, camera)
            return LivePlugged(source, config.open_timeout_s) if source.info.live else source
        if scheme.lower() not in SCHEMES:
            known = ", ".join((*SCHEMES, *plugins("sources")))
            raise InputError(f"{spec}: unknown kind of address {scheme}://: use one of {known}, or a path")
        return open_network(scheme.lower() + spec[len(scheme) :], camera, config)
    if spec == "-":
        return open_pipe(spec, camera, config)
    if place := bag_place(spec):
        return BagSource(spec, place, camera, config)
    return _open_path(spec, camera, config, start_s)


def holds_images(spec: str) -> bool:
    """Whether a source is, by its name, a folder, a glob pattern or a file of images."""
    if camera_device(spec) or "://" in spec or spec == "-":
        return False
    try:
        path = Path(spec).expanduser()
        return path.is_dir() or is_image(path)
    except (OSError, RuntimeError, ValueError):
        return False


def open_shared(spec: str, config: SourceConfig) -> tuple[ImageSource, ImageSource]:
    """Infrared and visible out of one folder: infrared as the fourth channel of its images, or both by their names.

    Raises InputError where neither is so.
    """
    files = find_images(spec, Path(spec).expanduser())
    if config.ir.channel is not None or has_fourth_picture(files[0]):
        channel = config.ir.channel or 4
        shared = config.model_copy(update={"ir": config.ir.model_copy(update={"channel": channel})})
        return ImageSource(spec, files, "infrared", shared), ImageSource(spec, files, "visible", shared)
    labels = labels_of(files, spec)
    thermal = [belongs_to_infrared(label) for label in labels]
    if not any(thermal) or all(thermal):
        raise InputError(
            f"{spec}: given as --ir and as --vis, but its images have no fourth channel, and their names do not tell "
            "the cameras (like a_ir.png and a_vis.png): two different sources are needed, or, where each image shows "
            "both cameras, sources.ir.crop and sources.vis.crop"
        )
    sides = [[file for file, heat in zip(files, thermal, strict=True) if heat == side] for side in (True, False)]
    return ImageSource(spec, sides[0], "infrared", config), ImageSource(spec, sides[1], "visible", config)


def _open_path(spec: str, camera: Camera, config: SourceConfig, start_s: float) -> Source:
    try:
        path = Path(spec).expanduser()
        mode = path.stat().st_mode
    except FileNotFoundError:
        if any(sign in spec for sign in "*?["):
            return ImageSource(spec, find_images(spec, path), camera, config)
        lost = "" if path.parent.exists() else f": the folder {path.parent} does not exist either"
        raise InputError(f"{spec}: no such file or folder{lost}") from None
    except RuntimeError:
        raise InputError(f"{spec}: names a home folder that does not exist") from None
    except OSError as e:
        raise InputError(f"{spec}: cannot be read: {e.strerror}") from e
    if stat.S_ISFIFO(mode):
        return open_pipe(str(path), camera, config)
    if stat.S_ISDIR(mode) or is_image(path):
        return ImageSource(spec, find_images(spec, path), camera, config)
    if not stat.S_ISREG(mode):
        there = ", ".join(device for device, _ in list_cameras())
        raise InputError(f"{spec}: is a device, but no camera" + (f": cameras here are {there}" if there else ""))
    config, messages = as_recorded(spec, note_in_video(path) if camera == "infrared" else None, config)
    # of a part of a recording only the motion matters
    settled = polarity_of_file(spec, path, config) if camera == "infrared" and start_s == 0 else Polarity("white-hot")
    source = open_file(spec, path, camera, config, start_s, settled)
    source.health.warnings += messages
    return source
