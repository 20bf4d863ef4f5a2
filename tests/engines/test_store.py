"""Kept engines: found again by their whole key, made anew when damaged, atomic, limited in size."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fusecam.engines import EngineError, create_engine
from fusecam.engines.backends.tensorrt import BLOB, EngineCache
from fusecam.engines.build import store
from fusecam.engines.detection import DetectorEngine
from fusecam.engines.host import secret
from fusecam.engines.networks import checkpoints
from fusecam.pipeline.cli import app

pytestmark = pytest.mark.slow

KEY = {"network": "n", "shape": "64x48", "precision": "f32"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FUSECAM_HOME", str(tmp_path / "data"))
    return tmp_path / "cache" / "fusecam" / "engines"


def write(content: bytes, fact: int = 1):
    def into(folder: Path) -> store.Facts:
        (folder / "engine.bin").write_bytes(content)
        return {"fact": fact}

    return into


def test_entry_is_found_by_its_whole_key_only(home: Path) -> None:
    assert store.find(KEY) is None
    store.keep(KEY, write(b"one", 7))
    found = store.find(dict(reversed(KEY.items())))
    assert found is not None
    assert (found.path / "engine.bin").read_bytes() == b"one"
    assert (found.key, found.facts) == (KEY, {"fact": 7})
    for name in KEY:
        assert store.find(KEY | {name: "other"}) is None
    assert store.find(KEY | {"driver": "1"}) is None


def test_change_of_any_used_module_changes_the_key(tmp_path: Path) -> None:
    """All of fusecam that networks and their build import is part of the key: a changed line in it makes another."""
    code = """
import sys
from fusecam.engines import registry
from fusecam.engines.backends import eager
from fusecam.engines.backends.openvino import engine
from fusecam.engines.build import process
from fusecam.engines.detection.network import DetectorNetwork
from fusecam.engines.detection.weights import DETECTOR_WEIGHTS
for name in registry.NAMES:
    registry.network(name)
DetectorNetwork(DETECTOR_WEIGHTS)
print(*(m.__file__ for n, m in sys.modules.items() if n.startswith("fusecam.") and m.__file__), sep="\\n")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    package = Path(store.__file__).parents[1]
    used = [Path(line) for line in done.stdout.splitlines() if line.startswith(os.sep)]
    assert len(used) > 30
    elsewhere = {path for path in used if not path.is_relative_to(package)}
    assert {path.name for path in elsewhere} <= {"__init__.py", "atomic.py"}  # which writes files and computes nothing
    copy = tmp_path / "engines"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("weights", "__pycache__"))
    before = store.code_digest.__wrapped__(copy)
    assert before == store.code_digest()
    for path in {*used} - elsewhere:
        changed = copy / path.relative_to(package)
        text = changed.read_text()
        changed.write_text(text + "\nEPSILON = 1e-6\n")
        assert store.code_digest.__wrapped__(copy) != before, path
        changed.write_text(text)


