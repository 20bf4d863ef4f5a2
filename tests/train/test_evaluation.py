import csv
import json
import math
import re

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from fusecam.engines import Fused
from fusecam.train import metrics as m
from fusecam.train.errors import TrainError
from fusecam.train.evaluation.cli import evaluate
from fusecam.train.evaluation.evaluate import SceneScores, evaluate_scenes
from fusecam.train.evaluation.scenes import find_scenes, list_images, read_image, read_sources
from fusecam.train.evaluation.summary import group_of, split_rule, summarise, whole, worst

SIZE = (192, 200)
APP = typer.Typer()
APP.callback()(lambda: None)
APP.command("eval")(evaluate)


class Doubling:
    """Keeps the visible image as restored and adds infrared to its red channel."""

    name = "doubling:numpy:f64"

    def fuse(self, visible, infrared, coverage):
        assert (coverage == 255).all()
        image = visible.copy()
        image[..., 0] = np.maximum(image[..., 0], infrared)
        small = infrared[::4, ::4].copy()
        return Fused(image, visible.copy(), small, small, infrared)


def picture(seed, channels=3):
    noise = np.random.default_rng(seed).normal(0, 1, (*SIZE, channels))
    field = noise.cumsum(axis=0).cumsum(axis=1)
    field = (field - field.min()) / np.ptp(field)
    image = np.round(field * 200 + noise * 6 + 25).clip(0, 255).astype(np.uint8)
    return image if channels == 3 else image[..., 0]


@pytest.fixture
def folders(tmp_path):
    """Three scenes of infrared, clear, hazy and fused images, the fused ones the mean of the first two."""
    for folder in ("ir", "clear", "hazy", "fused"):
        (tmp_path / folder).mkdir()
    for seed, name in enumerate(("a1D", "b2N", "c3N")):
        infrared, clear = picture(seed, 1), picture(seed + 10)
        Image.fromarray(infrared).save(tmp_path / "ir" / f"{name}.png")
        Image.fromarray(clear).save(tmp_path / "clear" / f"{name}.png")
        Image.fromarray((clear * 0.4 + 120).astype(np.uint8)).save(tmp_path / "hazy" / f"{name}.webp", lossless=True)
        fused = (clear.astype(int) + infrared[..., None]) // 2
        Image.fromarray(fused.astype(np.uint8)).save(tmp_path / "fused" / f"{name}.bmp")
    return tmp_path


