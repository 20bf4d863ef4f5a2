"""Runs all measurements of a plan and writes their report."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ...calib.atomic import AtomicFile, write_atomic
from ...engines.build.store import digest_of
from ...engines.host.terminal import markup
from ...engines.networks.checkpoints import NAMES, find_imported
from ...engines.registry import parse
from ..core import machine
from ..errors import InputError
from ..run.console import INTERRUPTED
from .jobs import KEPT, ChainJob, CostJob, DetectJob, FuseJob, Job, Size, Variant
from .pauses import measure_pauses
from .plan import Plan
from .prepare import prepare
from .process import JobError, run_job, terminating
from .rounds import Entry, Row
from .table import print_report
from .watch import BUSY, Watch

SCHEMA = 1
LOOKED_S = 0.5
MEASURED = ("engines", "chains", "detectors")
"""Parts of the report with a row for each measurement."""


def run_bench(plan: Plan, target: Path | None, out: Console, errors: Console) -> int:
    """Measure, print the tables on `out`, and write the report atomically to `target`, if given.

    Returns the exit code. Raises InputError if the report cannot be written, or, after it is written, if a measurement
    failed.
    """
    if target is not None:
        AtomicFile(target, InputError).discard()  # fail before the measurements if it cannot be written
    try:
        # SIGTERM like Ctrl-C, so that no process and no file is left; background processes of a script ignore SIGINT
        with terminating(signal.default_int_handler):
            watch = Watch()
            time.sleep(LOOKED_S)
            if (others := watch.seen()["others"]) >= BUSY:
                errors.print(
                    f"[yellow]warning:[/] this machine is busy: other processes have {others:.0%} of its cores, "
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
        write_atomic(target, (json.dumps(report, indent=2, allow_nan=False) + "\n").encode(), InputError)
        errors.print(f"wrote [bold]{markup(target)}[/]", highlight=False, soft_wrap=True)
    failed = [row for part in ("networks", *MEASURED) for row in report[part] if "error" in row]
    if failed:
        what = next(failed[0][key] for key in ("engine", "detector", "network") if key in failed[0])
        more = f" (and {len(failed) - 1} more failed)" if len(failed) > 1 else ""
        raise InputError(f"{what} could not be measured: {failed[0]['error']}{more}")
    return 0


def measure(plan: Plan, console: Console) -> Row:
    """The report: everything measured, ready for JSON, with progress on `console`. `pauses`: see `measure_pauses`.

    A failed measurement has `error` in its row. The dictionaries of the rows are those of `Entry.report`,
    `measure_chain` and `count_cost`, each with `size`, [width, height]; a row of `engines` also has `network`,
    `backend`, `precision` and `variant`; one of `chains` has `cameras_fps`, the pace of its cameras, None for
    recordings. Engines and the detector take turns, `settings.rounds` times.
    """
    report: Row = {
        "schema": SCHEMA,
        "fusecam": machine.version("fusecam"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "pauses": measure_pauses(),
        "settings": {
            "warmups": plan.warmups,
            "repeats": plan.repeats,
            "rounds": len(plan.rounds),
            "cameras_fps": plan.fps,
        },
        "imported_weights": {name: digest_of([path]) for name in NAMES if (path := find_imported(name))},
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
            detectors = [bench.detector(size)] if plan.detector else []
            engines = [bench.engine(spec, variant, size) for spec, variant in plan.engines]
            bench.take_turns([*detectors, *engines], size)
            report["detectors"] += [entry.report() for entry in detectors]
            report["engines"] += [entry.report() for entry in engines]
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
        self._started: dict[tuple[str, Job], str | None] = {}
        chains = len(plan.chains) * len(plan.detects) * len(plan.paces)
        turns = (plan.detector + len(plan.engines)) * len(plan.rounds)
        steps = len(plan.sizes) * (1 + len(plan.networks) + turns + chains)
        self._all = progress.add_task("all", total=steps)
        self._one = progress.add_task("")

    def prepare(self, size: Size) -> None:
        self._begin("sample clips", size)
        prepare(self._inputs(size), size, lambda done: self._tell(done, None))
        self._progress.advance(self._all)

    def cost(self, name: str, size: Size) -> Row:
        self._begin(f"cost of {name}", size)
        return {"network": name, "size": list(size)} | self._do(CostJob(name, size), "shared")

    def engine(self, spec: str, variant: Variant, size: Size) -> Entry:
        name, backend, precision = parse(spec)
        row = {"engine": spec, "network": name, "backend": backend, "precision": precision, "variant": variant}
        label = f"{spec}, freed memory kept" if variant == KEPT else spec
        job = FuseJob(spec, str(self._inputs(size)), variant, self._plan.warmups, 0, len(self._plan.rounds))
        cached = backend != "torch"  # which keeps nothing, so that every start is the same
        return Entry(row | {"size": list(size)}, "fuse", label, f"{spec} {size}", cached, job)

    def detector(self, size: Size) -> Entry:
        weights = self._weights()
        row: Row = {"detector": "own" if weights is None else Path(weights).name, "size": list(size)}
        job = DetectJob(weights, str(self._inputs(size)), self._plan.warmups, 0, len(self._plan.rounds))
        return Entry(row, "detect", "detector", f"detector {size}", True, job)

    def take_turns(self, entries: Sequence[Entry], size: Size) -> None:
        """The first start of each, then the rounds. Who failed is left out from there on."""
        for entry in (entry for entry in entries if entry.cached):
            self._begin(f"first start of {entry.label}", size)
            entry.cold = self._turn(entry, 0)
        for number, repeats in enumerate(self._plan.rounds):
            for entry in entries:
                self._begin(f"{entry.label}, round {number + 1} of {len(self._plan.rounds)}", size)
                if entry.error is None and (row := self._turn(entry, repeats)) is not None:
                    entry.rounds.append(row)
                self._progress.advance(self._all)

    def _turn(self, entry: Entry, repeats: int) -> Row | None:
        job = replace(entry.job, repeats=repeats)
        answer = self._do(job, entry.cache, last=False)
        entry.error = self._started[entry.cache, job] = answer.get("error")
        return None if "error" in answer else answer

    def chain(self, spec: str, size: Size, detect: bool, fps: float | None) -> Row:
        live = "" if fps is None else f", live at {fps:g} fps"
        self._begin(f"whole chain with {spec}" + (" and detection" if detect else "") + live, size)
        inputs, weights = str(self._inputs(size)), self._weights()
        own = self.detector(size)
        cache = own.cache  # where its engine is already
        warm: list[Job] = [FuseJob(spec, inputs, "plain", 0, 0)]  # what is measured is a start that finds its engines
        warm += [replace(own.job, repeats=0)] if detect else []  # its first start is known
        row: Row = {"engine": spec, "size": list(size), "cameras_fps": fps}
        for job in warm:
            if (cache, job) not in self._started:
                self._started[cache, job] = self._do(job, cache, last=False).get("error")
            if error := self._started[cache, job]:
                self._progress.advance(self._all)
                return row | {"error": error}
        return row | self._do(ChainJob(spec, inputs, inputs, weights, self._plan.warmups, detect, fps), cache)

    def _weights(self) -> str | None:
        return None if self._plan.weights is None else str(self._plan.weights.resolve())

    def _do(self, job: Job, cache: str, last: bool = True) -> Row:
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
        self._progress.reset(self._one, description=f"{markup(what)}, {size[0]}x{size[1]}", total=None)

    def _tell(self, done: int, total: int | None) -> None:
        self._progress.update(self._one, completed=done, total=total)
