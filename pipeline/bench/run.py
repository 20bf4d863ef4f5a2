"""All measurements of a plan, one after the other, and the report of them."""

from __future__ import annotations

import json
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ...engines.registry import parse
from .. import machine
from ..errors import InputError
from ..session import INTERRUPTED
from ..sinks.aside import AsideFile, write_aside
from .jobs import KEPT, ChainJob, CostJob, DetectJob, FuseJob, Job, Size, Variant
from .pauses import measure_pauses
from .plan import Plan
from .prepare import prepare
from .process import JobError, run_job
from .table import print_report
from .watch import BUSY, Watch, load_average

SCHEMA = 1
LOOKED_S = 0.5
MEASURED = ("engines", "chains", "detectors")
"""Parts of the report with a row for each measurement."""


def run_bench(plan: Plan, target: Path | None, out: Console, errors: Console) -> int:
    """Measure, print the tables on `out`, write the report to `target`, if there is one, whole or not at all.

    Returns the exit code. Raises InputError when the report cannot be written, or when something could not be measured,
    after the rest is printed and written.
    """
    if target is not None:
        AsideFile(target).discard()  # a place that cannot be written to is better known before minutes of measuring
    try:
        with _terminable():
            if busy := _busy_now():
                errors.print(
                    f"[yellow]warning:[/] this machine is busy: other processes have {busy:.0%} of its cores, "
                    "so every figure will be too slow",
                    soft_wrap=True,
                    highlight=False,
                )
            report = measure(plan, errors)
    except KeyboardInterrupt:
        errors.print("interrupted: nothing is written")
        return INTERRUPTED
    print_report(report, out)
    if target is not None:
        write_aside(target, (json.dumps(report, indent=2, allow_nan=False) + "\n").encode())
        errors.print(f"wrote [bold]{escape(str(target))}[/]", highlight=False, soft_wrap=True)
    failed = [row for part in ("networks", *MEASURED) for row in report[part] if "error" in row]
    if failed:
        what = next(failed[0][key] for key in ("engine", "detector", "network") if key in failed[0])
        more = f" (and {len(failed) - 1} more failed)" if len(failed) > 1 else ""
        raise InputError(f"{what} could not be measured: {failed[0]['error']}{more}")
    return 0


def measure(plan: Plan, console: Console) -> dict[str, Any]:
    """The report: everything measured, ready for JSON, with progress on `console`. `pauses`: see `measure_pauses`.

    What could not be measured is in its row as `error`. The dictionaries of the rows are those of `measure_engine`,
    `measure_detector`, `measure_chain` and `count_cost`, each with `size`, [width, height]; a row of `engines` also has
    `network`, `backend`, `precision`, `variant`, and like `detectors` `cold`: the same start with an empty cache, None
    where nothing is cached; one of `chains` has `cameras_fps`, the pace of its cameras, None for recordings.
    """
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "fusecam": machine.version("fusecam"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "load_average": load_average(),
        "pauses": measure_pauses(),
        "settings": {"warmups": plan.warmups, "repeats": plan.repeats, "cameras_fps": plan.fps},
        "networks": [],
        "engines": [],
        "detectors": [],
        "chains": [],
        "published": yaml.safe_load(files(__package__).joinpath("published.yaml").read_text(encoding="utf-8")),
    }
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with (
        tempfile.TemporaryDirectory(prefix="fusecam-bench-") as folder,
        Progress(*columns, console=console, transient=True, refresh_per_second=1) as progress,
    ):
        bench = _Bench(plan, Path(folder), progress)
        for size in plan.sizes:
            bench.prepare(size)
            report["networks"] += [bench.cost(name, size) for name in plan.networks]
            report["detectors"] += [bench.detector(size)] if plan.detector else []
            report["engines"] += [bench.engine(spec, variant, size) for spec, variant in plan.engines]
            report["chains"] += [
                bench.chain(spec, size, detect, fps)
                for spec in plan.chains
                for fps in plan.paces
                for detect in plan.detects
            ]
    report["busy"] = any(row.get("busy") for part in MEASURED for row in report[part])
    return report


