"""Pairing by name: images of two folders, and clips for a batch."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusecam.pipeline.errors import InputError
from fusecam.pipeline.names import pair_clips, pair_names

MARKER = "names without the camera marker"


@pytest.mark.parametrize(
    ("visible", "infrared", "pairs", "unused", "rule"),
    [
        (["a", "b"], ["a", "b"], [0, 1], [], "equal names"),
        (["a", "b", "c"], ["c", "a"], [1, None, 0], [], "equal names"),
        (["a"], ["a", "b", "c"], [0], [1, 2], "equal names"),
        (["1_vis", "2_vis"], ["2_ir", "1_ir"], [1, 0], [], MARKER),
        (["vis_1", "vis_2"], ["ir_1", "ir_2"], [0, 1], [], MARKER),
        (["VIS001", "VIS002"], ["IR002", "IR001"], [1, 0], [], MARKER),
        (["a-rgb-7"], ["a-thermal-7"], [0], [], MARKER),
        (["a.visible"], ["a.lwir"], [0], [], MARKER),
        (["a", "b"], ["a_ir", "b_ir"], [0, 1], [], MARKER),
        (["DJI_1", "DJI_2"], ["DJI_1_T", "DJI_2_T"], [0, 1], [], MARKER),
        (["cat_t_1_vis"], ["cat_t_1_ir"], [0], [], MARKER),
        (["ir_1", "ir_2"], ["ir_2", "ir_1"], [1, 0], [], "equal names"),
        (["x7", "x8", "x9"], ["y1", "y2"], [0, 1, None], [], "index"),
        (["stairs_1"], ["chairs_1"], [0], [], "index"),
        (["a", "a", "b"], ["a", "b"], [0, None, 1], [], "equal names"),
        (["a", "a"], ["a", "a", "a"], [0, 1], [2], "equal names"),
        (["a"], [], [None], [], "index"),
        ([], ["a"], [], [0], "index"),
        (["vis"], ["ir"], [0], [], MARKER),
        (["café_vis"], ["café_ir"], [0], [], MARKER),
        (["___"], ["---"], [0], [], MARKER),
    ],
)
def test_pair_names(
    visible: list[str], infrared: list[str], pairs: list[int | None], unused: list[int], rule: str
) -> None:
    found = pair_names(visible, infrared)
    assert found.pairs == list(enumerate(pairs))
    assert (found.unused_infrared, found.rule) == (unused, rule)


NAMES = st.lists(
    st.sampled_from(["a", "b", "a_ir", "a_vis", "vis_b", "t_b", "1", "vis", "A", "a_t_ir", "", "_"]), max_size=12
)


@given(NAMES, NAMES)
@settings(deadline=None)
def test_every_image_is_accounted_for(visible: list[str], infrared: list[str]) -> None:
    found = pair_names(visible, infrared)
    assert [v for v, _ in found.pairs] == list(range(len(visible)))
    taken = [i for _, i in found.pairs if i is not None]
    assert sorted(taken + found.unused_infrared) == list(range(len(infrared)))


def test_summary_names_the_rule_and_what_is_left() -> None:
    assert pair_names(["a", "b"], ["a", "b"]).summary == "2 image pairs by equal names"
    assert pair_names(["a", "b"], ["a", "c", "d"]).summary == (
        "1 image pairs by equal names; without a partner: 1 visible and 2 infrared"
    )


BOTH = "d/thermal_1_vis.mp4 d/thermal_1_ir.mp4"


@pytest.mark.parametrize(
    ("infrared", "visible", "pairs", "leftovers"),
    [
        ("i/x_ir.mp4", "v/x_vis.mp4", ["x i/x_ir.mp4 v/x_vis.mp4"], ""),
        ("i/x.mp4 i/y.mkv", "v/y.avi v/x.mp4", ["y i/y.mkv v/y.avi", "x i/x.mp4 v/x.mp4"], ""),
        ("d/x.mp4 d/x_ir.mp4", "d/x.mp4 d/x_ir.mp4", ["x d/x_ir.mp4 d/x.mp4"], ""),
        ("d/x_ir.mp4 d/x_vis.mp4", "d/x_ir.mp4 d/x_vis.mp4", ["x d/x_ir.mp4 d/x_vis.mp4"], ""),
        (BOTH, BOTH, ["thermal_1 d/thermal_1_ir.mp4 d/thermal_1_vis.mp4"], ""),
        ("i/ir_fog_day.mp4", "v/vis_fog_day.mp4", ["fog_day i/ir_fog_day.mp4 v/vis_fog_day.mp4"], ""),
        ("i/a_ir_2.mp4", "v/a_vis_2.mp4", ["a_2 i/a_ir_2.mp4 v/a_vis_2.mp4"], ""),
        ("i/ir.mp4", "v/vis.mp4", ["vis i/ir.mp4 v/vis.mp4"], ""),
        ("i/a.mp4 i/b.mp4", "v/b.mp4 v/c.mp4", ["b i/b.mp4 v/b.mp4"], "i/a.mp4 v/c.mp4"),
        ("i/a.mp4", "v/b.mp4", [], "i/a.mp4 v/b.mp4"),
        ("i/a.mp4 i/a.avi", "v/b.mp4", [], "i/a.mp4 i/a.avi v/b.mp4"),
        ("", "", [], ""),
    ],
)
def test_pair_clips(infrared: str, visible: str, pairs: list[str], leftovers: str) -> None:
    found, left = pair_clips([Path(p) for p in infrared.split()], [Path(p) for p in visible.split()])
    assert [f"{p.name} {p.infrared} {p.visible}" for p in found] == pairs
    assert [str(p) for p in left] == leftovers.split()


@pytest.mark.parametrize(
    ("patterns", "infrared", "visible", "pairs", "leftovers"),
    [
        ("d/*/ir.mp4 d/*/vis.mp4", "d/1/ir.mp4 d/2/ir.mp4", "d/1/vis.mp4 d/2/vis.mp4",
         "1:d/1/ir.mp4+d/1/vis.mp4 2:d/2/ir.mp4+d/2/vis.mp4", ""),
        ("d/*/ir/*.mp4 d/*/vis/*.mp4", "d/1/ir/a.mp4 d/2/ir/a.mp4", "d/1/vis/a.mp4 d/2/vis/a.mp4",
         "1/a:d/1/ir/a.mp4+d/1/vis/a.mp4 2/a:d/2/ir/a.mp4+d/2/vis/a.mp4", ""),
        ("i/*/* v/*/*", "i/1/a.mp4 i/2/a.mp4", "v/1/a.mp4 v/2/a.mp4",
         "1/a:i/1/a.mp4+v/1/a.mp4 2/a:i/2/a.mp4+v/2/a.mp4", ""),
        ("d/*_ir/*.mp4 d/*_vis/*.mp4", "d/1_ir/a.mp4", "d/1_vis/a.mp4", "1/a:d/1_ir/a.mp4+d/1_vis/a.mp4", ""),
        # what stands in the pattern is the camera's, by whatever name
        ("*/cam0/*.mp4 */cam1/*.mp4", "1/cam0/a.mp4", "1/cam1/a.mp4", "1/a:1/cam0/a.mp4+1/cam1/a.mp4", ""),
        ("*/cam0.mp4 */cam1.mp4", "1/cam0.mp4 2/cam0.mp4", "2/cam1.mp4", "2:2/cam0.mp4+2/cam1.mp4", "1/cam0.mp4"),
        # a folder without its partner does not take another folder's
        ("d/*/ir.mp4 d/*/vis.mp4", "d/1/ir.mp4", "d/2/vis.mp4", "", "d/1/ir.mp4 d/2/vis.mp4"),
        # a marker in a folder that both share is none
        ("d/*/*ir.mp4 d/*/*vis.mp4", "d/thermal_test/ir.mp4", "d/thermal_test/vis.mp4",
         "thermal_test:d/thermal_test/ir.mp4+d/thermal_test/vis.mp4", ""),
        # one pattern for both cameras, at any depth
        ("d/** d/**", "d/1/ir/a.mp4 d/1/vis/a.mp4", "d/1/ir/a.mp4 d/1/vis/a.mp4", "1/a:d/1/ir/a.mp4+d/1/vis/a.mp4", ""),
        ("d/**/* d/**/*", "d/1/a_ir.mp4 d/1/a.mp4", "d/1/a_ir.mp4 d/1/a.mp4", "1/a:d/1/a_ir.mp4+d/1/a.mp4", ""),
        ("d/**/ir.mp4 d/*/vis*", "d/1/ir.mp4", "d/1/vis.mp4", "1:d/1/ir.mp4+d/1/vis.mp4", ""),
    ],
)  # fmt: skip
def test_with_patterns_across_folders_clips_are_named_by_what_the_signs_stand_for(
    patterns: str, infrared: str, visible: str, pairs: str, leftovers: str
) -> None:
    both = patterns.split()[0], patterns.split()[1]
    found, left = pair_clips([Path(p) for p in infrared.split()], [Path(p) for p in visible.split()], both)
    assert " ".join(f"{p.name}:{p.infrared}+{p.visible}" for p in found) == pairs
    assert [str(p) for p in left] == leftovers.split()


@pytest.mark.parametrize(
    ("infrared", "visible"),
    [
        ("i/a.mp4 i/a.avi", "v/a.mp4"),
        ("i/a_ir.mp4", "v/a.mp4 v/a_vis.mp4"),
        ("i/a.mp4 i/a_ir.mp4", "v/a.mp4 v/a_vis.mp4"),
        ("i/A.mp4 i/a_ir.mp4", "v/A.mp4 v/a_vis.mp4"),
        ("i/1/a.mp4 i/2/a.mp4", "v/1/a.mp4 v/2/a.mp4"),
    ],
)
def test_ambiguous_clips_are_refused(infrared: str, visible: str) -> None:
    with pytest.raises(InputError, match=r"more than one clip fits 'a") as caught:
        pair_clips([Path(p) for p in infrared.split()], [Path(p) for p in visible.split()])
    assert "\n" not in str(caught.value) and "mp4, " in str(caught.value)


def test_clip_folders_keep_their_dots(tmp_path: Path) -> None:
    for name in ("i/run.1_ir", "v/run.1_vis"):
        (tmp_path / name).mkdir(parents=True)
    found, _ = pair_clips([tmp_path / "i/run.1_ir"], [tmp_path / "v/run.1_vis"])
    assert [p.name for p in found] == ["run.1"]
