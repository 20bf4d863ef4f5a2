"""Pairing of a batch's clips by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusecam.pipeline.batch.clips import find_clips
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.pairing import pair_clips, read_pairs

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
        ("d/DJI_1_T.MP4 d/DJI_1_W.MP4", "d/DJI_1_T.MP4 d/DJI_1_W.MP4", ["DJI_1 d/DJI_1_T.MP4 d/DJI_1_W.MP4"], ""),
        ("d/DJI_1_V.MP4 d/DJI_1_T.MP4", "d/DJI_1_V.MP4 d/DJI_1_T.MP4", ["DJI_1 d/DJI_1_T.MP4 d/DJI_1_V.MP4"], ""),
        ("i/DJI_1_T.MP4", "v/DJI_1_Z.MP4", ["DJI_1 i/DJI_1_T.MP4 v/DJI_1_Z.MP4"], ""),
        ("d/IRX_1.mp4 d/MAX_1.mp4", "d/IRX_1.mp4 d/MAX_1.mp4", ["1 d/IRX_1.mp4 d/MAX_1.mp4"], ""),
        ("d/a_LWIR.mp4 d/a_EO.mp4", "d/a_LWIR.mp4 d/a_EO.mp4", ["a d/a_LWIR.mp4 d/a_EO.mp4"], ""),
        ("d/a_TIR.mp4 d/a_RGB.mp4", "d/a_TIR.mp4 d/a_RGB.mp4", ["a d/a_TIR.mp4 d/a_RGB.mp4"], ""),
        ("i/Thermal_a.mp4", "v/Visual_a.mp4", ["a i/Thermal_a.mp4 v/Visual_a.mp4"], ""),
        ("i/a_Inf.mp4", "v/a_Vis.mp4", ["a i/a_Inf.mp4 v/a_Vis.mp4"], ""),
        ("i/a_ir.mp4", "v/a_co.mp4", ["a i/a_ir.mp4 v/a_co.mp4"], ""),
        ("i/F_1_PreviewData.mp4", "v/F_1_RGB.mp4", ["F_1 i/F_1_PreviewData.mp4 v/F_1_RGB.mp4"], ""),
        ("i/left_1.mp4", "v/right_1.mp4", ["1 i/left_1.mp4 v/right_1.mp4"], ""),
        ("i/i1.mp4 i/i2.mp4", "v/v2.mp4 v/v1.mp4", ["2 i/i2.mp4 v/v2.mp4", "1 i/i1.mp4 v/v1.mp4"], ""),
        # words that nobody knew, in all of one camera's names and none of the other's
        ("i/Q_1.mp4 i/Q_2.mp4 i/Q_4.mp4", "v/2.mp4 v/3.mp4", ["2 i/Q_2.mp4 v/2.mp4"], "i/Q_1.mp4 i/Q_4.mp4 v/3.mp4"),
        # such words on both sides may as well be two days
        ("i/mon_1.mp4 i/mon_2.mp4", "v/tue_1.mp4 v/tue_2.mp4", [], "i/mon_1.mp4 i/mon_2.mp4 v/tue_1.mp4 v/tue_2.mp4"),
    ],
)
def test_clips_pair_by_name(infrared: str, visible: str, pairs: list[str], leftovers: str) -> None:
    found, left, _ = pair_clips([Path(p) for p in infrared.split()], [Path(p) for p in visible.split()])
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
def test_glob_patterns_name_clips_by_their_wildcards(
    patterns: str, infrared: str, visible: str, pairs: str, leftovers: str
) -> None:
    both = patterns.split()[0], patterns.split()[1]
    found, left, _ = pair_clips([Path(p) for p in infrared.split()], [Path(p) for p in visible.split()], both)
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
    with pytest.raises(InputError, match=r"(more than one clip fits|their results would have one name,) 'a") as caught:
        pair_clips([Path(p) for p in infrared.split()], [Path(p) for p in visible.split()])
    assert "\n" not in str(caught.value) and "mp4, " in str(caught.value)


def test_clip_folder_names_keep_their_dots(tmp_path: Path) -> None:
    for name in ("i/run.1_ir", "v/run.1_vis"):
        (tmp_path / name).mkdir(parents=True)
    found, _, _ = pair_clips([tmp_path / "i/run.1_ir"], [tmp_path / "v/run.1_vis"])
    assert [p.name for p in found] == ["run.1"]


def test_table_overrules_names(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("visible,infrared\na.mp4,b.mp4\nb,a\n")
    found, left, _ = pair_clips(
        [Path("i/a.mp4"), Path("i/b.mp4"), Path("i/c.mp4")],
        [Path("v/a.mp4"), Path("v/b.mp4")],
        table=read_pairs(tmp_path / "pairs.csv"),
    )
    assert [f"{p.name} {p.infrared} {p.visible}" for p in found] == ["a i/b.mp4 v/a.mp4", "b i/a.mp4 v/b.mp4"]
    assert left == [Path("i/c.mp4")]


def test_table_names_clips_by_the_wildcards_too(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("1/a_vis.mp4,1/b_ir.mp4\n2/a_vis.mp4,2/b_ir.mp4\n")
    found, left, _ = pair_clips(
        [Path("d/1/b_ir.mp4"), Path("d/2/b_ir.mp4")],
        [Path("d/1/a_vis.mp4"), Path("d/2/a_vis.mp4")],
        patterns=("d/*/*ir.mp4", "d/*/*vis.mp4"),
        table=read_pairs(tmp_path / "pairs.csv"),
    )
    assert [p.name for p in found] == ["1/a", "2/a"] and not left


def test_rows_of_a_table_without_clips_are_a_doubt(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("a,a\nlost_1,lost_2\n")
    table = read_pairs(tmp_path / "pairs.csv")
    found, left, doubts = pair_clips([Path("i/a.mp4")], [Path("v/a.mp4")], table=table)
    assert len(found) == 1 and not left
    assert [line.partition(": ")[2] for line in doubts] == [
        "1 of 2 rows name files that are not there, lost_1,lost_2 first"
    ]


def test_results_of_one_name_are_refused_with_what_helps() -> None:
    infrared, visible = ([Path(f"d/{day}/{name}.mp4") for day in ("mon", "Mon")] for name in ("ir", "vis"))
    with pytest.raises(InputError, match=r"^d/mon/vis.mp4, d/Mon/vis.mp4: .*one name, 'Mon' .*; rename one$"):
        pair_clips(infrared, visible, ("d/*/ir.mp4", "d/*/vis.mp4"))


def test_folder_without_clips_error_says_what_to_give(tmp_path):
    for name in ("a/ir/1.png", "b/ir/1.png", "c/a_ir.avi"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for source, told in (
        ("", r"for those in folders below it: '.*/\*/\*\.avi'"),
        ("*/ir", r"only folders match this pattern: for their images use fusecam --ir '.*/\*/ir/\*\.png'"),
        ("*/x", "no file matches"),
    ):
        with pytest.raises(InputError, match=told):
            find_clips(str(tmp_path / source), str(tmp_path), tmp_path / "out")
