"""What `fusecam bench` makes of its samples: repeats in rounds, percentiles, the kept reports, tables."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fusecam.pipeline.bench.measure import LEAST, time_repeats
from fusecam.pipeline.bench.plan import make_plan
from fusecam.pipeline.bench.rounds import together
from fusecam.pipeline.bench.table import print_report

KEPT_RESULTS = sorted((Path(__file__).parents[2] / "pipeline" / "bench" / "results").glob("*.json"))


@pytest.mark.parametrize(("warmups", "repeats"), [(10, 100), (0, 1), (3, 7)])
def test_warm_ups_are_not_measured(warmups, repeats):
    done, told = [], []
    samples, seen = time_repeats(done.append, warmups, repeats, lambda done, total: told.append((done, total)))
    assert done == [*range(warmups + repeats)]
    assert len(samples) == repeats
    assert told == [(n + 1, repeats) for n in range(repeats)]
    assert 0 <= seen["others"] <= 1


@pytest.mark.parametrize(("rounds", "least"), [(1, LEAST), (5, 2)])
def test_slow_entries_have_fewer_repeats(monkeypatch, rounds, least):
    monkeypatch.setattr("fusecam.pipeline.bench.measure.LONGEST_S", 0.0)
    done = []
    samples, _ = time_repeats(done.append, 10, 100, lambda done, total: None, rounds)
    assert len(samples) == least
    assert len(done) == least + 1  # one warm-up


@given(st.lists(st.lists(st.integers(1, 10**12), min_size=1, max_size=60), min_size=1, max_size=6))
def test_statistics_of_all_rounds_equal_numpy(rounds):
    rest = {"first_frame_s": 1.0, "others": 0.05, "cpu_s": 0.5, "page_faults": 2.0, "peak_mib": 70.0, "name": "x"}
    row = together([{"samples_ns": samples, **rest} for samples in rounds], "fuse")
    samples = np.concatenate([np.array(samples, float) for samples in rounds]) / 1e6
    p25, p50, p75, p95, p99 = np.percentile(samples, (25, 50, 75, 95, 99))
    fuse = row.pop("fuse")
    assert [fuse["p50_ms"], fuse["p95_ms"], fuse["p99_ms"]] == pytest.approx([p50, p95, p99])
    assert fuse["iqr_ms"] == pytest.approx(p75 - p25, rel=1e-9, abs=1e-6)
    assert fuse["count"] == len(samples)
    assert row.pop("rounds_ms") == pytest.approx([np.median(samples) / 1e6 for samples in rounds], abs=1e-3)
    assert row == rest | {"busy": False, "cpu_s": pytest.approx(0.5 * len(rounds))}


def test_disturbed_rounds_are_reported():
    rest = {"first_frame_s": 1.0, "cpu_s": 0.5, "page_faults": 2.0, "peak_mib": 70.0, "samples_ns": [5]}
    little, much = (together([rest | {"others": share} for share in (0.0, most)], "fuse") for most in (0.1, 0.4))
    assert (little["others"], little["busy"]) == (0.05, False)
    assert (much["others"], much["busy"]) == (0.2, True)


@given(st.integers(1, 10**6))
def test_repeats_are_spread_over_rounds(repeats):
    rounds = make_plan(["average"], ["64x48"], repeats, chain=False).rounds
    assert sum(rounds) == repeats
    assert max(rounds) - min(rounds) <= 1
    assert len(rounds) == 1 if repeats < 40 else min(rounds) >= 20
    assert len(rounds) == 5 or repeats < 100


@pytest.mark.parametrize("path", KEPT_RESULTS, ids=lambda path: path.name)
def test_stored_results_are_complete_and_of_an_idle_machine(path):
    report = json.loads(path.read_text())
    assert report["schema"] == 1
    assert path.name.startswith(f"{report['fusecam']}-")
    assert not report["busy"]
    assert report["settings"]["repeats"] >= 100
    assert not [row for part in ("networks", "engines", "chains") for row in report[part] if "error" in row]


@pytest.mark.parametrize("path", KEPT_RESULTS, ids=lambda path: path.name)
def test_tables_fit_80_columns(path):
    out = io.StringIO()
    report = json.loads(path.read_text())
    print_report(report, Console(file=out, width=80))
    for row in report["engines"]:
        assert f"{row['network']}:{row['backend']}:{row['precision']}" in out.getvalue()
    assert "…" not in out.getvalue()