class _Bench:
    """The measurements of one plan, with their files in `folder`."""

    def __init__(self, plan: Plan, folder: Path, progress: Progress) -> None:
        self._plan = plan
        self._folder = folder
        self._progress = progress
        chains = len(plan.chains) * len(plan.detects) * len(plan.paces)
        steps = len(plan.sizes) * (1 + len(plan.networks) + plan.detector + len(plan.engines) + chains)
        self._all = progress.add_task("all", total=steps)
        self._one = progress.add_task("")

    def prepare(self, size: Size) -> None:
        self._begin("sample clips", size)
        prepare(self._inputs(size), size, lambda done: self._tell(done, None))
        self._progress.advance(self._all)

    def cost(self, name: str, size: Size) -> dict[str, Any]:
        self._begin(f"cost of {name}", size)
        return {"network": name, "size": list(size)} | self._do(CostJob(name, size), "shared")

    def engine(self, spec: str, variant: Variant, size: Size) -> dict[str, Any]:
        label = f"{spec}, freed memory kept" if variant == KEPT else spec
        self._begin(label, size)
        name, backend, precision = parse(spec)
        row = {"engine": spec, "network": name, "backend": backend, "precision": precision, "variant": variant}
        frames, cache = str(self._inputs(size)), f"{spec} {size}"
        cold: dict[str, Any] | None = None
        if backend != "torch":  # which keeps nothing, so that every start is the same
            start = self._do(FuseJob(spec, frames, variant, 0, 0), cache, last=False)
            if "error" in start:
                self._progress.advance(self._all)
                return row | {"size": list(size), "error": start["error"]}
            cold = {name: start[name] for name in ("first_frame_s", "peak_mib")}
        job = FuseJob(spec, frames, variant, self._plan.warmups, self._plan.repeats)
        return row | {"size": list(size), "cold": cold} | self._do(job, cache)

    def detector(self, size: Size) -> dict[str, Any]:
        weights, frames, cache = self._weights(), str(self._inputs(size)), f"detector {size}"
        self._begin("detector", size)
        row: dict[str, Any] = {"detector": "own" if weights is None else Path(weights).name, "size": list(size)}
        start = self._do(DetectJob(weights, frames, 0, 0), cache, last=False)
        if "error" in start:
            self._progress.advance(self._all)
            return row | {"error": start["error"]}
        cold = {name: start[name] for name in ("first_frame_s", "peak_mib")}
        return (
            row | {"cold": cold} | self._do(DetectJob(weights, frames, self._plan.warmups, self._plan.repeats), cache)
        )

    def chain(self, spec: str, size: Size, detect: bool, fps: float | None) -> dict[str, Any]:
        live = "" if fps is None else f", live at {fps:g} fps"
        self._begin(f"whole chain with {spec}" + (" and detection" if detect else "") + live, size)
        inputs, weights = str(self._inputs(size)), self._weights()
        warm: list[Job] = [FuseJob(spec, inputs, "plain", 0, 0)]  # what is measured is a start that finds its engines
        warm += [DetectJob(weights, inputs, 0, 0)] if detect else []
        cache = f"{spec} {size}"
        row: dict[str, Any] = {"engine": spec, "size": list(size), "cameras_fps": fps}
        for job in warm:
            start = self._do(job, cache, last=False)
            if "error" in start:
                self._progress.advance(self._all)
                return row | {"error": start["error"]}
        return row | self._do(ChainJob(spec, inputs, inputs, weights, self._plan.warmups, detect, fps), cache)

    def _weights(self) -> str | None:
        return None if self._plan.weights is None else str(self._plan.weights.resolve())

    def _do(self, job: Job, cache: str, last: bool = True) -> dict[str, Any]:
        try:
            return run_job(job, self._folder / "caches" / cache.replace(":", " "), self._tell)
        except JobError as error:
            return {"error": str(error)}
        finally:
            if last:
                self._progress.advance(self._all)

    def _inputs(self, size: Size) -> Path:
        return self._folder / f"{size[0]}x{size[1]}"

    def _begin(self, what: str, size: Size) -> None:
        self._progress.reset(self._one, description=f"{escape(what)}, {size[0]}x{size[1]}", total=None)

    def _tell(self, done: int, total: int | None) -> None:
        self._progress.update(self._one, completed=done, total=total)


def _busy_now() -> float | None:
    """The share of the cores in others' hands, if it is too much."""
    watch = Watch()
    time.sleep(LOOKED_S)
    others = float(watch.seen()["others"])
    return others if others >= BUSY else None


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the measuring as Ctrl-C does, so that no process and no file is left."""
    both = signal.SIGINT, signal.SIGTERM  # a process in a script's background starts with SIGINT ignored
    before = {number: signal.signal(number, signal.default_int_handler) for number in both}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