def test_key_holds_weights_versions_and_clips(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    monkeypatch.setenv("FUSECAM_HOME", str(tmp_path))
    key = create_engine("tiny:openvino:int8")._engine._key
    assert set(key) >= {"network", "weights", "code", "torch", "openvino", "nncf", "calibrated on", "unlifted"}
    checkpoints.import_weights("tiny", [Path(checkpoints.__file__).parents[1] / "weights" / "tiny.safetensors"])
    assert create_engine("tiny:openvino:int8")._engine._key["weights"] != key["weights"]


@pytest.mark.parametrize("asked", ["abc", "-1", "1.5"])
def test_invalid_size_limit_is_reported(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setenv("FUSECAM_ENGINES_MIB", asked)
    for make in (lambda: create_engine("average"), DetectorEngine, store.limit_bytes):
        with pytest.raises(EngineError, match=f"FUSECAM_ENGINES_MIB={asked}: give a whole number of MiB"):
            make()


@pytest.mark.parametrize("harm", ["changed", "shorter", "gone", "manifest", "empty manifest", "other manifest"])
def test_damaged_entries_are_removed_and_rebuilt(home: Path, harm: str) -> None:
    assert store.keep(KEY, write(b"whole")) is None
    entry = store.find(KEY)
    assert entry is not None
    file, manifest = entry.path / "engine.bin", entry.path / store.MANIFEST
    if harm == "changed":
        file.write_bytes(b"whale")
    elif harm == "shorter":
        file.write_bytes(b"who")
    elif harm == "gone":
        file.unlink()
    else:
        manifest.write_text({"manifest": '{"key"', "empty manifest": "", "other manifest": "[1]"}[harm])
    assert store.find(KEY) is None
    assert not entry.path.exists()
    store.keep(KEY, write(b"anew"))
    found = store.find(KEY)
    assert found is not None
    assert (found.path / "engine.bin").read_bytes() == b"anew"


@pytest.mark.parametrize("forged", ["digest", "facts", "entry of another user"])
def test_forged_entries_are_ignored(home: Path, monkeypatch: pytest.MonkeyPatch, forged: str) -> None:
    """A blob that was changed together with its digest was imported, and a compiled blob is code."""
    store.keep(KEY, write(b"whole"))
    entry = store.find(KEY)
    assert entry is not None
    manifest = json.loads((entry.path / store.MANIFEST).read_text())
    if forged == "digest":
        (entry.path / "engine.bin").write_bytes(b"whale")
        manifest["files"]["engine.bin"] = [5, hashlib.sha256(b"whale").hexdigest()]
    elif forged == "facts":
        manifest["facts"] = {"fact": 2}
    else:
        data = os.environ["FUSECAM_HOME"]
        monkeypatch.setenv("FUSECAM_HOME", str(home.parent / "another"))
        store.keep(KEY, write(b"whale"))
        (other,) = store.entries()
        manifest = json.loads((other.path / store.MANIFEST).read_text())
        (entry.path / "engine.bin").write_bytes(b"whale")
        monkeypatch.setenv("FUSECAM_HOME", data)
    (entry.path / store.MANIFEST).write_text(json.dumps(manifest))
    assert store.entries() == []
    assert store.find(KEY) is None
    assert not entry.path.exists()


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
@pytest.mark.parametrize("how", ["readable by others", "a link", "of another length"])
def test_secret_key_readable_by_others_is_replaced(home: Path, tmp_path: Path, how: str) -> None:
    store.keep(KEY, write(b"whole"))
    key = secret.folder() / "engines.key"
    assert key.stat().st_mode & 0o777 == 0o600
    before = key.read_bytes()
    if how == "readable by others":
        key.chmod(0o644)
    elif how == "a link":
        key.rename(tmp_path / "elsewhere")
        key.symlink_to(tmp_path / "elsewhere")
    else:
        key.write_bytes(b"")
    assert store.find(KEY) is None
    assert key.read_bytes() != before
    assert key.stat().st_mode & 0o777 == 0o600
    store.keep(KEY, write(b"anew"))
    assert store.find(KEY) is not None


def test_concurrent_processes_agree_on_one_secret_key(home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: secret.key(), range(40)))
    assert len(keys) == 1


def test_missing_secret_key_disables_the_cache_with_a_message(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.parent.parent.mkdir()
    (home.parent.parent / "file").write_text("")
    monkeypatch.setenv("FUSECAM_HOME", str(home.parent.parent / "file"))
    told = store.keep(KEY, write(b"x"))
    assert told is not None and told.startswith(str(home.parent.parent / "file")) and "engines cannot be stored" in told
    assert store.find(KEY) is None and store.entries() == []


def test_failed_write_leaves_no_entry(home: Path) -> None:
    def fail(folder: Path) -> store.Facts:
        (folder / "engine.bin").write_bytes(b"half")
        raise ValueError("broke")

    with pytest.raises(ValueError, match="broke"):
        store.keep(KEY, fail)
    assert list(home.iterdir()) == []


def test_concurrent_writers_leave_one_complete_entry(home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store.keep(KEY, write(b"x" * (100_000 + n))), range(40)))
    found = store.find(KEY)
    assert found is not None
    assert len((found.path / "engine.bin").read_bytes()) == found.size >= 100_000
    assert [path.name for path in home.iterdir()] == [found.path.name]


def test_unwritable_folder_disables_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    told = store.keep(KEY, write(b"x"))
    assert told is not None and str(tmp_path / "file") in told and "engines cannot be stored" in told
    assert store.find(KEY) is None
    assert store.entries() == []
    assert store.clear() == (0, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_full_disk_costs_the_cache_entry_not_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False).returncode:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        monkeypatch.setenv("XDG_CACHE_HOME", str(disk))
        engine = create_engine("tiny:openvino:f32")
        engine.prepare(160, 120)
        assert engine.name == "tiny:openvino:f32"
        assert any(str(disk) in note and "cannot be stored" in note for note in engine.notes)
        assert store.entries() == []
    finally:
        subprocess.run(["umount", disk], check=True)


def test_least_recently_used_entries_are_evicted_at_the_limit(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [KEY | {"shape": str(n)} for n in range(4)]
    (home / "of another user").mkdir(parents=True)
    (home / "of another user" / "engine.bin").write_bytes(bytes(300_000))
    for age, key in enumerate(keys[:3]):
        store.keep(key, write(bytes(400_000)))
        entry = store.find(key)
        assert entry is not None
        os.utime(entry.path / store.MANIFEST, (time.time() - 100 + age,) * 2)
    assert store.find(keys[0]) is not None  # which makes it the one used last
    monkeypatch.setenv("FUSECAM_ENGINES_MIB", "1")
    store.keep(keys[3], write(bytes(600_000)))
    assert [store.find(key) is not None for key in keys] == [True, False, False, True]
    assert not (home / "of another user").exists()  # which was used longest ago
    monkeypatch.setenv("FUSECAM_ENGINES_MIB", "0")
    store.keep(keys[1], write(b"x"))  # what has just been made stays, whatever the limit
    assert [entry.key for entry in store.entries()] == [keys[1]]


def test_old_partial_folders_are_removed(home: Path) -> None:
    for name, age in ((".old", 2 * store.STALE_S), (".young", 0)):
        (home / name).mkdir(parents=True)
        os.utime(home / name, (time.time() - age,) * 2)
    store.keep(KEY, write(b"x"))
    assert not (home / ".old").exists()
    assert (home / ".young").exists()


def test_second_start_needs_no_torch_and_gives_the_same_result(home: Path, frame) -> None:
    expected = create_engine("average").fuse(*frame).image
    np.savez(home / "frame.npz", *frame)
    code = (
        "import sys, numpy as np, fusecam.engines as e;"
        f"x = np.load({str(home / 'frame.npz')!r});"
        f"r = e.create_engine('average').fuse(*[x[k] for k in x.files]); np.save({str(home / 'r.npy')!r}, r.image);"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert np.array_equal(np.load(home / "r.npy"), expected)


def test_command_lists_and_clears_the_cache(home: Path) -> None:
    create_engine("average:openvino").prepare(64, 48)
    runner = CliRunner()
    listed = runner.invoke(app, ["engines", "list"], env={"COLUMNS": "80"})
    assert listed.exit_code == 0
    assert "average:openvino:f32" in listed.output
    assert "dB (limit 45)" in listed.output and " any size  " in listed.output
    manifest = next(path for path in home.glob("*/manifest.json") if "64x48" in path.read_text())
    facts = json.loads(manifest.read_text())["facts"]
    assert len(facts["parity"]["frames"]) == 16
    cleared = runner.invoke(app, ["engines", "clear"])
    assert "2 removed" in cleared.output
    assert list(home.iterdir()) == []
    assert "0 kept" in runner.invoke(app, ["engines", "list"]).output


def test_torch_tensorrt_engines_are_stored_signed(home: Path) -> None:
    """Its own cache unpickled what lay on the disk, whoever had put it there."""
    kept = EngineCache()
    kept.save("a" * 64, b"engine")
    assert (kept.load("a" * 64), kept.load("b" * 64)) == (b"engine", None)
    (entry,) = store.entries()
    (entry.path / BLOB).write_bytes(b"harmed")
    assert kept.load("a" * 64) is None
    kept.save("a" * 64, b"engine")
    assert "graph:tensorrt:f16" in CliRunner().invoke(app, ["engines", "list"], env={"COLUMNS": "80"}).output
