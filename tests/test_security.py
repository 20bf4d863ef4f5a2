"""SECURITY.md says what is held, and by which tests."""

import re

import pytest

from fusecam.calib.rig import RigError, load_rig
from fusecam.pipeline.config import load
from fusecam.pipeline.errors import InputError

from .documents import ROOT, is_test

CLAIMS = [line for line in (ROOT / "SECURITY.md").read_text().splitlines() if line.startswith("- ")]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: re.sub(r"\W+", " ", claim[4:40]))
def test_every_claim_names_existing_tests(claim):
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", claim)
    assert named
    for path, name in named:
        assert is_test(f"{path}::{name}"), f"{path} has no {name}"


def test_every_attack_surface_is_covered():
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
def test_yaml_tags_in_rig_and_run_files_are_refused(tmp_path, read):
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
