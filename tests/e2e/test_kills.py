"""A few of the kills of `python -m tests.e2e.kills`."""

import random

import pytest

from .kills import kill_batch, kill_recording

pytestmark = pytest.mark.slow


def test_killed_batch_resumes_to_the_same_result(tmp_path):
    assert kill_batch(tmp_path, 2, random.Random(1), clips=3, frames=25) == 2


def test_killed_recording_is_playable(tmp_path):
    videos, _ = kill_recording(tmp_path, 2, random.Random(2))
    assert videos >= 3
