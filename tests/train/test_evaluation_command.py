import csv
import json
import re

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from fusecam.train.evaluation.cli import evaluate

from .pictures import SIZE, picture

pytestmark = pytest.mark.slow

APP = typer.Typer()
APP.callback()(lambda: None)
APP.command("eval")(evaluate)


def run(folders, *arguments):
    result = CliRunner().invoke(APP, ["eval", "--workers", "1", *map(str, arguments)], env={"COLUMNS": "120"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def sources(folders):
    return ["--ir", folders / "ir", "--vis", folders / "clear"]


def test_command_prints_every_row_and_writes_every_file(folders):
    out = folders / "report/deep"
    result = run(folders, *sources(folders), "--fused", f"ours={folders / 'fused'}", "--group-by", "msrs", "--out", out)
    assert result.exit_code == 0, result.output
    for text in ("infrared only", "visible only", "average", "maximum", "ours", "day, 1 image", "night, 2 images"):
        assert text in result.output
    assert sorted(path.name for path in out.iterdir()) == [
        "per_image.csv", "summary.csv", "summary.json", "violins.png", "worst.png",
    ]  # fmt: skip
    lines = list(csv.DictReader((out / "per_image.csv").open()))
    assert [(line["image"], line["row"]) for line in lines[4:6]] == [("a1D", "ours"), ("b2N", "infrared only")]
    summary = json.loads((out / "summary.json").read_text())
    qabf = [float(line["Qabf"]) for line in lines if line["row"] == "ours"]
    assert summary["groups"]["all"]["fused"]["ours"]["Qabf"] == pytest.approx(np.mean(qabf), abs=1e-5)
    assert summary["names"] == ["a1D", "b2N", "c3N"]
    for name in ("violins.png", "worst.png"):
        assert np.asarray(Image.open(out / name)).std() > 10


def test_command_runs_an_engine_and_writes_no_infinity_to_json(folders):
    out = folders / "report"
    arguments = ["--engine", "average:torch", "--lift", "0", "--stride", "2", "--out", out]
    result = run(folders, *sources(folders), *arguments)
    assert result.exit_code == 0, result.output
    assert "Restored visible" in result.output
    summary = json.loads((out / "summary.json").read_text())
    assert summary["settings"]["engines"] == ["average:torch:f32"]
    assert summary["groups"]["all"]["images"] == 2
    assert summary["groups"]["all"]["restored"]["visible only"]["PSNR"] == "inf"


def test_several_engines_are_compared_and_accept_a_prompt(folders):
    out = folders / "report"
    engines = ["--engine", "average:torch", "--engine", "physics:torch"]
    result = run(folders, *sources(folders), *engines, "--prompt", "dense fog", "--out", out)
    assert result.exit_code == 0, result.output
    summary = json.loads((out / "summary.json").read_text())
    assert summary["settings"]["engines"] == ["average:torch:f32", "physics:torch:f32"]
    assert summary["settings"]["prompt"] == "dense fog"
    fused = summary["groups"]["all"]["fused"]
    assert fused["average:torch"] != fused["physics:torch"]
    both = run(folders, *sources(folders), *engines, "--prompt", "dense fog", "--dehaze", "1")
    assert both.exit_code == 1 and "prompt and dehaze contradict each other" in both.output


def test_engine_named_as_a_baseline_has_a_row_of_its_own(folders):
    out = folders / "report"
    result = run(folders, *sources(folders), "--engine", "average", "--lift", "0", "--out", out)
    assert result.exit_code == 0, result.output
    rows = json.loads((out / "summary.json").read_text())["groups"]["all"]["fused"]
    assert list(rows) == ["infrared only", "visible only", "average", "maximum", "average engine"]
    assert rows["average engine"]["EN"] == pytest.approx(rows["average"]["EN"], abs=0.1)
    assert "chroma" in rows["average engine"] and "chroma" not in rows["average"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("worst.png", b"\x89PNG"), ("violins.png", b"x"), ("summary.csv", b"a,b\n"), ("summary.json", b"{}")],
)
def test_files_of_others_are_not_replaced(folders, name, content):
    """The evaluation's own are."""
    out, given = folders / "report", (*sources(folders), "--fused", folders / "fused", "--out", folders / "report")
    out.mkdir()
    (out / name).write_bytes(content)
    result = run(folders, *given)
    assert result.exit_code == 1 and f"{name}: is in the way and was not written by fusecam" in result.stderr
    assert [path.name for path in out.iterdir()] == [name] and (out / name).read_bytes() == content
    (out / name).unlink()
    for _ in range(2):
        result = run(folders, *given)
        assert result.exit_code == 0, result.output


def bad_image(folders, content=None, image=None):
    path = folders / "fused/b2N.bmp"
    path.unlink()
    if image is not None:
        Image.fromarray(image).save(path.with_suffix(".png"))
    else:
        path.with_suffix(".png").write_bytes(content)


def truncated(folders):
    whole_file = (folders / "clear/b2N.png").read_bytes()
    bad_image(folders, whole_file[: len(whole_file) // 2])


@pytest.mark.parametrize(
    ("spoil", "arguments", "message"),
    [
        (None, [], r"nothing to evaluate: give --fused DIR, --engine NAME, or both"),
        (None, ["--fused", "nowhere"], r"nowhere: no such folder"),
        (None, ["--fused", "x="], r"--fused x=: give DIR or NAME=DIR"),
        (None, ["--fused", "maximum={fused}"], r"--fused maximum: there is another row of that name"),
        (None, ["--fused", "{fused}", "--fused", "{fused}"], r"another method called fused"),
        (None, ["--fused", "{fused}", "--group-by", "day"], r"--group-by day: give ENDING=GROUP"),
        (None, ["--fused", "{fused}", "--out", "{fused}/a1D.bmp"], r"a1D.bmp: cannot be written"),
        (None, ["--fused", "{fused}", "--out", "/proc/x"], r"/proc/x: cannot be written"),
        (None, ["--fused", "{fused}", "--restored-reference", "{fused}"], r"give --engine NAME with it"),
        (None, ["--engine", "maximum"], r"--engine maximum: is no engine, but always evaluated .*: leave it out"),
        (None, ["--engine", "magic"], r"unknown name 'magic'"),
        (None, ["--engine", "physics", "--lift", "2"], r"--lift 2: give a number from 0 to 1, or auto"),
        (None, ["--engine", "physics", "--dehaze", "much"], r"--dehaze much: give a number from 0 to 1, or auto"),
        (lambda f: bad_image(f, b"GIF87 not"), ["--fused", "{fused}"], r"b2N.png: not an image that can be read"),
        (lambda f: bad_image(f, b""), ["--fused", "{fused}"], r"b2N.png: not an image that can be read"),
        (truncated, ["--fused", "{fused}"], r"b2N.png: not an image that can be read"),
        (lambda f: bad_image(f, image=np.zeros(SIZE, np.uint16)), ["--fused", "{fused}"], r"more than 8 bits"),
        (lambda f: bad_image(f, image=picture(1)[1:]), ["--fused", "{fused}"], r"200x191, but .*b2N.png is .*; resize"),
        (lambda f: bad_image(f, image=picture(1)[:31, :31]), ["--fused", "{fused}"], r"31x31: too small"),
        (
            lambda f: Image.fromarray(picture(1)).save(f / "fused/a1D.png"),
            ["--fused", "{fused}"],
            r"a1D.png: a1D.bmp has the same name",
        ),
        (lambda f: (f / "fused/a1D.bmp").rename(f / "fused/x.txt"), ["--fused", "{ir}/.."], r"no images in it"),
        (lambda f: [path.rename(path.with_stem(path.stem[0] * 3)) for path in (f / "ir").iterdir()],
         ["--fused", "{fused}"], r"ir: 3 visible .* names share nothing .* a1D and aaa: .*--pairs"),
        (lambda f: [path.rename(path.with_stem(path.stem[0] * 3)) for path in (f / "fused").iterdir()],
         ["--fused", "{fused}"], r"fused: 3 visible and 3 infrared images whose names share nothing"),
    ],
)  # fmt: skip
def test_invalid_input_is_a_one_line_error_and_writes_nothing(folders, spoil, arguments, message):
    if spoil is not None:
        spoil(folders)
    given = [each.format(fused=folders / "fused", ir=folders / "ir") for each in arguments]
    if "--out" not in given:
        given += ["--out", str(folders / "report")]
    result = run(folders, *sources(folders), *given)
    assert result.exit_code == 1
    errors = [line for line in result.stderr.splitlines() if not line.startswith("note:")]
    assert len(errors) == 1
    assert errors[0].startswith("fusecam: error:")
    assert re.search(message, errors[0])
    assert not list((folders / "report").glob("*"))
