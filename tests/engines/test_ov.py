"""OpenVINO as fusecam imports it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
from fusecam.engines import create_engine
import fusecam.engines.backends.openvino.engine
import torch  # so that it is converted in this process
create_engine("average:openvino:f32").prepare(160, 120)
assert "openvino.tools.ovc.convert_impl" in sys.modules
print([name for name in sys.modules if name.startswith("openvino_telemetry.")])
"""


@pytest.mark.slow
def test_openvino_telemetry_is_off(tmp_path: Path) -> None:
    """By itself OpenVINO makes up an id, keeps it in the home directory and reports imports and conversions by it."""
    quiet = ("CI", "TF_BUILD", "JENKINS_URL")  # where it would not report either
    home = {name: value for name, value in os.environ.items() if name not in quiet} | {
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    ended = subprocess.run([sys.executable, "-c", CODE], env=home, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
    assert not (tmp_path / "intel").exists()
