import math
import re
import time

import numpy as np
import psutil
import pytest
from PIL import Image

from fusecam.engines import Fused
from fusecam.train import metrics as m
from fusecam.train.errors import TrainError
from fusecam.train.evaluation.evaluate import evaluate_scenes
from fusecam.train.evaluation.scenes import find_scenes, list_images, read_image, read_sources

from ..e2e.command import processes, start
from .pictures import SIZE, picture

pytestmark = pytest.mark.slow


class Doubling:
    """Keeps the visible image as restored and adds infrared to its red channel."""

    name = "doubling:numpy:f64"

    def fuse(self, visible, infrared, coverage):
        assert (coverage == 255).all()
        image = visible.copy()
        image[..., 0] = np.maximum(image[..., 0], infrared)
        small = infrared[::4, ::4].copy()
        return Fused(image, visible.copy(), small, small, infrared)


# ------------------------------------------------------------------------------------------------ scenes


def test_scenes_are_matched_by_name_and_subsampled(folders):
    scenes = find_scenes(folders / "ir", folders / "hazy", folders / "clear", fused={"x": folders / "fused"}, every=2)
    assert [scene.name for scene in scenes] == ["a1D", "c3N"]
    assert scenes[0].visible == folders / "hazy/a1D.webp"
    assert scenes[0].reference == scenes[0].restored_reference == folders / "clear/a1D.png"
    assert scenes[1].fused == {"x": folders / "fused/c3N.bmp"}


def test_visible_image_is_the_default_reference(folders):
    scene = find_scenes(folders / "ir", folders / "clear")[0]
    assert scene.reference == scene.restored_reference == scene.visible


def test_names_may_differ_and_a_table_overrules_them(folders):
    for path in (folders / "ir").iterdir():
        path.rename(path.with_stem(path.stem + "_ir"))
    (folders / "ir/b2N_ir.png").unlink()
    scenes = find_scenes(folders / "ir", folders / "clear")
    assert [(s.name, s.infrared.name) for s in scenes] == [("a1D", "a1D_ir.png"), ("c3N", "c3N_ir.png")]
    (folders / "pairs.csv").write_text("b2N,c3N_ir\n")
    scenes = find_scenes(folders / "ir", folders / "clear", pairs=folders / "pairs.csv")
    assert [(s.name, s.infrared.name) for s in scenes] == [("b2N", "c3N_ir.png")]


def test_scenes_missing_in_a_method_are_left_out_with_a_note(folders):
    (folders / "fused/b2N.bmp").unlink()
    (folders / "ir/c3N.png").unlink()
    notes = []
    scenes = find_scenes(folders / "ir", folders / "clear", fused={"x": folders / "fused"}, note=notes.append)
    assert [scene.name for scene in scenes] == ["a1D"]
    assert notes == [
        "1 images have no counterpart in every source folder and are left out",
        "x lacks 1 of 2 scenes, b2N first: left out for all methods",
    ]


def test_images_are_read_as_rgb_without_alpha(tmp_path):
    image = picture(1)
    Image.fromarray(np.dstack([image, np.full(SIZE, 9, np.uint8)])).save(tmp_path / "rgba.png")
    Image.fromarray(image).quantize(16).save(tmp_path / "palette.png")
    assert (read_image(tmp_path / "rgba.png") == image).all()
    assert read_image(tmp_path / "palette.png").shape == (*SIZE, 3)


def test_gray_visible_and_colour_infrared_are_converted(tmp_path):
    for folder, image in (("ir", picture(1)), ("vis", picture(2, 1))):
        (tmp_path / folder).mkdir()
        Image.fromarray(image).save(tmp_path / folder / "x.png")
    images = read_sources(find_scenes(tmp_path / "ir", tmp_path / "vis")[0])
    assert (images.infrared == m.gray(picture(1))).all()
    assert (images.visible == picture(2, 1)[..., None]).all()


def test_list_images_skips_other_and_hidden_files_and_folders(folders):
    (folders / "ir/notes.txt").write_text("x")
    (folders / "ir/.a.png").write_text("x")
    (folders / "ir/sub.png").mkdir()
    assert list(list_images(folders / "ir")) == ["a1D", "b2N", "c3N"]


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


def test_engine_is_a_row_and_its_restored_image_is_scored(folders):
    scenes = find_scenes(folders / "ir", folders / "clear")
    done = []
    results = evaluate_scenes(scenes, {"ours": Doubling()}, done=lambda: done.append(1))
    assert len(done) == 3
    restored = results[0].restored["ours"]
    assert (restored["PSNR"], restored["SSIM"]) == (math.inf, 1)
    assert restored["mean"] == results[0].fused["visible only"]["mean"]
    images = read_sources(scenes[0])
    fused = Doubling().fuse(images.visible, images.infrared, np.full(SIZE, 255)).image
    assert results[0].fused["ours"]["chroma non-thermal"] == m.chroma_shift(
        images.visible, fused, m.non_thermal(images.infrared)
    )


def test_several_processes_give_the_same_results_in_order(folders):
    scenes = find_scenes(folders / "ir", folders / "clear", fused={"x": folders / "fused"})
    alone, together = evaluate_scenes(scenes, {"o": Doubling()}), evaluate_scenes(scenes, {"o": Doubling()}, workers=2)
    assert [each.name for each in together] == ["a1D", "b2N", "c3N"]
    for one, two in zip(alone, together, strict=True):
        for row, scores in one.fused.items():
            assert two.fused[row] == pytest.approx(scores, rel=1e-9, nan_ok=True)


def test_error_in_a_worker_process_reaches_the_user(folders):
    (folders / "fused/b2N.bmp").write_bytes(b"BM not an image")
    scenes = find_scenes(folders / "ir", folders / "clear", fused={"x": folders / "fused"})
    with pytest.raises(TrainError, match=re.escape(str(folders / "fused/b2N.bmp"))):
        evaluate_scenes(scenes, workers=2)


def test_worker_processes_end_with_the_command_even_after_kill_9(tmp_path):
    for name in ("ir", "vis"):
        (tmp_path / name).mkdir()
        for number in range(3):
            noise = np.random.default_rng(number).integers(0, 256, (1200, 1600, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / name / f"{number}.png")
    folders = ("--fused", tmp_path / "vis", "--ir", tmp_path / "ir", "--vis", tmp_path / "vis")
    command = start("eval", *folders, "--workers", "2")
    try:
        deadline = time.monotonic() + 60
        while len(children := processes("spawn_main", command.pid)) < 2:
            assert command.poll() is None and time.monotonic() < deadline, "nobody scored"
            time.sleep(0.05)
    finally:
        command.kill()
        command.wait()
    _, left = psutil.wait_procs(children, timeout=10)
    for child in left:
        child.kill()
    command.communicate()  # the last of them closes it
    assert not left
