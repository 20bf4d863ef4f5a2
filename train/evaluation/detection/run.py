"""Detection evaluation: runs a detector on the frames of every row (sources, baselines, methods); tables and files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from safetensors import SafetensorError, safe_open

from ....engines.base import FusionEngine, Pixels
from ....engines.detection import DetectorEngine
from ....engines.detection.weights import DETECTOR_WEIGHTS, detector_channels
from ....engines.registry import UNLIFTED, parse
from ...detector.boxes import read_boxes
from ...detector.data import mean
from ...errors import TrainError
from ...metrics import rgb
from ..evaluate import fuse_scene
from ..output import check_writable, note_on, progress_bar, say_written
from ..scenes import AVERAGE, Images, Scene, fits, read_image, read_sources
from ..settings import Settings
from ..summary import ALL, OTHER, group_of, split_rule
from .disturb import DISTURBANCES, INFRARED_LOST, VISIBLE_LOST
from .metrics import LEAST, Floats, FrameDetections, Results, SceneDetections, pixels, score_frames
from .tables import LEGEND, PICTURES, TABLES, leads, leads_table, table, write

Find = Callable[[Pixels], Floats]
"""Maps (H, W, 3) uint8 RGB, or (H, W, 4) with infrared, to (N, 6): x1, y1, x2, y2 in pixels, score >= LEAST, class."""
COCO_HEAD = "model.24.anchors"
INFRARED, VISIBLE = "infrared only", "visible only"
BASELINES = (INFRARED, VISIBLE, AVERAGE)
FOUR = "four channels"
"""Row of visible RGB and infrared as four channels, if `detectors` has weights for it."""
SHOWN = ", as shown"
"""Suffix of an engine's row for the displayed frame, if it differs from the detector's input."""


def run_detection(settings: Settings, console: Console, progress: Console) -> Results:
    """Evaluate, print the tables on `console`, progress and notes on `progress`; write files if `out` is set.

    Raises TrainError or EngineError.
    """
    rule = split_rule(settings.split)
    methods = [
        row
        for engine, spec in settings.engine_rows.items()
        for row in ((engine, engine + SHOWN) if parse(spec)[0] in UNLIFTED else (engine,))
    ]
    methods += dict.fromkeys((*settings.fused, *settings.hazy_fused))
    baselines = (*BASELINES, FOUR) if FOUR in settings.detectors else BASELINES
    taken = [name for name in methods if name in baselines or methods.count(name) > 1]
    if taken:
        raise TrainError(
            f"{taken[0]}: there is another row of that name; write --fused NAME=DIR, --engine NAME:BACKEND"
        )
    unknown = [row for row in settings.detectors if row and row not in (*baselines, *methods)]
    if unknown:
        raise TrainError(f"--detector {unknown[0]}=...: no such row; there are {', '.join((*baselines, *methods))}")
    note = note_on(progress)
    scenes = _scenes(settings, rule, note)
    if settings.out is not None:
        check_writable(settings.out, TABLES, PICTURES)
    engines = settings.create_engines(unlifted=True)
    default = settings.detectors.get("", DETECTOR_WEIGHTS)
    weights = {row: settings.detectors.get(row, default) for row in (*baselines, *methods)}
    for row, path in weights.items():
        if (channels := detector_channels(path)) != (4 if row == FOUR else 3):
            raise TrainError(
                f"{path}: takes {channels} channels: give --detector '{FOUR}=FILE' weights of 4, others of 3"
            )
    detectors = {path: make_detector(path) for path in dict.fromkeys(weights.values())}
    find = {row: detectors[path] for row, path in weights.items()}

    with progress_bar("detecting", progress) as bar:
        looked = [
            SceneDetections(condition, scene, _look(scene, settings, engines, find))
            for condition, scene in bar.track(scenes, description="")
        ]
        disturbed = [
            SceneDetections(how, scene, _look(scene, settings, engines, find, how, before))
            for how, scene, before in bar.track(_disturbed(scenes, settings), description="disturbed")
        ]
    if not any(len(judged.truth) for each in looked for judged in each.rows.values()):
        raise TrainError(f"{settings.labels}: no boxes for these {len(looked)} images: nothing to score")
    for engine in engines.values():
        for line in engine.notes:
            note(line)
    results = summarise(looked)
    results |= {condition: rows for condition, rows in summarise(disturbed).items() if condition != ALL}
    for condition, rows in results.items():
        count = len(looked) if condition == ALL else sum(each.condition == condition for each in [*looked, *disturbed])
        title = f"{condition}, {count} image{'s' if count != 1 else ''}"
        console.print(table(title, rows))
        console.print()
        if ahead := leads(rows, baselines):
            console.print(leads_table(title, ahead))
            console.print()
    console.print(LEGEND, style="dim")
    if settings.out is not None:
        from .pictures import draw

        paths = write(settings.out, results, weights, baselines)
        paths += draw(settings.out, looked, results, lambda each: frames(each.scene, read_sources(each.scene), engines))
        say_written(paths, console)
    return results


def summarise(looked: Sequence[SceneDetections]) -> Results:
    """Results over all conditions, then per condition. A row is included if it has a frame for every scene."""
    results: Results = {}
    conditions = list(dict.fromkeys(each.condition for each in looked))
    every_row = dict.fromkeys(row for each in looked for row in each.rows)
    for condition in [ALL, *conditions] if len(conditions) > 1 else conditions:
        some = [each for each in looked if condition in (ALL, each.condition)]
        rows = [row for row in every_row if all(row in each.rows for each in some)]
        results[condition] = {row: score_frames([each.rows[row] for each in some]) for row in rows}
    return results


def make_detector(weights: Path) -> Find:
    """Load a fusecam detector, or YOLOv5n with its original COCO head. Raises TrainError for other files."""
    try:
        with safe_open(weights, "pt") as file:
            coco = COCO_HEAD in set(file.keys())
    except (OSError, SafetensorError) as error:
        raise TrainError(f"{weights}: no weights of a detector ({error}); train them with `fusecam train`") from error
    if coco:
        from ...detector.teacher import CocoTeacher

        teacher = CocoTeacher("yolov5n.yaml", weights)
        return lambda image: teacher.find(image, LEAST)
    engine = DetectorEngine(weights)
    return lambda image: engine.find(image, LEAST)


def _scenes(settings: Settings, rule: Mapping[str, str], note: Callable[[str], None]) -> list[tuple[str, Scene]]:
    """Scenes of all visible folders, each with its condition."""
    parts = [("", settings)]
    if settings.hazy is not None:
        parts.append(("hazy ", replace(settings, visible=settings.hazy, fused=settings.hazy_fused)))
    conditions = [(prefix, part.find_scenes(note)) for prefix, part in parts]
    # the same scenes in clear and hazy
    common = set.intersection(*({scene.name for scene in scenes} for _, scenes in conditions))
    return [
        (_condition(prefix, group), scene)
        for prefix, scenes in conditions
        for group in dict.fromkeys((*rule.values(), OTHER))
        for scene in scenes
        if scene.name in common and group_of(scene.name, rule) == group
    ]


def _disturbed(scenes: Sequence[tuple[str, Scene]], settings: Settings) -> list[tuple[str, Scene, Scene]]:
    """Every disturbance of every clear scene, with the scene before it, whose image a frozen camera shows."""
    if not settings.disturb:
        return []
    clear = [scene for _, scene in scenes if scene.visible.is_relative_to(settings.visible)]
    return [(how, scene, before) for how in DISTURBANCES
            for scene, before in zip(clear, [clear[-1], *clear[:-1]], strict=True)]  # fmt: skip


def _condition(prefix: str, group: str) -> str:
    return prefix + group if group != OTHER else prefix.strip() or "clear"


def _look(
    scene: Scene,
    settings: Settings,
    engines: Mapping[str, FusionEngine],
    find: Mapping[str, Find],
    how: str | None = None,
    before: Scene | None = None,
) -> dict[str, FrameDetections]:
    assert settings.labels is not None  # checked by the command
    images = read_sources(scene)
    if how is not None and before is not None:
        images = DISTURBANCES[how](images, read_sources(before).infrared)
    height, width = images.visible.shape[:2]
    truth = pixels(read_boxes(settings.labels / f"{scene.name}.txt"), width, height)
    inputs = frames(scene, images, engines, how)
    return {row: FrameDetections(scene.name, find[row](image), truth) for row, image in inputs.items() if row in find}


def frames(
    scene: Scene, images: Images, engines: Mapping[str, FusionEngine], how: str | None = None
) -> dict[str, Pixels]:
    """The frame of every row: (H, W, 3) uint8 RGB, or (H, W, 4) with infrared for the row FOUR.

    An engine has the input of its detector and, if different, the displayed frame. how: one of DISTURBANCES. If a
    camera is lost, average and engines have the frames that a live run continues with.
    """
    heat = rgb(images.infrared)
    inputs = {INFRARED: heat, VISIBLE: images.visible, AVERAGE: mean(images.visible, heat)}
    four = np.dstack([images.visible, images.infrared])
    if how == INFRARED_LOST:
        inputs[AVERAGE] = images.visible
    if how == VISIBLE_LOST:
        return inputs | dict.fromkeys((AVERAGE, *engines), heat) | {FOUR: four}
    for name, engine in engines.items():
        fused = fuse_scene(engine, images, covered=how != INFRARED_LOST)
        inputs[name] = fused.to_detect
        if how is None and fused.unlifted is not None:
            inputs[name + SHOWN] = fused.image
    for name, path in ({} if how is not None else scene.fused).items():
        image = read_image(path)
        fits(image, path, images.visible, scene.visible)
        inputs[name] = rgb(image)
    return inputs | {FOUR: four}
