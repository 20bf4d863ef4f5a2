"""Files of weights that somebody made to do harm, or that something else damaged: told in one line, and nothing is run,
downloaded or installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from fusecam.engines import EngineError
from fusecam.engines.detection.weights import build_detector, detector_channels, detector_names, load_detector
from fusecam.engines.networks import checkpoints
from fusecam.engines.networks.architecture import LAYERS, checked
from fusecam.pipeline.detection.detect import UltralyticsDetector
from fusecam.pipeline.errors import InputError

PLAIN: dict[str, Any] = {
    "nc": 3,
    "backbone": [[-1, 1, "Conv", [16, 3, 2]] for _ in range(5)],
    "head": [[[2, 3, 4], 1, "Detect", ["nc"]]],
}
PROGRAM = """
    import os, socket, subprocess, sys
    from pathlib import Path
    os.environ |= {"ULTRALYTICS_SAFE_LOAD": "0", "YOLO_AUTOINSTALL": "true", "YOLO_OFFLINE": "false"}
    import matplotlib.font_manager  # older versions of Ultralytics load it later: it asks fc-list for fonts
    import ultralytics, ultralytics.nn.tasks  # first, and as it comes
    from ultralytics.utils import checks
    def refuse(*arguments, **named):
        print("connected or ran", arguments, flush=True)
        os._exit(77)
    socket.getaddrinfo = socket.create_connection = socket.socket.connect = refuse
    from fusecam.engines import EngineError
    from fusecam.engines.detection.weights import load_detector
    from fusecam.pipeline.detection.detect import UltralyticsDetector
    from fusecam.pipeline.errors import InputError
    subprocess.run = subprocess.Popen = subprocess.check_output = refuse
    for file in sorted(Path.cwd().glob("*.safetensors")):
        try:
            load_detector(file)
            print("loaded", file)
        except EngineError as error:
            print("refused", error)
    for file in sorted(Path.cwd().glob("*.pt")):
        try:
            UltralyticsDetector(file)
            print("loaded", file)
        except InputError as error:
            print("refused", error)
    assert ultralytics.nn.tasks.SAFE_LOAD is False and checks.AUTOINSTALL is True  # the program's own are left alone
