"""`fusecam calibrate points`: a rig file from points picked by hand, in a table or on a page."""

from __future__ import annotations

import csv
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console

from ...calib.board import CalibrationError
from ...calib.points import PointFit, fit_points
from ...calib.rig import save_rig
from ...engines.host.terminal import say
from ..config import MonitorConfig, SourceConfig
from ..core.frames import Camera
from ..errors import InputError
from ..monitoring.address import parse_address
from ..monitoring.watch import check_watching, page_tokens, reachable
from ..run.console import INTERRUPTED, interruptible
from ..run.streams import frame_size
from ..sources import open_source
from .pairs import collected
from .target import Cameras

COLUMNS = ("x_vis", "y_vis", "x_ir", "y_ir")
_TOLD = 3
_SHOWN = 12  # pairs to choose from
_LOOK_S = 0.2


def calibrate_points(cameras: Cameras, out: Path, table: Path | None, serve: str | None, console: Console) -> int:
    """Take the points of a table, or have them picked; fit, say how well, write.

    table: the points, None to pick all. serve: address of the page; None: no page where there is a table.
    Returns the exit code, 3 where nothing checks the points. Raises InputError for what cannot be read, written or
    served, and CalibrationError where the points do not determine a rig; nothing is written then.
    """
    cameras.check_target(out, table)
    points = np.zeros((0, len(COLUMNS))) if table is None else read_points(table)
    if table is None or serve is not None:
        fit = _picked(cameras, out, serve or ":0", points, console)
        if fit is None:
            return INTERRUPTED
    else:
        if cameras.pairs is not None or cameras.offset_ms is not None:
            raise InputError("--pairs and --offset-ms are for picking on a page: give --serve too, or leave them out")
        sizes = _size(cameras.visible, "visible"), _size(cameras.infrared, "infrared")
        try:
            fit = fit_points(points[:, :2], points[:, 2:], sizes)
        except CalibrationError as error:
            raise CalibrationError(f"{table}: {error}") from error
        save_rig(fit.rig, out)
    _report(fit, console)
    say(console, f"rig: {out}, for distant objects; judge it by eye: {cameras.view_command(out)}")
    return 3 if len(fit.residuals) == 4 else 0


def _picked(
    cameras: Cameras, out: Path, serve: str, points: npt.NDArray[np.float64], console: Console
) -> PointFit | None:
    """Serve the page until the rig is saved. None if the user interrupted."""
    from .pick.server import PickPage  # aiohttp is needed only for the page

    config = MonitorConfig(serve=serve)
    check_watching(config)
    address = parse_address("--serve", serve)
    token, watch_token, end = page_tokens(config, address)
    pairs = collected(cameras.opened(console), _SHOWN, console, fewest=1, colour=True)
    if pairs is None:
        return None
    if len({(visible.shape, infrared.shape) for visible, infrared in zip(*pairs, strict=True)}) > 1:
        raise CalibrationError(f"{cameras.visible}, {cameras.infrared}: images differ in size; give images of one size")
    fits: list[PointFit] = []

    def save(fit: PointFit) -> None:
        save_rig(fit.rig, out)
        fits.append(fit)

    complain = partial(say, console, kind="warning")
    with interruptible() as stop, ExitStack() as stack:
        page = PickPage(address, token, watch_token, [*zip(*pairs, strict=True)], points, save, complain)
        stack.callback(page.close)
        say(console, f"pick points: http://{reachable(page.address)}{end}  Ctrl-C ends it without a rig")
        while not page.saved.wait(_LOOK_S):
            if stop.is_set():
                return None
    return fits[0]


def _report(fit: PointFit, console: Console) -> None:
    if len(fit.residuals) == 4:
        say(console, "4 points fit any homography, so a wrong one cannot be detected; pick more", "doubtful")
    else:
        rms, order = float(np.sqrt(np.mean(fit.residuals**2))), np.argsort(-fit.residuals)[:_TOLD]
        worst = ", ".join(f"point {k + 1} {fit.residuals[k]:.1f}" for k in order)
        say(console, f"{len(fit.residuals)} points, {rms:.1f} infrared pixels RMS; worst: {worst}")
    say(console, f"1 pixel of error in each point moves a corner of the image by {fit.corner_px:.1f} infrared pixels")


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
    with closing(open_source(spec, camera, SourceConfig())) as source:
        return frame_size(source)
