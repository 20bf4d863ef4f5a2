from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from fusecam.train.data import PairDataset, find_pairs, split
from fusecam.train.errors import TrainError
from fusecam.train.recipe import Recipe, read_recipe


def write(path: Path, level: int = 100, size: tuple[int, int] = (40, 60), colour: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3) if colour else size, level, np.uint8))


@pytest.mark.parametrize(
    ("visible", "infrared"),
    [
        ("vis/a.png", "ir/a.png"),
        ("train/vi/a.png", "train/ir/a.png"),
        ("visible/train/a.jpg", "infrared/train/a.jpg"),
        ("crop_LR_visible/a.jpg", "cropinfrared/a.jpg"),
        ("Vis/a.png", "Ir/a.png"),
        ("set00/V000/visible/a.jpg", "set00/V000/lwir/a.jpg"),
        ("vis/a.jpg", "ir/a.png"),
        ("RGB/1.jpg", "T/1.jpg"),
        ("train/trainimg/00001.jpg", "train/trainimgr/00001.jpg"),
        ("JPEGImages/FLIR_08864_RGB.jpg", "JPEGImages/FLIR_08864_PreviewData.jpeg"),
        ("Vehicules512/00000000_co.png", "Vehicules512/00000000_ir.png"),
        ("vis/thermal_plant_1.png", "ir/thermal_plant_1.png"),
        ("visible/v000001.JPG", "infrared/i000001.jpg"),
    ],
    ids=[
        "here", "MSRS", "LLVIP", "RoadScene", "M3FD", "KAIST", "other suffix", "VT5000", "DroneVehicle",
        "FLIR v1", "VEDAI", "marker in a scene's name", "LasHeR",
    ],
)  # fmt: skip
def test_public_layouts_are_found(tmp_path: Path, visible: str, infrared: str) -> None:
    write(tmp_path / visible)
    write(tmp_path / infrared, colour=False)
    assert find_pairs(tmp_path) == [(tmp_path / visible, tmp_path / infrared)]


