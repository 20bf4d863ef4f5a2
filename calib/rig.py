"""The rig file: how the infrared and the visible camera stand to each other, and the map that follows.

A rig is either full (both cameras' intrinsics, their pose, and the distance of a plane parallel to the visible image)
or a homography. Conventions are OpenCV's: pixel centres at integers, x right, y down, z forward, metres;
`x_infrared = rotation @ x_visible + translation`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Array = npt.NDArray[np.float64]
Vector3 = tuple[float, float, float]
Matrix3 = tuple[Vector3, Vector3, Vector3]


class RigError(Exception):
    """A rig file cannot be used. One line: the file or setting, what is wrong, what to do."""


class CameraModel(BaseModel):
    """One camera: image size in pixels and, for a full rig, pinhole intrinsics and distortion.

    intrinsics: [fx, fy, cx, cy] in pixels. distortion: OpenCV's k1 k2 p1 p2 [k3 [k4 k5 k6]], empty for none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(gt=0)
    height: int = Field(gt=0)
    intrinsics: tuple[float, float, float, float] | None = None
    distortion: Annotated[tuple[float, ...], Field(max_length=8)] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.width, self.height


class Rig(BaseModel):
    """A rig file's content, version 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    visible: CameraModel
    infrared: CameraModel
    rotation: Matrix3 | None = None
    translation: Vector3 | None = None
    distance: float | None = Field(None, gt=0, description="metres from the visible camera to the aligned plane")
    homography: Matrix3 | None = Field(None, description="visible pixel to infrared pixel")
    time_offset_ms: float | None = Field(None, description="added to infrared times gives visible times")
