"""The console entry point: Ctrl-C shows no traceback, whatever is being imported."""

import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ENTRY = "fusecam.pipeline.start:main"
INTERRUPTED_AT = """
import os, signal, sys
signal.signal(signal.SIGINT, {handler})
class Finder:
    def find_spec(self, name, *others):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
sys.argv = ["fusecam", "schema", "report"]
from {place} import {function}
{function}()
"""


@pytest.mark.parametrize(
    ("handler", "module", "code"),
    [
        ("signal.default_int_handler", "typer", -signal.SIGINT),
        ("signal.default_int_handler", "fusecam.pipeline.commands.schema", 130),
        ("signal.SIG_IGN", "typer", 0),
    ],
)
def test_interrupt_during_imports_shows_no_traceback(handler: str, module: str, code: int) -> None:
    place, _, function = ENTRY.partition(":")
    program = INTERRUPTED_AT.format(handler=handler, module=module, place=place, function=function)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr.strip()) == (code, "")


def test_command_starts_there() -> None:
    project = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["scripts"] == {"fusecam": ENTRY}
