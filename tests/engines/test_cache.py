"""Conversions kept on disk: made once, made anew when unreadable, done without where nothing can be written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from fusecam.engines import cache, create_engine


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "fusecam"


class Converter:
    """Makes a model that adds `value`, and counts how often it was asked to."""

    def __init__(self, value: float) -> None:
        self.value, self.calls = value, 0

    def __call__(self) -> ov.Model:
        self.calls += 1
        x = ops.parameter([-1], np.float32)
        return ov.Model([ops.add(x, np.float32([self.value]))], [x])


def run(model: ov.Model) -> float:
    return float(ov.Core().compile_model(model, "CPU")(np.zeros(1, np.float32))[0][0])


def test_converts_once_for_each_key(home: Path) -> None:
    first, second = Converter(3.1415927), Converter(2)
    assert run(cache.converted("a", first)) == np.float32(3.1415927)
    assert run(cache.converted("a", second)) == np.float32(3.1415927)
    assert (first.calls, second.calls) == (1, 0)
    assert run(cache.converted("b", second)) == 2
    assert sorted(p.name for p in home.iterdir()) == ["a", "b"]


def test_an_unreadable_conversion_is_made_anew(home: Path) -> None:
    cache.converted("a", Converter(1))
    (home / "a" / "model.xml").write_text("<net")
    assert run(cache.converted("a", Converter(2))) == 2
    assert run(cache.converted("a", Converter(3))) == 2


def test_works_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert run(cache.converted("a", Converter(2))) == 2


def test_fingerprint_follows_names_and_contents(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text("1")
    first = cache.fingerprint("n", "1", files=[file])
    assert first == cache.fingerprint("n", "1", files=[file])
    assert first != cache.fingerprint("n", "2", files=[file])
    file.write_text("2")
    assert first != cache.fingerprint("n", "1", files=[file])


def test_a_second_start_needs_no_torch_and_gives_the_same(home: Path, frame) -> None:
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
