"""A recipe file as what it trains: its first key tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from .errors import TrainError
from .recipe import Strict, read_recipe, read_recipe_file


@dataclass(frozen=True, slots=True)
class Training:
    """A recipe and what to do with it. name: of the folder under `runs` where its results go unless told otherwise.

    run: takes the folder for results, whether to resume, and the devices; returns the weights' path.
    """

    recipe: Strict
    name: str
    run: Callable[[Path, bool, str], Path]


def named(recipe: Path) -> Path:
    """The file of a recipe that is given by its name; a path as it is."""
    shipped = Path(__file__).parent / "recipes" / f"{recipe}.yaml"
    return shipped if recipe.name == str(recipe) and shipped.is_file() else recipe


def read_own(path: Path, recordings: Path, console: Console) -> Training:
    """A detector's recipe with the data, labels and classes that the file `recordings` names; `detector` by its name is
    the one that goes on from the shipped weights. console: for notes and the report. TrainError in one line."""
    from .detector.fit import fit_detector
    from .detector.recipe import read_detector_recipe
    from .detector.recordings import lay_out, read_recordings
    from .evaluation.own_detector import report

    path = named(Path("detector_own")) if path == named(Path("detector")) else path
    content = read_recipe_file(path)
    if not isinstance(content, dict) or "detector" not in content:
        raise TrainError(f"--data {recordings}: a file of recordings trains a detector; {path} is no recipe of one")
    asked = read_recordings(recordings)

    def run(out: Path, resume: bool, devices: str) -> Path:
        recipe = read_detector_recipe(path, lay_out(asked, out / "pairs", console))
        weights = fit_detector(recipe, out, resume, devices)
        report(recipe, out, console)
        return weights

    return Training(asked, "detector", run)


def read_training(path: Path) -> Training:
    """Read and check a recipe of any kind. TrainError in one line."""
    content = read_recipe_file(path)
    keys = content.keys() if isinstance(content, dict) else set()
    if "detector" in keys:
        from .detector.fit import fit_detector
        from .detector.recipe import read_detector_recipe

        detector = read_detector_recipe(path)
        return Training(detector, "detector", lambda out, resume, on: fit_detector(detector, out, resume, on))
    if keys & {"iassf", "dfvo"}:
        from .papers.fit import fit_paper
        from .papers.recipe import read_paper_recipe

        paper = read_paper_recipe(path)
        return Training(paper, paper.name, lambda out, resume, on: fit_paper(paper, out, resume, on))
    if "lure" in keys:
        from .lure.fit import fit_lure
        from .lure.recipe import read_lure_recipe

        lure = read_lure_recipe(path)
        return Training(lure, "lure", lambda out, resume, on: fit_lure(lure, out, resume, on))
    if "prompts" in keys:
        from .prompts.fit import fit_prompts, read_prompt_recipe

        prompts = read_prompt_recipe(path)
        return Training(prompts, "prompts", lambda out, resume, on: fit_prompts(prompts, out))
    from .fit import fit

    recipe = read_recipe(path)
    return Training(recipe, recipe.network.profile, lambda out, resume, on: fit(recipe, out, resume, on))
