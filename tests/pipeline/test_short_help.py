"""`fusecam --help` fits a screen, and leaves nothing out that exists."""

from __future__ import annotations

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from fusecam.pipeline.cli import app
from fusecam.pipeline.short_help import BRIEF, COMMANDS


def shown(option: str, columns: int) -> str:
    done = CliRunner().invoke(app, [option], env={"COLUMNS": str(columns), "TERM": "dumb"})
    assert done.exit_code == 0, done.output
    return done.output


def test_it_fits_one_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = shown("--help", 80).splitlines()
    assert len(lines) <= 50
    assert all(len(line) <= 80 for line in lines)


def test_short_and_whole_help_name_what_there_is() -> None:
    group = get_command(app)
    names = {parameter.name: parameter.opts[0] for parameter in group.params}
    assert BRIEF.keys() <= names.keys() and group.commands.keys() == COMMANDS.keys()
    short, whole = shown("--help", 200), shown("--help-all", 200)
    for name, option in names.items():
        assert f"{option} " in whole
        assert (f"{option} " in short) == (name in BRIEF), option
    assert all(f" {name} " in text for name in COMMANDS for text in (short, whole))
