"""Reads the calibrations of other tools as rigs: OpenCV's FileStorage, ROS' camera_info, Kalibr's camchain, recordings.

OpenCV (YAML, XML or JSON): `K1 D1 K2 D2 R T`, also under the names of its samples and tutorials; image sizes are
optional; `x2 = R x1 + T`, as `cv2.stereoCalibrate` returns it.
ROS: a folder with the camera_info files of both cameras of a stereo calibration, rectifications R1, R2, projection P2;
`x2 = R2ᵀ (R1 x1 + t)`, t = P2[:, 3] / P2[0, 0].
Kalibr: `cam0`, `cam1`, ... with resolutions; `T_cn_cnm1` takes points of the camera before to this one.

A folder may also hold OpenCV's `intrinsics` and `extrinsics` files. Which camera is which: by their names (topic,
camera_name, file); else by which order fits the sizes of the frames; else the first is the visible one, as in the rig
file's own convention, and that is a doubt. A key `first: infrared` or `first: visible` in the file settles it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .recording import cameras_in, is_recording, pose_between
from .yaml_file import YamlFileError, read_yaml

Matrix = npt.NDArray[np.float64]
Size = tuple[int, int]

DISTANCE = 20.0
"""Metres: where images are aligned if nobody says it, as `fusecam calibrate board` does."""
_INFRARED = re.compile(
    r"(?<![a-z])(ir|nir|lwir|mwir|swir|tir|infra.?red|therm\w*|flir\w*|boson|lepton|tau2?|heat)(?![a-z])"
)
_VISIBLE = re.compile(r"(?<![a-z])(vis|visible|rgb\w*|colou?r|eo|bgr|optical|daylight)(?![a-z])")
_LONGEST_M, _SURELY_MM = 3.0, 20.0  # of a baseline: no car carries more; beyond the second it can only be millimetres
_OFF_CENTRE = 0.2  # of the image's side: a principal point farther from the middle is of another image size
_OPENCV: dict[str, tuple[str, ...]] = {
    "K1": ("K1", "M1", "cameraMatrix1", "camera_matrix_1", "camera_matrix1", "mtx1", "intrinsics1"),
    "D1": ("D1", "distCoeffs1", "dist_coeffs_1", "dist_coeffs1", "distortion_coefficients1", "dist1", "distortion1"),
    "K2": ("K2", "M2", "cameraMatrix2", "camera_matrix_2", "camera_matrix2", "mtx2", "intrinsics2"),
    "D2": ("D2", "distCoeffs2", "dist_coeffs_2", "dist_coeffs2", "distortion_coefficients2", "dist2", "distortion2"),
    "R": ("R", "rotation", "rotation_matrix"),
    "T": ("T", "t", "translation", "translation_vector"),
}
_ONE_CAMERA = "holds the lens of one camera"
_GIVE_BOTH = (
    "a rig needs both cameras and how they stand: give stereoCalibrate's K1 D1 K2 D2 R T, a folder with both cameras' "
    "camera_info of a stereo calibration, or Kalibr's camchain"
)


class ForeignError(Exception):
    """A calibration of another tool that is no rig. One line without the file's name: what is wrong, what to do."""


@dataclass(slots=True)
class Foreign:
    """A calibration as a rig file's settings. notes: what was filled in. doubts: what was assumed and may be wrong."""

    data: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Camera:
    """name: whatever may tell which camera it is. size: (width, height), None where the file does not say it."""

    name: str
    matrix: Matrix
    distortion: tuple[float, ...]
    size: Size | None


@dataclass(frozen=True, slots=True)
class _Pair:
    """x2 = rotation @ x1 + translation. first: which camera the first one is, where the file says it. naming: how to
    say it."""

    one: _Camera
    two: _Camera
    rotation: Matrix
    translation: Matrix
    first: str | None = None
    naming: str = "add 'first: infrared' to the file"

    def exchanged(self) -> _Pair:
        """The same with the second camera first."""
        return _Pair(self.two, self.one, self.rotation.T, -self.rotation.T @ self.translation, self.first, self.naming)


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
        pair: _Pair | None = _of_recording(path)
    elif path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in (".yaml", ".yml", ".xml", ".json"))
        if not files:
            raise ForeignError("is a folder without calibration files (.yaml, .yml, .xml, .json)")
        pair = _of_folder({file.stem: _content(file) for file in files})
    else:
        pair = _pair_in(_content(path), path.stem)
    return None if pair is None else _rig(pair, sizes, distance)


