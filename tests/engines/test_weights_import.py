"""Weights of the papers' networks: from the authors' files or from training, into the user's folder, into an engine."""

from __future__ import annotations

import json
import pickle
import resource
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from fusecam.engines import EngineError, available, create_engine, registry
from fusecam.engines.networks import checkpoints, dfvo, iassf
from fusecam.engines.networks.realtime import RealtimeFusion
from fusecam.engines.networks.realtime_core import PROFILES
from fusecam.engines.weights_cli import weights

from .vectors import golden, state

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with nothing in it, and nothing shipped."""
    monkeypatch.setenv("FUSECAM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(checkpoints, "SHIPPED", "none of {name}")
    return tmp_path / "home"


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """What a training run of the small DFVO leaves."""
    torch.manual_seed(0)
    path = tmp_path / "run" / "weights.safetensors"
    network = dfvo.DFVO(dfvo.PROFILES["small"])
    half = {key: value.half() if value.is_floating_point() else value for key, value in network.state_dict().items()}
    checkpoints.write(path, "dfvo", half, network.profile)
    return path


@pytest.mark.parametrize("split", [False, True])
def test_imported_iassf_checkpoint_equals_the_authors_network(tmp_path: Path, split: bool) -> None:
    dehaze, fusion = state("iassf_dehaze"), state("iassf_fusion")
    files = [tmp_path / "IASSF.pth"]
    if split:
        files = [tmp_path / "IASSF_dehaze.pth", tmp_path / "IASSF_fusion.pth"]
        torch.save({f"module.{key}": value for key, value in dehaze.items()}, files[0])
        torch.save(fusion, files[1])
    else:
        parts = {"dehaze_network_state_dict": dehaze, "fusion_network_state_dict": fusion}
        optimizer = torch.optim.AdamW([torch.zeros(2, requires_grad=True)])
        torch.save(parts | {"epoch": 300, "optimizer_dehaze_state_dict": optimizer.state_dict()}, files[0])
    kept = checkpoints.import_weights("iassf", files)
    assert [source.split()[0] for source in kept.source] == [file.name for file in files]
    network = registry.network("iassf")
    truth = golden("iassf")
    with torch.inference_mode():
        restored, infrared, _ = network.restoration(truth["vis"], truth["ir"], truth["haze_density"])
        fused = network.fusion(restored, infrared)
    assert (fused - truth["fused"]).abs().max() < 1e-4 * truth["fused"].std()
    assert not network.restoration.hde.airlight  # as the authors' code computes it
    assert "iassf:torch:f32" in [spec for spec, _ in available()]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_imported_dfvo_checkpoint_equals_the_authors_network(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"DFModel{suffix}"
    if suffix == ".pth":
        torch.save({"model": state("dfvo")}, file)
    else:
        save_file(state("dfvo"), file)
    checkpoints.import_weights("dfvo", [file])
    truth = golden("dfvo")
    network = registry.network("dfvo")
    assert not hasattr(network, "enhancement")
    with torch.inference_mode():
        assert (network.fuse(truth["vis_y"], truth["ir"]) - truth["fused"]).abs().max() < 1e-5


def test_deployed_dfvo_checkpoint_is_accepted(tmp_path: Path) -> None:
    given = {key: value for key, value in state("dfvo").items() if not key.startswith(("IL.", "En", "IrDec", "IrSig"))}
    assert any(key.startswith("IrDeConv") for key in given)  # which nothing uses
    torch.save({"model": given}, tmp_path / "deployed.pth")
    checkpoints.import_weights("dfvo", [tmp_path / "deployed.pth"])
    truth = golden("dfvo")
    with torch.inference_mode():
        fused = registry.network("dfvo").fuse(truth["vis_y"], truth["ir"])
    assert (fused - truth["fused"]).abs().max() < 1e-5


def test_command_imports_trained_weights(trained: Path, home: Path, frame) -> None:
    done = CliRunner().invoke(weights, ["import", "dfvo", str(trained)])
    assert done.exit_code == 0, done.output
    assert str(home / "weights" / "dfvo.safetensors") in done.output.replace("\n", "")
    assert "weights.safetensors" in CliRunner().invoke(weights, ["list"]).output
    fused = create_engine("dfvo:torch").fuse(*frame)
    assert fused.image.shape == frame[0].shape
    assert not np.array_equal(fused.image, frame[0])
    compiled = create_engine("dfvo:openvino:f32").fuse(*frame)
    assert np.abs(fused.image.astype(int) - compiled.image).max() <= 1


@pytest.mark.parametrize("name", checkpoints.OWN)
def test_imported_weights_are_used_listed_and_removed(name: str, tmp_path: Path, home: Path, frame) -> None:
    shipped = create_engine(f"{name}:torch").fuse(*frame).image
    torch.manual_seed(1)
    # other sizes than the shipped ones, and what a recipe may ask for
    profile = replace(PROFILES[name], widths=(8, 8, 8), bounded=name == "realtime")
    state = RealtimeFusion(profile).state_dict()
    state["core.maps.bias"] += 0.5
    path = tmp_path / "weights.safetensors"
    checkpoints.write(path, name, state, profile)
    done = CliRunner().invoke(weights, ["import", name, str(path)])
    assert done.exit_code == 0, done.output
    assert "weights.safetensors" in CliRunner().invoke(weights, ["list"]).output
    engines = [create_engine(f"{name}:torch"), create_engine(f"{name}:openvino:f32"), create_engine(name)]
    made = [engine.fuse(*frame).image for engine in engines]
    assert np.abs(made[0].astype(int) - shipped).max() > 10
    assert np.abs(made[0].astype(int) - made[1]).max() <= 1
    for engine in engines:
        assert engine.notes[0].startswith(f"{name}: imported weights, {home}")
    other = next(each for each in checkpoints.OWN if each != name)
    with pytest.raises(EngineError, match=f"weights of {name}, not of {other}"):
        checkpoints.import_weights(other, [path])
    done = CliRunner().invoke(weights, ["remove", name])
    assert done.exit_code == 0 and not list(home.rglob("*.safetensors"))
    engine = create_engine(f"{name}:torch")
    assert engine.notes == [] and np.array_equal(engine.fuse(*frame).image, shipped)
    with pytest.raises(EngineError, match="none were imported; imported: nothing"):
        checkpoints.remove(name)


def test_trained_weights_carry_their_airlight_settings(tmp_path: Path) -> None:
    network = RealtimeFusion(replace(PROFILES["realtime"], widths=(8, 8, 8), air=0.8, field=0.6, bounded=True))
    path = tmp_path / "weights.safetensors"
    checkpoints.write(path, "realtime", network.state_dict(), network.profile)
    assert checkpoints.load("realtime", path).profile == network.profile


def test_weights_without_metadata_are_accepted_if_they_fit(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    save_file(RealtimeFusion(PROFILES["tiny"]).state_dict(), path)
    assert checkpoints.import_weights("tiny", [path]).profile["factor"] == PROFILES["tiny"].factor
    with pytest.raises(EngineError, match=r"tensors do not match the network realtime.*give every file of it"):
        checkpoints.import_weights("realtime", [path])
    torch.save({}, tmp_path / "a.pth")
    with pytest.raises(EngineError, match=r"a.pth: not of tiny; give weights.safetensors of a training run"):
        checkpoints.import_weights("tiny", [tmp_path / "a.pth"])
    with pytest.raises(EngineError, match=r"b.pth: no such file; give weights.safetensors"):
        checkpoints.import_weights("tiny", [tmp_path / "b.pth"])


def test_damaged_and_unwritable_weights_are_reported(home: Path) -> None:
    shipped = Path(checkpoints.__file__).parents[1] / "weights" / "tiny.safetensors"
    taken = checkpoints.import_weights("tiny", [shipped]).path
    taken.write_bytes(taken.read_bytes()[:3000])
    listed = CliRunner().invoke(weights, ["list"])
    told = " ".join(listed.output.split())
    assert listed.exit_code == 0 and "damaged: fusecam weights remove tiny" in told and "realtime:" in told
    with pytest.raises(EngineError, match=r"cannot be read: .*`fusecam weights remove tiny`"):
        checkpoints.load("tiny")

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # a full disk as the kernel can play it
    try:
        with pytest.raises(EngineError, match=r"cannot be written: File too large; set FUSECAM_HOME"):
            checkpoints.import_weights("tiny", [shipped])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in (home / "weights").iterdir()] == ["tiny.safetensors"]


def test_weights_folder_follows_the_environment(monkeypatch, tmp_path: Path) -> None:
    assert checkpoints.folder() == tmp_path / "home" / "weights"
    monkeypatch.delenv("FUSECAM_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert checkpoints.folder() == tmp_path / "data" / "fusecam" / "weights"


@pytest.mark.parametrize("name", ["iassf", "dfvo"])
def test_missing_weights_error_says_how_to_get_them(name: str) -> None:
    for attempt in (create_engine, lambda name: create_engine(f"{name}:torch"), registry.network):
        with pytest.raises(EngineError, match=f"{name}: no weights; import the authors'.*fusecam train") as error:
            attempt(name)
        assert "\n" not in str(error.value)
    assert not [spec for spec, _ in available() if spec.startswith(name)]


class Bomb:
    """Unpickled, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("how", [torch.save, lambda content, file: file.write_bytes(pickle.dumps(content))])
