"""Two cameras and their relative pose, as every format gives them, and the checks that all formats share."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Size = tuple[int, int]

_INFRARED = re.compile(
    r"(?<![a-z])(ir|nir|lwir|mwir|swir|tir|infra.?red|therm\w*|flir\w*|boson|lepton|tau2?|heat)(?![a-z])"
)
_VISIBLE = re.compile(r"(?<![a-z])(vis|visible|rgb\w*|colou?r|eo|bgr|optical|daylight)(?![a-z])")
ONE_CAMERA = "holds the lens of one camera"
GIVE_BOTH = (
    "a rig needs both cameras and their relative pose: give stereoCalibrate's K1 D1 K2 D2 R T, a folder with both "
    "cameras' camera_info of a stereo calibration, or Kalibr's camchain"
)


class ForeignError(Exception):
    """A calibration of another tool cannot be used. One line without the file's name: what is wrong, what to do."""


@dataclass(slots=True)
class Foreign:
    """A calibration as a rig file's settings. notes: what was filled in. doubts: what was assumed and may be wrong."""

    data: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Camera:
    """name: text that may identify it (topic, file, camera_name). size: None if the file does not have it."""

    name: str
    matrix: Matrix
    distortion: tuple[float, ...]
    size: Size | None


@dataclass(frozen=True, slots=True)
class Pair:
    """x2 = rotation @ x1 + translation. first: name of the first camera, if the file has it. naming: instruction for
    adding it."""

    one: Camera
    two: Camera
    rotation: Matrix
    translation: Matrix
    first: str | None = None
    naming: str = "add 'first: infrared' to the file"

    def exchanged(self) -> Pair:
        """The same with the second camera first."""
        return Pair(self.two, self.one, self.rotation.T, -self.rotation.T @ self.translation, self.first, self.naming)


def fisheye(model: str) -> str:
    """Reason why a lens model is not supported."""
    return f"the lens model {model!r} is not supported: calibrate with a pinhole model (plumb_bob, radtan)"


def shaped(value: Any, shape: tuple[int, ...] | None, name: str) -> Matrix:
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


def distortion_of(value: Any, name: str) -> tuple[float, ...]:
    """OpenCV's distortion as in the rig file, with 4, 5 or 8 coefficients."""
    numbers = [] if value is None else shaped(value, None, name).tolist()
    if not any(numbers):
        return ()
    if len(numbers) > 8 and not any(numbers[8:]):
        numbers = numbers[:8]
    if len(numbers) not in (4, 5, 8):
        raise ForeignError(
            f"{name}: {len(numbers)} numbers; a pinhole model has 4, 5 or 8: k1 k2 p1 p2 [k3 [k4 k5 k6]]"
        )
    return tuple(numbers)


def kind(name: str) -> str | None:
    """`visible` or `infrared`, by a camera's name; None if it is ambiguous."""
    name = re.sub(r"[_/\d]", " ", name.lower())
    infrared, visible = bool(_INFRARED.search(name)), bool(_VISIBLE.search(name))
    return None if infrared == visible else "infrared" if infrared else "visible"
