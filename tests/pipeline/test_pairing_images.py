"""Pairing of two folders' images: by what their names share, by capture times, by a table, never by chance."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fusecam.pipeline.errors import InputError
from fusecam.pipeline.pairing import Pairing, pair_images, read_pairs

EQUAL, MARKER, SHARED, TIMES = (
    "equal names",
    "names without the camera marker",
    "what both names share",
    "times in the names",
)


def pair(visible: list[str], infrared: list[str], **more: object) -> Pairing:
    return pair_images([tuple(n.split("/")) for n in visible], [tuple(n.split("/")) for n in infrared], **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("visible", "infrared", "partners", "unused", "rule"),
    [
        ("a b", "a b", [0, 1], [], EQUAL),
        ("a b c", "c a", [1, None, 0], [], EQUAL),
        ("a", "a b c", [0], [1, 2], EQUAL),
        ("ir_1 ir_2", "ir_2 ir_1", [1, 0], [], EQUAL),
        ("A a", "a A", [1, 0], [], EQUAL),
        ("IMG_x IMG_y", "img_Y img_X", [1, 0], [], "equal words and numbers"),
        ("img_0001 img_0002", "img_2 img_1", [1, 0], [], "equal words and numbers"),
        ("1_vis 2_vis", "2_ir 1_ir", [1, 0], [], MARKER),
        ("vis_1 vis_2", "ir_1 ir_2", [0, 1], [], MARKER),
        ("VIS001 VIS002", "IR002 IR001", [1, 0], [], MARKER),
        ("a-rgb-7", "a-thermal-7", [0], [], MARKER),
        ("a.visible", "a.lwir", [0], [], MARKER),
        ("a b", "a_ir b_ir", [0, 1], [], MARKER),
        ("DJI_1 DJI_2", "DJI_1_T DJI_2_T", [0, 1], [], MARKER),
        ("DJI_1_W DJI_3_W", "DJI_1_T DJI_2_T DJI_3_T", [0, 2], [1], MARKER),
        ("DJI_1_Z DJI_3_Z", "DJI_1_T DJI_2_T DJI_3_T", [0, 2], [1], MARKER),
        ("DJI_1_WIDE DJI_3_WIDE", "DJI_1_THRM DJI_2_THRM DJI_3_THRM", [0, 2], [1], MARKER),
        ("MAX_0001 MAX_0003", "IRX_0001 IRX_0002 IRX_0003", [0, 2], [1], MARKER),
        ("F_1_RGB F_3_RGB", "F_1_PreviewData F_2_PreviewData F_3_PreviewData", [0, 2], [1], MARKER),
        ("img_0001_vis img_0003_vis", "img_1_ir img_2_ir img_3_ir", [0, 2], [1], MARKER),
        ("0_co 2_co", "0_ir 1_ir 2_ir", [0, 2], [1], MARKER),
        ("00001v 00003v", "00001i 00002i 00003i", [0, 2], [1], MARKER),
        ("a_EO c_EO", "a_LWIR b_LWIR c_LWIR", [0, 2], [1], MARKER),
        ("a_Vis c_Vis", "a_Inf b_Inf c_Inf", [0, 2], [1], MARKER),
        ("a_Visual c_Visual", "a_Thermal b_Thermal c_Thermal", [0, 2], [1], MARKER),
        ("left_1 left_3", "right_1 right_2 right_3", [0, 2], [1], MARKER),
        ("cat_t_1_vis", "cat_t_1_ir", [0], [], MARKER),
        ("café_vis", "café_ir", [0], [], MARKER),
        ("V1/vis/1 V2/vis/1", "V1/lwir/1 V2/lwir/1", [0, 1], [], MARKER),
        ("1 2 4", "CAM_001 CAM_002 CAM_003 CAM_004", [0, 1, 3], [2], SHARED),
        ("VisibleImage1 VisibleImage3", "ThermalImage1 ThermalImage2 ThermalImage3", [0, 2], [1], SHARED),
        # one picture, of which the cameras write times that differ by a second
        ("DJI_20240101120001_0001_W DJI_20240101120003_0003_W DJI_20240101120004_0004_W",
         "DJI_20240101120002_0001_T DJI_20240101120003_0002_T DJI_20240101120004_0003_T", [0, 2, None], [1], MARKER),
        ("0.5_x 0.05_x 0.25_x", "0.05_y 0.5_y", [1, 0, None], [], SHARED),
        ("vis", "ir", [0], [], "position"),
        ("a", "b", [0], [], "position"),
        # Roboflow adds a hash of the file to every name
        (
            f"F_1_RGB_jpg.rf.{'0a' * 16} F_3_RGB_jpg.rf.{'1b' * 16}",
            f"F_1_IR_jpg.rf.{'2c' * 16} F_2_IR_jpg.rf.{'3d' * 16} F_3_IR_jpg.rf.{'4e' * 16}",
            [0, 2], [1], MARKER,
        ),
    ],
)  # fmt: skip
def test_images_pair_by_common_parts_of_their_names(
    visible: str, infrared: str, partners: list[int | None], unused: list[int], rule: str
) -> None:
    found = pair(visible.split(), infrared.split())
    assert [i for _, i in found.pairs] == partners
    assert (found.unused_infrared, found.rule) == (unused, rule)
    doubted = visible.startswith("0.5_x")  # words of both cameras that nobody knows
    assert bool(found.doubts) == doubted


def test_every_documented_marker_identifies_the_camera() -> None:
    readme = (Path(__file__).parents[2] / "pipeline" / "README.md").read_text(encoding="utf-8")
    (line,) = (line for line in readme.splitlines() if "without the camera marker" in line)
    heat, seen, together = (re.findall(r"`(\w+)`", part) for part in line.rstrip(";").split(";"))
    assert len(heat) == len(set(heat)) > 10 < len(seen) == len(set(seen))
    assert together == ["left", "right"]
    pairs = [(marker, "vis") for marker in heat] + [("ir", marker) for marker in seen]
    pairs += [("left", "right"), ("right", "left")]
    for warm, light in pairs:
        for ir, vis in ((warm.lower(), light.lower()), (warm.upper(), light.upper())):
            found = pair([f"a_{k}_{vis}" for k in (1, 3)], [f"a_{k}_{ir}" for k in (1, 2, 3)])
            assert ([i for _, i in found.pairs], found.rule, found.doubts) == ([0, 2], MARKER, []), (ir, vis)
            found = pair([f"{vis}/x{k}" for k in (1, 3)], [f"{ir}/x{k}" for k in (1, 2, 3)])
            assert ([i for _, i in found.pairs], found.doubts) == ([0, 2], []), (ir, vis)


@pytest.mark.parametrize(
    ("visible", "infrared", "partners", "doubt"),
    [
        ("a b", "c d", [0, 1], "vis, ir: the names share nothing, so images are paired by position, a with c"),
        ("Bas_1 Bas_3", "Flir_1 Flir_2 Flir_3", [0, 2], r"bas \(visible\) and flir \(infrared\) .* for the camera"),
        ("cam0_1 cam0_3", "cam1_1 cam1_2 cam1_3", [0, 2], "'cam0' and 'cam1' in the names are left out"),
        ("V0 V1 V2", "I1 I2 I3", [None, 0, 1], "count from 0 to 2, infrared ones from 1 to 3"),
        ("0 1 2 3 5", "1 2 3 4 5 6", [None, 0, 1, 2, 4], "count from 0 to 5, infrared ones from 1 to 6"),
        ("0 1 2 3 4 5 6 7 8 9", "0 1 2", [0, 1, 2, *[None] * 7], "10 visible and 3 infrared .* different rates"),
        ("1600000000.00 1600000000.50", "1600000000.10 1600000000.90", [0, 0], "too few to tell the cameras' rates"),
        ("a b c d e f", "a q r s t u", [0, *[None] * 5], r"only 1 image pair by equal names; .* 5 visible \(b, c, d, "),
    ],
)  # fmt: skip
def test_assumed_pairs_are_a_doubt(visible: str, infrared: str, partners: list[int | None], doubt: str) -> None:
    found = pair(visible.split(), infrared.split(), sources=("vis", "ir"))
    assert [i for _, i in found.pairs] == partners
    assert len(found.doubts) == 1
    assert re.search(doubt, found.doubts[0]), found.doubts[0]
    assert "columns visible,infrared" in found.doubts[0] and "--pairs" in found.doubts[0]


@pytest.mark.parametrize(
    ("visible", "infrared", "reason"),
    [
        ("x7 x8 x9", "y1 y2", "3 visible and 2 infrared images whose names share nothing .* such as x7 and y1"),
        ("a a b", "a b", "a, a fit a equally well"),
        ("video-Q-frame-1-h1a video-R-frame-1-k2b video-R-frame-2-o5e",
         "video-S-frame-1-l3c video-T-frame-1-m4d video-T-frame-2-p6f", "equally well"),
        # clip R would be clip T's in one pair and clip S's in the other
        ("video-Q-frame-1 video-R-frame-2 video-R-frame-3", "video-S-frame-2 video-T-frame-1 video-T-frame-3",
         "do not tell whether video-R-frame-3 belongs to video-T-frame-3"),
        ("1700000000 1700000001 1700000002", "1800000000 1800000001", "capture times, but none .* --offset-ms"),
    ],
)  # fmt: skip
def test_ambiguous_names_are_refused(visible: str, infrared: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        pair(visible.split(), infrared.split())


# ------------------------------------------------------------------------------------------------ times

SECONDS = 1_600_000_000


@pytest.mark.parametrize(
    "form",
    [
        lambda s: f"{SECONDS + s:.6f}",
        lambda s: f"{round((SECONDS + s) * 1e3)}",
        lambda s: f"{round((SECONDS + s) * 1e6)}",
        lambda s: f"frame_{round((SECONDS + s) * 1e6) * 1000}",
        lambda s: f"{SECONDS + int(s)}_{round(s % 1 * 1e9):09d}",
        lambda s: f"20240101_1200{int(s):02d}_{round(s % 1 * 1e6):06d}",
        lambda s: f"2024-01-01-12-00-{int(s):02d}.{round(s % 1 * 1e6):06d}",
        lambda s: f"{SECONDS + int(s)}-{round(s % 1 * 1e9):09d}",
        lambda s: f"240101_1200{int(s):02d}_{round(s % 1 * 1e6):06d}",
        lambda s: f"IMG_1200{int(s):02d}_{round(s % 1 * 1e6):06d}",
        lambda s: f"{s:.6f}",
    ],
    ids=["s", "ms", "us", "ns", "sec_nsec", "date", "dashes", "sec-nsec", "short date", "time of day", "from zero"],
)
def test_capture_times_at_30_and_9_hz_pair_with_the_nearest(form) -> None:
    times, heat = [i / 30 for i in range(60)], [0.004 + i / 9 for i in range(18)]
    found = pair([form(s) for s in times], [form(s) for s in heat])
    assert found.rule == TIMES and not found.doubts
    expected = [min(range(18), key=lambda i, s=s: abs(heat[i] - s)) for s in times]
    assert [i for _, i in found.pairs] == [*expected[:59], None]  # the last is more than half a period after infrared
    assert found.timing is not None and found.timing.tolerance_ns == pytest.approx(0.55e9 / 9, rel=0.02)


def test_one_equal_time_does_not_outweigh_29_close_ones() -> None:
    found = pair([str(1000 + 33 * i) for i in range(30)], [str(1000 + 33 * i + 5 * (i != 7)) for i in range(30)])
    assert [i for _, i in found.pairs] == list(range(30))
    assert found.notes and "taken for times" in found.notes[0]


def test_an_offset_is_added_to_infrared_times() -> None:
    visible, infrared = (
        [f"{SECONDS + i * 0.1:.3f}" for i in range(9)],
        [f"{SECONDS + 60 + i * 0.1:.3f}" for i in range(9)],
    )
    with pytest.raises(InputError, match="--offset-ms"):
        pair(visible, infrared)
    assert [i for _, i in pair(visible, infrared, offset_ns=-60 * 10**9).pairs] == list(range(9))


# ------------------------------------------------------------------------------------------------ tables


@pytest.mark.parametrize(
    "text",
    [
        "visible,infrared\na.png,y.png\nb.png,x.png\n",
        "a.png,y.png\r\nb.png,x.png\r\n",
        "# comment\ninfrared,visible\ny,a\nx,b\n",
        "RGB;thermal\na.jpg;y.tiff\nsome/folder/b.jpg;x.tiff\n",
        '{"a.png": "y.png", "b.png": "x.png"}',
    ],
)
def test_table_overrules_names(tmp_path: Path, text: str) -> None:
    path = tmp_path / ("pairs.json" if text.startswith("{") else "pairs.csv")
    path.write_text(text)
    found = pair(["a", "b", "x"], ["x", "y", "z"], table=read_pairs(path))
    assert ([i for _, i in found.pairs], found.unused_infrared) == ([1, 0, None], [2])
    assert not found.doubts and "1 visible (x) and 1 infrared (z)" in found.summary


@pytest.mark.parametrize("head", ["", "visible,infrared\n", "rgb_file,ir_file\n"])
@pytest.mark.parametrize("turned", [False, True])
def test_first_rows_that_read_like_headings_are_rows_if_they_name_images(
    tmp_path: Path, head: str, turned: bool
) -> None:
    lines = f"{head}fog_vis,rain_ir\nrain_vis,fog_ir\n".splitlines()
    lines = [",".join(line.split(",")[::-1]) for line in lines] if turned else lines
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    found = pair(["fog_vis", "rain_vis"], ["fog_ir", "rain_ir"], table=read_pairs(tmp_path / "pairs.csv"))
    assert [i for _, i in found.pairs] == [1, 0] and not found.notes
    whole = pair(["fog_vis/a", "rain_vis/a"], ["fog_ir/a", "rain_ir/a"], table=read_pairs(tmp_path / "pairs.csv"))
    assert [i for _, i in whole.pairs] == [1, 0]


def test_table_of_clips_pairs_images_within_clips(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text("visible,infrared\nZx9,Aq1\nvideo-Ab7,video-Zm4\n")
    visible = [f"video-{clip}-frame-{k:06d}-v{clip}x{k}" for clip in ("Ab7", "Zx9") for k in range(3)]
    infrared = [f"video-{clip}-frame-{k:06d}-i{clip}y{k}" for clip in ("Aq1", "Zm4") for k in range(3) if k != 1]
    found = pair(visible, infrared, table=read_pairs(tmp_path / "clips.csv"))
    assert [i for _, i in found.pairs] == [2, None, 3, 0, None, 1]
    assert not found.doubts


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "names no pairs"),
        ("a,x,1\n", "line 1: two names are needed"),
        ("visible,infrared\na,\n", "line 2: two names"),
        ("q,r\n", "no row names two files that are there, such as 'a' of visible with 'x' of infrared"),
        ("a,x\na,y\n", "'a' has two infrared partners"),
        ('a,x\n"' + "b,y\n" * 50_000, "line 2: is not CSV: .*quotation marks"),
        ('"a\n",x\nb\n', "line 3: two names"),
    ],
)
def test_unusable_table_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(InputError, match=reason):
        pair(["a", "b"], ["x", "y"], table=read_pairs(tmp_path / "pairs.csv"))


def test_missing_images_of_a_table_are_counted(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("a,x\nq,r\n")
    found = pair(["a", "b"], ["x", "y"], table=read_pairs(tmp_path / "pairs.csv"))
    assert "1 of 2 rows name files that are not there, q,r first" in found.notes[0]


# ------------------------------------------------------------------------------------------------ properties

STYLES = [
    ("{n:05d}", "{n:05d}"),
    ("{n}_vis", "{n}_ir"),
    ("DJI_2024010112{n:04d}_{n:04d}_W", "DJI_2024010112{n:04d}_{n:04d}_T"),
    ("IMG{n:05d}", "THM_{n}"),
    ("{c}_{n:04d}_rgb", "{c}_{n:04d}_thermal"),
    ("Basler_{c}_{n}", "Lepton_{c}_{n}"),
    ("{c}/{n:06d}", "{c}/{n:06d}"),
    ("{c}/visible/I{n:05d}", "{c}/lwir/I{n:05d}"),
    ("video-Q{c}q7-frame-{n:06d}-{h}", "video-R{c}r3-frame-{n:06d}-{g}"),
    ("{t}", "{u}"),
    ("cam0_{n:04d}", "cam1_{n:04d}"),
]
SCENES = [(c, n) for c in ("day", "night") for n in range(12)]


place = SCENES.index


def named(style: str, scene: tuple[str, int]) -> str:
    at = place(scene)
    h, g = (f"{(at + 1) * prime % 99991:x}k{at * prime % 9973}z" for prime in (7919, 6101))
    n = scene[1] if "{c}" in style else at
    return style.format(c=scene[0], n=n, h=h, g=g, t=f"{SECONDS + at * 0.1:.3f}", u=f"{SECONDS + 0.02 + at * 0.1:.3f}")


@given(
    st.sampled_from(STYLES),
    st.lists(st.sampled_from(SCENES), unique=True, min_size=1),
    st.lists(st.sampled_from(SCENES), unique=True, min_size=1),
    st.lists(st.sampled_from(["notes", "readme 2", "thumb_7", "DSC09999", "x"]), unique=True, max_size=2),
    st.booleans(),
    st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=600)
def test_wrong_pairs_are_refused_or_doubted(style, seen, felt, strays, stray_side, random) -> None:
    """Files removed from either list, in any order, strangers among them."""
    visible = {named(style[0], scene): scene for scene in seen}
    infrared = {named(style[1], scene): scene for scene in felt}
    names = [*visible, *(strays if stray_side else [])], [*infrared, *([] if stray_side else strays)]
    for side in names:
        random.shuffle(side)
    assume(max(map(len, names)) > 1)  # two single files are a pair because they are given as one
    try:
        found = pair(*names)
    except InputError as refusal:
        assert "--" in str(refusal)
        return
    assert [v for v, _ in found.pairs] == list(range(len(names[0])))
    taken = {i for _, i in found.pairs if i is not None}
    assert sorted([*taken, *found.unused_infrared]) == list(range(len(names[1])))
    pairs = [(visible.get(names[0][v]), infrared.get(names[1][i])) for v, i in found.pairs if i is not None]
    wrong = [(a, b) for a, b in pairs if a is None or a != b]
    if found.rule == TIMES:  # of a camera that may be slower, one image serves several: the nearest
        wrong = [
            (a, b) for a, b in pairs
            if a is None or b is None or b not in sorted(felt, key=lambda s, a=a: abs(place(s) + 0.2 - place(a)))[:1]
        ]  # fmt: skip
    assert not wrong or found.doubts, (found.rule, wrong)


@given(
    st.sampled_from([style for style in STYLES if "{h}" not in style[0] and "cam" not in style[0]]),
    st.sets(st.sampled_from(SCENES), max_size=8),
    st.sets(st.sampled_from(SCENES), max_size=8),
)
@settings(deadline=None)
def test_pairs_after_gaps_are_found(style, lost, gone) -> None:
    seen, felt = [s for s in SCENES if s not in lost], [s for s in SCENES if s not in gone]
    found = pair([named(style[0], s) for s in seen], [named(style[1], s) for s in felt])
    assert {seen[v]: felt[i] for v, i in found.pairs if i is not None} == {s: s for s in seen if s in felt}
