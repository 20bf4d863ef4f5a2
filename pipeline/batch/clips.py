"""Clips of a batch: pairing, result files, and running one clip. Results of a clip are complete or absent."""

from __future__ import annotations

import gc
import glob
import hashlib
import itertools
import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from ...calib.atomic import AtomicFile, naming
from ...calib.yaml_file import NewerFormatError, refuse_newer
from ...engines import registry
from ...engines.build import store
from ...engines.detection.weights import DETECTOR_WEIGHTS
from ...engines.host.terminal import markup
from ..config import RunConfig
from ..core.memory import release_memory
from ..core.paths import check_not_foreign
from ..errors import InputError, expected_errors
from ..pairing import pair_clips, read_pairs
from ..report import encoded
from ..run.streams import Tools, build_tools, open_streams
from ..running import run_streams
from ..sinks.jsonl import LINES

VIDEO_SUFFIXES = {
    ".mp4", ".mkv", ".mov", ".avi", ".ts", ".m4v", ".mpg", ".mpeg", ".webm", ".wmv", ".m2ts", ".mts", ".nut",
}  # fmt: skip
_REPORT = re.compile(rb'\{\s*"(version|ended)": ')  # ended: of 0.1.0
STATUSES = "done", "doubtful", "kept", "failed", "interrupted"


@dataclass(frozen=True, slots=True)
class Clip:
    """A pair of clips and the folder of its results. The report is written last: if it exists, the clip is finished."""

    name: str
    infrared: Path
    visible: Path
    folder: Path

    @property
    def fused_path(self) -> Path:
        """Of the fused video."""
        return self.folder / f"{self.name}.mp4"

    @property
    def report_path(self) -> Path:
        """Of the report of a finished clip, with its fingerprint."""
        return self.folder / f"{self.name}.report.json"

    @property
    def results(self) -> tuple[Path, Path]:
        """The fused video and its JSON lines."""
        return self.fused_path, self.fused_path.with_suffix(".jsonl")

    def fingerprint(self, config: RunConfig, weights: str) -> str:
        """SHA-256 of the settings, of `Work.weights`, and of path, size and modification time of the two clips and the
        rig files. Raises OSError if a file is missing."""
        parts: list[Any] = [config.model_dump(mode="json", exclude={"monitor", "version"}), weights]
        rig = [] if config.rig is None else sorted(config.rig.iterdir()) if config.rig.is_dir() else [config.rig]
        for path in (self.infrared, self.visible, *rig):
            status = path.stat()
            parts.append((str(path.resolve()), status.st_size, status.st_mtime_ns))
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Work:
    """What all clips share. weights: SHA-256 of the files from which `tools` were loaded."""

    config: RunConfig
    tools: Tools
    weights: str
    force: bool

    @classmethod
    def prepare(cls, config: RunConfig, force: bool) -> Work:
        """Build engine and detector. Their files may be replaced while a batch runs, which changes no clip of it."""
        weights = digest_weights(config)
        return cls(config, build_tools(config.engine, config.detector), weights, force)


def digest_weights(config: RunConfig) -> str:
    """SHA-256 of the contents of the weights of network and detector."""
    weights = registry.weights(registry.parse(config.engine.name)[0])
    if config.detector.wanted and (detector := config.detector.weights or DETECTOR_WEIGHTS).exists():
        weights.append(detector)
    return store.digest_of(weights)


class Figures(NamedTuple):
    """What a batch keeps of a report; thousands of whole ones would fill the memory. share: of frames with infrared."""

    engine: str
    frames: int
    fps: float
    share: float
    offset_ms: float
    warnings: int
    doubts: int

    @classmethod
    def of(cls, report: dict[str, Any]) -> Figures:
        """Of a finished clip."""
        frames, sync = report["frames"], report["sync"]
        counts = len(report["warnings"]), len(report["doubts"])
        share = sync["paired"] / max(frames, 1)
        return cls(report["engine"], frames, report["latency"]["fps"], share, sync["offset_ms"], *counts)


