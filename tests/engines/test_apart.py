"""Engines are built in another process: nothing of torch stays behind, and what comes out is the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fusecam.engines import create_engine, store
from fusecam.engines.apart import build_apart

PROGRAM = """
import json, sys, psutil
import numpy as np
from fusecam.engines import create_engine
from fusecam.engines.detection import DetectorEngine
if {broken}:
    sys.executable = "/nowhere/python"
frame = np.load("frame.npy")
fused = create_engine("realtime", dehaze=1.0, lift=0.0).fuse(frame, frame[:96, :128, 0].copy(), {warp})
rows = DetectorEngine(precision="f32").find(fused.image, 0.01)
np.save("fused.npy", fused.image)
mib = psutil.Process().memory_info().rss / 2**20
print(json.dumps(dict(torch="torch" in sys.modules, rows=len(rows), mib=mib)))
"""
WARP = "__import__('fusecam.pipeline.register', fromlist=['Registrar']).Registrar(None).warp((160, 120), (128, 96))"


def run(folder: Path, broken: bool) -> tuple[dict[str, float], np.ndarray]:
    """The program in a process of its own, with an empty store."""
    folder.mkdir()
    np.save(folder / "frame.npy", np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8))
    environment = os.environ | {"XDG_CACHE_HOME": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    text = PROGRAM.format(broken=broken, warp=WARP)
    ran = subprocess.run([sys.executable, "-c", text], cwd=folder, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout), np.load(folder / "fused.npy")


def test_nothing_stays_behind_and_the_same_comes_out(tmp_path: Path) -> None:
    apart, image = run(tmp_path / "apart", broken=False)
    here, same = run(tmp_path / "here", broken=True)
    assert not apart["torch"] and here["torch"]
    assert apart["mib"] < here["mib"] / 2
    assert apart["rows"] == here["rows"] > 0
    assert np.array_equal(image, same)


def test_where_torch_is_there_already_it_is_built_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch  # noqa: F401

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert not build_apart("fusion", "average:openvino:f32", 160, 120, 160, 120, 1)
    assert not store.entries()
    create_engine("average").prepare(160, 120)
    assert store.entries()


def test_a_build_that_fails_is_said_to_have_failed(tmp_path: Path) -> None:
    code = "from fusecam.engines.apart import build_apart; print(build_apart('fusion', 'nonsense', 1, 1, 1, 1, 1))"
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("False\n", "")