"""


class Harmful:
    def __reduce__(self) -> Any:
        return os.mkdir, ("harmed",)


class Missing:
    """Pickled as of a package that is not there, which Ultralytics would install."""


def described(file: Path, architecture: Any) -> Path:
    save_file({"x": torch.zeros(1)}, file, {"architecture": yaml.safe_dump(architecture)})
    return file


def test_crafted_weights_run_fetch_and_install_nothing(tmp_path: Path) -> None:
    harm = "__import__('os').mkdir('harmed')"
    described(tmp_path / "activation.safetensors", PLAIN | {"activation": harm})
    described(
        tmp_path / "download.safetensors",
        PLAIN | {"backbone": [[-1, 1, "TorchVision", [512, "resnet18", "DEFAULT", True, 2]]]},
    )
    described(tmp_path / "function.safetensors", PLAIN | {"backbone": [[-1, 1, "attempt_load_weights", ["x.pt"]]]})
    described(tmp_path / "argument.safetensors", PLAIN | {"backbone": [[-1, 1, "Conv", [16, 3, harm]]]})
    torch.save({"model": Harmful()}, tmp_path / "harmful.pt")
    Missing.__module__ = "fusecam_no_such_package"
    module = type(sys)("fusecam_no_such_package")
    module.Missing = Missing  # type: ignore[attr-defined]
    sys.modules["fusecam_no_such_package"] = module
    try:
        torch.save({"model": Missing()}, tmp_path / "missing.pt")
    finally:
        del sys.modules["fusecam_no_such_package"]
    (tmp_path / "yolov5n.pt").write_bytes(b"damaged")  # which Ultralytics would look for as yolov5nu.pt, and fetch
    environment = os.environ | {"YOLO_CONFIG_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith(("refused", "loaded"))]
    assert len(lines) == 7 and all(line.startswith("refused") for line in lines), done.stdout
    assert "SAFE_LOAD" not in done.stdout
    assert not (tmp_path / "harmed").exists()


def test_weights_larger_than_memory_are_refused() -> None:
    for layer in ([-1, 1, "Conv", [10**9, 3, 2]], [-1, 10**9, "Conv", [16, 3, 2]], [-1, 1, "Conv", [16, 10**9]]):
        with pytest.raises(ValueError, match="not allowed"):
            build_detector(PLAIN | {"backbone": [layer]})
    with pytest.raises(EngineError, match="no network of dfvo has these sizes"):
        checkpoints._network("dfvo", {"width": 4096}, Path("x"))


def test_plain_detector_architectures_are_accepted() -> None:
    assert {"Conv", "C2f", "C3k2", "Detect", "nn.Upsample"} <= LAYERS
    assert checked(PLAIN | {"yaml_file": "x", "ch": 3}) == PLAIN
    build_detector(PLAIN)
    with pytest.raises(ValueError, match="3 or 4 channels"):
        checked(PLAIN | {"channels": 5})


def test_class_names_may_be_a_list_or_a_dict(tmp_path: Path) -> None:
    for names in ('["deer", "car"]', '{"1": "car", "0": "deer"}'):
        save_file({"x": torch.zeros(1)}, tmp_path / "w.safetensors", {"names": names})
        assert detector_names(tmp_path / "w.safetensors") == {0: "deer", 1: "car"}
        assert detector_channels(tmp_path / "w.safetensors") == 3
    for names in ('{"0": "deer", "2": "car"}', '["deer", "deer"]', "[]"):
        save_file({"x": torch.zeros(1)}, tmp_path / "w.safetensors", {"names": names})
        with pytest.raises(EngineError, match="invalid class names"):
            detector_names(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 6549796\n",
            "a git-lfs pointer, .*git lfs pull",
        ),
        ("<!DOCTYPE html><html>Not found</html>", "a web page, not the file; download the file itself"),
        ("\n\n<html lang=en>", "a web page"),
        ('{"error": "Repository not found"}', "a server's answer that there is no such file"),
        ("Entry not found", "a server's answer that there is no such file"),
    ],
)
def test_text_file_as_weights_is_identified(tmp_path: Path, text: str, told: str) -> None:
    readers: dict[str, Callable[[Path], object]] = {
        "a.pt": UltralyticsDetector,
        "a.safetensors": load_detector,
        "b.safetensors": lambda file: checkpoints.import_weights("tiny", [file]),
        "a.pth": lambda file: checkpoints.import_weights("iassf", [file]),
    }
    for name, read in readers.items():
        (tmp_path / name).write_text(text)
        with pytest.raises((InputError, EngineError), match=f"{name}: {told}") as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value) and "SAFE_LOAD" not in str(caught.value)


def test_yolov5_checkpoint_is_identified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Model(torch.nn.Module):
        pass

    for name in ("models", "models.yolo"):
        monkeypatch.setitem(sys.modules, name, type(sys)(name))
    Model.__module__, Model.__qualname__ = "models.yolo", "Model"
    sys.modules["models.yolo"].Model = Model  # type: ignore[attr-defined]
    torch.save({"epoch": -1, "model": Model(), "ema": None}, tmp_path / "yolov5.pt")
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"yolov5\.pt: made by the old YOLOv5, .*yolov5nu\.pt"):
        UltralyticsDetector(tmp_path / "yolov5.pt")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["width", "widths", "factor", "head", "window", "guide", "haze", "depths", "heads", "pool", "tga", "rule", "scaled"]
)
PROFILES = JSON | st.dictionaries(
    FIELDS, JSON | st.integers(0, 64) | st.lists(st.integers(0, 64), max_size=5), max_size=3
)
ABOUT = JSON | st.fixed_dictionaries(
    {"network": st.sampled_from(["tiny", "realtime", "dfvo", "lure"]) | JSON, "profile": PROFILES, "source": JSON}
)
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@FUZZ
@given(about=ABOUT, name=st.sampled_from(["tiny", "realtime", "dfvo", "lure"]))
def test_malformed_metadata_is_a_one_line_error(tmp_path: Path, about: Any, name: str) -> None:
    file = tmp_path / "x.safetensors"
    save_file({"core.maps.bias": torch.zeros(4)}, file, {"fusecam": json.dumps(about)})
    with pytest.raises(EngineError) as caught:
        checkpoints.import_weights(name, [file])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


@FUZZ
@given(
    text=st.text(max_size=40) | st.binary(max_size=40).map(lambda raw: raw.decode("latin-1")) | JSON.map(yaml.safe_dump)
)
def test_malformed_architecture_is_a_one_line_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.safetensors"
    save_file({"x": torch.zeros(1)}, file, {"architecture": text.replace("\x00", "")})
    with pytest.raises(EngineError) as caught:
        load_detector(file)
    assert "\n" not in str(caught.value)


LAYER = st.tuples(
    st.integers(-9, 9) | st.lists(st.integers(-9, 9), max_size=3),
    st.integers(0, 3),
    st.sampled_from(sorted(LAYERS)),
    st.lists(st.integers(-1, 16) | st.booleans() | st.sampled_from(["nc", "nearest"]), max_size=5),
).map(list)


@FUZZ
@given(backbone=st.lists(LAYER, max_size=3), head=st.lists(LAYER, max_size=2))
def test_mismatched_layers_are_a_one_line_error(tmp_path: Path, backbone: list[Any], head: list[Any]) -> None:
    file = described(tmp_path / "x.safetensors", {"nc": 3, "backbone": backbone, "head": [*head, PLAIN["head"][0]]})
    with pytest.raises(EngineError) as caught:
        load_detector(file)
    assert "\n" not in str(caught.value)
