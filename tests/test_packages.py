"""Every folder with code is in the wheel: an editable install would not miss one."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_package_is_listed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    listed, found = set(settings["packages"]), {"fusecam"}
    for name, folder in settings["package-dir"].items():
        files = (ROOT / folder).rglob("*.py") if name != "fusecam" else ()
        found |= {".".join((name, *file.relative_to(ROOT / folder).parent.parts)) for file in files}
    apart = {"fusecam.pipeline.api", "fusecam.samples.plugins.fusecam_examples", "fusecam.samples.ros2"}
    assert listed == found - apart