def _of_recording(path: Path) -> _Pair:
    """Both cameras' camera_info; their pose out of a stereo calibration's projections, else out of tf_static."""
    try:
        infos, parents = cameras_in(path)
    except ValueError as e:
        raise ForeignError(str(e)) from e
    kinds = {topic: _kind(topic) for topic in infos}
    named = [[topic for topic in infos if kinds[topic] == camera] for camera in ("visible", "infrared")]
    if len(infos) != 2 and [len(topics) for topics in named] != [1, 1]:
        listed = ", ".join(infos) or "none"
        raise ForeignError(
            f"which two of its camera_info topics are the cameras'? Their names must tell a visible and an infrared "
            f"one; it has {listed}"
        )
    left, right = list(infos.items()) if len(infos) == 2 else [(topic, infos[topic]) for (topic,) in named]
    one, two = (_camera_info(*each) for each in (left, right))
    if one.shift.any() or two.shift.any():
        return _of_camera_infos(left, right)
    pose = pose_between(parents, left[1]["frame"], right[1]["frame"])
    if pose is None:
        raise ForeignError(
            "has camera_info of both cameras, but not how they stand: no projections of a stereo calibration, and no "
            "/tf_static that joins their frames; use `fusecam calibrate scene` or `board`"
        )
    return _Pair(one.camera, two.camera, pose[:3, :3], pose[:3, 3], naming="rename its topics, or write a rig file")


def _content(path: Path) -> Any:
    """A file's mapping, matrices of any of the tools as arrays."""
    try:
        head = path.read_bytes()[:4096]
    except OSError as e:
        raise YamlFileError(f"cannot be read: {e.strerror or e}") from e
    if re.match(rb"\s*(%YAML[: ]1\.[0-9]|<\?xml|<opencv_storage)", head) or b"opencv-matrix" in head:
        return _storage(path)
    data = read_yaml(path)
    return {str(key): _plain(value) for key, value in data.items()} if isinstance(data, dict) else data


def _plain(value: Any) -> Any:
    if isinstance(value, dict) and set(value) >= {"rows", "cols", "data"}:
        try:
            return np.array(value["data"], np.float64).reshape(int(value["rows"]), int(value["cols"]))
        except (TypeError, ValueError) as e:
            raise ForeignError(f"a matrix does not have rows x cols numbers ({e})") from e
    return value


def _storage(path: Path) -> dict[str, Any]:
    """All numbers, words and matrices at the top of an OpenCV FileStorage."""
    try:
        store = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
        root = store.root()
        found: dict[str, Any] = {}
        for key in root.keys():  # noqa: SIM118  a FileNode is no dict
            node = root.getNode(key)
            if node.isInt() or node.isReal():
                found[key] = node.real()
            elif node.isString():
                found[key] = node.string()
            elif node.isMap() and (matrix := node.mat()) is not None:
                found[key] = np.asarray(matrix, np.float64)
            elif node.isSeq():
                found[key] = [
                    node.at(k).real() for k in range(node.size()) if node.at(k).isReal() or node.at(k).isInt()
                ]
        store.release()
    except (cv2.error, SystemError) as e:
        raise YamlFileError(
            f"not a FileStorage that OpenCV can read: {str(e).split('error: ')[-1].strip()[:200]}"
        ) from e
    return found


def _of_folder(files: Mapping[str, Any]) -> _Pair | None:
    contents = {name: data for name, data in files.items() if isinstance(data, dict)}
    single = [(name, data) for name, data in contents.items() if _is_camera_info(data)]
    if len(single) == 2:
        return _of_camera_infos(single[0], single[1])
    if single:
        names = ", ".join(name for name, _ in single)
        raise ForeignError(f"holds {len(single)} camera_info files ({names}); two are needed: {_GIVE_BOTH}")
    together: dict[str, Any] = {}
    for data in contents.values():
        together |= data
    return _pair_in(together, "")


def _pair_in(data: Any, stem: str) -> _Pair | None:
    if not isinstance(data, dict):
        return None
    first = data.get("first")
    if first is not None and first not in ("visible", "infrared"):
        raise ForeignError(f"first: {first!r} is no camera; give visible or infrared")
    if "cam0" in data and isinstance(data["cam0"], dict):
        return _of_camchain(data, first)
    if _is_camera_info(data):
        raise ForeignError(f"{_ONE_CAMERA} ({data.get('camera_name') or stem}); {_GIVE_BOTH}")
    return _of_opencv(data, first)


