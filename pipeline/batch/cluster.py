"""`fusecam batch --ray`: the clips of a batch over the machines of a Ray cluster, to the same bits as without it.

One worker for each group of cores, or for each GPU where the cluster has any; each builds its engine once and takes one
clip after the other. Clips, rig, weights and results are on storage that all machines see under the same paths; only
names travel. A clip whose worker dies, or that fails, is tried again on another machine.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ...engines.host.terminal import markup
from ..config import RunConfig
from ..core.machine import version
from ..errors import InputError, expected_errors
from ..options import THIS_CLUSTER
from .clips import Clip, Row, line
from .worker import ClipWorker

CORES = 2
"""Cores for each worker, unless told otherwise."""
ATTEMPTS = 3
"""How often a clip is tried, and how often in a row a worker may die before its place is given up."""
POLL_S = 0.2
ANSWER_S = 10.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """address: as Ray takes it, or THIS_CLUSTER. cores: for each worker."""

    address: str
    cores: int = CORES


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker may run. node: Ray's id of the machine. name: what people call it."""

    node: str
    name: str
    cores: int
    gpus: int


@dataclass(slots=True)
class _Worker:
    place: Place
    actor: Any
    deaths: int = 0


@dataclass(slots=True)
class _Job:
    """A clip and what was tried: attempts, and the machines that failed at it."""

    clip: Clip
    attempts: int = 0
    failed_on: set[str] = field(default_factory=set)


def run_clips(
    clips: Sequence[Clip], config: RunConfig, force: bool, stop: threading.Event, console: Console, cluster: Cluster
) -> list[Row]:
    """Run the clips over the cluster; one row for each that was reached, in the order of the clips.

    Raises InputError where there is no such cluster, or none of its machines can run a clip.
    """
    with _connected(cluster.address) as ray:
        found = places(ray.nodes(), cluster.cores)
        if not found:
            raise InputError(f"--ray: no machine of the cluster has {cluster.cores} cores; give fewer by --ray-cores")
        machines = len({place.node for place in found})
        console.print(f"cluster: {len(found)} workers on {machines} machine(s)", highlight=False)
        return _Dispatch(ray, clips, config, force, stop, console).run(found[: len(clips)])


