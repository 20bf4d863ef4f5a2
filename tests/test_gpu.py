"""The command for a machine with a GPU, as far as one without can tell: its parts run on the CPU, with tiny budgets."""

import json

import pytest
import torch
from jsonschema import Draft202012Validator

from .gpu import __main__ as command

NUMBER = {"type": "number"}
ROWS = {
    "copy": {"way": {"enum": ["within", "to", "from"]}, "gb_s": {"type": "number", "exclusiveMinimum": 0}},
    "eager": {
        "network": {"type": "string"},
        "precision": {"type": "string"},
        "size": {"type": "array"},
        "ready_s": NUMBER,
        "device_ms": NUMBER,
        "whole_ms": NUMBER,
        "whole_p99_ms": NUMBER,
        "repeats": NUMBER,
        "bytes": {"type": "object"},
        "floor_ms": NUMBER,
        "whole_floor_ms": NUMBER,
        "times_floor": NUMBER,
        "passed": {"const": True},
        "parity": {"type": "string"},
        "outputs": {"type": "object"},
    },
    "train": {"passed": {"const": True}},
}
"""What each row of a part has when all went well."""


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_missing_gpu_is_a_one_line_error(tmp_path, capsys):
    out = tmp_path / "gpu.json"
    assert command.main(["--out", str(out)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "finds no NVIDIA GPU" in line
    assert not out.exists()


@pytest.mark.slow
def test_parts_write_one_json_file(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    out = tmp_path / "gpu.json"
    asked = ["--device", "cpu", "--parts", *ROWS, "rtx", "--networks", "average", "--sizes", "64x48"]
    assert command.main([*asked, "--budget", "300", "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["version"] == 1 and report["seconds"] < 300 and report["machine"]["torch"]
    for part, fields in ROWS.items():
        done = report["parts"][part]
        assert set(done) == {"rows", "seconds"} and done["rows"], done
        schema = {"type": "object", "properties": fields, "required": list(fields)}
        for row in done["rows"]:
            Draft202012Validator(schema).validate(row)
    assert report["parts"]["rtx"]["skipped"]


@pytest.mark.slow
def test_failures_and_timeouts_are_reported_and_do_not_stop_other_parts(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    out = tmp_path / "gpu.json"
    asked = ["--device", "cpu", "--parts", "copy", "eager", "--networks", "nothing", "average", "--sizes", "64x48"]
    monkeypatch.setitem(command.PARTS, "copy", 0.001)
    assert command.main([*asked, "--budget", "200", "--out", str(out)]) == 1
    parts = json.loads(out.read_text())["parts"]
    assert parts["copy"]["error"].startswith("stopped after")
    bad, good = parts["eager"]["rows"]
    assert "nothing" in bad["error"] and good["passed"]
