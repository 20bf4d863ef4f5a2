"""Clips of a batch: pairing, result files, and running one clip. Results of a clip are complete or absent."""

from __future__ import annotations

import glob
import hashlib
import itertools
import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ...calib.yaml_file import NewerFormatError, refuse_newer
from ...engines import registry
from ...engines.build import store
from ...engines.detection.weights import DETECTOR_WEIGHTS
from ...engines.host.terminal import markup
from ..config import RunConfig
from ..core.paths import check_not_foreign
from ..errors import InputError, expected_errors
from ..pairing import pair_clips, read_pairs
from ..report import write_report
from ..run.streams import Tools, open_streams
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

    def fingerprint(self, config: RunConfig) -> str:
        """SHA-256 of the settings, the weights of network and detector (content), and of path, size and modification
        time of the two clips and the rig files. Raises OSError if a file is missing."""
        weights = registry.weights(registry.parse(config.engine.name)[0])
        if config.detector.wanted and (detector := config.detector.weights or DETECTOR_WEIGHTS).exists():
            weights.append(detector)
        parts: list[Any] = [config.model_dump(mode="json", exclude={"monitor", "version"}), store.digest_of(weights)]
        rig = [] if config.rig is None else sorted(config.rig.iterdir()) if config.rig.is_dir() else [config.rig]
        for path in (self.infrared, self.visible, *rig):
            status = path.stat()
            parts.append((str(path.resolve()), status.st_size, status.st_mtime_ns))
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(slots=True)
class Row:
    """Result of one clip. status: one of STATUSES; `kept` if it was finished by an earlier batch."""

    name: str
    status: str
    report: dict[str, Any] | None = None
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


def run_clip(
    clip: Clip, config: RunConfig, tools: Tools, force: bool, stop: threading.Event, console: Console, title: str
) -> Row:
    """Run one clip, or keep it if it is finished. Expected errors are returned as status `failed`."""
    try:
        mark = clip.fingerprint(config)
        if not force and (report := _finished(clip, mark)) is not None:
            return Row(clip.name, "kept", report)
        _spare(clip)
        clip.report_path.unlink(missing_ok=True)
        update: dict[str, Any] = {
            "output": config.output.model_copy(update={"out": clip.fused_path, "show": False, "report": None})
        }
        update["sources"] = config.sources.reading(clip.infrared, clip.visible)
        settings = config.model_copy(update=update)
        finished = run_streams(settings, open_streams(settings), tools, stop, console, title=title, keep_partial=False)
        if finished.outcome.failure is not None:
            raise finished.outcome.failure
        if finished.outcome.ended == "interrupted":
            return Row(clip.name, "interrupted")
        write_report(finished.report | {"fingerprint": mark, "bytes": _bytes(clip)}, clip.report_path)
    except expected_errors() as error:
        return Row(clip.name, "failed", remark=str(error))
    except OSError as error:
        broken = isinstance(error, FileNotFoundError) and Path(error.filename).is_symlink()
        what = "a link to a file that is not there" if broken else error.strerror
        return Row(clip.name, "failed", remark=f"{error.filename or clip.folder}: {what}")
    doubts = finished.report["doubts"]
    remarks = "; ".join([*doubts, *finished.report["warnings"]])
    return Row(clip.name, "doubtful" if doubts else "done", finished.report, remarks)


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
    return report if same and report.get("bytes") == _bytes(clip) else None


def _spare(clip: Clip) -> None:
    """InputError where a file that fusecam did not write is in the place of a result."""
    lines = clip.fused_path.with_suffix(".jsonl")
    check_not_foreign(clip.report_path, _REPORT)
    check_not_foreign(lines, LINES)
    if not lines.exists() and not clip.report_path.exists():  # every video of a batch has one of them
        check_not_foreign(clip.fused_path)


def _bytes(clip: Clip) -> list[int] | None:
    """Sizes of the results of a clip in bytes, None if one is missing."""
    try:
        return [path.stat().st_size for path in (clip.fused_path, clip.fused_path.with_suffix(".jsonl"))]
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
        table.add_column(column)
    for column in ("frames", "fps", "with infrared", "offset ms", "warnings"):
        table.add_column(column, justify="right")
    for row in rows:
        figures = [""] * 5
        if row.report is not None:
            sync = row.report["sync"]
            share = sync["paired"] / max(row.report["frames"], 1)
            figures = [
                str(row.report["frames"]),
                f"{row.report['latency']['fps']:.1f}",
                f"{share:.1%}",
                f"{sync['offset_ms']:+.1f}",
                str(len(row.report["warnings"])),
            ]
        table.add_row(markup(row.name), row.status, *figures)
    counts = {status: sum(row.status == status for row in rows) for status in STATUSES}
    counts |= {"not reached": clips - len(rows), "without partner": alone, "doubtful in --pairs": doubts}
    table.caption = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    return table
