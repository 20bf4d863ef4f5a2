"""Files are whole or not there, and no other file is touched on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fusecam.calib.atomic import SUFFIX, AtomicFile, atomic, write_atomic


class WriteError(Exception):
    pass


def partial(target: Path) -> Path:
    return target.with_name(target.name + SUFFIX)


def test_concurrent_writers_of_one_file_are_refused(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    first = AtomicFile(target, WriteError)
    first.file.write(b"first")
    with pytest.raises(WriteError, match=r"out\.mp4\.fusecam\.partial: another run is writing this"):
        AtomicFile(target, WriteError)
    first.commit()
    second = AtomicFile(target, WriteError)
    first.discard()  # does not take away what is the second's by now
    second.file.write(b"2")
    second.commit()
    assert target.read_bytes() == b"2"
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_partial_file_of_a_killed_process_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    code = (
        "import os, sys, pathlib; from fusecam.calib.atomic import AtomicFile;"
        "aside = AtomicFile(pathlib.Path(sys.argv[1])); aside.file.write(b'x' * 100); aside.file.flush();"
        f"os.kill(os.getpid(), {int(signal.SIGKILL)})"
    )
    assert subprocess.run([sys.executable, "-c", code, target], check=False).returncode == -signal.SIGKILL
    assert partial(target).read_bytes() == b"x" * 100 and not target.exists()
    write_atomic(target, b"{}")
    assert target.read_bytes() == b"{}"
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


@pytest.mark.parametrize("dangling", [False, True])
def test_partial_file_is_never_written_through_a_link(tmp_path: Path, dangling: bool) -> None:
    precious, target = tmp_path / "precious", tmp_path / "out.mp4"
    if not dangling:
        precious.write_bytes(b"precious")
    partial(target).symlink_to(precious)
    with pytest.raises(WriteError, match=r"out\.mp4\.fusecam\.partial is in the way"):
        write_atomic(target, b"new", WriteError)
    assert precious.read_bytes() == b"precious" if not dangling else not precious.exists()
    assert partial(target).is_symlink() and not target.exists()


def test_hard_linked_partial_file_keeps_its_content(tmp_path: Path) -> None:
    precious, target = tmp_path / "precious", tmp_path / "out.mp4"
    precious.write_bytes(b"precious")
    os.link(precious, partial(target))
    with pytest.raises(WriteError, match="is in the way"):
        write_atomic(target, b"new", WriteError)
    assert precious.read_bytes() == b"precious"


def test_partial_files_of_other_targets_are_kept(tmp_path: Path) -> None:
    (tmp_path / "out.mp4.partial").write_bytes(b"a download")
    write_atomic(tmp_path / "out.mp4", b"new")
    assert (tmp_path / "out.mp4.partial").read_bytes() == b"a download"


def test_swapped_partial_file_is_not_renamed(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    aside = AtomicFile(target, WriteError)
    partial(target).unlink()
    partial(target).symlink_to("/etc/hostname")
    with pytest.raises(WriteError, match="was replaced meanwhile"):
        aside.commit()
    assert partial(target).is_symlink() and not target.exists()


def test_symbolic_link_is_kept(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link.json").symlink_to(tmp_path / "data" / "real.json")
    write_atomic(tmp_path / "link.json", b"{}")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "data" / "real.json").read_bytes() == b"{}"


def test_named_pipe_is_kept(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.json")
    with pytest.raises(WriteError, match=r"p\.json: is not a file, but a device or a pipe"):
        AtomicFile(tmp_path / "p.json", WriteError)
    assert (tmp_path / "p.json").is_fifo()


def test_failed_write_keeps_the_old_file_only(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(WriteError, match=r"a\.csv: cannot be written: No space"), atomic(path, WriteError) as aside:
        aside.path.write_text("half")
        raise OSError(28, "No space left on device")
    assert [each.read_text() for each in tmp_path.iterdir()] == ["old"]
