"""A few of the cases of `python -m tests.e2e.fuzz`."""

import pytest

from .fuzz import MEMORY, fuzz

pytestmark = pytest.mark.slow


def test_damaged_inputs_succeed_or_give_a_one_line_error(tmp_path):
    counts, wrong, peak = fuzz(60, 1, tmp_path)
    assert wrong == []
    assert sum(counts.values()) == 60
    assert any(name.endswith(" told") for name in counts)
    assert peak < MEMORY
