import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from fusecam.train import metrics as m

SHARED = Path(__file__).resolve().parents[3] / "shared"
GOLDEN = Path(__file__).parents[1] / "conformance/metrics.json"
SCENES = SHARED / "data/msrs_dev_120"
FUSED = {
    "max": lambda infrared, clear, hazy: np.maximum(clear, infrared),
    "avg": lambda infrared, clear, hazy: ((clear.astype(int) + infrared) // 2).astype(np.uint8),
    "hazymax": lambda infrared, clear, hazy: np.maximum(hazy, infrared),
}
NAMES = {"VIFp": "VIF", "MSSSIM": "MS-SSIM"}

if not SCENES.exists():
    pytest.skip("shared/data is not beside this checkout", allow_module_level=True)

CASES = json.loads(GOLDEN.read_text())["values"]


def read(folder, name):
    return m.gray(cv2.cvtColor(cv2.imread(str(SCENES / folder / name)), cv2.COLOR_BGR2RGB))


@pytest.mark.parametrize("case", CASES)
def test_equals_the_independent_implementation(case):
    name, how = case.split(":")
    infrared, clear, hazy = (read(folder, name) for folder in ("ir", "clear", "hazy"))
    scores = m.fusion_scores(infrared, clear, FUSED[how](infrared, clear, hazy))
    for golden, expected in CASES[case].items():
        assert scores[NAMES.get(golden, golden)] == pytest.approx(expected, rel=1e-4, abs=1e-5), golden