def _of_opencv(data: Mapping[str, Any], first: str | None) -> _Pair | None:
    found = {key: next((data[n] for n in names if n in data), None) for key, names in _OPENCV.items()}
    if not all(isinstance(found[key], np.ndarray | list) for key in ("K1", "K2")):
        matrices = [key for key, value in data.items() if isinstance(value, np.ndarray)]
        if matrices:
            raise ForeignError(
                f"its matrices are called {', '.join(matrices)}: call them as in stereoCalibrate, K1 D1 (visible) "
                "K2 D2 (infrared) R T"
            )
        return None
    missing = [key for key in ("R", "T") if not isinstance(found[key], np.ndarray | list)]
    if missing:
        raise ForeignError(
            f"{' and '.join(missing)} missing: how the cameras stand (stereoCalibrate's R and T); give them in the "
            "same file, or a folder with both files"
        )
    cameras = []
    for k in "12":
        distortion = found[f"D{k}"]
        numbers = [] if distortion is None else _shaped(distortion, None, f"D{k}").tolist()
        cameras.append(
            _Camera("", _shaped(found[f"K{k}"], (3, 3), f"K{k}"), _lens(numbers, f"D{k}"), _size_in(data, k))
        )
    rotation = _shaped(found["R"], None, "R")
    if rotation.size == 3:
        rotation = np.asarray(cv2.Rodrigues(rotation.ravel())[0], np.float64)
    return _Pair(cameras[0], cameras[1], _shaped(rotation, (3, 3), "R"), _shaped(found["T"], (3,), "T"), first)


def _size_in(data: Mapping[str, Any], camera: str) -> Size | None:
    for width, height in ((f"image_width{camera}", f"image_height{camera}"), ("image_width", "image_height")):
        if width in data and height in data:
            across, down = _shaped([data[width], data[height]], (2,), f"{width}, {height}")
            return int(across), int(down)
    for name in (f"image_size{camera}", f"imageSize{camera}", f"size{camera}", "image_size", "imageSize", "size"):
        if name in data and np.size(data[name]) == 2:
            across, down = _shaped(data[name], (2,), name)
            return int(across), int(down)
    return None


def _is_camera_info(data: Mapping[str, Any]) -> bool:
    """ROS' calibration files, OpenCV's of one camera, and messages as `rostopic echo` prints them."""
    return any(name in data for name in ("camera_matrix", "cameraMatrix")) or {
        "width",
        "height",
        "distortion_model",
    } <= set(data)


def _of_camera_infos(left: tuple[str, Any], right: tuple[str, Any]) -> _Pair:
    one, two = (_camera_info(*each) for each in (left, right))
    # The second camera of ROS' pair is the one whose projection holds the baseline.
    if one.shift.any() and not two.shift.any():
        one, two = two, one
    if not two.shift.any() and np.allclose(one.rectification, two.rectification):
        raise ForeignError(
            "both files are calibrations of single cameras: how the cameras stand is not in them (rectification and "
            "projection are those of one camera); calibrate them as a stereo pair"
        )
    rotation = two.rectification.T @ one.rectification
    translation = two.rectification.T @ (two.shift - one.shift)
    naming = "call the files visible.yaml and infrared.yaml"
    return _Pair(one.camera, two.camera, rotation, translation, naming=naming)


@dataclass(frozen=True, slots=True)
class _CameraInfo:
    camera: _Camera
    rectification: Matrix
    shift: Matrix


def _camera_info(stem: str, data: Mapping[str, Any]) -> _CameraInfo:
    def value(*names: str) -> Any:
        return next((data[name] for name in names if data.get(name) is not None), None)

    name = f"{stem} {data.get('camera_name', '')}"
    model = str(data.get("distortion_model", "plumb_bob"))
    if model not in ("plumb_bob", "rational_polynomial", "none", ""):
        raise ForeignError(f"{stem}: {_fisheye(model)}")
    distortion = value("distortion_coefficients", "D", "d")
    numbers = [] if distortion is None else _shaped(distortion, None, f"{stem}: distortion_coefficients").tolist()
    width, height = value("image_width", "width"), value("image_height", "height")
    if not width or not height:
        raise ForeignError(f"{stem}: image_width and image_height are missing")
    width, height = _shaped([width, height], (2,), f"{stem}: image_width, image_height")
    matrix = _shaped(value("camera_matrix", "cameraMatrix", "K", "k"), (3, 3), f"{stem}: camera_matrix")
    turned, projection = value("rectification_matrix", "R", "r"), value("projection_matrix", "P", "p")
    rectification = np.eye(3) if turned is None else _shaped(turned, (3, 3), f"{stem}: rectification_matrix")
    shift = np.zeros(3)
    if projection is not None:
        p = _shaped(projection, (3, 4), f"{stem}: projection_matrix")
        if p[0, 0] > 0 and p[1, 1] > 0:
            shift = np.array([p[0, 3] / p[0, 0], p[1, 3] / p[1, 1], 0.0])
    camera = _Camera(name, matrix, _lens(numbers, f"{stem}: distortion_coefficients"), (int(width), int(height)))
    return _CameraInfo(camera, rectification, shift)


