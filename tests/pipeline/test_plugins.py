"""The examples under samples/plugins, installed as a user would, in the command and in Python."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "samples" / "plugins"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    pytest.importorskip("setuptools", reason="pip builds without a network only where setuptools is installed")
    folder = tmp_path_factory.mktemp("plugins")
    shutil.copytree(EXAMPLES, folder / "source")
    order = ["install", "-q", "--no-deps", "--no-index", "--no-build-isolation", "--target", folder / "site"]
    done = subprocess.run([sys.executable, "-m", "pip", *order, folder / "source"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder / "site"), *sys.path])}


def fusecam(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    code = "from fusecam.pipeline.cli import main; main()"
    order = [sys.executable, "-c", code, *(str(argument) for argument in arguments)]
    return subprocess.run(order, env=environment, capture_output=True, text=True)


def test_example_plugins_are_short() -> None:
    files = [path for path in (EXAMPLES / "fusecam_examples").glob("*.py") if path.name != "__init__.py"]
    assert len(files) == 4
    assert all(len(path.read_text().splitlines()) <= 60 for path in files)


def test_example_plugins_work_together(installed: dict[str, str], tmp_path: Path) -> None:
    run, table, out = tmp_path / "run.yaml", tmp_path / "boxes.csv", tmp_path / "out.mkv"
    run.write_text(json.dumps({"output": {"sinks": [f"csv:{table}"]}, "sync": {"offset_ms": 0}}))
    done = fusecam(
        installed, "--ir", "ramp://21", "--vis", "ramp://20", "--engine", "maximum:0.5", "--detector", "hot:150",
        "--config", run, "--out", out,
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr
    rows = list(csv.DictReader(table.open()))
    lines = [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]
    assert len(lines) == 20 and len(rows) == sum(len(line["detections"]) for line in lines) > 0
    assert {row["class"] for row in rows} == {"hot"}
    # level 150 and above: columns 150 to 159 of the first frame, all of its height
    assert [float(rows[0][name]) for name in ("x1", "y1", "x2", "y2")] == [150, 0, 160, 120]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ir", "ramp://x", "--vis", "ramp://20"], "ramp://x: give the number of frames"),
        (["--ir", "romp://2", "--vis", "ramp://20"], "unknown kind of address romp://"),
        (["--ir", "ramp://3", "--vis", "ramp://2", "--engine", "maximum:much"], "engine maximum:much: give the weight"),
        (["--ir", "ramp://3", "--vis", "ramp://2", "--engine", "minimum"], "unknown name 'minimum'"),
        (["--ir", "ramp://3", "--vis", "ramp://2", "--detector", "hot:high"], "detector hot:high: give the level"),
        (
            ["--ir", "ramp://3", "--vis", "ramp://2", "--detector", "hut"],
            "hut: no such weights; give a file or plug-in",
        ),
    ],
)
def test_plugin_errors_are_one_line(installed: dict[str, str], tmp_path: Path, arguments: list[str], said: str) -> None:
    done = fusecam(installed, *arguments, "--out", tmp_path / "o.mkv")
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "o.mkv").exists()


def test_plugged_engine_is_evaluated(installed: dict[str, str], tmp_path: Path) -> None:
    """On infrared that is registered already, which has no warp."""
    image = np.random.default_rng(0).integers(0, 255, (160, 200, 3), np.uint8)
    for camera, pixels in (("vis", image), ("ir", image[..., 0])):
        (tmp_path / camera).mkdir()
        assert cv2.imwrite(str(tmp_path / camera / "1.png"), pixels)
    done = fusecam(
        installed, "eval", "--engine", "maximum:0.5", "--ir", tmp_path / "ir", "--vis", tmp_path / "vis", "--workers", 1
    )
    assert done.returncode == 0 and "maximum:0.5" in done.stdout, done.stderr


def test_doctor_lists_plugins(installed: dict[str, str]) -> None:
    said = " ".join(fusecam(installed, "doctor").stdout.split())
    assert "plug-ins: engines: maximum; detectors: hot; sources: ramp; sinks: csv" in said