def run(folders, *arguments):
    result = CliRunner().invoke(APP, ["eval", "--workers", "1", *map(str, arguments)], env={"COLUMNS": "120"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def sources(folders):
    return ["--ir", folders / "ir", "--vis", folders / "clear"]


# ------------------------------------------------------------------------------------------------ scenes


def test_scenes_are_matched_by_name_and_thinned_from_the_first(folders):
    scenes = find_scenes(folders / "ir", folders / "hazy", folders / "clear", fused={"x": folders / "fused"}, every=2)
    assert [scene.name for scene in scenes] == ["a1D", "c3N"]
    assert scenes[0].visible == folders / "hazy/a1D.webp"
    assert scenes[0].reference == scenes[0].restored_reference == folders / "clear/a1D.png"
    assert scenes[1].fused == {"x": folders / "fused/c3N.bmp"}


def test_without_a_reference_the_visible_image_is_it(folders):
    scene = find_scenes(folders / "ir", folders / "clear")[0]
    assert scene.reference == scene.restored_reference == scene.visible


def test_scenes_that_a_method_lacks_are_left_out_with_a_note(folders):
    (folders / "fused/b2N.bmp").unlink()
    (folders / "ir/c3N.png").unlink()
    notes = []
    scenes = find_scenes(folders / "ir", folders / "clear", fused={"x": folders / "fused"}, note=notes.append)
    assert [scene.name for scene in scenes] == ["a1D"]
    assert notes == [
        "1 images have no counterpart of their name in every source folder and are left out",
        "x lacks 1 of 2 scenes, b2N first: left out for all methods",
    ]


def test_images_are_read_as_rgb_without_transparency(tmp_path):
    image = picture(1)
    Image.fromarray(np.dstack([image, np.full(SIZE, 9, np.uint8)])).save(tmp_path / "rgba.png")
    Image.fromarray(image).quantize(16).save(tmp_path / "palette.png")
    assert (read_image(tmp_path / "rgba.png") == image).all()
    assert read_image(tmp_path / "palette.png").shape == (*SIZE, 3)


def test_gray_visible_and_coloured_infrared_are_brought_to_their_shapes(tmp_path):
    for folder, image in (("ir", picture(1)), ("vis", picture(2, 1))):
        (tmp_path / folder).mkdir()
        Image.fromarray(image).save(tmp_path / folder / "x.png")
    images = read_sources(find_scenes(tmp_path / "ir", tmp_path / "vis")[0])
    assert (images.infrared == m.gray(picture(1))).all()
    assert (images.visible == picture(2, 1)[..., None]).all()


# ------------------------------------------------------------------------------------------------ scores


def test_rows_are_scored_against_infrared_and_the_reference(folders):
    scenes = find_scenes(folders / "ir", folders / "hazy", folders / "clear", fused={"x": folders / "fused"})
    result = evaluate_scenes(scenes)[0]
    infrared, clear = (read_image(folders / folder / "a1D.png") for folder in ("ir", "clear"))
    hazy = read_image(folders / "hazy/a1D.webp")
    expected = {
        "infrared only": infrared,
        "visible only": m.gray(hazy),
        "average": ((m.gray(hazy).astype(int) + infrared) // 2).astype(np.uint8),
        "maximum": np.maximum(m.gray(hazy), infrared),
        "x": m.gray(read_image(folders / "fused/a1D.bmp")),
    }
    assert list(result.fused) == list(expected)
    for row, image in expected.items():
        scores = m.fusion_scores(infrared, m.gray(clear), image)
        assert {metric: result.fused[row][metric] for metric in scores} == scores
    assert result.fused["x"]["chroma"] == m.chroma_shift(clear, read_image(folders / "fused/a1D.bmp"))
    assert "chroma" not in result.fused["average"]
    assert result.restored["visible only"]["PSNR"] == m.psnr(clear, hazy)


def test_an_engine_is_one_more_row_and_its_restored_image_is_scored(folders):
    scenes = find_scenes(folders / "ir", folders / "clear")
    done = []
    results = evaluate_scenes(scenes, {"ours": Doubling()}, done=lambda: done.append(1))
    assert len(done) == 3
    assert results[0].restored["ours"] == {
        "PSNR": math.inf,
        "SSIM": 1,
        "mean": results[0].fused["visible only"]["mean"],
    }
    images = read_sources(scenes[0])
    fused = Doubling().fuse(images.visible, images.infrared, np.full(SIZE, 255)).image
    assert results[0].fused["ours"]["chroma non-thermal"] == m.chroma_shift(
        images.visible, fused, m.non_thermal(images.infrared)
    )


def test_several_processes_give_the_same_in_the_same_order(folders):
    scenes = find_scenes(folders / "ir", folders / "clear", fused={"x": folders / "fused"})
    alone, together = evaluate_scenes(scenes, {"o": Doubling()}), evaluate_scenes(scenes, {"o": Doubling()}, workers=2)
    assert [each.name for each in together] == ["a1D", "b2N", "c3N"]
    for one, two in zip(alone, together, strict=True):
        for row, scores in one.fused.items():
            assert two.fused[row] == pytest.approx(scores, rel=1e-9)


def test_an_error_in_another_process_reaches_the_user(folders):
    (folders / "fused/b2N.bmp").write_bytes(b"BM not an image")
    scenes = find_scenes(folders / "ir", folders / "clear", fused={"x": folders / "fused"})
    with pytest.raises(TrainError, match=re.escape(str(folders / "fused/b2N.bmp"))):
        evaluate_scenes(scenes, workers=2)


# ------------------------------------------------------------------------------------------------ summary


def scores(name, **rows):
    return SceneScores(
        name, {row: {"SF": value, "NIQE": value if value > 1 else math.nan} for row, value in rows.items()}
    )


def test_means_leave_out_what_is_undefined_and_ranks_are_of_the_means():
    groups = summarise(
        [scores("1D", a=1.0, b=2.0), scores("2N", a=3.0, b=5.0)], {"D": "day", "N": "night", "X": "dusk"}
    )
    assert [(group.name, group.images) for group in groups] == [("all", 2), ("day", 1), ("night", 1)]
    assert groups[0].fused == {"a": {"SF": 2, "NIQE": 3, "rank": 2}, "b": {"SF": 3.5, "NIQE": 3.5, "rank": 1}}
    assert math.isnan(groups[1].fused["a"]["NIQE"])


def test_one_image_that_equals_its_reference_does_not_make_the_mean_infinite():
    def restored(name, db):
        return SceneScores(name, {"a": {"SF": 1.0}}, {"a": {"PSNR": db}})

    assert summarise([restored("1", math.inf), restored("2", 20.0)], {})[0].restored["a"]["PSNR"] == 60
    assert summarise([restored("1", math.inf), restored("2", math.inf)], {})[0].restored["a"]["PSNR"] == math.inf


def test_the_worst_images_come_first():
    results = [scores(str(i), x=float(value)) for i, value in enumerate((5, 1, 9, 3))]
    assert [each.name for each in worst(results, "x", 3)] == ["1", "3", "0"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (None, {}),
        ("", {}),
        ("msrs", {"D": "day", "N": "night"}),
        ("_fog=fog, _clear=clear", {"_fog": "fog", "_clear": "clear"}),
    ],
)
def test_split_rules(text, rule):
    assert split_rule(text) == rule


@pytest.mark.parametrize("text", ["D", "D=", "=day", "D=day,,N=night", "D=all", "D=other"])
def test_bad_split_rules(text):
    with pytest.raises(TrainError, match="--split"):
        split_rule(text)


def test_the_longest_ending_decides():
    rule = {"N": "night", "SN": "snowy night"}
    assert [group_of(name, rule) for name in ("1N", "1SN", "1X")] == ["night", "snowy night", "other"]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(TrainError, match=r"a\.csv"), whole(path) as partial:
        partial.write_text("half")
        raise OSError(28, "No space left on device")
    assert [each.read_text() for each in tmp_path.iterdir()] == ["old"]


# ------------------------------------------------------------------------------------------------ command


def test_the_command_prints_every_row_and_writes_every_file(folders):
    out = folders / "report/deep"
    result = run(folders, *sources(folders), "--fused", f"ours={folders / 'fused'}", "--split", "msrs", "--out", out)
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


def test_the_command_runs_an_engine_and_keeps_infinities_out_of_json(folders):
    out = folders / "report"
    arguments = ["--engine", "average:torch", "--lift", "0", "--every", "2", "--out", out]
    result = run(folders, *sources(folders), *arguments)
    assert result.exit_code == 0, result.output
    assert "Restored visible" in result.output
    summary = json.loads((out / "summary.json").read_text())
    assert summary["settings"]["engines"] == ["average:torch:f32"]
    assert summary["groups"]["all"]["images"] == 2
    assert summary["groups"]["all"]["restored"]["visible only"]["PSNR"] == "inf"


def test_engines_stand_side_by_side_and_take_a_prompt(folders):
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
        (None, ["--fused", "{fused}", "--split", "day"], r"--split day: give ENDING=GROUP"),
        (None, ["--fused", "{fused}", "--out", "{fused}/a1D.bmp"], r"a1D.bmp: cannot be written"),
        (None, ["--fused", "{fused}", "--out", "/proc/x"], r"/proc/x: cannot be written"),
        (None, ["--fused", "{fused}", "--restored-reference", "{fused}"], r"give --engine NAME with it"),
        (None, ["--engine", "average"], r"--engine average: is among the rows anyway"),
        (None, ["--engine", "magic"], r"unknown name 'magic'"),
        (None, ["--engine", "physics", "--lift", "2"], r"--lift 2: give a number from 0 to 1, or auto"),
        (None, ["--engine", "physics", "--dehaze", "much"], r"--dehaze much: give a number from 0 to 1, or auto"),
        (lambda f: bad_image(f, b"GIF87 not"), ["--fused", "{fused}"], r"b2N.png: not an image that can be read"),
        (lambda f: bad_image(f, b""), ["--fused", "{fused}"], r"b2N.png: not an image that can be read"),
        (truncated, ["--fused", "{fused}"], r"b2N.png: not an image that can be read"),
        (lambda f: bad_image(f, image=np.zeros(SIZE, np.uint16)), ["--fused", "{fused}"], r"more than 8 bits"),
        (lambda f: bad_image(f, image=picture(1)[1:]), ["--fused", "{fused}"], r"200x191, but .*b2N.png is 200x192"),
        (lambda f: bad_image(f, image=picture(1)[:31, :31]), ["--fused", "{fused}"], r"31x31: too small"),
        (
            lambda f: Image.fromarray(picture(1)).save(f / "fused/a1D.png"),
            ["--fused", "{fused}"],
            r"a1D.png: a1D.bmp has the same name",
        ),
        (lambda f: (f / "fused/a1D.bmp").rename(f / "fused/x.txt"), ["--fused", "{ir}/.."], r"no images in it"),
        (lambda f: [path.rename(path.with_stem(path.stem + "_ir")) for path in (f / "ir").iterdir()],
         ["--fused", "{fused}"], r"clear: no name that is also in .*ir"),
        (lambda f: [path.rename(path.with_stem(path.stem + "_x")) for path in (f / "fused").iterdir()],
         ["--fused", "{fused}"], r"fused: no image has the name of a scene, such as a1D"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_nothing_is_written(folders, spoil, arguments, message):
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


def test_list_images_skips_other_files_hidden_files_and_folders(folders):
    (folders / "ir/notes.txt").write_text("x")
    (folders / "ir/.a.png").write_text("x")
    (folders / "ir/sub.png").mkdir()
    assert list(list_images(folders / "ir")) == ["a1D", "b2N", "c3N"]
