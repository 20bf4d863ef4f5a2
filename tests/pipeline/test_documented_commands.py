"""Every `fusecam` command in the documents is one that the command line reads, all of its options and defaults."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from fusecam.pipeline.cli import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path for path in ROOT.glob("**/*.md") if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
LINE = re.compile(r"^(?:.+&& \S+/)?(fusecam .+)$", re.MULTILINE)
"""The command on a line of a block, the last one where there are several."""


def documented() -> list[tuple[str, str]]:
    return [
        (str(path.relative_to(ROOT)), line)
        for path in DOCUMENTS
        for block in re.findall(r"```bash\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
        for line in LINE.findall(block)
    ]


def read(words: list[str]) -> None:
    """Everything but the command's own work. Raises what the command line says of words that it cannot read."""
    command, (name, *rest) = get_command(app), words
    while rest and rest[0] in getattr(command, "commands", {}):
        name = rest.pop(0)
        command = command.commands[name]
    command.make_context(name, rest)


@pytest.mark.parametrize(("document", "line"), documented())
def test_documented_command_is_valid(document: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    if {"-h", "--help", "--help-all"} & set(words):
        with pytest.raises(typer.Exit):
            read(words)
    else:
        read(words)


def test_documents_contain_commands() -> None:
    assert {"README.md", "calib/README.md", "engines/README.md", "pipeline/README.md", "train/README.md"} <= {
        document for document, _ in documented()
    }
    assert "fusecam demo" in [line for _, line in documented()]


def test_unknown_option_is_refused() -> None:
    with pytest.raises(Exception, match="No such option"):
        read(["fusecam", "demo", "--nothing"])