def test_pattern_selects_part_of_a_dataset(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write(tmp_path / f"LLVIP/visible/{part}/{part}1.jpg")
        write(tmp_path / f"LLVIP/infrared/{part}/{part}1.jpg", colour=False)
    visible, infrared = (tmp_path / f"LLVIP/{camera}/train/train1.jpg" for camera in ("visible", "infrared"))
    assert find_pairs(tmp_path / "LLVIP/*/train") == [(visible, infrared)]
    with pytest.raises(TrainError, match=r"LLVIP/\*/val: no such folder"):
        find_pairs(tmp_path / "LLVIP/*/val")


def test_relative_folders_are_found_below_the_data_root(tmp_path: Path, monkeypatch) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("data: [{root: $FUSECAM_DATA/MSRS/train}, {root: here}]")
    monkeypatch.setenv("FUSECAM_DATA", str(tmp_path / "sets"))
    roots = [source.root for source in read_recipe(recipe, Recipe).data]
    assert roots == [tmp_path / "sets/MSRS/train", tmp_path / "here"]
    monkeypatch.delenv("FUSECAM_DATA")
    with pytest.raises(TrainError, match=r"MSRS/train: no data root is set; give --data DIR or set FUSECAM_DATA"):
        read_recipe(recipe, Recipe)


def test_equal_names_in_different_folders_do_not_pair(tmp_path: Path) -> None:
    for name in ("V000/visible/1.jpg", "V000/visible/2.jpg", "V001/visible/1.jpg"):
        write(tmp_path / name)
    for name in ("V000/lwir/1.jpg", "V000/lwir/2.jpg"):
        write(tmp_path / name, colour=False)
    with pytest.raises(TrainError, match=r"V001/visible/1\.jpg: no infrared file belongs to it"):
        find_pairs(tmp_path)


def test_truncated_and_16_bit_images_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "vis/a.jpg", size=(200, 300))
    write(tmp_path / "ir/a.png", size=(200, 300), colour=False)
    whole = (tmp_path / "vis/a.jpg").read_bytes()
    (tmp_path / "vis/a.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(TrainError, match=r"a.jpg: not an image that can be read .*replace or remove it"):
        PairDataset(find_pairs(tmp_path), (32, 32))
    (tmp_path / "vis/a.jpg").write_bytes(whole)
    assert len(PairDataset(find_pairs(tmp_path), (32, 32))) == 1
    cv2.imwrite(str(tmp_path / "ir/a.png"), np.full((200, 300), 30000, np.uint16))
    with pytest.raises(TrainError, match=r"a.png: values of more than 8 bits"):
        PairDataset(find_pairs(tmp_path), (32, 32))


def test_pairs_without_partner_or_folder_are_one_line_errors(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="no such folder"):
        find_pairs(tmp_path / "absent")
    with pytest.raises(TrainError, match="no pairs"):
        find_pairs(tmp_path)
    write(tmp_path / "vis/a.png")
    with pytest.raises(TrainError, match=r"a\.png: no infrared file belongs to it"):
        find_pairs(tmp_path)


@pytest.mark.parametrize("hold_out", [0, 3, 10])
def test_held_out_and_training_pairs_are_disjoint_and_complete(hold_out: int) -> None:
    pairs = [(Path(f"{index}"), Path(f"{index}i")) for index in range(25)]
    held, trained = split(pairs, hold_out, True), split(pairs, hold_out, False)
    assert not set(held) & set(trained) and sorted(held + trained) == sorted(pairs)
    assert len(held) == (0 if hold_out == 0 else -(-25 // hold_out))


@pytest.mark.parametrize(("stored", "size"), [((40, 60), (30, 40)), ((128, 128), (120, 160)), ((20, 20), (32, 48))])
@pytest.mark.parametrize("crop", [False, True])
def test_frames_are_rgb_of_the_requested_size(tmp_path: Path, stored, size, crop: bool) -> None:
    write(tmp_path / "ir/a.png", 30, stored, colour=False)
    blue = np.zeros((*stored, 3), np.uint8)
    blue[..., 0] = 200
    write(tmp_path / "vis/a.png")
    cv2.imwrite(str(tmp_path / "vis/a.png"), blue)
    visible, infrared = PairDataset(find_pairs(tmp_path), size, crop)[0]
    assert visible.shape == (3, *size) and infrared.shape == (1, *size)
    assert visible.dtype == infrared.dtype == torch.uint8
    assert visible[:, 0, 0].tolist() == [0, 0, 200] and infrared.unique().tolist() == [30]


def write_ramps(folder: Path) -> None:
    """A pair of 60x40 whose frames are the same horizontal ramp, 0 to 236."""
    ramp = np.tile(np.arange(0, 240, 4, dtype=np.uint8), (40, 1))
    write(folder / "vis/a.png")
    cv2.imwrite(str(folder / "vis/a.png"), np.dstack([ramp] * 3))
    write(folder / "ir/a.png")
    cv2.imwrite(str(folder / "ir/a.png"), ramp)


def test_mirroring_keeps_pairs_registered(tmp_path: Path) -> None:
    write_ramps(tmp_path)
    torch.manual_seed(0)
    frames = [PairDataset(find_pairs(tmp_path), (40, 60))[0] for _ in range(12)]
    assert all(torch.equal(visible[:1], infrared) for visible, infrared in frames)
    assert len({int(visible[0, 0, 0]) for visible, _ in frames}) == 2


def test_zoomed_windows_keep_the_pair_registered_and_differ(tmp_path: Path) -> None:
    write_ramps(tmp_path)
    pairs = PairDataset(find_pairs(tmp_path), (20, 30), mirror=False, zoom=2)
    torch.manual_seed(0)
    frames = [pairs[0] for _ in range(40)]
    assert all(torch.equal(visible[:1], infrared) and infrared.shape == (1, 20, 30) for visible, infrared in frames)
    spans = torch.tensor([int(infrared.max()) - int(infrared.min()) for _, infrared in frames])
    assert 110 <= spans.min() < 140 and 210 < spans.max() <= 236  # half of the ramp to all of it


def test_unequal_or_broken_frames_are_one_line_errors(tmp_path: Path) -> None:
    write(tmp_path / "vis/a.png", size=(40, 60))
    write(tmp_path / "ir/a.png", size=(40, 50))
    with pytest.raises(TrainError, match="register the pair first"):
        PairDataset(find_pairs(tmp_path), (40, 60))
    (tmp_path / "ir/a.png").write_bytes(b"not an image")
    with pytest.raises(TrainError, match=r"a\.png: not an image"):
        PairDataset(find_pairs(tmp_path), (40, 60))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: [{root: x}]\nstep: 3", "step: Extra inputs"),
        ("data: []", "data: List should have at least 1 item"),
        ("steps: 3", "data: Field required"),
        ("data: [{root: x}]\nmixture: {fog: 1}", "mixture.fog"),
        ("data: [", "not valid YAML"),
        ("", "the whole file"),
    ],
)
def test_invalid_recipes_are_one_line_errors(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(TrainError, match=message) as caught:
        read_recipe(path, Recipe)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_missing_recipe_is_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="cannot be read"):
        read_recipe(tmp_path / "absent.yaml", Recipe)