def test_no_code_of_a_checkpoint_is_executed(tmp_path: Path, home: Path, how) -> None:
    how({"model": Bomb(tmp_path / "exploded")}, tmp_path / "evil.pth")
    with pytest.raises(EngineError, match=r"evil.pth: not a checkpoint of tensors only") as error:
        checkpoints.import_weights("dfvo", [tmp_path / "evil.pth"])
    assert "\n" not in str(error.value)
    assert not (tmp_path / "exploded").exists()
    assert not home.exists()


def _broken(trained: Path, how: str) -> Path:
    content = checkpoints._read_own(trained)[0]
    file = trained.with_name(f"{how}.safetensors")
    if how == "truncated":
        file.write_bytes(trained.read_bytes()[:5000])
    elif how == "missing":
        del content["fusion.0.0.bias"]
        checkpoints.write(file, "dfvo", content, dfvo.PROFILES["small"])
    elif how == "not finite":
        content["fusion.0.0.bias"][0] = float("nan")
        checkpoints.write(file, "dfvo", content, dfvo.PROFILES["small"])
    elif how == "other sizes":
        checkpoints.write(file, "dfvo", content, dfvo.PROFILES["full"])
    elif how == "other network":
        checkpoints.write(file, "iassf", content, iassf.PROFILES["small"])
    elif how == "no such sizes":
        profile = asdict(dfvo.PROFILES["small"]) | {"colour": 3}
        save_file(content, file, {"fusecam": json.dumps({"network": "dfvo", "profile": profile})})
    elif how == "strangers":
        save_file({"conv.weight": torch.zeros(3)}, file)
    return file


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("truncated", "cannot be read"),
        ("absent", "cannot be read"),
        ("missing", "tensors do not match the network dfvo"),
        ("not finite", "fusion.0.0.bias has values that are not finite"),
        ("other sizes", "tensors do not match the network dfvo"),
        ("other network", "weights of iassf, not of dfvo"),
        ("no such sizes", "no network of dfvo has these sizes"),
        ("strangers", "holds no weights of dfvo; the authors' are at https"),
    ],
)
def test_unusable_files_are_a_one_line_error(trained: Path, home: Path, how: str, message: str) -> None:
    file = _broken(trained, how)
    with pytest.raises(EngineError, match=message) as error:
        checkpoints.import_weights("dfvo", [file])
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)
    assert not home.exists()


def test_refused_import_keeps_the_previous_weights(trained: Path) -> None:
    kept = checkpoints.import_weights("dfvo", [trained])
    before = kept.path.read_bytes()
    with pytest.raises(EngineError):
        checkpoints.import_weights("dfvo", [_broken(trained, "missing")])
    assert kept.path.read_bytes() == before
    assert [path.name for path in kept.path.parent.iterdir()] == ["dfvo.safetensors"]


def test_unknown_name_is_refused(trained: Path) -> None:
    with pytest.raises(EngineError, match=r"weights of 'yolo': unknown name; known: realtime, .*; a detector's"):
        checkpoints.import_weights("yolo", [trained])
