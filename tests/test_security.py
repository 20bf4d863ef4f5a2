"""SECURITY.md says what is held, and by which tests."""

import ast
import re
from pathlib import Path

import pytest

from fusecam.calib.rig import RigError, load_rig
from fusecam.pipeline.config import load
from fusecam.pipeline.errors import InputError

ROOT = Path(__file__).parents[1]
CLAIMS = [line for line in (ROOT / "SECURITY.md").read_text().splitlines() if line.startswith("- ")]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: re.sub(r"\W+", " ", claim[4:40]))
def test_each_line_names_tests_that_are_there(claim):
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", claim)
    assert named
    for path, name in named:
        tests = {node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)}
        assert name in tests, f"{path} has no {name}"


def test_both_parts_are_there():
    told = " ".join(CLAIMS)
    for what in (
        "local user",
        "Rig and run files",
        "`.pt`",
        "Network peers",
        "Media files",
        "`.safetensors`",
        "Engine",
    ):
        assert what in told


@pytest.mark.parametrize("read", [load, load_rig])
def test_rig_and_run_files_are_data(tmp_path, read):
    path = tmp_path / "a.yaml"
    for text in (
        f"sources: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{tmp_path}/x']]",
        f"!!python/object/apply:os.mkdir ['{tmp_path}/x']",
        f"rig: !!python/name:os.system\nx: {tmp_path}/x",
        "surprise: 1",
    ):
        path.write_text(text)
        with pytest.raises((InputError, RigError), match=r"a\.yaml") as caught:
            read(path)
        assert "\n" not in str(caught.value)
        assert list(tmp_path.iterdir()) == [path]