@dataclass(slots=True)
class Row:
    """Result of one clip. status: one of STATUSES; `kept` if it was finished by an earlier batch. figures: if it is
    finished."""

    name: str
    status: str
    figures: Figures | None = None
    remark: str = ""


def find_clips(
    ir_source: str, vis_source: str, out: Path, table: Path | None = None
) -> tuple[list[Clip], list[Path], list[str]]:
    """Pair the clips of two sources by their names, or by a table. Returns what `pair_clips` does.

    Raises InputError if no pair is found, or `out` is a folder of the clips.
    """
    patterns = (ir_source, vis_source) if _across_folders(ir_source) and _across_folders(vis_source) else None
    given = None if table is None else read_pairs(table)
    pairs, alone, doubts = pair_clips(_clips(ir_source, out), _clips(vis_source, out), patterns, given)
    if not pairs:
        raise InputError(
            f"{ir_source}, {vis_source}: no clips match; name them like a_ir.mp4 and a_vis.mp4, "
            "or equally in two folders, or list the pairs in a CSV file with --pairs"
        )
    clips = [Clip(pair.name, pair.infrared.absolute(), pair.visible.absolute(), out) for pair in pairs]
    inputs = {path.resolve().parent for pair in pairs for path in (pair.infrared, pair.visible)}
    if any(clip.fused_path.parent.resolve() in inputs for clip in clips):
        raise InputError(f"{out}: this folder contains the clips, and results would mix with them; give another --out")
    return clips, alone, doubts


def _across_folders(source: str) -> bool:
    """Whether a source is a pattern that may match several folders."""
    return not Path(source).exists() and glob.has_magic(str(Path(source).parent))


def _clips(source: str, out: Path) -> list[Path]:
    """Clips of a folder, file or pattern. Matches of a pattern below `out` are results and excluded."""
    path = Path(source)
    if path.is_dir():
        found = [p for p in sorted(path.iterdir()) if p.suffix.lower() in VIDEO_SUFFIXES and not p.name.startswith(".")]
        if not found:
            suffix = next((p.suffix for p in path.glob("*/*") if p.suffix.lower() in VIDEO_SUFFIXES), ".mp4")
            raise InputError(
                f"{source}: no video clips in this folder (for those in folders below it: '{source}/*/*{suffix}'; for "
                "images: fusecam --ir DIR --vis DIR --out DIR)"
            )
        return found
    if path.is_file():
        return [path]
    matches = [Path(p) for p in sorted(glob.glob(source, recursive=True))]  # noqa: PTH207  (absolute patterns)
    found = [p for p in matches if p.is_file()]
    begins = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), path.parts))
    if begins.resolve() in out.resolve().parents:
        found = [p for p in found if not p.resolve().is_relative_to(out.resolve())]
    if not found and matches:
        raise InputError(
            f"{source}: only folders match this pattern: for their images use fusecam --ir '{source}/*.png' --vis ..., "
            f"for their clips '{source}/*.mp4'"
        )
    if not found:
        raise InputError(f"{source}: no such folder or file, and no file matches it as a pattern")
    return found


def run_clip(clip: Clip, work: Work, stop: threading.Event, console: Console, title: str) -> Row:
    """Run one clip, or keep it if it is finished. Expected errors are returned as status `failed`."""
    try:
        mark = clip.fingerprint(work.config, work.weights)
        if not work.force and (report := _finished(clip, mark)) is not None:
            return Row(clip.name, "kept", Figures.of(report))
        _spare(clip)
        gc.collect()  # the clip before: its run is in cycles, with frames and maps of tens of megabytes
        release_memory()
        aside = AtomicFile(clip.report_path, InputError)  # its lock keeps other batches off the clip
        try:
            for old in (*clip.results, clip.report_path):  # in this order: a video is known as ours by the others
                if not old.is_symlink():  # results are written through a link
                    old.unlink(missing_ok=True)
            report = _run(clip, work, stop, console, title)
            if report is None:
                return Row(clip.name, "interrupted")
            with naming(clip.report_path, InputError):
                aside.file.write(encoded(report | {"fingerprint": mark, "bytes": _bytes(clip)}))
            aside.commit()
        finally:
            aside.discard()
    except expected_errors() as error:
        return Row(clip.name, "failed", remark=str(error))
    except OSError as error:
        broken = isinstance(error, FileNotFoundError) and Path(error.filename).is_symlink()
        what = "a link to a file that is not there" if broken else error.strerror
        return Row(clip.name, "failed", remark=f"{error.filename or clip.folder}: {what}")
    remarks = "; ".join([*report["doubts"], *report["warnings"]])
    return Row(clip.name, "doubtful" if report["doubts"] else "done", Figures.of(report), remarks)


