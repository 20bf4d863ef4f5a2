"""Recipes of a training: what they say, and those that are refused, by the command."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from fusecam.train.reading import read_training
from fusecam.train.recipe import Losses, Recipe, Stage

from .tiny_run import one_line, run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("hold_out: 1", "data.0.hold_out: of every pair none is left to train on"),
        ("size: [0, 0]", "data.0.size.0: Input should be greater than or equal to 32"),
        ("data: [{root: pairs, grid: frame, size: [50, 66]}]", "data.0.size: with grid `frame` give multiples of 8"),
        ("data: [{root: pairs, grid: frame, size: [64, 64], zoom: 2}]", "data.0.zoom: grid `frame` crops"),
        (
            "data: [{root: pairs, size: [32, 32], batch: 1}, {root: pairs, grid: frame, size: [64, 64], batch: 1}]",
            "data.1: a batch has one pixel",
        ),
        ("seed: -1", "seed: Input should be greater than or equal to 0"),
        ("losses: {distillation: 1}", "losses.distillation: needs network.teacher"),
        ("losses: 0", "losses: all are 0, nothing would be learned"),
        ("stages: [{steps: 1}]", "the whole file: `steps` beside `stages`"),
        ("network: {start: damaged.safetensors, air: 0}", "network.air: Input should be greater than 0"),
        ("network: {keep: 0.5}", "network: `keep` needs `start`"),
        ("network: {start: damaged.safetensors}", "damaged.safetensors: cannot be read"),
    ],
)
def test_invalid_recipe_error_names_the_key(recipe: Path, setting: str, told: str) -> None:
    pytest.importorskip("lightning")
    (recipe.parent / "damaged.safetensors").write_bytes(b"not tensors")
    content = yaml.safe_load(recipe.read_text())
    given = yaml.safe_load(setting)
    if given == {"losses": 0}:
        given = {"losses": dict.fromkeys(Losses.model_fields, 0)}
    for key, value in given.items():
        (content["data"][0] if key in ("hold_out", "size") else content)[key] = value
    recipe.write_text(yaml.safe_dump(content))
    result = run(str(recipe), "--out", str(recipe.parent / "run"), "--devices", "1")
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert told in one_line(result.output)


def test_single_held_out_pair_is_refused(recipe: Path) -> None:
    pytest.importorskip("lightning")
    for each in (recipe.parent / "pairs").rglob("[1-4].png"):
        each.unlink()
    result = run(str(recipe), "--out", str(recipe.parent / "run"), "--devices", "1")
    assert result.exit_code == 1 and "none is left to train on; set hold_out: 0" in one_line(result.output)


def test_file_as_output_folder_is_refused(recipe: Path, tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    (tmp_path / "taken").touch()
    result = run(str(recipe), "--out", str(tmp_path / "taken"), "--devices", "1")
    assert result.exit_code == 1 and "taken: File exists; choose another --out" in one_line(result.output)


@pytest.mark.parametrize("name", ["last.ckpt", "weights.safetensors"])
def test_training_in_the_output_folder_is_not_replaced(recipe: Path, tmp_path: Path, name: str) -> None:
    pytest.importorskip("lightning")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text("mine")
    result = run(str(recipe), "--out", str(tmp_path / "run"), "--devices", "1")
    assert result.exit_code == 1 and f"run: contains a training ({name}); continue" in one_line(result.output)
    assert [(path.name, path.read_text()) for path in (tmp_path / "run").iterdir()] == [(name, "mine")]


def test_each_stage_has_its_own_warmup_and_losses() -> None:
    stages = [Stage(steps=100, losses=Losses(content=3)), Stage(steps=50)]
    recipe = Recipe(data=[{"root": "pairs"}], stages=stages)
    assert recipe.length == 150
    assert [recipe.stage(step)[1] for step in (0, 99, 100, 149, 150)] == [0, 99, 0, 49, 50]
    assert recipe.stage(99)[0] is stages[0] and recipe.stage(100)[0] is stages[1]


def test_shipped_recipe_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "realtime").mkdir()  # a folder of that name beside it
    (tmp_path / "nowhere").mkdir()
    for name in ("realtime", "tiny"):
        result = run(name, "--data", "nowhere")
        assert result.exit_code == 1 and "nowhere/MSRS/train: no such folder" in one_line(result.output)
        assert (tmp_path / "runs" / name).is_dir()
    assert "absent: cannot be read" in one_line(run("absent").output)


def test_shipped_recipes_are_valid() -> None:
    recipes = sorted((Path(__file__).parents[2] / "train/recipes").glob("*.yaml"))
    assert recipes
    kinds = {type(read_training(path).recipe).__name__ for path in recipes}
    assert kinds >= {"Recipe", "DetectorRecipe"}


def test_data_root_is_an_option(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSECAM_DATA", "elsewhere")
    recipe.write_text(recipe.read_text().replace("root: pairs", "root: $FUSECAM_DATA/MSRS"))
    (tmp_path / "sets").mkdir()
    result = run(str(recipe), "--data", str(tmp_path / "sets"), "--out", str(tmp_path / "run"))
    assert "sets/MSRS: no such folder" in one_line(result.output)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.yaml"], "absent.yaml: cannot be read"),
        (["RECIPE", "--devices", "none"], "--devices none: give a count from 1, or auto"),
    ],
)
def test_invalid_options_are_one_line_errors(recipe: Path, arguments: list[str], message: str) -> None:
    result = run(*(str(recipe) if argument == "RECIPE" else argument for argument in arguments))
    assert result.exit_code == 1
    assert message in one_line(result.output) and "Traceback" not in result.output
