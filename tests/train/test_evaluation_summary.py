import math

import pytest

from fusecam.train.errors import TrainError
from fusecam.train.evaluation.evaluate import SceneScores
from fusecam.train.evaluation.summary import group_of, split_rule, summarise, worst


def scores(name, **rows):
    return SceneScores(
        name, {row: {"SF": value, "NIQE": value if value > 1 else math.nan} for row, value in rows.items()}
    )


def test_means_skip_undefined_values_and_ranks_use_means():
    groups = summarise(
        [scores("1D", a=1.0, b=2.0), scores("2N", a=3.0, b=5.0)], {"D": "day", "N": "night", "X": "dusk"}
    )
    assert [(group.name, group.images) for group in groups] == [("all", 2), ("day", 1), ("night", 1)]
    assert groups[0].fused == {"a": {"SF": 2, "NIQE": 3, "rank": 2}, "b": {"SF": 3.5, "NIQE": 3.5, "rank": 1}}
    assert math.isnan(groups[1].fused["a"]["NIQE"])


def test_image_equal_to_its_reference_keeps_the_mean_finite():
    def restored(name, db):
        return SceneScores(name, {"a": {"SF": 1.0}}, {"a": {"PSNR": db}})

    assert summarise([restored("1", math.inf), restored("2", 20.0)], {})[0].restored["a"]["PSNR"] == 60
    assert summarise([restored("1", math.inf), restored("2", math.inf)], {})[0].restored["a"]["PSNR"] == math.inf


def test_worst_images_come_first():
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
def test_valid_split_rules_are_parsed(text, rule):
    assert split_rule(text) == rule


@pytest.mark.parametrize("text", ["D", "D=", "=day", "D=day,,N=night", "D=all", "D=other"])
def test_invalid_split_rules_are_refused(text):
    with pytest.raises(TrainError, match="--group-by"):
        split_rule(text)


def test_longest_suffix_decides_the_group():
    rule = {"N": "night", "SN": "snowy night"}
    assert [group_of(name, rule) for name in ("1N", "1SN", "1X")] == ["night", "snowy night", "other"]
