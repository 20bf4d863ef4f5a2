"""`fusecam batch --ray`: runs the clips of a batch on a Ray cluster, with bit-identical results.

Each clip is a Ray task with its own CPU cores, or with a GPU if the cluster has any. Clips, rig, weights and results
are on shared storage under the same paths on all nodes. If a worker dies, its clip is run again; a clip that fails is
retried on another node.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ...engines.host.terminal import markup
from ..config import RunConfig
from ..core.machine import version
from ..errors import InputError
from ..options import THIS_CLUSTER
from .clips import Clip, Row, status_line
from .worker import BatchSettings, run_remote

CORES = 2
"""Default number of CPU cores per clip."""
ATTEMPTS = 3
"""Maximum number of attempts per clip."""
POLL_S = 0.2
ANSWER_S = 10.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """address: Ray address, or THIS_CLUSTER to start one on this machine. cores: per clip."""

    address: str
    cores: int = CORES


@dataclass(slots=True)
class _Job:
    """A clip, the number of its attempts and the ids of the nodes on which it failed."""

    clip: Clip
    attempts: int = 0
    failed_on: set[str] = field(default_factory=set)


def run_clips(
    clips: Sequence[Clip], config: RunConfig, force: bool, stop: threading.Event, console: Console, cluster: Cluster
) -> list[Row]:
    """Run the clips on the cluster. Returns the rows of the clips that were run, in the order of the clips.

    Raises InputError if the cluster cannot be reached, or no node can run a clip.
    """
    with _connected(cluster.address) as ray:
        share, at_once = worker_resources(ray.nodes(), cluster.cores)
        if not at_once:
            raise InputError(f"--ray: no machine of the cluster has {cluster.cores} cores; give fewer by --ray-cores")
        console.print(f"cluster: {sum(at_once.values())} workers on {len(at_once)} machine(s)", highlight=False)
        settings = BatchSettings(config, force, int(share["num_cpus"]), version("fusecam"))
        return _Dispatch(ray, settings, share, set(at_once), console).run(clips, stop)


def worker_resources(nodes: Sequence[dict[str, Any]], cores: int) -> tuple[dict[str, int], dict[str, int]]:
    """Resources per clip (`num_cpus`, `num_gpus` of a Ray task) and the number of concurrent clips by node id.

    nodes: as returned by `ray.nodes()`. If any node has a GPU, each clip uses one, and nodes without a GPU are not
    used: they are many times slower, and their engine rounds differently.
    """
    found = {node["NodeID"]: node["Resources"] for node in nodes if node["Alive"]}
    gpus = {name: int(has.get("GPU", 0)) for name, has in found.items() if has.get("GPU", 0) >= 1}
    cpus = {name: int(has.get("CPU", 0)) for name, has in found.items() if name in gpus or not gpus}
    if gpus:
        cores = max(1, min(cores, *(cpus[name] // count for name, count in gpus.items())))
    at_once = {name: min(gpus.get(name, count), count // cores) for name, count in cpus.items()}
    return {"num_cpus": cores, "num_gpus": int(bool(gpus))}, {name: count for name, count in at_once.items() if count}


def checked(row: Row, clip: Clip, host: str) -> Row:
    """The row of a clip from a machine, as failed if it finished the clip on storage that is not this machine's."""
    if row.figures is None or clip.report_path.exists():
        return row
    where = f"{row.status} on {host}, but {clip.report_path} is not here"
    return Row(row.name, "failed", remark=f"{where}: give an --out on shared storage")


