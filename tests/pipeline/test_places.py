"""What is written never takes the place of what is read, nor of files of others whose names the user did not give."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from fusecam.calib.atomic import AtomicFile
from fusecam.pipeline.config import OutputConfig
from fusecam.pipeline.core.paths import check_not_input
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.sinks import close_all, lines_of, open_sinks
from fusecam.pipeline.sinks.images import ImagesSink
from fusecam.pipeline.sinks.jsonl import JsonLinesSink

from ..e2e.command import fusecam
from .make_results import picture, result


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


BOARD = "calibrate board --board 8x6 --square 25mm"


@pytest.mark.parametrize(
    ("order", "said"),
    [
        *(
            (f"{command} --pairs pairs.csv --out pairs.csv", "pairs.csv: is also the input")
            for command in ("calibrate scene", "calibrate reference --rig r.yaml", "calibrate points --serve x", BOARD)
        ),
        (f"{BOARD} --pairs pairs.csv --out r.yaml --report pairs.csv", "pairs.csv: is also the input"),
        *(
            (f"{command} ir/a.png", "ir/a.png: is also the input 'ir'")
            for command in ("calibrate scene --out", f"{BOARD} --out r.yaml --report", "--out o.mp4 --report")
        ),
        ("view-rig --rig r.yaml --out vis/a.png", "vis/a.png: is also the input 'vis'"),
        ("view-rig --rig r.yaml --vis vis/*.png --out vis/a.png", "vis/a.png: is also the input 'vis/*.png'"),
        ("calibrate scene --offset-ms nan --out r.yaml", "sync.offset_ms"),
        ("calibrate points --offset-ms 1e300 --out r.yaml", "sync.offset_ms"),
        ("view-rig --rig r.yaml --offset-ms inf --out o.png", "sync.offset_ms"),
        ("view-rig --rig r.yaml --distance -1 --out o.png", "distance"),
        *((f"{BOARD} --distance {metres} --out r.yaml", f"--distance {metres}: give") for metres in ("nan", 0, "inf")),
    ],
)
def test_inputs_stay_and_values_are_checked_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], order: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("ir", "vis"):
        Path(name).mkdir()
        Image.new("L", (32, 24)).save(f"{name}/a.png")
    Path("pairs.csv").write_text("a.png,a.png\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    visible = () if "--vis" in order else ("--vis", "vis")
    answer = fusecam(*order.split(), "--ir", "ir", *visible, monkeypatch=monkeypatch, capfd=capfd)
    assert answer.code == 1 and said in answer.said and "Traceback" not in answer.said
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


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


@pytest.mark.parametrize("foreign", ['{"id": 7}\n', '{"version": 2, "rows": []}', "\x00\xff notes"])
def test_foreign_lines_beside_an_output_are_kept(tmp_path: Path, foreign: str) -> None:
    lines = tmp_path / "a.jsonl"
    lines.write_text(foreign)
    for out in ("a.mp4", "a"):
        with pytest.raises(InputError, match=r"a\.jsonl: is in the way and was not written by fusecam; move it"):
            open_sinks(OutputConfig(out=tmp_path / out))
    assert lines.read_text() == foreign and [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize("old", ["", '{"frame": 0, "time": 0.0}', '{"version": 2, "frame": 0, "time": 1}'])
def test_lines_of_an_earlier_run_or_version_are_replaced(tmp_path: Path, old: str) -> None:
    (tmp_path / "a.jsonl").write_text(old)
    for _ in range(2):
        sinks = open_sinks(OutputConfig(out=tmp_path / "a.mp4"))
        for sink in sinks:
            sink.write(result(0))
        close_all(sinks, complete=True)
    assert (tmp_path / "a.jsonl").read_text().startswith('{"version": 1, "frame": 0, "time": ')


@pytest.mark.parametrize("known", [True, False])
def test_foreign_images_in_an_output_folder_are_kept(tmp_path: Path, known: bool) -> None:
    name = "left" if known else "000001"
    foreign, other = tmp_path / f"{name}.png", tmp_path / "holiday.png"
    names = ["first", name] if known else None
    for _ in range(2):  # an earlier run's are no hindrance
        sink = ImagesSink(tmp_path, names)
        for index in range(2):
            sink.write(result(index, picture(31, 17), name=names[index] if names else None))
    other.write_bytes(b"precious")
    foreign.unlink()
    foreign.symlink_to(other)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=rf"{name}\.png: is in the way and was not written by fusecam"):
        ImagesSink(tmp_path, names)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_images_that_come_in_the_way_during_a_run_are_kept(tmp_path: Path) -> None:
    sink = ImagesSink(tmp_path)
    sink.write(result(0))
    (tmp_path / "000001.png").write_bytes(b"precious")
    with pytest.raises(InputError, match="was not written by fusecam"):
        sink.write(result(1))
    assert (tmp_path / "000001.png").read_bytes() == b"precious"
