"""The run's figures for Prometheus, computed on request, at no cost to the run."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from typing import get_args

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ...engines.host.terminal import redact
from ..core.health import CAMERA_COUNTERS, CAMERAS, RUN_COUNTERS, State
from ..core.machine import version
from .address import Address
from .guard import Guard
from .site import Site
from .view import RunView

BOUNDS_MS = (0.5, 1, 2, 5, 10, 15, 20, 33, 50, 100, 200, 500, 1000, 2000, 5000)
"""Bucket bounds of the latency histograms; 33 and 50 are the frame periods of 30 and 20 fps."""


class RunCollector(Collector):
    """Counters only rise over a run; a new run starts from 0, as Prometheus expects of a restarted process."""

    def __init__(self, view: RunView) -> None:
        self._view = view

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        yield from self._cameras()
        yield from self._run()
        yield self._stages()

    def _cameras(self) -> Iterator[Metric]:
        health = self._view.health_of_run
        counters = {camera: health.counters(camera) for camera in CAMERAS}
        for name, meaning in CAMERA_COUNTERS.items():
            counter = CounterMetricFamily(f"fusecam_camera_{name}", meaning.capitalize(), labels=["camera"])
            for camera in CAMERAS:
                counter.add_metric([camera], counters[camera][name])
            yield counter
        states = GaugeMetricFamily("fusecam_camera_state", "1: the camera's current state", labels=["camera", "state"])
        ages = GaugeMetricFamily(
            "fusecam_camera_last_frame_age_seconds", "Time since the camera's last new picture", labels=["camera"]
        )
        for camera in CAMERAS:
            now = health.state(camera)
            for state in get_args(State):
                states.add_metric([camera, state], state == now)
            age = health.last_frame_age_s(camera)
            if age is not None:
                ages.add_metric([camera], age)
        yield states
        yield ages

    def _run(self) -> Iterator[Metric]:
        view, health = self._view, self._view.health_of_run
        about = {"version": version("fusecam") or "", "engine": view.engine(), "detector": view.detector() or ""}
        yield InfoMetricFamily("fusecam", "What runs", value={name: _label(text) for name, text in about.items()})
        for name, count in health.run_counters().items():
            family = f"fusecam_frames_{name}" if name == "out" else f"fusecam_{name}"
            yield CounterMetricFamily(family, RUN_COUNTERS[name].capitalize(), count)
        gauges = {
            "fusecam_shown_frame_age_seconds": ("Age of the last frame at the outputs", health.shown_age_s()),
            "fusecam_oldest_shown_seconds": ("Largest age of a frame at output", health.oldest_shown_s()),
            "fusecam_haze_density": ("Mean haze density of the newest frame, 0 to 1", view.haze),
            "fusecam_illumination": ("Mean illumination of the newest frame, 0 to 1", view.illumination),
        }
        for gauge, (meaning, value) in gauges.items():
            if value is not None:
                yield GaugeMetricFamily(gauge, meaning, value)
        found = CounterMetricFamily("fusecam_detections", "Boxes by class", labels=["class"])
        for label, number in view.detections().items():
            found.add_metric([_label(label)], number)
        yield found

    def _stages(self) -> Metric:
        family = HistogramMetricFamily("fusecam_stage_seconds", "Latency of each stage", labels=["stage"])
        for stage, histogram in self._view.recorder.histograms([round(bound * 1e6) for bound in BOUNDS_MS]).items():
            edges = [*(str(bound / 1000) for bound in BOUNDS_MS), "+Inf"]
            counts = [*histogram.below, histogram.count]
            family.add_metric([stage], list(zip(edges, counts, strict=True)), histogram.total * 1e-9)
        return family


def _label(text: str) -> str:
    """A label value that UTF-8 can encode, without secrets."""
    return redact(text).encode("utf-8", "backslashreplace").decode()


class MetricsEndpoint(Site):
    """`http://ADDRESS/metrics` until it is closed, https with `tls`. Raises InputError where it cannot listen.

    complain: called with error messages.

    On loopback it answers to this machine's own names, elsewhere also to addresses and to the name it listens at.
    """

    def __init__(
        self, address: Address, view: RunView, complain: Callable[[str], None], tls: ssl.SSLContext | None = None
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(RunCollector(view))
        guard = Guard(None, open_at=address)
        app = web.Application(middlewares=[guard.middleware], client_max_size=4096)
        app.router.add_get("/metrics", self._answer)
        super().__init__("--metrics", address, app, guard, complain, tls)

    async def _answer(self, request: web.Request) -> web.Response:
        encode, kind = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": kind})