def _run(clip: Clip, work: Work, stop: threading.Event, console: Console, title: str) -> dict[str, Any] | None:
    """Write the results of a clip and return its report, None if it was interrupted."""
    output = work.config.output.model_copy(update={"out": clip.fused_path, "show": False, "report": None})
    sources = work.config.sources.reading(clip.infrared, clip.visible)
    settings = work.config.model_copy(update={"output": output, "sources": sources})
    run = run_streams(settings, open_streams(settings), work.tools, stop, console, title=title, keep_partial=False)
    if run.outcome.failure is not None:
        raise run.outcome.failure
    return None if run.outcome.ended == "interrupted" else run.report


def _finished(clip: Clip, mark: str) -> dict[str, Any] | None:
    """Report of an earlier run with the same fingerprint and complete results, None if there is none."""
    try:
        report = json.loads(clip.report_path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    try:
        refuse_newer(report)
    except NewerFormatError as newer:
        raise InputError(f"{clip.report_path}: {newer}, or give --force") from newer
    same = isinstance(report, dict) and report.get("fingerprint") == mark
    return report if same and (sizes := _bytes(clip)) and report.get("bytes") == sizes else None


def _spare(clip: Clip) -> None:
    """InputError where a file that fusecam did not write is in the place of a result."""
    video, lines = clip.results
    check_not_foreign(clip.report_path, _REPORT)
    check_not_foreign(lines, LINES)
    if not lines.exists() and not clip.report_path.exists():  # every video of a batch has one of them
        check_not_foreign(video)


def _bytes(clip: Clip) -> list[int] | None:
    """Sizes of the results of a clip in bytes, None if one is missing."""
    try:
        return [path.stat().st_size for path in clip.results]
    except OSError:
        return None


def status_line(row: Row) -> str:
    """Message with name and status of a clip, as rich markup."""
    colour = {
        "done": "green",
        "doubtful": "bold yellow",
        "kept": "cyan",
        "failed": "bold red",
        "interrupted": "yellow",
    }[row.status]
    return f"[{colour}]{row.status}[/] {markup(row.name)}" + (f": {markup(row.remark)}" if row.remark else "")


def summary_table(rows: Sequence[Row], clips: int, alone: int, doubts: int) -> Table:
    """Table with one row per processed clip; the caption counts by status. alone: number of unpaired clips. doubts: of
    the pairing."""
    table = Table(title="batch", title_justify="left", caption_justify="left")
    for column in ("clip", "status"):
        table.add_column(column, overflow="fold")
    for column in ("frames", "fps", "with infrared", "offset ms", "warnings"):
        table.add_column(column, justify="right")
    for row in rows:
        figures = [""] * 5
        if (found := row.figures) is not None:
            shown = f"{found.fps:.1f}", f"{found.share:.1%}", f"{found.offset_ms:+.1f}"
            figures = [str(found.frames), *shown, str(found.warnings)]
        table.add_row(markup(row.name), row.status, *figures)
    counts = {status: sum(row.status == status for row in rows) for status in STATUSES}
    counts |= {"not reached": clips - len(rows), "without partner": alone, "doubtful in --pairs": doubts}
    table.caption = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    return table
