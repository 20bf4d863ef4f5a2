"""Limits, constants and sizes that engines/README.md states are those of the code."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from fusecam.engines.build.parity import LIMITS_DB
from fusecam.engines.build.store import LIMIT_MIB
from fusecam.engines.networks import dfvo, iassf, lure
from fusecam.engines.networks.realtime_constants import HUE, SHARE, TINT, WARMER
from fusecam.engines.networks.realtime_core import PROFILES

README = (Path(__file__).parents[2] / "engines" / "README.md").read_text(encoding="utf-8")


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("said", "figures"),
    [
        ("{f32:g} dB in f32, {f16:g} in fp16 and bf16, {int8:g} in int8", LIMITS_DB),
        ("{gib:g} GiB, or `$FUSECAM_ENGINES_MIB`", {"gib": LIMIT_MIB / 1024}),
        ("`--hue`: 0 to 1, default {hue:g}.", {"hue": HUE}),
        ("s = {s:g}, w = {w:g}, c = {red:g} in red and {green:g} in green",
         {"s": SHARE, "w": WARMER, "red": TINT[0], "green": TINT[1]}),
        ("the mean over {realtime} pixels (`tiny`: {tiny})",
         {name: profile.guide * 2 * profile.factor for name, profile in PROFILES.items()}),
    ],
)  # fmt: skip
def test_documented_figure_equals_the_code(said: str, figures: dict[str, float]) -> None:
    assert said.format(**figures) in README


def test_small_networks_have_the_documented_sizes() -> None:
    small = iassf.IASSF(iassf.PROFILES["small"]), dfvo.DFVO(dfvo.PROFILES["small"]), lure.Lure(lure.SMALL)
    deployed = dfvo.DFVO(dfvo.PROFILES["small"], deployed=True)
    sizes = [f"{count(network):,}" for network in (small[0], small[1], deployed, small[2])]
    assert "|iassf_small, dfvo_small, lure_small|{}; {} ({}); {}|".format(*sizes) in README
