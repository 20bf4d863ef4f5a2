"""Fusion evaluation: finds the scenes, scores them, prints the tables, writes the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from ...calib.atomic import atomic
from ...engines.base import FusionEngine
from ..errors import TrainError
from ..metrics import RANKED, Colour, Gray
from . import visibility
from .evaluate import BASELINES, SceneScores, evaluate_scenes, fuse_scene
from .output import check_writable, note_on, progress_bar, say_written, write_csv
from .scenes import Scene, read_image, read_sources
from .settings import Settings
from .summary import ALL, LEGEND, TABLES, Group, group_of, split_rule, summarise, tables, worst, write_files

Engines = Mapping[str, FusionEngine]
"""Engines by row."""

PICTURES = ("violins.png", "worst.png")
VISIBILITY = ("visibility.csv", "least_visible.png")
"""Files of pictures, and of objects by labels."""


def run_evaluation(settings: Settings, console: Console, progress: Console) -> list[Group]:
    """Evaluate, print the tables on `console` and progress and notes on `progress`, write files if `out` is set.

    Returns the means by group. Raises TrainError or EngineError before anything is written.
    """
    if not settings.fused and not settings.engines:
        raise TrainError("nothing to evaluate: give --fused DIR, --engine NAME, or both")
    if not settings.engines and settings.restored_reference is not None:
        raise TrainError("--restored-reference is for engines, which restore: give --engine NAME with it, or omit it")
    rule = split_rule(settings.split)
    note = note_on(progress)
    scenes = settings.find_scenes(note)
    if settings.out is not None:
        from . import pictures  # noqa: F401  fail early if matplotlib is missing

        check_writable(settings.out, TABLES, (*PICTURES, *(VISIBILITY if settings.labels else ())))
    engines = settings.create_engines()
    with progress_bar("scoring", progress) as bar:
        task = bar.add_task("", total=len(scenes))
        results = evaluate_scenes(scenes, engines, settings.workers, lambda: bar.advance(task))
    for engine in engines.values():
        for line in engine.notes:
            note(line)
    groups = summarise(results, rule)
    for group in groups:
        for table in tables(group):
            console.print(table)
            console.print()
        members = (each for each in results if group.name in (ALL, group_of(each.name, rule)))
        objects = [seen for result in members for seen in result.objects]
        if objects:
            console.print(visibility.table(group.name, objects))
            console.print()
    console.print(LEGEND, style="dim")
    seen = [seen for result in results for seen in result.objects]
    if seen:
        console.print(visibility.LEGEND, style="dim")
    elif settings.labels is not None:
        note(f"{settings.labels}: no labelled object that a camera shows, so no visibility")
    if settings.out is not None:
        paths = write_files(settings.out, results, groups, rule, _described(settings, engines))
        by_name = {scene.name: scene for scene in scenes}
        paths += _draw(settings.out, by_name, results, engines)
        if seen:
            paths += _draw_visibility(settings.out, by_name, seen, engines)
        say_written(paths, console)
    return groups


def _draw(folder: Path, scenes: Mapping[str, Scene], results: list[SceneScores], engines: Engines) -> list[Path]:
    from .pictures import contact_sheet, violins

    method = [row for row in results[0].fused if row not in BASELINES][-1]
    paths = [folder / name for name in PICTURES]
    with atomic(paths[0], TrainError) as aside:
        violins(results, aside.path)
    rows = []
    for result in worst(results, method):
        figures = "  ".join(f"{metric} {result.fused[method][metric]:.4g}" for metric in RANKED)
        rows.append((f"{result.name}   {figures}", _cells(scenes[result.name], method, engines)))
    with atomic(paths[1], TrainError) as aside:
        contact_sheet(rows, aside.path)
    return paths


def _draw_visibility(
    folder: Path, scenes: Mapping[str, Scene], seen: Sequence[visibility.ObjectVisibility], engines: Engines
) -> list[Path]:
    """Write visibility.csv, and least_visible.png with the objects of lowest visibility in the last method."""
    from .pictures import contact_sheet

    paths = [folder / name for name in VISIBILITY]
    columns = ("x1", "y1", "x2", "y2", *seen[0].kept)
    figures = ([f"{value:.6g}" for value in (*entry.box, *entry.kept.values())] for entry in seen)
    names = ({"image": entry.scene, "object": entry.name} for entry in seen)
    lines = [name | dict(zip(columns, row, strict=True)) for name, row in zip(names, figures, strict=True)]
    write_csv(paths[0], lines)
    method = list(seen[0].kept)[-1]
    rows = []
    for entry in visibility.worst(seen, method):
        images = _cells(scenes[entry.scene], method, engines)
        cells = [(title, visibility.close(image, entry.box)) for title, image in images]
        rows.append((f"{entry.scene}   {entry.name}   {entry.kept[method]:.2f}", cells))
    with atomic(paths[1], TrainError) as aside:
        contact_sheet(rows, aside.path)
    return paths


def _cells(scene: Scene, method: str, engines: Engines) -> list[tuple[str, Gray | Colour]]:
    images = read_sources(scene)
    cells: list[tuple[str, Gray | Colour]] = [("visible", images.visible), ("infrared", images.infrared)]
    if scene.reference != scene.visible:
        cells.append(("reference", images.reference))
    if method in engines:
        made = fuse_scene(engines[method], images)
        return [*cells, ("restored", made.restored), (method, made.image)]
    return [*cells, (method, read_image(scene.fused[method]))]


def _described(settings: Settings, engines: Engines) -> dict[str, object]:
    return {
        "infrared": str(settings.infrared),
        "visible": str(settings.visible),
        "reference": str(settings.reference or settings.visible),
        "restored_reference": str(settings.restored_reference or settings.reference or settings.visible),
        "fused": {name: str(folder) for name, folder in settings.fused.items()},
        "engines": [engine.name for engine in engines.values()],
        "prompt": settings.prompt if engines else None,
        "dehaze": settings.dehaze if engines else None,
        "lift": settings.lift if engines else None,
        "hue": settings.hue if engines else None,
        "half": settings.half,
        "every": settings.every,
        "split": settings.split,
    }