def _of_camchain(data: Mapping[str, Any], first: str | None) -> _Pair:
    chain: list[Mapping[str, Any]] = []
    while isinstance(camera := data.get(f"cam{len(chain)}"), dict):
        chain.append(camera)
    if len(chain) < 2:
        raise ForeignError(f"{_ONE_CAMERA} (cam0); {_GIVE_BOTH}")
    cameras = [_kalibr_camera(f"cam{k}", camera) for k, camera in enumerate(chain)]
    poses = [np.eye(4)]  # from cam0 to each
    for k, camera in enumerate(chain[1:], 1):
        if camera.get("T_cn_cnm1") is None:
            raise ForeignError(f"cam{k}.T_cn_cnm1 is missing: how it stands to cam{k - 1}; calibrate them together")
        poses.append(_shaped(camera["T_cn_cnm1"], (4, 4), f"cam{k}.T_cn_cnm1") @ poses[-1])
    one, two = 0, 1
    if len(chain) > 2:
        infrared = [k for k, c in enumerate(cameras) if _called(c) == "infrared"]
        visible = [k for k, c in enumerate(cameras) if _called(c) == "visible"]
        if len(infrared) != 1 or not visible:
            raise ForeignError(
                f"holds {len(chain)} cameras, and their rostopic does not tell which is the infrared and which the "
                "visible one: leave two of them in the file"
            )
        one, two = visible[0], infrared[0]
    pose = poses[two] @ np.linalg.inv(poses[one])
    return _Pair(cameras[one], cameras[two], pose[:3, :3], pose[:3, 3], first)


def _kalibr_camera(name: str, camera: Mapping[str, Any]) -> _Camera:
    model, lens = camera.get("camera_model", "pinhole"), camera.get("distortion_model", "none")
    if model != "pinhole":
        raise ForeignError(f"{name}.camera_model: {_fisheye(str(model))}")
    if lens not in ("radtan", "none"):
        raise ForeignError(f"{name}.distortion_model: {_fisheye(str(lens))}")
    fx, fy, cx, cy = _shaped(camera.get("intrinsics"), (4,), f"{name}.intrinsics")
    width, height = _shaped(camera.get("resolution"), (2,), f"{name}.resolution")
    numbers = _shaped(camera.get("distortion_coeffs", []), None, f"{name}.distortion_coeffs").tolist()
    matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    distortion = () if lens == "none" else _lens(numbers, f"{name}.distortion_coeffs")
    return _Camera(str(camera.get("rostopic", "")), matrix, distortion, (int(width), int(height)))


def _fisheye(model: str) -> str:
    return f"the lens model {model!r} is not known here: calibrate with a pinhole model (plumb_bob, radtan)"


def _shaped(value: Any, shape: tuple[int, ...] | None, name: str) -> Matrix:
    """value as float64 of this shape (None: flat, of any length)."""
    try:
        array = np.array(value, np.float64)
        array = array.ravel() if shape is None else array.reshape(shape)
    except (TypeError, ValueError) as e:
        wanted = "a list of" if shape is None else " x ".join(map(str, shape))
        raise ForeignError(f"{name}: {wanted} numbers are needed") from e
    if not np.isfinite(array).all():
        raise ForeignError(f"{name}: holds numbers that are not finite")
    return array


