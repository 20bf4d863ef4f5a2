"""Report on a detector trained on the user's own recordings: metrics and pictures of held-out frames."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from ....calib.atomic import atomic
from ....engines.base import Pixels
from ....engines.detection import DetectorEngine
from ....engines.detection.weights import DETECTOR_WEIGHTS, detector_names
from ....engines.host.terminal import Terminal, markup
from ...detector.data import VARIANTS, Example, Examples, read_frame
from ...detector.recipe import DetectorRecipe
from ...errors import TrainError
from ..pictures import contact_sheet
from .metrics import ALL_CLASSES, LEAST, FrameDetections, Result, find_detected, pixels, score_frames
from .pictures import EXAMPLES, SURE, curves, marked
from .tables import LEGEND, table

BEFORE, AFTER = "shipped detector", "trained"


def report(recipe: DetectorRecipe, out: Path, console: Console) -> list[Path]:
    """Print tables of the held-out fused frames, clear and degraded, and write report.txt, pr_curves.png and worst.png.

    The shipped detector is evaluated too if it has the same classes. out: folder with `frames` and
    `weights.safetensors`. Returns the paths. Raises EngineError and TrainError.
    """
    held = Examples(recipe, out / "frames").held
    degraded = f"_{VARIANTS[0]}"
    parts = {
        "clear": [each for each in held if each.image.stem.rpartition("_")[2] not in VARIANTS],
        "degraded": [each for each in held if each.image.stem.endswith(degraded)],
    }
    weights = {AFTER: out / "weights.safetensors"}
    shipped = DETECTOR_WEIGHTS.is_file() and recipe.channels == 3
    if shipped and tuple(detector_names(DETECTOR_WEIGHTS).values()) == recipe.names:
        weights = {BEFORE: DETECTOR_WEIGHTS} | weights
    engines = {row: DetectorEngine(path) for row, path in weights.items()}
    looked = {part: {row: [_look(each, engine) for each in some] for row, engine in engines.items()}
              for part, some in parts.items()}  # fmt: skip
    if not any(len(judged.truth) for judged in looked["clear"][AFTER]):
        raise TrainError(f"{out}: the held-out frames have no boxes: no report; hold out other frames with val")
    results: dict[str, dict[str, Result]] = {
        part: {row: score_frames(frames, recipe.names) for row, frames in rows.items()} for part, rows in looked.items()
    }
    paths = [out / "report.txt", out / "pr_curves.png", out / "worst.png"]
    with atomic(paths[0], TrainError) as aside, aside.path.open("w", encoding="utf-8") as file:
        for to in (console, Terminal(file=file, width=100, emoji=False)):
            for part, rows in results.items():
                to.print(table(f"held out, {part}, {len(parts[part])} frames", rows))
                to.print()
            to.print(LEGEND, style="dim")
    with atomic(paths[1], TrainError) as aside:
        curves(results, aside.path)
    with atomic(paths[2], TrainError) as aside:
        contact_sheet(_worst(parts["clear"], looked["clear"], recipe.names), aside.path)
    for path in paths:
        console.print(f"wrote {markup(path)}", highlight=False, soft_wrap=True)
    best = results["clear"][AFTER].figures[ALL_CLASSES].map50
    console.print(f"use it: fusecam --detector {markup(weights[AFTER])}  (mAP50 {100 * best:.1f})", soft_wrap=True)
    return paths


def _look(example: Example, engine: DetectorEngine) -> FrameDetections:
    image = read_frame(example)
    height, width = image.shape[:2]
    return FrameDetections(example.image.stem, engine.find(image, LEAST), pixels(example.boxes, width, height))


def _worst(
    examples: list[Example], looked: dict[str, list[FrameDetections]], names: tuple[str, ...]
) -> list[tuple[str, list[tuple[str, Pixels]]]]:
    """The frames with the most missed labels, with the detections of every row, as rows of a contact sheet."""

    def missed(at: int) -> int:
        judged = looked[AFTER][at]
        return int((~find_detected(judged, SURE)).sum())

    worst = sorted(range(len(examples)), key=lambda at: (-missed(at), at))[:EXAMPLES]
    return [
        (
            f"{examples[at].image.stem}: {missed(at)} of {len(looked[AFTER][at].truth)} missed",
            [(row, marked(read_frame(examples[at]), frames[at], names)) for row, frames in looked.items()],
        )
        for at in worst
    ]
