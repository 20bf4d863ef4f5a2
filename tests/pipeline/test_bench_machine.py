"""What a bench sees of the machine: work of others, pauses, memory."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import psutil
import pytest

from fusecam.pipeline.bench import watch
from fusecam.pipeline.bench.pauses import measure_pauses

PEAK = (
    "from fusecam.pipeline.bench.watch import peak_mib\n"
    "before = peak_mib()\n"
    "kept = b'x' * (200 << 20)\n"
    "print(before, peak_mib())"
)


def test_load_of_other_processes_is_detected():
    burning = subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE)
    try:
        assert burning.stdout is not None
        burning.stdout.readline()
        one = watch.Watch()
        burned = psutil.Process(burning.pid)
        start = sum(burned.cpu_times()[:2])
        while sum(burned.cpu_times()[:2]) < start + 1:
            pass
        seen = one.seen()
    finally:
        burning.kill()
        burning.wait()
    assert seen["others"] > 0
    assert seen["busy"] == (seen["others"] >= watch.BUSY)
    assert seen["cpu_s"] > 0


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no way to stay on one core")
def test_pauses_of_a_shared_core_are_detected():
    allowed = os.sched_getaffinity(0)
    burn = "import os\nos.sched_setaffinity(0, [{}])\nprint(flush=True)\nwhile True: pass"
    some = sorted(allowed)[:4]
    burning = [
        subprocess.Popen([sys.executable, "-c", burn.format(core)], stdout=subprocess.PIPE, start_new_session=True)
        for core in some
    ]
    try:
        for each in burning:
            assert each.stdout is not None
            each.stdout.readline()
        seen = measure_pauses(0.5)
    finally:
        for each in burning:
            each.kill()
            each.wait()
    assert 0.05 < seen["share"] < 1  # a fair scheduler gives them a half
    assert seen["longest_ms"] >= 1
    assert seen["per_s"] > 0
    assert os.sched_getaffinity(0) == allowed


def test_peak_memory_excludes_the_parent_process():
    ballast = np.ones(600 * 2**20, np.uint8)
    before, after = map(float, subprocess.check_output([sys.executable, "-c", PEAK]).split())
    assert ballast.all()
    assert before < 300
    assert 190 < after - before < 250