def _lens(numbers: Sequence[float], name: str) -> tuple[float, ...]:
    """OpenCV's distortion with what the rig file knows of it: 4, 5 or 8 numbers."""
    if not any(numbers):
        return ()
    if len(numbers) > 8 and not any(numbers[8:]):
        numbers = numbers[:8]
    if len(numbers) not in (4, 5, 8):
        raise ForeignError(
            f"{name}: {len(numbers)} numbers; a pinhole model has 4, 5 or 8: k1 k2 p1 p2 [k3 [k4 k5 k6]]"
        )
    return tuple(float(number) for number in numbers)


def _called(camera: _Camera) -> str | None:
    return _kind(camera.name)


def _kind(name: str) -> str | None:
    name = re.sub(r"[_/\d]", " ", name.lower())
    infrared, visible = bool(_INFRARED.search(name)), bool(_VISIBLE.search(name))
    return None if infrared == visible else "infrared" if infrared else "visible"


def _rig(pair: _Pair, sizes: tuple[Size, Size] | None, distance: float | None) -> Foreign:
    """The rig of two cameras: which is which, how large, and where they are aligned."""
    found = Foreign({})
    pair = _visible_first(pair, sizes, found.doubts)
    cameras = []
    for k, (name, camera) in enumerate((("visible", pair.one), ("infrared", pair.two))):
        size = camera.size or (sizes[k] if sizes else None)
        if size is None:
            raise ForeignError("holds no image sizes: add image_width and image_height")
        if not _fits(camera, size):
            raise ForeignError(
                f"the principal point ({camera.matrix[0, 2]:.0f}, {camera.matrix[1, 2]:.0f}) of the {name} camera is "
                f"not that of {size[0]}x{size[1]} images: add the size of the calibration's images (image_width1, "
                "image_height1, image_width2, image_height2)"
            )
        if camera.size is None:
            found.notes.append(f"holds no image sizes: taken as that of the {name} frames, {size[0]}x{size[1]}")
        (fx, _, cx), (_, fy, cy) = camera.matrix[0], camera.matrix[1]
        lens = list(camera.distortion)
        cameras.append({"width": size[0], "height": size[1], "intrinsics": [fx, fy, cx, cy], "distortion": lens})
    if distance is None:
        found.notes.append(f"holds no distance: the images are aligned at {DISTANCE:g} m; --distance changes that")
    found.data = {
        "visible": cameras[0],
        "infrared": cameras[1],
        "rotation": _orthonormal(pair.rotation).tolist(),
        "translation": _metres(pair.translation, found.doubts).tolist(),
        "distance": DISTANCE if distance is None else distance,
    }
    return found


def _visible_first(pair: _Pair, sizes: tuple[Size, Size] | None, doubts: list[str]) -> _Pair:
    if pair.first is not None:
        return pair if pair.first == "visible" else pair.exchanged()
    one, two = _called(pair.one), _called(pair.two)
    if one != two:
        return pair if one == "visible" or two == "infrared" else pair.exchanged()
    other = pair.exchanged()
    if sizes is not None:
        as_is, turned = (_fits_frames(each, sizes) for each in (pair, other))
        if as_is != turned:
            return pair if as_is else other
    doubts.append(
        "does not tell which camera is which: the first is taken as the visible one; if it is the infrared one, "
        f"{pair.naming}"
    )
    return pair


def _fits_frames(pair: _Pair, sizes: tuple[Size, Size]) -> bool:
    for camera, (width, height) in zip((pair.one, pair.two), sizes, strict=True):
        if camera.size is None:
            if not _fits(camera, (width, height)):
                return False
        elif abs(width - camera.size[0] * height / camera.size[1]) > 2:
            return False
    return True


def _fits(camera: _Camera, size: Size) -> bool:
    """Whether the principal point lies near the middle of images of this size."""
    return all(abs((camera.matrix[k, 2] + 0.5) / size[k] - 0.5) < _OFF_CENTRE for k in range(2))


def _orthonormal(rotation: Matrix) -> Matrix:
    """The nearest rotation where only the file's digits are short; anything else is left for the rig to refuse."""
    u, _, vt = np.linalg.svd(rotation)
    nearest = np.asarray(u @ vt, np.float64)
    return nearest if np.abs(nearest - rotation).max() < 1e-3 else rotation


def _metres(translation: Matrix, doubts: list[str]) -> Matrix:
    length = float(np.linalg.norm(translation))
    if length <= _LONGEST_M:
        return translation
    if length < _SURELY_MM:
        raise ForeignError(f"the cameras stand {length:.3g} m apart: give the translation in metres")
    doubts.append(f"the translation is {length:.4g} long and taken as millimetres: give it in metres")
    return translation / 1000
