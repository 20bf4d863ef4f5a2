"""What the networks promise on real scenes, by the metrics of `fusecam eval`; needs the development data
(train/DATA.md)."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest

from fusecam.engines import FusionEngine, create_engine
from fusecam.train.evaluation.evaluate import fuse_scene, score_images
from fusecam.train.evaluation.scenes import find_scenes, read_sources
from fusecam.train.evaluation.summary import split_rule, summarise
from fusecam.train.metrics import average_gradient, mean_level

from ..public_data import DATA

pytestmark = pytest.mark.slow

SCENES = DATA / "msrs_dev_120"
if not (DATA / "peers.md").is_file() or not SCENES.is_dir():
    pytest.skip("needs msrs_dev_120 and peers.md in $FUSECAM_DATA, see train/DATA.md", allow_module_level=True)

Rows = dict[str, dict[str, float]]
LOWER_IS_BETTER = {"QCV"}


def peers(title: str) -> Rows:
    """A table of peers.md by row name."""
    lines = (DATA / "peers.md").read_text(encoding="utf-8").split(f"## {title}\n")[1].strip().splitlines()
    names = [cell.strip() for cell in lines[0].strip("|").split("|")]
    rows: Rows = {}
    for line in lines[2:]:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        rows[cells[0]] = {name: float(cell) for name, cell in zip(names[1:], cells[1:], strict=True)}
    return rows


@cache
def engine(lift: float | str) -> FusionEngine:
    return create_engine("realtime", lift=lift, hue=0.0)


@cache
def figures(visible: str, lift: float | str, ending: str = "") -> Rows:
    """Means of `realtime` by group over every third scene. visible: the input's folder. ending: of scenes to take."""
    results = []
    for scene in find_scenes(SCENES / "ir", SCENES / visible, SCENES / "clear", every=3):
        if scene.name.endswith(ending):
            images = read_sources(scene)
            made = fuse_scene(engine(lift), images)
            results.append(score_images(scene, images, {"realtime": made.image}, {"realtime": made.restored}))
    found: Rows = {}
    for group in summarise(results, split_rule("msrs")):
        restored = {f"restored {name}": value for name, value in group.restored["realtime"].items()}
        found[group.name] = {"images": group.images, **group.fused["realtime"], **restored}
    return found


def beats(ours: dict[str, float], theirs: dict[str, float], name: str) -> bool:
    better = ours[name] - theirs[name]
    return better < 0 if name in LOWER_IS_BETTER else better > 0


def mean_ranks(rows: Rows, names: list[str]) -> dict[str, float]:
    def rank(row: str, name: str) -> int:
        return 1 + sum(beats(other, rows[row], name) for other in rows.values())

    return {row: sum(rank(row, name) for name in names) / len(names) for row in rows}


def test_hazy_input_beats_every_chain_of_dehazing_and_fusion() -> None:
    ours = figures("hazy", 0.0)["all"]
    names = ["Qabf", "QCV", "SCD", "VIF", "MI", "SF"]
    chains = {
        f"{kind} {row}": values
        for kind in ("Hazy input, first DCP dehazing, then fusion", "Hazy input, first AOD-Net, then fusion")
        for row, values in peers(kind).items()
        if not row.startswith("(")
    }
    won = [name for name in names if all(beats(ours, theirs, name) for theirs in chains.values())]
    assert len(won) >= 5, won
    ranks = mean_ranks({"ours": ours, **chains}, names)
    assert min(ranks, key=lambda row: ranks[row]) == "ours", ranks


def test_restored_frames_are_far_better_than_dark_channel_dehazing() -> None:
    ours = figures("hazy", 0.0)["all"]
    assert ours["restored PSNR"] >= 19.82 + 1.5
    assert ours["restored SSIM"] >= 0.805 + 0.02


def test_clear_input_is_among_the_best_and_is_left_alone() -> None:
    ours = figures("clear", 0.0)
    names = ["Qabf", "SCD", "VIF", "SSIM"]
    networks = {row: values for row, values in peers("Clear input").items() if not row.startswith("(")}
    for name in names:
        assert sum(beats(theirs, ours["all"], name) for theirs in networks.values()) <= 2, name
    ranks = mean_ranks({"ours": ours["all"], **networks}, names)
    assert min(ranks, key=lambda row: ranks[row]) == "ours", ranks
    assert ours["day"]["restored PSNR"] >= 30


def test_night_is_brighter_and_sharper_than_from_any_network_without_noise() -> None:
    ours = figures("clear", "auto", "N")["night"]
    assert ours["noise"] <= 1.5
    for peer in sorted((DATA / "peers_dev_40").iterdir()):
        frames = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in (peer / "clear").glob("*N.webp")]
        assert len(frames) == ours["images"]
        assert ours["mean"] > np.mean([mean_level(frame) for frame in frames]), peer.name
        assert ours["AG"] > np.mean([average_gradient(frame) for frame in frames]), peer.name


@pytest.mark.parametrize(("visible", "most"), [("clear", 4), ("hazy", 8)])
def test_colours_are_kept(visible: str, most: float) -> None:
    assert figures(visible, 0.0)["all"]["chroma non-thermal"] < most
