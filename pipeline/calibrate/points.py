"""`fusecam calibrate points`: a rig file from points picked by hand."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console

from ...calib.board import CalibrationError
from ...calib.points import fit_points
from ...calib.rig import save_rig
from ...engines.host.terminal import say
from ..config import SourceConfig
from ..core.frames import Camera
from ..errors import InputError
from ..sources import open_source
from .target import check_target

COLUMNS = ("x_vis", "y_vis", "x_ir", "y_ir")
_TOLD = 3


def calibrate_points(table: Path, infrared: str, visible: str, out: Path, console: Console) -> int:
    """Fit, say how well, write. Returns the exit code, 3 where nothing checks the points.

    Raises InputError, and CalibrationError where the points do not determine a rig; nothing is written then.
    """
    check_target(out, infrared, visible, str(table))
    points = read_points(table)
    sizes = _size(visible, "visible"), _size(infrared, "infrared")
    try:
        fit = fit_points(points[:, :2], points[:, 2:], sizes)
    except CalibrationError as error:
        raise CalibrationError(f"{table}: {error}") from error
    save_rig(fit.rig, out)
    rms, order = float(np.sqrt(np.mean(fit.residuals**2))), np.argsort(-fit.residuals)[:_TOLD]
    worst = ", ".join(f"point {k + 1} {fit.residuals[k]:.1f}" for k in order)
    exact = len(points) == 4
    if exact:
        say(console, f"{table}: 4 points fit any homography: no residual tells a wrong one; pick more", "doubtful")
    else:
        say(console, f"{len(points)} points, {rms:.1f} infrared pixels RMS; worst: {worst}")
    say(console, f"1 pixel of error in each point moves a corner of the image by {fit.corner_px:.1f} infrared pixels")
    say(console, f"rig: {out}, for distant objects; judge it by eye: fusecam view-rig --rig {out}")
    return 3 if exact else 0


def read_points(path: Path) -> npt.NDArray[np.float64]:
    """(N, 4) of a CSV with the columns of `COLUMNS`, in any order under a header, else in this one. InputError."""
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(path.read_text("utf-8-sig").splitlines())]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    places = list(range(len(COLUMNS)))
    numbers: list[list[float]] = []
    for line, row in enumerate(rows, start=1):
        if not any(row) or row[0].startswith("#"):
            continue
        if not numbers and set(COLUMNS) <= set(row):
            places = [row.index(name) for name in COLUMNS]
            continue
        try:
            values = [float(row[place]) for place in places]
        except (ValueError, IndexError):
            values = []
        if not values or not np.isfinite(values).all():
            raise InputError(f"{path}: line {line}: four numbers are needed, {','.join(COLUMNS)}")
        numbers.append(values)
    return np.array(numbers, np.float64).reshape(-1, len(COLUMNS))


def _size(spec: str, camera: Camera) -> tuple[int, int]:
    source = open_source(spec, camera, SourceConfig())
    source.close()
    return source.info.width, source.info.height
