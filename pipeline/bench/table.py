"""The report as tables for the terminal. Rows are sorted by time; unfavourable results are listed too."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table

from ...engines.host.terminal import markup
from .jobs import KEPT
from .rounds import Row

FEW = 100
PARTS = ("networks", "engines", "detectors", "chains")
WAITING = ("pair", "output queue", "age")
"""Stages of the recorder in which a frame waits, or which span others."""


def print_report(report: Row, console: Console) -> None:
    """Everything measured, size by size, and under which conditions."""
    for size in dict.fromkeys(tuple(row["size"]) for row in report["networks"]):
        here = {part: [row for row in report[part] if tuple(row["size"]) == size] for part in PARTS}
        console.print(_engines(here["engines"], size, report["settings"]))
        console.print(_starts(here["engines"], size))
        if detectors := [row for row in here["detectors"] if "error" not in row]:
            console.print(_detectors(detectors, size))
        console.print(_networks(here["networks"], here["engines"], size, report["published"]))
        for row in here["chains"]:
            console.print(_chain(row, size))
    for row in (row for part in PARTS for row in report[part] if "error" in row):
        what = next(row[key] for key in ("engine", "detector", "network") if key in row)
        console.print(f"[red]failed:[/] {markup(what)}: {markup(row['error'])}", highlight=False, soft_wrap=True)
    for name in report.get("imported_weights", {}):
        console.print(f"[yellow]{name}: imported weights, not the shipped ones[/]", highlight=False)
    cpu = report["machine"]["cpu"]
    console.print(f"fusecam {report['fusecam']}, {cpu['model']}, {cpu['cores']} cores", highlight=False)
    pauses = report["pauses"]
    console.print(
        f"At rest, before: each core stood still {pauses['per_s']:.1f} times a second, for up to "
        f"{pauses['longest_ms']:.1f} ms. What runs on it has frames later by as much, p99 first"
        if pauses["per_s"]
        else "At rest, before: no core stood still for a millisecond",
        highlight=False,
        soft_wrap=True,
    )
    if report["settings"]["repeats"] < FEW:
        console.print(f"[yellow]fewer than {FEW} repeats: too few for p99, not to be kept[/]", highlight=False)
    if report["busy"]:
        console.print("[yellow]busy machine: other processes ran meanwhile, figures are too slow[/]", highlight=False)


def _engines(rows: list[Row], size: tuple[int, ...], settings: Row) -> Table:
    columns = ("median", "IQR", "p95", "p99", "p99/p50", "rounds", "x kept")
    table = _table(f"Engines, {size[0]}x{size[1]}, uint8 in to uint8 out (ms)", "engine", columns, tight=True)
    for row in rows:
        if "error" in row:
            table.add_row(_label(row), "[red]failed[/]")
            continue
        fuse = row["fuse"]
        table.add_row(
            _label(row),
            *(f"{fuse[name]:.2f}" for name in ("p50_ms", "iqr_ms", "p95_ms", "p99_ms")),
            f"{fuse['p99_ms'] / fuse['p50_ms']:.2f}",
            _rounds(row),
            _speed(row, _baseline(rows, row["network"])),
        )
    fewer = [f"{_label(row)} {row['fuse']['count']}" for row in rows if "error" not in row]
    fewer = [text for text in fewer if not text.endswith(f" {settings['repeats']}")]
    table.caption = (
        f"{settings['repeats']} repeats in {settings['rounds']} rounds by turns, each after {settings['warmups']} "
        f"warm-ups{', but of slow ones fewer: ' + ', '.join(fewer) if fewer else ''}. rounds: their lowest and highest "
        "median. kept: with channels-last weights and freed memory kept, the fair form of eager torch. x kept: times "
        "as fast as that, omitted where either was disturbed"
    )
    return table


def _starts(rows: list[Row], size: tuple[int, ...]) -> Table:
    columns = ("first s", "next s", "peak MiB", "page faults", "others")
    table = _table(f"Starts, memory and disturbance, {size[0]}x{size[1]}", "engine", columns)
    for row in (row for row in rows if "error" not in row):
        cold = row["cold"]
        table.add_row(
            _label(row),
            f"{cold['first_frame_s']:.2f}" if cold else "-",
            f"{row['first_frame_s']:.2f}",
            f"{row['peak_mib']:.0f}",
            f"{row['page_faults']:.0f}",
            f"{row['others']:.0%}",
        )
    table.caption = (
        "starts: to the first frame, first with an empty cache. peak: of the whole process after a next start"
    )
    return table


def _detectors(rows: list[Row], size: tuple[int, ...]) -> Table:
    columns = ("median", "IQR", "p95", "p99", "rounds", "starts s", "MiB")
    table = _table(f"Detector, {size[0]}x{size[1]}, uint8 frame in to boxes out (ms)", "detector", columns, tight=True)
    for row in rows:
        table.add_row(
            row["detector"],
            *(f"{row['detect'][name]:.2f}" for name in ("p50_ms", "iqr_ms", "p95_ms", "p99_ms")),
            _rounds(row),
            f"{row['cold']['first_frame_s']:.1f}/{row['first_frame_s']:.2f}",
            f"{row['peak_mib']:.0f}",
        )
    table.caption = "with letterbox and non-maximum suppression. starts: with an empty cache and the next. MiB: peak"
    return table


def _rounds(row: Row) -> str:
    return "-".join(f"{ms:.1f}" if ms < 9.95 else f"{ms:.0f}" for ms in (min(row["rounds_ms"]), max(row["rounds_ms"])))


def _label(row: Row) -> str:
    return f"{row['engine']} kept" if row["variant"] == KEPT else str(row["engine"])


def _networks(ours: list[Row], engines: list[Row], size: tuple[int, ...], published: Row) -> Table:
    columns = ("weights", "GFLOPs", "bf16", "f32", "eager kept", "eager")
    table = _table(f"Networks, {size[0]}x{size[1]} (median ms)", "network", columns)
    rows = [_medians(row, engines) for row in ours]
    compared = tuple(published["size"]) == size
    if compared:
        rows += [row | {"theirs": True} for row in published["networks"]]
    for row in sorted(rows, key=_order):
        times = ("-" if row.get(name) is None else f"{row[name]:.1f}" for name in ("bf16", "f32", "kept", "plain"))
        if row.get("error"):
            table.add_row(row["name"], "[red]failed[/]")
            continue
        style = "dim" if row.get("theirs") else "bold"
        table.add_row(row["name"], f"{row['parameters']:,}", f"{row['gflops']:.2f}", *times, style=style)
    caption = (
        "weights: number of parameters. GFLOPs: of convolutions and matrix products, multiplications and additions "
        "counted apart. bf16, f32: through OpenVINO"
    )
    table.caption = f"{caption}. Pale: not run here, {published['source']}" if compared else caption
    return table


def _chain(row: Row, size: tuple[int, ...]) -> Table:
    fps = row["cameras_fps"]
    pace = "as fast as it goes" if fps is None else f"live, cameras at {fps:g} fps"
    columns = {"median": "p50_ms", "IQR": "iqr_ms", "p95": "p95_ms", "p99": "p99_ms", "max": "max_ms"}
    table = _table(f"Whole chain with {row['engine']}, {pace}, {size[0]}x{size[1]} (ms)", "stage", columns)
    if "error" in row:
        table.add_row("[red]failed[/]")
        return table
    stages = row["stages"]
    for name in sorted(stages, key=lambda name: name in WAITING):
        label = f"[dim]{name}, waiting[/]" if name in WAITING[:2] else name
        table.add_row(label, *(f"{stages[name][key]:.2f}" for key in columns.values()))
    detector = f"detector {row['detector']}" if row["detector"] else "no detector"
    table.caption = (
        f"{row['out']} of {row['frames']} frames, {row['fps']:.1f} fps, peak memory {row['peak_mib']:.0f} MiB; two "
        f"H.264 streams in, fused H.264 with overlay out, {detector}; others {row['others']:.0%}. write: until the "
        f"encoder has taken the frame; age: then, since the frame was {'taken up' if fps is None else 'due'}"
    )
    return table


def _table(title: str, first: str, figures: Iterable[str], tight: bool = False) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=tight,
    )
    table.add_column(first, no_wrap=True)
    for column in figures:
        table.add_column(column, justify="right")
    return table


def _baseline(rows: list[Row], network: str) -> float | None:
    """Median in ms of a network in eager torch at its fairest; None where that was not measured, or was disturbed."""
    for row in rows:
        if row["network"] == network and row["variant"] == KEPT and "error" not in row and not row["busy"]:
            return float(row["fuse"]["p50_ms"])
    return None


def _speed(row: Row, baseline: float | None) -> str:
    if baseline is None or row["busy"]:  # eager torch suffers most: on a busy machine it would be beaten hundredfold
        return "-"
    times = float(baseline / row["fuse"]["p50_ms"])
    return f"{times:.1f}" if times >= 1 else f"[yellow]{times:.1f}[/]"


def _medians(network: Row, engines: list[Row]) -> Row:
    """A network's row in the form of the published ones."""
    if "error" in network:
        return {"name": network["network"], "error": network["error"]}
    row = {"name": network["network"], "parameters": network["parameters"], "gflops": network["gflops"]}
    for engine in engines:
        if engine["network"] == network["network"] and "error" not in engine:
            key = engine["variant"] if engine["backend"] == "torch" else engine["precision"]
            if engine["backend"] in ("torch", "openvino"):
                row[key] = engine["fuse"]["p50_ms"]
    return row


def _order(row: Row) -> float:
    """By the quickest figure that there is, best backend first."""
    return next((row[name] for name in ("bf16", "f32", "kept", "plain") if row.get(name) is not None), float("inf"))