def places(nodes: Sequence[dict[str, Any]], cores: int) -> list[Place]:
    """Where workers go, spread over the machines: for each GPU where any machine has one, else for each `cores` cores.

    nodes: as `ray.nodes()` tells them. Machines without a GPU are left out beside those with one: they would take many
    times as long, and their engine rounds otherwise.
    """
    found: list[list[Place]] = []
    alive = [node for node in nodes if node["Alive"]]
    on_gpus = any(node["Resources"].get("GPU", 0) >= 1 for node in alive)
    for node in alive:
        cpus, gpus = int(node["Resources"].get("CPU", 0)), int(node["Resources"].get("GPU", 0))
        number = min(gpus, cpus) if on_gpus else cpus // cores
        size = max(1, min(cores, cpus // max(gpus, 1))) if on_gpus else cores
        place = Place(node["NodeID"], node["NodeManagerHostname"], size, int(on_gpus))
        found.append([place] * number)
    longest = max(map(len, found), default=0)
    return [on_node[i] for i in range(longest) for on_node in found if i < len(on_node)]


class _Dispatch:
    """Gives clips to workers until all are done. One thread."""

    def __init__(
        self,
        ray: Any,
        clips: Sequence[Clip],
        config: RunConfig,
        force: bool,
        stop: threading.Event,
        console: Console,
    ) -> None:
        self._ray, self._config, self._force, self._stop, self._console = ray, config, force, stop, console
        self._order = [clip.name for clip in clips]
        self._waiting = deque(_Job(clip) for clip in clips)
        self._workers: list[_Worker] = []
        self._idle: list[_Worker] = []
        self._running: dict[Any, tuple[_Worker, _Job | None]] = {}
        self._rows: dict[str, Row] = {}
        self._refusal = ""
        self._stopping = False

    def run(self, found: Sequence[Place]) -> list[Row]:
        """See `run_clips`."""
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task("clips", total=len(self._order))
            for place in found:
                self._hire(place)
            while (self._waiting or self._at_work()) and self._workers:
                self._give_out()
                done, _ = self._ray.wait(list(self._running), timeout=POLL_S)
                for reference in done:
                    self._take(reference, *self._running.pop(reference))
                if self._stop.is_set():
                    self._end()
                names = ", ".join(job.clip.name for _, job in self._running.values() if job is not None)
                progress.update(task, completed=len(self._rows), description=markup(names) or "starting workers")
        if not self._workers and self._refusal and not self._rows:
            raise InputError(f"--ray: no worker could be started: {self._refusal}")
        self._check_engines()
        return [self._rows[name] for name in self._order if name in self._rows]

    def _at_work(self) -> bool:
        return any(job is not None for _, job in self._running.values())

    def _hire(self, place: Place, deaths: int = 0) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        actor = (
            self._ray.remote(ClipWorker)
            .options(
                num_cpus=place.cores,
                num_gpus=place.gpus,
                max_concurrency=2,  # a clip, and the order to stop
                scheduling_strategy=NodeAffinitySchedulingStrategy(place.node, soft=False),
            )
            .remote(self._config, place.cores)
        )
        worker = _Worker(place, actor, deaths)
        self._workers.append(worker)
        self._running[actor.ready.remote()] = worker, None

    def _give_out(self) -> None:
        """A clip for every idle worker; one that failed on a machine goes to another as long as there is one."""
        nodes = {worker.place.node for worker in self._workers}
        for worker in list(self._idle):
            for job in self._waiting:
                if worker.place.node not in job.failed_on or nodes <= job.failed_on:
                    self._waiting.remove(job)
                    self._idle.remove(worker)
                    self._running[worker.actor.run.remote(job.clip, self._force)] = worker, job
                    break

    def _take(self, reference: Any, worker: _Worker, job: _Job | None) -> None:
        """What has come of a worker's start, or of a clip."""
        from ray.exceptions import RayActorError, RayTaskError

        try:
            answer = self._ray.get(reference)
        except RayActorError as error:
            self._lost(worker, job, " ".join(str(error).split())[:200])
            return
        except RayTaskError as error:
            if job is None and isinstance(error.cause, expected_errors()):
                self._dismiss(worker, str(error.cause))
                return
            raise
        if job is None:
            here = version("fusecam")
            if answer != here:
                self._dismiss(worker, f"{worker.place.name} has fusecam {answer}, not {here}; install the same")
                return
        else:
            worker.deaths = 0
            self._judge(worker, job, answer)
        self._idle.append(worker)

    def _judge(self, worker: _Worker, job: _Job, row: Row) -> None:
        """Keep a clip's row, or try it elsewhere, where there may be storage or memory that this machine lacks."""
        job.attempts += 1
        job.failed_on.add(worker.place.node)
        elsewhere = {other.place.node for other in self._workers} - job.failed_on
        if row.status == "failed" and elsewhere and job.attempts < ATTEMPTS and not self._stopping:
            self._say(f"failed on {worker.place.name}, is tried elsewhere: {job.clip.name}: {row.remark}")
            self._waiting.append(job)
            return
        if row.status == "done" and not job.clip.report.exists():
            where = f"done on {worker.place.name}, but {job.clip.report} is not here"
            row = Row(row.name, "failed", remark=f"{where}: give an --out that all machines see")
        self._keep(row)

    def _lost(self, worker: _Worker, job: _Job | None, reason: str) -> None:
        """A worker has died: its clip goes back, and another one takes its place if the machine is still there."""
        self._dismiss(worker, reason)
        if job is not None and not self._stopping:
            job.attempts += 1
            job.failed_on.add(worker.place.node)
            self._say(f"worker on {worker.place.name} died: {job.clip.name} is done again")
            if job.attempts < ATTEMPTS:
                self._waiting.appendleft(job)
            else:
                self._keep(Row(job.clip.name, "failed", remark=f"its worker died {job.attempts} times: {reason}"))
        alive = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        if worker.place.node in alive and worker.deaths + 1 < ATTEMPTS and not self._stopping:
            self._hire(worker.place, worker.deaths + 1)

    def _dismiss(self, worker: _Worker, reason: str) -> None:
        if reason != self._refusal and not self._stopping:
            self._say(f"worker on {worker.place.name} given up: {reason}")
        self._refusal = reason
        self._workers.remove(worker)
        self._ray.kill(worker.actor)

    def _end(self) -> None:
        """Interrupted: what runs is told once to end, what waits is not begun."""
        if not self._stopping:
            self._stopping = True
            self._waiting.clear()
            for worker, job in self._running.values():
                if job is not None:
                    worker.actor.stop.remote()

    def _keep(self, row: Row) -> None:
        self._rows[row.name] = row
        self._console.print(line(row), highlight=False)

    def _say(self, text: str) -> None:
        self._console.print(f"[yellow]cluster:[/] {markup(text)}", highlight=False, soft_wrap=True)

    def _check_engines(self) -> None:
        engines = {str(row.report["engine"]) for row in self._rows.values() if row.report is not None}
        if len(engines) > 1:
            self._say(f"clips were fused by {', '.join(sorted(engines))}: name one by --engine for the same bits")


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Ray, connected; a cluster that was started for this run ends with it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as e:
        raise InputError("--ray: Ray is not installed: pip install 'fusecam[ray]', on every machine") from e
    if address != THIS_CLUSTER:
        _check_answers(address)
    terminated = signal.getsignal(signal.SIGTERM)  # Ray puts its own in the place of the batch's, which drains
    where = {} if address == THIS_CLUSTER else {"address": address}
    try:
        ray.init(**where, log_to_driver=False, logging_level="error", include_dashboard=False, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as e:
        reason = " ".join(str(e).split())[:200]
        raise InputError(f"--ray {address}: no Ray cluster answers there ({reason}); check `ray status` there") from e
    signal.signal(signal.SIGTERM, terminated)
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """InputError where nothing listens: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_S).close()
    except (OSError, ValueError) as e:
        reason = getattr(e, "strerror", None) or str(e)
        raise InputError(
            f"--ray {address}: nothing answers there ({reason}); give the HOST:PORT that `ray start --head` printed"
        ) from e
