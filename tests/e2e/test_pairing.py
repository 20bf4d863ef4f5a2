"""Folders of two cameras as public data sets, drones and recorders lay them out: every pair right, or said."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from fusecam.pipeline.core.health import FATES

from .command import QUICK, fusecam, presentation_times

pytestmark = pytest.mark.slow

SCENES = [1, 2, 4, 5, 6, 7]
LOST = {"vis": 2, "ir": 6}  # one image of each camera is missing
COMMON = QUICK


@pytest.fixture
def run(monkeypatch, capfd):
    return partial(fusecam, monkeypatch=monkeypatch, capfd=capfd)


def put(path: Path, level: int, channels: int = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.full((48, 64), level, np.uint8)
    picture[::4] += 20
    assert cv2.imwrite(str(path), picture if channels == 1 else cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR))


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in out.with_name(out.name + ".jsonl").read_text().splitlines()]


def ns(k: int) -> int:
    return 1_700_000_000_000_000_000 + k * 100_000_000


LAYOUTS = {  # --ir, --vis; the files of scene k
    "M3FD": ("Ir", "Vis", "Ir/{k:05d}.png", "Vis/{k:05d}.png"),
    "KAIST": (
        "set00/V000/lwir",
        "set00/V000/visible",
        "set00/V000/lwir/I{k:05d}.jpg",
        "set00/V000/visible/I{k:05d}.jpg",
    ),
    "KAIST, all": (
        "set00/*/lwir/*.jpg",
        "set00/*/visible/*.jpg",
        "set00/V{d:03d}/lwir/I{n:05d}.jpg",
        "set00/V{d:03d}/visible/I{n:05d}.jpg",
    ),
    "LLVIP": ("infrared/**/*.jpg", "visible/**/*.jpg", "infrared/train/{k:06d}.jpg", "visible/train/{k:06d}.jpg"),
    "FLIR ADAS v1": (
        "JPEGImages",
        "JPEGImages",
        "JPEGImages/FLIR_{k:05d}_PreviewData.jpeg",
        "JPEGImages/FLIR_{k:05d}_RGB.jpg",
    ),
    "VEDAI": ("V512", "V512", "V512/{k:08d}_ir.png", "V512/{k:08d}_co.png"),
    "DroneVehicle": ("train/trainimgr", "train/trainimg", "train/trainimgr/{k:05d}.jpg", "train/trainimg/{k:05d}.jpg"),
    "TNO": ("TNO", "TNO", "TNO/Kaptein_{k}_IR.bmp", "TNO/Kaptein_{k}_Vis.bmp"),
    "VT5000": ("T", "RGB", "T/{k}.jpg", "RGB/{k}.jpg"),
    "RGBT234": ("infrared", "visible", "infrared/{k:05d}i.jpg", "visible/{k:05d}v.jpg"),
    "LasHeR": ("infrared", "visible", "infrared/i{k:06d}.jpg", "visible/v{k:06d}.jpg"),
    "Freiburg": ("ImagesIR", "ImagesRGB", "ImagesIR/fl_ir_aligned_{s}_{f:09d}.png", "ImagesRGB/fl_rgb_{s}_{f:09d}.png"),
    "CVC-14": (
        "FIR",
        "Visible",
        "FIR/2014_05_04_23_14_{k:02d}_187000.tif",
        "Visible/2014_05_04_23_14_{k:02d}_125000.tif",
    ),
    "TUM": ("ir", "rgb", "ir/{i}.png", "rgb/{v}.png"),
    "DJI": ("DCIM", "DCIM", "DCIM/DJI_2024010110{k:02d}00_{k:04d}_T.JPG", "DCIM/DJI_2024010110{k:02d}00_{k:04d}_W.JPG"),
    "DJI, .jpg among .JPG": ("DCIM/*_T.JPG", "DCIM/*_V.JPG", "DCIM/DJI_{k:04d}_T.JPG", "DCIM/DJI_{k:04d}_V.{e}"),
    "Autel": ("DCIM", "DCIM", "DCIM/IRX_{k:04d}.jpg", "DCIM/MAX_{k:04d}.jpg"),
    "Roboflow": ("thermal", "rgb", "thermal/{k:04d}_thermal_jpg.rf.{h}.jpg", "rgb/{k:04d}_rgb_png.rf.{g}.jpg"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_public_layouts_pair_despite_missing_images(tmp_path, run, name):
    heat, seen, heat_name, seen_name = LAYOUTS[name]
    files: dict[str, dict[int, str]] = {"ir": {}, "vis": {}}
    for k in SCENES:
        values = {
            "k": k,
            "d": k // 4,
            "n": k % 4,
            "s": 1_570_722_156 + k // 4,
            "f": k % 4 * 250_000_000,
            "e": "jpg" if k == 7 else "JPG",
            "i": f"{1305031102 + k * 0.1 + 0.03:.6f}",
            "v": f"{1305031102 + k * 0.1:.6f}",
            "h": f"{k * 7919:032x}",
            "g": f"{k * 6101:032x}",
        }
        for side, form in (("ir", heat_name), ("vis", seen_name)):
            files[side][k] = form.format(**values)
            if LOST[side] != k:
                put(tmp_path / files[side][k], 20 * k, 1 if side == "ir" else 3)
    out, report = tmp_path / "out", tmp_path / "report.json"
    answer = run("--ir", tmp_path / heat, "--vis", tmp_path / seen, "--out", out, "--report", report, *COMMON)
    assert answer.code == 0, answer.said
    heat_below, seen_below = (spec.split("*")[0].rstrip("/") + "/" for spec in (heat, seen))
    if name.endswith("among .JPG"):
        heat_below = seen_below = "DCIM/"
    assert {line["image"]: line["infrared_image"] for line in lines(out)} == {
        files["vis"][k].removeprefix(seen_below): None if k == LOST["ir"] else files["ir"][k].removeprefix(heat_below)
        for k in SCENES
        if k != LOST["vis"]
    }
    told = json.loads(report.read_text())
    assert told["doubts"] == [] and told["sync"]["paired"] == 4
    assert "1 visible (" in answer.said and "1 infrared (" in answer.said  # both are counted and named


@pytest.mark.parametrize("timed", [False, True])
def test_unpaired_images_are_counted_once(tmp_path, run, timed):
    """One infrared image without a partner or a time among them, and of timed ones a visible image without a time."""
    names = {"ir": [f"{k:05d}" for k in range(7)], "vis": [f"{k:05d}" for k in range(6)]}
    if timed:
        names = {
            "ir": [*(str(ns(k) + 5_000_000) for k in range(6)), "x"],
            "vis": [*(str(ns(k)) for k in range(6)), "y"],
        }
    for side, stems in names.items():
        for k, stem in enumerate(stems):
            put(tmp_path / f"{side}/{stem}.png", 20 * k + 20, 1 if side == "ir" else 3)
    report = tmp_path / "report.json"
    order = "--ir", tmp_path / "ir", "--vis", tmp_path / "vis", "--out", tmp_path / "out", "--report", report
    answer = run(*order, *COMMON)
    told = json.loads(report.read_text())
    assert (answer.code, len(told["doubts"])) == ((3, 1) if timed else (0, 0)), told["doubts"]
    assert not timed or "1 visible without a capture time left out (y)" in told["doubts"][0]
    for camera, folder in (("infrared", "ir"), ("visible", "vis")):
        counts = told["health"]["cameras"][camera]
        assert counts["frames"] == sum(counts[fate] for fate in FATES) == len(list((tmp_path / folder).iterdir()))
        assert counts["unused"] == (1 if timed or camera == "infrared" else 0) and counts["paired"] == 6
    assert told["sync"]["infrared_unused"] == 1 and "infrared unused 1" in answer.said


def test_flir_adas_v2_needs_its_own_pairing_table(tmp_path, run):
    table = {}
    for clip, (heat, seen) in enumerate((("Aq1x", "Zx9y"), ("Zm4q", "Ab7r"))):
        for k in range(3):
            names = f"video-{seen}-frame-{k:06d}-Q{clip}a{k}.jpg", f"video-{heat}-frame-{k:06d}-R{k}b{clip + 3}.jpg"
            put(tmp_path / "rgb" / names[0], 40 * k + 9)
            put(tmp_path / "thermal" / names[1], 40 * k + 9, 1)
            table[names[0]] = names[1]
    (tmp_path / "rgb_to_thermal_vid_map.json").write_text(json.dumps(table))
    order = "--ir", tmp_path / "thermal", "--vis", tmp_path / "rgb", "--out", tmp_path / "out", *COMMON
    answer = run(*order)
    assert answer.code == 1 and "equally well" in answer.said and "--pairs" in answer.said
    assert not (tmp_path / "out").exists()
    assert run(*order, "--pairs", tmp_path / "rgb_to_thermal_vid_map.json").code == 0
    assert {line["image"]: line["infrared_image"] for line in lines(tmp_path / "out")} == table
    (tmp_path / "clips.csv").write_text("visible,infrared\nZx9y,Aq1x\nAb7r,Zm4q\n")
    assert run(*order, "--pairs", tmp_path / "clips.csv", "--strict").code == 0
    assert {line["image"]: line["infrared_image"] for line in lines(tmp_path / "out")} == table


@pytest.mark.parametrize("kind", ["KITTI", "EuRoC", "name,time_ns"])
def test_timestamp_file_overrules_equal_names(tmp_path, run, kind):
    """Two cameras that count by themselves: their names are equal, their times tell that infrared is three behind."""
    for side, first, step in (("image_02", 0, 1), ("thermal", 3, 1)):
        names, times = [], []
        for k in range(8):
            time = ns(first + k * step) + (4_000_000 if side == "thermal" else 0)
            name = str(time) if kind == "EuRoC" else f"{k:010d}"
            put(tmp_path / side / "data" / f"{name}.png", 20 * k + 9, 1 if side == "thermal" else 3)
            names.append(f"{name}.png")
            times.append(time)
        folder = tmp_path / side
        if kind == "KITTI":
            dates = [f"2023-11-14 22:13:{20 + time // 10**9 % 60}.{time % 10**9:09d}" for time in times]
            (folder / "timestamps.txt").write_text("\n".join(dates) + "\n")
        elif kind == "EuRoC":
            rows = [f"{time},{name}" for time, name in zip(times, names, strict=True)]
            (folder / "data.csv").write_text("\n".join(["#timestamp [ns],filename", *rows]))
        else:
            rows = [f"{name},{time}" for time, name in zip(times, names, strict=True)]
            (folder / "data/timestamps.csv").write_text("\n".join(["name,time_ns", *rows]))
    out = tmp_path / "out"
    answer = run("--ir", tmp_path / "thermal/data", "--vis", tmp_path / "image_02/data", "--out", out, *COMMON)
    assert answer.code in (0, 3), answer.said
    found = [(line["frame"], line["infrared_image"], line["skew_ms"]) for line in lines(out)]
    heat = sorted(path.name for path in (tmp_path / "thermal/data").glob("*.png"))
    assert found == [(k, heat[k - 3] if k >= 3 else None, 4.0 if k >= 3 else None) for k in range(8)]


def test_timestamps_in_names_give_skew_and_time(tmp_path, run):
    for k in range(18):
        put(tmp_path / f"vis/{ns(k)}.png", 90)
    for k in range(6):
        put(tmp_path / f"ir/{ns(3 * k) + 30_000_000}.png", 90, 1)
    out = tmp_path / "out"
    answer = run("--ir", tmp_path / "ir", "--vis", tmp_path / "vis", "--out", out, *COMMON)
    assert answer.code == 0, answer.said
    found = [(line["time"], line["skew_ms"]) for line in lines(out)]
    assert found[:4] == [(0.0, 30.0), (0.1, -70.0), (0.2, 130.0), (0.3, 30.0)]
    assert "17 image pairs by times in the names" in answer.said
    later = run("--ir", tmp_path / "ir", "--vis", tmp_path / "vis", "--out", out, *COMMON, "--offset-ms", "-30")
    assert later.code == 0 and [line["skew_ms"] for line in lines(out)][:3] == [0.0, -100.0, 100.0]


def test_unreadable_image_keeps_its_index_in_the_json_lines(tmp_path, run):
    for name in "abcd":
        put(tmp_path / f"ir/{name}_t.png", 60, 1)
        put(tmp_path / f"vis/{name}.png", 90)
    (tmp_path / "vis/b.png").write_bytes((tmp_path / "vis/b.png").read_bytes()[:60])
    out = tmp_path / "out"
    assert run("--ir", tmp_path / "ir", "--vis", tmp_path / "vis", "--out", out, *COMMON).code == 0
    found = [(line["frame"], line["image"], line["infrared_image"]) for line in lines(out)]
    assert found == [(0, "a.png", "a_t.png"), (2, "c.png", "c_t.png"), (3, "d.png", "d_t.png")]


def test_infrared_in_the_alpha_channel_is_used(tmp_path, run):
    """MFNet: red, green, blue and infrared in one PNG."""
    folder = tmp_path / "images"
    folder.mkdir()
    for k in range(3):
        heat = np.full((48, 64), 30, np.uint8)
        heat[20:30, 10 + 15 * k : 20 + 15 * k] = 250
        cv2.imwrite(str(folder / f"{k:05d}N.png"), np.dstack([np.full((48, 64, 3), (90, 60, 40), np.uint8), heat]))
    results = {}
    for name, heat_folder in (("one", folder), ("two", tmp_path / "copy"), ("set", tmp_path / "copy")):
        if name == "two":
            shutil.copytree(folder, tmp_path / "copy")
        (tmp_path / "run.yaml").write_text(
            f"sources: {{ir: {{source: {tmp_path / 'copy'}, channel: 4}}, vis: {folder}}}\n"
        )
        given = ("--config", tmp_path / "run.yaml") if name == "set" else ("--ir", heat_folder, "--vis", folder)
        out = tmp_path / name
        answer = run(*given, "--out", out, *COMMON)
        results[name] = answer.code
        assert ("fourth channel" in answer.said) == (name == "two")
        for k in range(3):
            image = cv2.imread(str(out / f"{k:05d}N.png")).astype(int)
            assert (image[25, 15 + 15 * k] - image[5, 5]).min() > 60  # what is warm stands out
            assert (np.ptp(image[5, 5]) > 20) and image[5, 5, 0] > image[
                5, 5, 2
            ]  # and the colours are the visible ones
    assert results == {"one": 0, "two": 3, "set": 0}


def test_single_folder_of_one_camera_is_refused(tmp_path, run):
    put(tmp_path / "a/1.png", 90)
    answer = run("--ir", tmp_path / "a", "--vis", tmp_path / "a", "--out", tmp_path / "out", *COMMON)
    assert answer.code == 1 and "two different sources are needed" in answer.said
    assert len(answer.said.strip().splitlines()) == 1


def test_image_is_never_fused_with_itself(tmp_path, run):
    for name in ("a_x.png", "b_y.png"):
        put(tmp_path / "d" / name, 90)
    (tmp_path / "link").symlink_to(tmp_path / "d")
    for heat, seen in (("d/*.png", "d"), ("link", "d"), ("d/../d", "d")):
        answer = run("--ir", f"{tmp_path}/{heat}", "--vis", f"{tmp_path}/{seen}", "--out", tmp_path / "out", *COMMON)
        assert answer.code == 1 and len(answer.said.strip().splitlines()) == 1, answer.said
        assert "two different sources" in answer.said or "tell them apart" in answer.said


def test_video_of_timestamped_images_keeps_their_times(tmp_path, run):
    for k in (0, 1, 4, 5):
        put(tmp_path / f"vis/{ns(k)}.png", 90)
        put(tmp_path / f"ir/{ns(k) + 5_000_000}.png", 90, 1)
    answer = run("--ir", tmp_path / "ir", "--vis", tmp_path / "vis", "--out", tmp_path / "out.mp4", *COMMON)
    assert answer.code == 0, answer.said
    assert [float(t) for t in presentation_times(tmp_path / "out.mp4")] == pytest.approx([0, 0.1, 0.4, 0.5])


def test_mask_images_are_not_infrared(tmp_path, run):
    for side in ("ir", "vis"):
        put(tmp_path / side / "1.png", 90)
    grey = np.full((48, 64, 4), 120, np.uint8)
    grey[:24, :, :3], grey[..., 3] = 40, 255
    grey[:, :10, 3] = 0
    cv2.imwrite(str(tmp_path / "ir/1.png"), grey)
    answer = run("--ir", tmp_path / "ir", "--vis", tmp_path / "vis", "--out", tmp_path / "out", *COMMON)
    assert answer.code == 0 and "fourth channel" not in answer.said


def test_other_commands_accept_a_pairing_table(tmp_path, run):
    for k in range(3):
        put(tmp_path / f"vis/{k}.png", 30 * k + 30)
        put(tmp_path / f"ir/{k}.png", 30 * k + 30, 1)
    (tmp_path / "pairs.csv").write_text("0,2\n2,1\n")
    size = "{width: 64, height: 48}"
    rows = "[[1, 0, 0], [0, 1, 0], [0, 0, 1]]"
    (tmp_path / "rig.yaml").write_text(f"visible: {size}\ninfrared: {size}\nhomography: {rows}\n")
    order = "--ir", tmp_path / "ir", "--vis", tmp_path / "vis", "--pairs", tmp_path / "pairs.csv"
    answer = run("view-rig", *order, "--rig", tmp_path / "rig.yaml", "--mode", "side", "--out", tmp_path / "seen")
    assert answer.code == 0 and f"wrote {tmp_path / 'seen'}" in answer.said, answer.said
    found = [(line["image"], line["infrared_image"]) for line in lines(tmp_path / "seen")]
    assert found == [("0.png", "2.png"), ("1.png", None), ("2.png", "1.png")]
    for command in (("calibrate", "scene"), ("calibrate", "reference", "--rig", tmp_path / "rig.yaml")):
        refused = run(*command, *order, "--out", tmp_path / "new.yaml")  # two pairs, as the table has it
        assert refused.code == 1 and "2 pairs of 3 visible frames" in refused.said, refused.said
    count = run("calibrate", "scene", *order[:4], "--pairs", "2", "--out", tmp_path / "new.yaml")
    assert count.code == 2 and "3 to 200" in count.said
