"""What is written never takes the place of what is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fusecam.pipeline.core.paths import check_not_input
from fusecam.pipeline.errors import InputError


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "v.mp4").write_bytes(b"precious")
    return tmp_path / "v.mp4"


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_output_equal_to_an_input_is_refused(clip: Path, link) -> None:
    target = Path("v.mp4")
    if link is not None:
        target = Path("other.mp4")
        link(clip, target)
    with pytest.raises(InputError, match=r"is also the input 'v\.mp4'; choose another place with --report"):
        check_not_input(target, ["w.mp4", None, "v.mp4"], option="--report")
    check_not_input(Path("new.json"), ["w.mp4", None, "v.mp4", "udp://0.0.0.0:5000", "a\nb" * 200])