class _Dispatch:
    """Submits clips to Ray and retries failed ones until all are done. Not thread-safe."""

    def __init__(
        self, ray: Any, settings: BatchSettings, share: dict[str, int], nodes: set[str], console: Console
    ) -> None:
        self._ray, self._settings, self._share, self._machines, self._console = ray, settings, share, nodes, console
        self._task = ray.remote(run_remote)
        self._running: dict[Any, _Job] = {}
        self._rows: dict[str, Row] = {}
        self._stopping = False

    def run(self, clips: Sequence[Clip], stop: threading.Event) -> list[Row]:
        """See `run_clips`."""
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        hidden = not self._console.is_terminal
        with Progress(*columns, console=self._console, transient=True, disable=hidden) as progress:
            bar = progress.add_task("clips", total=len(clips))
            for clip in clips:
                self._submit(_Job(clip))
            while self._running:
                done, _ = self._ray.wait(list(self._running), timeout=POLL_S)
                for reference in done:
                    self._take(reference, self._running.pop(reference))
                if stop.is_set() and not self._stopping:
                    self._stopping = True
                    for reference in self._running:  # running tasks end their clip, pending ones never start
                        self._ray.cancel(reference)
                progress.update(bar, completed=len(self._rows))
        engines = {row.figures.engine for row in self._rows.values() if row.figures is not None}
        if len(engines) > 1:
            self._say(f"clips were fused by {', '.join(sorted(engines))}: name one by --engine for the same bits")
        return [self._rows[clip.name] for clip in clips if clip.name in self._rows]

    def _submit(self, job: _Job) -> None:
        """To a machine that did not fail at it, as long as there is one; else Ray spreads clips over all."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        job.attempts += 1
        others = sorted(self._machines - job.failed_on) if job.failed_on else []
        where = (
            NodeAffinitySchedulingStrategy(others[len(self._running) % len(others)], soft=True) if others else "SPREAD"
        )
        task = self._task.options(max_retries=0, scheduling_strategy=where, **self._share)
        self._running[task.remote(job.clip, self._settings)] = job

    def _take(self, reference: Any, job: _Job) -> None:
        """Store the result of a finished task, or submit its clip again."""
        from ray.exceptions import RayError, RayTaskError, TaskCancelledError

        again = job.attempts < ATTEMPTS and not self._stopping
        try:
            row, node, host, usable = self._ray.get(reference)
        except TaskCancelledError:
            return
        except RayTaskError:
            raise
        except RayError as error:
            if self._stopping:
                return
            reason = " ".join(str(error).split())[:200]
            if again:
                self._say(f"a worker died: {job.clip.name} is run again ({reason})")
                self._submit(job)
            else:
                self._keep(Row(job.clip.name, "failed", remark=f"its worker died {job.attempts} times: {reason}"))
            return
        job.failed_on.add(node)
        if not usable and not self._stopping:
            if node in self._machines:
                self._machines.remove(node)
                self._say(f"worker on {host} is not used any more: {row.remark}")
            if not self._machines:
                raise InputError(f"--ray: no worker could be started: {row.remark}")
            job.attempts -= 1
            self._submit(job)
            return
        if row.status == "failed" and again and self._machines - job.failed_on:
            self._say(f"failed on {host}, is tried elsewhere: {job.clip.name}: {row.remark}")
            self._submit(job)
            return
        self._keep(checked(row, job.clip, host))

    def _keep(self, row: Row) -> None:
        self._rows[row.name] = row
        self._console.print(status_line(row), highlight=False, soft_wrap=True)

    def _say(self, text: str) -> None:
        self._console.print(f"[yellow]cluster:[/] {markup(text)}", highlight=False, soft_wrap=True)


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Context with the connected `ray` module. A cluster that was started for this run is shut down at the end."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as e:
        raise InputError("--ray: Ray is not installed: pip install 'fusecam[ray]', on every machine") from e
    if address != THIS_CLUSTER:
        _check_answers(address)
    terminated = signal.getsignal(signal.SIGTERM)  # ray.init replaces this handler, which lets running clips finish
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
    """Raise InputError if nothing listens at the address; Ray itself would retry for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_S).close()
    except (OSError, ValueError) as e:
        reason = getattr(e, "strerror", None) or str(e)
        raise InputError(
            f"--ray {address}: nothing answers there ({reason}); give the HOST:PORT that `ray start --head` printed"
        ) from e
