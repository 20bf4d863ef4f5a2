"""The rig file: relative pose of the infrared and the visible camera, and the pixel map computed from it.

A rig is either full (both cameras' intrinsics, their pose, and the distance of a plane parallel to the visible image)
or a homography. Conventions are OpenCV's: pixel centres at integers, x right, y down, z forward, metres;
`x_infrared = rotation @ x_visible + translation`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator

from .atomic import write_atomic
from .foreign import Foreign, ForeignError, Size, read_foreign
from .lens import distort, undistort
from .recording import own_rig
from .yaml_file import Versioned, YamlFileError, explain, read_yaml

Array = npt.NDArray[np.float64]
Map = npt.NDArray[np.float32]
Number = Annotated[float, Field(allow_inf_nan=False)]
Vector3 = tuple[Number, Number, Number]
Matrix3 = tuple[Vector3, Vector3, Vector3]
Side = Annotated[int, Field(gt=0, le=16384)]  # the maps are fixed-point with 16-bit integer parts

OUTSIDE = -1e4
"""Value of a map, in x and y, for pixels outside the infrared view."""

_HEAD = "# Visible and infrared camera. OpenCV conventions, metres; x_infrared = rotation @ x_visible + translation"
_FULL = ("rotation", "translation", "distance")
_STRIP = 1 << 18  # pixels mapped at once, to limit the memory for intermediate results


class RigError(Exception):
    """A rig file cannot be used. One line: the file or setting, what is wrong, what to do."""


class CameraModel(BaseModel):
    """One camera: image size in pixels and, for a full rig, pinhole intrinsics and distortion.

    intrinsics: [fx, fy, cx, cy] in pixels. distortion: OpenCV's k1 k2 p1 p2 [k3 [k4 k5 k6]], empty for none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: Side
    height: Side
    intrinsics: tuple[Number, Number, Number, Number] | None = None
    distortion: tuple[Number, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.width, self.height

    def resized(self, size: tuple[int, int]) -> CameraModel:
        """The same camera at another image size (width, height), of any aspect ratio: pixels need not be square.

        Pixel centres lie at integers, so c' = (c + ½) s - ½.
        """
        update: dict[str, Any] = {"width": size[0], "height": size[1]}
        if self.intrinsics is not None:
            fx, fy, cx, cy = self.intrinsics
            sx, sy = size[0] / self.width, size[1] / self.height
            update["intrinsics"] = (fx * sx, fy * sy, (cx + 0.5) * sx - 0.5, (cy + 0.5) * sy - 0.5)
        return self.model_copy(update=update)

    @field_validator("intrinsics")
    @classmethod
    def _focal(cls, value: tuple[float, float, float, float] | None) -> tuple[float, float, float, float] | None:
        if value is not None and min(value[:2]) <= 0:
            raise ValueError(
                "fx and fy are focal lengths in pixels and must be positive; the order is [fx, fy, cx, cy]"
            )
        return value

    @field_validator("distortion")
    @classmethod
    def _count(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(value) not in (0, 4, 5, 8):
            raise ValueError(f"{len(value)} numbers; OpenCV's models have 4, 5 or 8: k1 k2 p1 p2 [k3 [k4 k5 k6]]")
        return value

    @model_validator(mode="after")
    def _lens(self) -> CameraModel:
        if any(self.distortion) and self.intrinsics is None:
            raise ValueError("distortion needs intrinsics: give [fx, fy, cx, cy], or leave distortion out")
        return self


class SceneRecord(BaseModel):
    """Reliability of a scene calibration.

    error_px: from halves of the pairs, without errors that all have in common; None with fewer than four pairs.
    partners: None if all frames look alike.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pairs: int = Field(ge=1)
    used: int = Field(ge=0, description="pairs that agree with the result individually")
    parts: Number = Field(ge=0, le=1, description="share of the image's parts that agree")
    error_px: Number | None = Field(None, ge=0, description="scatter of the visible corners, visible pixels")
    partners: Number | None = Field(None, description="lead of true over exchanged partners, standard deviations")


class EdgeRecord(BaseModel):
    """Displacement of infrared at calibration, from edges that both cameras saw: reference of the drift monitor."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pairs: int = Field(ge=1, description="pairs that say it")
    shift_px: tuple[Number, Number] = Field(
        description="(x, y) in visible pixels; not 0 where scenes are off the plane"
    )
    spread_px: Number = Field(ge=0, description="the farthest that any of them lay from there, visible pixels")
    agreement: Number = Field(gt=0, description="how strongly the edges agree")

    def scaled(self, factor: float) -> EdgeRecord:
        """The same for a visible image `factor` times as wide."""
        (x, y), spread = self.shift_px, self.spread_px
        return self.model_copy(update={"shift_px": (x * factor, y * factor), "spread_px": spread * factor})


class Rig(Versioned):
    """A rig file: intrinsics and extrinsics of both cameras, or a homography alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    visible: CameraModel
    infrared: CameraModel
    rotation: Matrix3 | None = None
    translation: Vector3 | None = None
    distance: Number | None = Field(None, gt=0, description="metres from the visible camera to the aligned plane")
    homography: Matrix3 | None = Field(None, description="visible pixel to infrared pixel")
    time_offset_ms: Number | None = Field(
        None, description="of two recordings: added to infrared times gives visible times; used only where asked for"
    )
    scene: SceneRecord | None = Field(None, description="what a calibration from the scene found; for the reader")
    edges: EdgeRecord | None = Field(None, description="how edges agreed at the calibration; for the drift monitor")
    _read: Foreign | None = PrivateAttr(None)

    @property
    def foreign(self) -> bool:
        """Whether it was read from another tool's file."""
        return self._read is not None

    @property
    def notes(self) -> list[str]:
        """What was filled in where the rig was read from another tool's file, one line each."""
        return [] if self._read is None else self._read.notes

    @property
    def doubts(self) -> list[str]:
        """What was assumed then and may be wrong, one line each."""
        return [] if self._read is None else self._read.doubts

    @field_validator("rotation")
    @classmethod
    def _rotates(cls, value: Matrix3 | None) -> Matrix3 | None:
        if value is None:
            return value
        r = np.array(value)
        error = float(np.abs(r @ r.T - np.eye(3)).max())
        if error > 1e-3:
            raise ValueError(f"rows are not orthonormal (off by {error:.2g}); give a rotation matrix")
        if np.linalg.det(r) < 0:
            raise ValueError("determinant is -1, a mirror image; give a rotation matrix (determinant +1)")
        return value

    @field_validator("homography")
    @classmethod
    def _inverts(cls, value: Matrix3 | None) -> Matrix3 | None:
        if value is not None:
            h = np.array(value)
            scale = np.abs(h).max()
            singular = np.linalg.svd(h / scale, compute_uv=False) if scale else np.zeros(3)
            if singular[2] < 1e-12:
                raise ValueError("not invertible; give the 3x3 matrix that takes visible pixels to infrared pixels")
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Rig:
        given = [name for name in _FULL if getattr(self, name) is not None]
        given += [f"{c}.intrinsics" for c in ("visible", "infrared") if getattr(self, c).intrinsics is not None]
        if self.homography is not None:
            if given:
                raise ValueError(f"homography stands alone, yet {', '.join(given)} is given too; keep one of the two")
            if abs(self._depth_at_centre()) < 1e-9:
                raise ValueError("homography: sends the visible image's centre to infinity; calibrate again")
            return self
        wanted = ("visible.intrinsics", "infrared.intrinsics", *_FULL)
        missing = [name for name in wanted if name not in given]
        if missing:
            either = "or give a homography alone" if given else f"give {', '.join(wanted)}, or a homography alone"
            raise ValueError(f"{', '.join(missing)} missing; {either}")
        return self

    def for_sizes(self, visible_size: tuple[int, int], infrared_size: tuple[int, int]) -> Rig:
        """The rig for the same cameras at another image size, both as (width, height).

        Raises RigError where a size has another aspect ratio than the rig's (beyond two pixels' rounding), since then
        it is not known what was cropped.
        """
        if visible_size == self.visible.size and infrared_size == self.infrared.size:
            return self
        visible = _resized(self.visible, visible_size, "visible")
        infrared = _resized(self.infrared, infrared_size, "infrared")
        update: dict[str, Any] = {"visible": visible, "infrared": infrared}
        if self.edges is not None:
            update["edges"] = self.edges.scaled(visible_size[0] / self.visible.width)
        if self.homography is not None:
            h = scaling(self.infrared.size, infrared_size) @ np.array(self.homography)
            h = h @ np.linalg.inv(scaling(self.visible.size, visible_size))
            update["homography"] = tuple(tuple(row) for row in h.tolist())
        return self.model_copy(update=update)

    def at_distance(self, metres: float) -> Rig:
        """The same rig aligned at `metres` from the visible camera. Raises RigError for a homography rig.

        `edges` were recorded at the old distance and are left out, unless it is the same.
        """
        if self.homography is not None:
            raise RigError("distance: a homography is aligned at one distance only; use a rig with intrinsics and pose")
        if not (np.isfinite(metres) and metres > 0):
            raise RigError(f"distance: {metres:g} m is not a distance; give metres above 0")
        edges = self.edges if metres == self.distance else None
        return self.model_copy(update={"distance": float(metres), "edges": edges})

    def map(self) -> tuple[Map, Map]:
        """Infrared pixel for every visible pixel: x and y, (H, W) float32 each, of the visible size, for cv2.remap.

        Full rig: x = project(R (Z undistort(p)) + t), Z the distance of the plane. Pixels whose point lies behind the
        infrared camera, beyond a lens model's valid radius, or more than an image size outside hold OUTSIDE in both.
        """
        width, height = self.visible.size
        map_x, map_y = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
        rows = max(1, _STRIP // width)
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            v, u = np.mgrid[top:bottom, 0:width].astype(np.float64)
            x, y = self._through_plane(u, v) if self.homography is not None else self._through_pose(u, v)
            w, h = self.infrared.size
            with np.errstate(invalid="ignore"):
                near = (np.abs(x - w / 2) < 1.5 * w) & (np.abs(y - h / 2) < 1.5 * h)
            map_x[top:bottom] = np.where(near, x, OUTSIDE)
            map_y[top:bottom] = np.where(near, y, OUTSIDE)
        return map_x, map_y

    def parallax_px(self, z: float) -> float:
        """Parallax in infrared pixels of an object `z` metres away when the images are aligned at `distance`.

        Taken on the ray through the visible image's centre; for parallel cameras it is e = f B |1/z - 1/distance|.
        NaN where the infrared camera does not see it. Raises RigError for a homography rig, which has no distances.
        """
        if self.homography is not None:
            raise RigError("homography: parallax needs a rig with intrinsics, rotation, translation and distance")
        u, v = np.array([(self.visible.width - 1) / 2]), np.array([(self.visible.height - 1) / 2])
        x, y = self._through_pose(u, v)
        x_z, y_z = self.at_distance(z)._through_pose(u, v)
        return float(np.hypot(x_z - x, y_z - y)[0])

    def _depth_at_centre(self) -> float:
        h = np.array(self.homography)
        u, v = (self.visible.width - 1) / 2, (self.visible.height - 1) / 2
        return float(h[2] @ (u, v, 1.0) / np.abs(h).max())

    def _through_plane(self, u: Array, v: Array) -> tuple[Array, Array]:
        h = np.array(self.homography) * np.sign(self._depth_at_centre())  # a homography's own sign means nothing
        z = h[2, 0] * u + h[2, 1] * v + h[2, 2]
        z = np.where(z > 0, z, np.nan)
        return (h[0, 0] * u + h[0, 1] * v + h[0, 2]) / z, (h[1, 0] * u + h[1, 1] * v + h[1, 2]) / z

    def _through_pose(self, u: Array, v: Array) -> tuple[Array, Array]:
        assert self.visible.intrinsics and self.infrared.intrinsics and self.distance  # held by the validator
        fx, fy, cx, cy = self.visible.intrinsics
        x, y = undistort((u - cx) / fx, (v - cy) / fy, self.visible.distortion)
        r, t = np.array(self.rotation), np.array(self.translation) / self.distance
        z = r[2, 0] * x + r[2, 1] * y + r[2, 2] + t[2]
        z = np.where(z > 1e-6, z, np.nan)
        x, y = (r[0, 0] * x + r[0, 1] * y + r[0, 2] + t[0]) / z, (r[1, 0] * x + r[1, 1] * y + r[1, 2] + t[1]) / z
        x, y = distort(x, y, self.infrared.distortion)
        fx, fy, cx, cy = self.infrared.intrinsics
        return fx * x + cx, fy * y + cy


def load_rig(path: Path, sizes: tuple[Size, Size] | None = None, distance: float | None = None) -> Rig:
    """Read a rig file, or another tool's calibration (see `foreign`).

    Args:
        path: the file, or a folder with another tool's files.
        sizes: (width, height) of visible and infrared frames, taken where another tool's file has none.
        distance: metres at which the two images are aligned, in place of the file's.

    Raises:
        RigError: one line, naming the file and the field.
    """
    try:
        own = own_rig(path)
        foreign = None if own is not None else read_foreign(path, sizes, distance)
        data = own if own is not None else read_yaml(path) if foreign is None else foreign.data
    except ForeignError as e:
        raise RigError(f"{path}: {e}") from e
    except YamlFileError as e:
        raise RigError(f"{path}: {e}; give a rig file of `fusecam calibrate`, or another tool's calibration") from e
    if not isinstance(data, dict):
        raise RigError(f"{path}: a rig file is a mapping of settings, this holds a {type(data).__name__}")
    try:
        rig = Rig.model_validate(data)
    except ValidationError as e:
        raise RigError(f"{path}: {_explain(e)}") from e
    if foreign is not None:
        foreign.notes = [f"{path}: {note}" for note in foreign.notes]
        foreign.doubts = [f"{path}: {doubt}" for doubt in foreign.doubts]
        rig._read = foreign
        return rig
    return rig if distance is None else rig.at_distance(distance)


def save_rig(rig: Rig, path: Path) -> None:
    """Write a rig file, whole or not at all. Raises RigError where the place cannot be written."""
    content = rig.model_dump(mode="json", exclude_none=True)
    text = f"{_HEAD}\n{yaml.dump(content, sort_keys=False, default_flow_style=None, width=100)}"
    write_atomic(path, text.encode(), RigError)


def scaling(size: Size, to: Size) -> Array:
    """(3, 3): pixels of an image of `size` (width, height) to those of the same image at size `to`."""
    sx, sy = to[0] / size[0], to[1] / size[1]
    return np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]])


def _resized(camera: CameraModel, size: tuple[int, int], name: str) -> CameraModel:
    width, height = size
    if abs(width - camera.width * height / camera.height) > 2:
        raise RigError(
            f"rig: the {name} camera was calibrated at {camera.width}x{camera.height}, frames are {width}x{height}: "
            "another aspect ratio; calibrate at that size"
        )
    return camera.resized(size)


_MOST_LISTED = 3


def _explain(error: ValidationError) -> str:
    """The error on one line. For a file of another kind only a few of its unknown keys are listed."""
    unknown = [str(problem["loc"][0]) for problem in error.errors() if problem["type"] == "extra_forbidden"]
    if len(unknown) > _MOST_LISTED:
        return (
            f"is not a rig file: it holds {', '.join(unknown[:_MOST_LISTED])} and {len(unknown) - _MOST_LISTED} more "
            f"unknown keys; known are {', '.join(Rig.model_fields)}, and the calibrations of OpenCV, ROS and Kalibr"
        )
    return explain(error, Rig)
