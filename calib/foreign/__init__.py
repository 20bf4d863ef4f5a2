"""Reads the calibrations of other tools as rigs: of OpenCV, ROS, Kalibr and MATLAB.

OpenCV (YAML, XML or JSON): `K1 D1 K2 D2 R T`, also under the names of its samples and tutorials; image sizes are
optional; `x2 = R x1 + T`, as `cv2.stereoCalibrate` returns it.
ROS: a folder with the camera_info files of both cameras of a stereo calibration, rectifications R1, R2, projection P2;
`x2 = R2ᵀ (R1 x1 + t)`, t = P2[:, 3] / P2[0, 0].
MATLAB: `stereoParameters` as a struct, see `matlab`.
Kalibr: `cam0`, `cam1`, ... with resolutions; `T_cn_cnm1` takes points of the camera before to this one.

A folder may also hold OpenCV's `intrinsics` and `extrinsics` files. Which camera is which: by their names (topic,
camera_name, file); else by which order fits the sizes of the frames; else the first is the visible one, as in the rig
file's own convention, and that is a doubt. A key `first: infrared` or `first: visible` in the file settles it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..recording import is_recording
from ..yaml_file import YamlFileError, read_yaml
from .kalibr import of_camchain
from .matlab import as_opencv, read_mat
from .opencv import of_opencv, storage
from .pair import GIVE_BOTH, ONE_CAMERA, Foreign, ForeignError, Pair, Size
from .rig import as_rig
from .ros import is_camera_info, of_camera_infos, of_recording

__all__ = ["Foreign", "ForeignError", "Size", "read_foreign"]


def read_foreign(path: Path, sizes: tuple[Size, Size] | None, distance: float | None) -> Foreign | None:
    """A rig out of another tool's file, or folder of files; None where it is none of these.

    Args:
        path: file or folder.
        sizes: (width, height) of visible and infrared frames, taken where the file has none.
        distance: metres of the aligned plane; None: `DISTANCE`, noted.

    Raises:
        ForeignError: it is one, but does not hold a rig.
        YamlFileError: it cannot be read.
    """
    if is_recording(path):
        pair: Pair | None = of_recording(path)
    elif path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in (".yaml", ".yml", ".xml", ".json"))
        if not files:
            raise ForeignError("is a folder without calibration files (.yaml, .yml, .xml, .json)")
        pair = _of_folder({file.stem: _content(file) for file in files})
    else:
        pair = _pair_in(_content(path), path.stem)
    return None if pair is None else as_rig(pair, sizes, distance)


def _content(path: Path) -> Any:
    """A file's mapping, matrices of any of the tools as arrays."""
    try:
        head = path.read_bytes()[:4096]
    except OSError as e:
        raise YamlFileError(f"cannot be read: {e.strerror or e}") from e
    if re.match(rb"\s*(%YAML[: ]1\.[0-9]|<\?xml|<opencv_storage)", head) or b"opencv-matrix" in head:
        return storage(path)
    data = read_mat(path) if path.suffix.lower() == ".mat" else read_yaml(path)
    return {str(key): _plain(value) for key, value in data.items()} if isinstance(data, dict) else data


def _plain(value: Any) -> Any:
    if isinstance(value, dict) and set(value) >= {"rows", "cols", "data"}:
        try:
            return np.array(value["data"], np.float64).reshape(int(value["rows"]), int(value["cols"]))
        except (TypeError, ValueError) as e:
            raise ForeignError(f"a matrix does not have rows x cols numbers ({e})") from e
    return value


def _of_folder(files: Mapping[str, Any]) -> Pair | None:
    contents = {name: data for name, data in files.items() if isinstance(data, dict)}
    single = [(name, data) for name, data in contents.items() if is_camera_info(data)]
    if len(single) == 2:
        return of_camera_infos(single[0], single[1])
    if single:
        names = ", ".join(name for name, _ in single)
        raise ForeignError(f"holds {len(single)} camera_info files ({names}); two are needed: {GIVE_BOTH}")
    together: dict[str, Any] = {}
    for data in contents.values():
        together |= data
    return _pair_in(together, "")


def _pair_in(data: Any, stem: str) -> Pair | None:
    if not isinstance(data, dict):
        return None
    first = data.get("first")
    if first is not None and first not in ("visible", "infrared"):
        raise ForeignError(f"first: {first!r} is no camera; give visible or infrared")
    if "CameraParameters1" in data:
        data = as_opencv(data)
    if "cam0" in data and isinstance(data["cam0"], dict):
        return of_camchain(data, first)
    if is_camera_info(data):
        raise ForeignError(f"{ONE_CAMERA} ({data.get('camera_name') or stem}); {GIVE_BOTH}")
    return of_opencv(data, first)
