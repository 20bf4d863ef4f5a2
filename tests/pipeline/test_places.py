"""What is written never takes the place of what is read, of another output or of what is no file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fusecam.pipeline.errors import InputError
from fusecam.pipeline.places import spare
from fusecam.pipeline.sinks.aside import AsideFile, write_aside


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "v.mp4").write_bytes(b"precious")
    return tmp_path / "v.mp4"


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_an_input_by_whatever_name(clip: Path, link) -> None:
    target = Path("v.mp4")
    if link is not None:
        target = Path("other.mp4")
        link(clip, target)
    with pytest.raises(InputError, match=r"is also the input 'v\.mp4'; choose another place with --report"):
        spare(target, ["w.mp4", None, "v.mp4"], option="--report")
    spare(Path("new.json"), ["w.mp4", None, "v.mp4", "udp://0.0.0.0:5000", "a\nb" * 200])


def test_one_run_at_a_time_writes_a_file(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    first = AsideFile(target)
    first.file.write(b"first")
    with pytest.raises(InputError, match=r"out\.mp4\.partial: another run is writing this"):
        AsideFile(target)
    first.commit()
    second = AsideFile(target)
    first.discard()  # does not take away what is the second's by now
    second.file.write(b"2")
    second.commit()
    assert target.read_bytes() == b"2"
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_what_a_killed_run_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "out.json.partial").write_bytes(b"x" * 100)
    write_aside(tmp_path / "out.json", b"{}")
    assert (tmp_path / "out.json").read_bytes() == b"{}"


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link.json").symlink_to(tmp_path / "data" / "real.json")
    write_aside(tmp_path / "link.json", b"{}")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "data" / "real.json").read_bytes() == b"{}"


def test_a_pipe_stays_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.json")
    with pytest.raises(InputError, match=r"p\.json: is no file, but a device or a pipe"):
        AsideFile(tmp_path / "p.json")
    assert (tmp_path / "p.json").is_fifo()
