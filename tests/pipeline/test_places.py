"""What is written never takes the place of what is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fusecam.calib.atomic import AtomicFile
from fusecam.pipeline.core.paths import check_not_input
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.sinks import lines_of
from fusecam.pipeline.sinks.jsonl import JsonLinesSink


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


@pytest.mark.parametrize("name", ["loop.mp4", "loop"])
def test_loop_of_links_is_a_one_line_error(clip: Path, name: str) -> None:
    Path(name).symlink_to(name)
    place = Path(name)
    for refuses in (
        lambda: check_not_input(place, ["v.mp4"]),
        lambda: AtomicFile(place, InputError),
        lambda: JsonLinesSink(lines_of(place) if not place.suffix else place),
    ):
        with pytest.raises(InputError, match=f"{name}: cannot be written: .*symbolic links"):
            refuses()
    check_not_input(Path("new.mp4"), [name, "a\0b"])


def test_output_of_a_removed_folder_is_a_one_line_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(InputError, match=r"a\.mp4: cannot be written: No such file"):
        check_not_input(Path("a.mp4"), ["v.mp4"])
