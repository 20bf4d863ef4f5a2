"""`fusecam --help` fits a screen, and leaves nothing out that exists."""

from __future__ import annotations

import os
import subprocess

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from fusecam.pipeline import short_help
from fusecam.pipeline.cli import app
from fusecam.pipeline.options import OLD_NAMES, OPTIONS
from fusecam.pipeline.short_help import BRIEF, COMMANDS

from ..e2e.command import COMMAND


def shown(option: str, columns: int, *command: str) -> str:
    done = CliRunner().invoke(app, [*command, option], env={"COLUMNS": str(columns), "TERM": "dumb"})
    assert done.exit_code == 0, done.output
    return done.output


def test_width_of_zero_is_an_unknown_width() -> None:
    """Some terminals export it; rich prints nothing then, errors included."""
    said = subprocess.run(
        [*COMMAND, "--ir", "nowhere", "--vis", "elsewhere", "--out", "never.mp4"],
        env=os.environ | {"COLUMNS": "0"}, capture_output=True, text=True,
    )  # fmt: skip
    assert said.returncode == 1 and "nowhere: no such file" in said.stderr


SCREENS = [(), *((name,) for name in COMMANDS if name != "eval"), *(("calibrate", n) for n in ("board", "scene"))]


@pytest.mark.parametrize("command", SCREENS, ids=lambda words: " ".join(words) or "fusecam")
def test_short_help_fits_one_screen(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """`eval` has more options than that."""
    monkeypatch.setenv("COLUMNS", "80")
    lines = shown("--help", 80, *command).splitlines()
    assert len(lines) <= 50
    assert all(len(line) <= 80 for line in lines)


OLD = [
    ("--weights", ["bench", "--weights", "nowhere.pt"], "--detector"),
    ("--weights", ["bench", "--weights=nowhere.pt"], "--detector"),
    ("--every", ["eval", "--ir", ".", "--vis", ".", "--every", "0"], "--stride"),
    ("--split", ["eval", "--ir", ".", "--vis", ".", "--fused", ".", "--split", "day"], "--group-by day"),
]


@pytest.mark.parametrize(("old", "words", "said"), OLD)
def test_old_option_names_are_accepted_but_hidden(old: str, words: list[str], said: str) -> None:
    assert {name for name, _, _ in OLD} == OLD_NAMES.keys()
    done = CliRunner().invoke(app, words)
    assert said in f"{done.output} {done.exception}"
    assert all(f"{old} " not in shown("--help", 200, *command) for command in (*SCREENS, ("eval",)))
    assert f"{old} " not in shown("--help-all", 200)


def test_full_help_of_batch_is_shown_on_request() -> None:
    short, whole = shown("--help", 200, "batch"), shown("--help-all", 200, "batch")
    for name, option in OPTIONS.items():
        word = f"--{name.replace('_', '-')} "
        assert (word in whole) == (not option.single or name == "out")
        assert (word in short) == ((not option.single and name in BRIEF) or name == "out")


def test_commands_of_other_packages_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short_help, "COMMANDS", {name: line for name, line in COMMANDS.items() if name != "doctor"})
    assert " doctor " in shown("--help", 80)


@pytest.mark.parametrize("command", [*SCREENS, ("eval",), ("calibrate", "points")], ids=" ".join)
def test_flags_take_no_value(command: tuple[str, ...]) -> None:
    """typer would show `<bool>`, as if `--detect true` were meant."""
    flags = [line for line in shown("--help", 120, *command).splitlines() if "<bool>" in line]
    assert all("--help " in line for line in flags)  # which click adds


def test_short_and_full_help_list_existing_options() -> None:
    group = get_command(app)
    names = {parameter.name: parameter.opts[0] for parameter in group.params}
    assert BRIEF.keys() <= names.keys() and group.commands.keys() == COMMANDS.keys()
    short, whole = shown("--help", 200), shown("--help-all", 200)
    for name, option in names.items():
        assert f"{option} " in whole
        assert (f"{option} " in short) == (name in BRIEF), option
    assert all(f" {name} " in text for name in COMMANDS for text in (short, whole))
