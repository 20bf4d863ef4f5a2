"""The split engines of a CPU: what they compute, what is refused, what is said where they cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fusecam.engines.backends.kernels import bands, loader
from fusecam.engines.backends.openvino.engine import OpenVinoEngine
from fusecam.engines.backends.openvino.split import Split
from fusecam.engines.base import EngineRefused
from fusecam.engines.build import store
from fusecam.engines.build.parity import gate_warp
from fusecam.engines.networks.realtime import RealtimeFusion
from fusecam.engines.networks.realtime_core import PROFILES
from fusecam.engines.registry import network
from fusecam.engines.warp import Shape

pytestmark = pytest.mark.slow

SMALL, ODD, LARGE = Shape.of(96, 64, (80, 60)), Shape.of(161, 121), Shape.of(1001, 701, (320, 256))
"""The first with a grid as fine as the frame, the last larger than what is worked on."""


def engine(name: str = "tiny", unlifted: bool = False) -> OpenVinoEngine:
    return OpenVinoEngine(name, lambda: network(name, unlifted), unlifted=unlifted)


shared = cache(engine)
"""What one test built serves the next."""


@pytest.mark.parametrize(
    ("name", "unlifted", "shape"),
    [("tiny", True, SMALL), ("tiny", True, LARGE), ("realtime", False, ODD), ("realtime", True, SMALL)],
)
def test_split_engine_equals_the_network(name: str, unlifted: bool, shape: Shape) -> None:
    made = shared(name, unlifted)
    made.prepare(*shape)  # the gate
    assert isinstance(made._ready.get(shape, made._create), Split)


@pytest.mark.parametrize("kernel", ["composed", "restore", "sample"])
def test_tampered_kernel_is_refused(monkeypatch: pytest.MonkeyPatch, kernel: str) -> None:
    """Each loses the last rows of a band, as a kernel that is compiled wrongly may."""
    given = dict(vars(loader.compiled(False)))
    whole = given[kernel].of

    def of(*arguments: Any):
        run = whole(*arguments)

        def spoilt(first: int, last: int, *room: np.ndarray) -> None:
            run(first, last, *room)
            made = {"composed": room[-1], "restore": arguments[-2], "sample": arguments[-1][None]}[kernel]
            rows = slice(-3, None) if kernel == "composed" else slice(max(first, last - 3), last)
            made[:, rows] = 0  # what memory held before may be what is due

        return spoilt

    monkeypatch.setattr(loader, "compiled", lambda larger: SimpleNamespace(**given | {kernel: SimpleNamespace(of=of)}))
    with pytest.raises(EngineRefused, match="the output differs from the network's"):
        engine().prepare(96, 64)


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch, street) -> None:
    visible, infrared = street(701, 1001)[0], street(256, 320)[1]
    warp, results = gate_warp(LARGE), []
    made = shared("tiny", True)
    for threads in (1, 2, 3, 2):
        monkeypatch.setattr(bands, "_threads", lambda threads=threads: threads)
        fused = made.fuse(visible, infrared, warp)
        results.append([fused.image, fused.restored, fused.haze_density, fused.infrared, fused.unlifted])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert np.array_equal(a, b)


def test_missing_numba_falls_back_to_one_graph_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "missing", lambda: "numba cannot be imported: No module named 'numba'")
    made = engine()
    (note,) = made.notes
    assert note.startswith("tiny:openvino:f32: numba cannot be imported: ")
    made.prepare(96, 64)
    assert not isinstance(made._ready.get(Shape.of(96, 64), made._create), Split)
    assert OpenVinoEngine("physics", lambda: network("physics")).notes == []


@pytest.mark.parametrize("change", [{"haze": False}, {"light": False}, {"window": 4}])
def test_profiles_without_kernels_use_one_graph(change: dict[str, Any]) -> None:
    made = OpenVinoEngine("tiny", lambda: RealtimeFusion(replace(PROFILES["tiny"], **change)))
    made.prepare(96, 64)  # the gate
    assert not isinstance(made._ready.get(Shape.of(96, 64), made._create), Split)


def test_kernels_are_compiled_once_and_loaded_from_the_signed_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    loader._compiled.__wrapped__(False)
    entries = {entry.key["shape"]: entry.path for entry in store.entries()}
    assert set(entries) == {loader.GRID, loader.SAME}
    written = {file: file.stat().st_mtime_ns for path in entries.values() for file in path.glob("*.o")}
    assert len(written) == 8
    # in a process that finds them there numba and LLVM take no memory
    program = """
import sys
from fusecam.engines.backends.kernels import loader
print(loader.missing())
loader.compiled(False)
print([name for name in sys.modules if name.partition('.')[0] in ('numba', 'llvmlite', 'torch')])
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("None\n[]\n", "")
    assert {file: file.stat().st_mtime_ns for file in written} == written
    harmed = entries[loader.SAME] / "composed.o"
    harmed.write_bytes(b"x" * harmed.stat().st_size)  # what somebody else wrote is not loaded
    loader._compiled.__wrapped__(False)
    assert harmed.read_bytes().startswith(b"\x7fELF")


def test_llvm_loads_the_same_code_on_other_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    infrared, found = np.random.default_rng(0).integers(0, 256, (61, 83), np.uint8), []
    for machine in ("x86_64", "aarch64"):
        monkeypatch.setattr(loader.platform, "machine", lambda machine=machine: machine)
        found.append(np.zeros(infrared.shape, np.uint32))
        loader._compiled.__wrapped__(False).neighbours.of(infrared, found[-1])()
    assert np.array_equal(*found) and (found[0] & 255 == infrared).all()


@pytest.mark.parametrize(
    "infrared", [np.zeros((8, 8), np.int8), np.zeros((8, 8, 1), np.uint8), np.zeros((8, 16), np.uint8)[:, ::2]]
)
def test_arrays_of_a_wrong_type_never_reach_machine_code(infrared: np.ndarray) -> None:
    with pytest.raises(TypeError, match="neighbours: "):
        loader.compiled(False).neighbours.of(infrared, np.zeros((8, 8), np.uint32))
