"""Reading of recipe files of all kinds; a key of the recipe tells which training it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from .errors import TrainError
from .recipe import Recipe, Strict, read_recipe, read_recipe_file


@dataclass(frozen=True, slots=True)
class Training:
    """A recipe with its training function.

    name: default output folder under `runs`. run: trains; takes the output folder, whether to resume, and the devices,
    and returns the path of the weights.
    """

    recipe: Strict
    name: str
    run: Callable[[Path, bool, str], Path]


def named(recipe: Path) -> Path:
    """Path of a shipped recipe given by name; any other path is returned unchanged."""
    shipped = Path(__file__).parent / "recipes" / f"{recipe}.yaml"
    return shipped if recipe.name == str(recipe) and shipped.is_file() else recipe


def read_own(path: Path, recordings: Path, console: Console) -> Training:
    """Read a detector recipe for the user's own recordings.

    path: recipe; the name `detector` stands for the recipe that fine-tunes the shipped weights. recordings: YAML file
    with data, labels and classes. console: for notes and the report. Raises TrainError.
    """
    from .detector.fit import fit_detector
    from .detector.recipe import DetectorRecipe
    from .detector.recordings import lay_out, read_recordings
    from .evaluation.detection.own_detector import report

    path = named(Path("detector_own")) if path == named(Path("detector")) else path
    content = read_recipe_file(path)
    if not isinstance(content, dict) or "detector" not in content:
        raise TrainError(f"--data {recordings}: a recordings file trains a detector; {path} is not a detector recipe")
    own = read_recordings(recordings)

    def run(out: Path, resume: bool, devices: str) -> Path:
        recipe = read_recipe(path, DetectorRecipe, lay_out(own, out / "pairs", console))
        weights = fit_detector(recipe, out, resume, devices)
        report(recipe, out, console)
        return weights

    return Training(own, "detector", run)


def read_training(path: Path) -> Training:
    """Read and validate a recipe of any kind. Raises TrainError."""
    content = read_recipe_file(path)
    keys = content.keys() if isinstance(content, dict) else set()
    if "detector" in keys:
        from .detector.fit import fit_detector
        from .detector.recipe import DetectorRecipe

        detector = read_recipe(path, DetectorRecipe)
        return Training(detector, "detector", partial(fit_detector, detector))
    if keys & {"iassf", "dfvo"}:
        from .papers import PaperRecipe, fit_paper

        paper = read_recipe(path, PaperRecipe)
        return Training(paper, paper.name, partial(fit_paper, paper))
    if "lure" in keys:
        from .lure import LureRecipe, fit_lure

        lure = read_recipe(path, LureRecipe)
        return Training(lure, "lure", partial(fit_lure, lure))
    if "prompts" in keys:
        from .prompts.fit import PromptRecipe, fit_prompts

        prompts = read_recipe(path, PromptRecipe)
        return Training(prompts, "prompts", lambda out, resume, on: fit_prompts(prompts, out))
    from .fit import fit

    recipe = read_recipe(path, Recipe)
    return Training(recipe, recipe.network.profile, partial(fit, recipe))
