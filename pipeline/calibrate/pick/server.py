"""The page on which points are picked: pairs of both cameras side by side, what is picked, how well it fits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from aiohttp import web

from ....calib.board import CalibrationError
from ....calib.points import PointFit, fit_points
from ....calib.rig import RigError
from ...core.frames import Pixels
from ...monitoring import page
from ...monitoring.address import Address
from ...monitoring.guard import Guard
from ...monitoring.http import add_files, json_object
from ...monitoring.site import Site

MOST = 500
"""Points."""
_CAMERAS = ("visible", "infrared")
Rows = npt.NDArray[np.float64]


class PickPage(Site):
    """Serves the page until it is closed.

    Attributes:
        saved: set once the rig is written.
        points: (N, 4) as picked so far: x and y in the visible, then in the infrared image.
    """

    def __init__(
        self,
        address: Address,
        token: str | None,
        watch_token: str | None,
        pairs: Sequence[tuple[Pixels, Pixels]],
        points: Rows,
        save: Callable[[PointFit], object],
        complain: Callable[[str], None],
    ) -> None:
        """Begin to serve, see `Site`; the tokens as for `PageServer`. Raises InputError where it cannot listen.

        Args:
            pairs: RGB and infrared, uint8, one at least, all of the same sizes.
            points: to begin with, of the first pair.
            save: writes the rig; may raise RigError.
        """
        self._pairs, self._save = pairs, save
        self._rows = np.column_stack([np.zeros(len(points)), points])
        self.saved = threading.Event()
        guard = Guard(token, watch_token=watch_token)
        app = web.Application(middlewares=[guard.middleware], client_max_size=1 << 16)
        add_files(app.router, files(__package__))
        add_files(app.router, files(page), "page.css", "draw.js")
        app.router.add_get("/start", self._state)
        app.router.add_get("/pairs/{pair:\\d{1,3}}/{camera:visible|infrared}", self._picture)
        app.router.add_post("/points", self._points)
        app.router.add_post("/save", self._write)
        super().__init__("--serve", address, app, guard, complain)

    @property
    def points(self) -> Rows:
        """The points picked so far, see the class."""
        return self._rows[:, 1:]

    def _fit(self) -> PointFit:
        sizes = [(image.shape[1], image.shape[0]) for image in self._pairs[0]]
        return fit_points(self.points[:, :2], self.points[:, 2:], (sizes[0], sizes[1]))

    async def _state(self, request: web.Request) -> web.Response:
        """`pairs`: their number. `points`: as in `_points`."""
        return web.json_response({"pairs": len(self._pairs), "points": self._rows.tolist()})

    async def _picture(self, request: web.Request) -> web.Response:
        pair, camera = int(request.match_info["pair"]), request.match_info["camera"]
        if pair >= len(self._pairs):
            raise web.HTTPNotFound(text="no such pair\n")
        image = self._pairs[pair][_CAMERAS.index(camera)]
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
        return web.Response(body=cv2.imencode(".png", bgr)[1].tobytes(), content_type="image/png")

    async def _points(self, request: web.Request) -> web.Response:
        """In: `{"points": [[pair, x_vis, y_vis, x_ir, y_ir], ...]}`, all of them. Out: `residuals` in infrared pixels,
        and `corner_px`, see `PointFit`; or, where they determine no rig, `trouble`, a line."""
        given = (await json_object(request)).get("points")
        self._rows = _rows(given, len(self._pairs))
        try:
            fit = self._fit()
        except CalibrationError as error:
            return web.json_response({"trouble": str(error)})
        return web.json_response({"residuals": fit.residuals.tolist(), "corner_px": fit.corner_px})

    async def _write(self, request: web.Request) -> web.Response:
        """Write the rig of the points that were sent last; 400 with the reason, in one line, where it cannot be."""
        await json_object(request)
        try:
            self._save(self._fit())
        except (CalibrationError, RigError) as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        self.saved.set()
        return web.Response(status=204)


def _rows(given: Any, pairs: int) -> Rows:
    try:
        rows = np.array(given, np.float64).reshape(-1, 5)
    except (TypeError, ValueError):
        rows = np.full((1, 5), np.nan)
    if len(rows) > MOST or not np.isfinite(rows).all() or not np.isin(rows[:, 0], np.arange(pairs)).all():
        raise web.HTTPBadRequest(text=f"points are up to {MOST} rows of pair, x_vis, y_vis, x_ir, y_ir\n")
    return rows
