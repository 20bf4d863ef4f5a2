"""Computes the metrics of scenes in parallel processes: sources, average, maximum, and every method."""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field

import cv2
import numpy as np

from ...engines.base import Fused, FusionEngine
from ...engines.host.devices import cores
from ...engines.host.lifeline import end_with_parent
from .. import metrics
from ..errors import TrainError
from ..metrics import Colour, Gray, gray
from .scenes import AVERAGE, MAXIMUM, Images, Scene, fits, mean_and_maximum, read_image, read_sources
from .visibility import ObjectVisibility, score_objects

BASELINES = ("infrared only", "visible only", AVERAGE, MAXIMUM)
Scores = dict[str, float]


@dataclass(frozen=True, slots=True)
class SceneScores:
    """Metrics of one scene by row: BASELINES, then the methods.

    fused: the metrics of `fusion_scores`, `noise` (see `noise_ratio`) and, for colour images, `chroma` and `chroma
    non-thermal` (see `chroma_shifts`), all against infrared and the reference, and `dark chroma` against the visible
    input image.
    restored: `PSNR` over RGB, `SSIM` of luma and `white lost` against the restored reference, and the `mean` grey
    level, of the visible input image (row "visible only") and of the images that the engines restored from it.
    objects: the labelled objects, where the scene has labels.
    """

    name: str
    fused: dict[str, Scores]
    restored: dict[str, Scores] = field(default_factory=dict)
    objects: list[ObjectVisibility] = field(default_factory=list)


def default_workers() -> int:
    """Number of available CPU cores, at most 8."""
    return min(len(cores()), 8)


def evaluate_scenes(
    scenes: Sequence[Scene],
    engines: Mapping[str, FusionEngine] | None = None,
    workers: int = 1,
    done: Callable[[], None] = lambda: None,
) -> list[SceneScores]:
    """Score every scene; the order is that of `scenes`.

    engines: by row; each fuses every scene in this process and is scored like a method. workers: number of scoring
    processes; 1: score in this process. done: called after every scene. Raises TrainError for an image that cannot be
    scored, and EngineError.
    """
    if workers <= 1 or len(scenes) == 1:
        results = []
        for scene in scenes:
            results.append(score_scene(scene, _make(engines, scene)))
            done()
        return results
    scored: dict[str, SceneScores] = {}
    # spawn, since forking a process with running engine threads may deadlock
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin) as pool:
        waiting: set[Future[SceneScores]] = set()
        try:
            for scene in scenes:
                waiting.add(pool.submit(score_scene, scene, _make(engines, scene)))
                if len(waiting) >= 2 * workers:  # bounds the memory of queued frames
                    waiting -= _collect(waiting, scored, done)
            while waiting:
                waiting -= _collect(waiting, scored, done)
        except BrokenProcessPool as error:
            raise TrainError("a scoring process was killed, probably out of memory: try --workers 1") from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return [scored[scene.name] for scene in scenes]


def fuse_scene(engine: FusionEngine, images: Images, covered: bool = True) -> Fused:
    """Fuse one registered pair. covered: infrared is valid everywhere, or nowhere."""
    return engine.fuse(images.visible, images.infrared, np.full_like(images.infrared, 255 * covered))


def score_scene(scene: Scene, made: Mapping[str, Fused]) -> SceneScores:
    """Score the sources, the baselines, the methods and the engine outputs `made` of one scene. Raises TrainError."""
    images = read_sources(scene)
    visible = gray(images.visible)
    rows: dict[str, Gray | Colour] = {
        "infrared only": images.infrared,
        "visible only": images.visible,
        **mean_and_maximum(visible, images.infrared),
    }
    for method, path in scene.fused.items():
        rows[method] = read_image(path)
        fits(rows[method], path, visible, scene.visible)
    rows |= {method: each.image for method, each in made.items()}
    restored = {"visible only": images.visible} | {method: each.restored for method, each in made.items()}
    return score_images(scene, images, rows, restored)


def score_images(
    scene: Scene, images: Images, rows: Mapping[str, Gray | Colour], restored: Mapping[str, Colour]
) -> SceneScores:
    """Score fused images by row, and restored ones. images: of the scene, see `read_sources`."""
    reference, visible = gray(images.reference), gray(images.visible)
    flat, cool = metrics.flat_areas(reference, images.infrared), metrics.non_thermal(images.infrared)
    fused = {}
    for row, image in rows.items():
        luma = gray(image)
        fused[row] = metrics.fusion_scores(images.infrared, reference, luma)
        fused[row]["noise"] = metrics.noise_ratio(visible, luma, flat)
        if image.ndim == 3 and (image != image[..., :1]).any():  # colour metrics are undefined for gray images
            shift = metrics.chroma_shifts(images.reference, image)
            fused[row]["chroma"] = float(shift.mean())
            fused[row]["chroma non-thermal"] = float(shift[cool].mean()) if cool.any() else math.nan
            fused[row]["dark chroma"] = metrics.dark_chroma(images.visible, image, cool)

    clear = images.restored_reference
    return SceneScores(
        scene.name,
        fused,
        {
            row: {
                "PSNR": metrics.psnr(clear, image),
                "SSIM": metrics.ssim(gray(clear), gray(image)),
                "mean": float(gray(image).mean()),
                "white lost": metrics.white_lost(clear, image),
            }
            for row, image in restored.items()
        },
        score_objects(scene, images, {row: rows[row] for row in rows if row not in BASELINES}) if scene.labels else [],
    )


def _begin() -> None:
    """Initialise a scoring process."""
    end_with_parent()
    cv2.setNumThreads(1)


def _make(engines: Mapping[str, FusionEngine] | None, scene: Scene) -> dict[str, Fused]:
    if not engines:
        return {}
    images = read_sources(scene)
    return {row: fuse_scene(engine, images) for row, engine in engines.items()}


def _collect(
    waiting: set[Future[SceneScores]], scored: dict[str, SceneScores], done: Callable[[], None]
) -> set[Future[SceneScores]]:
    finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
    for future in finished:
        result = future.result()
        scored[result.name] = result
        done()
    return finished
