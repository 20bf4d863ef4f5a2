import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from fusecam.train import metrics as m

from ..public_data import published

GOLDEN = Path(__file__).parents[1] / "conformance/metrics.json"
FOLDERS = {"ir": "MSRS/test/ir", "clear": "MSRS/test/vi", "hazy": "IASSF/data/MSRS/test/hazy"}
FUSED = {
    "max": lambda infrared, clear, hazy: np.maximum(clear, infrared),
    "avg": lambda infrared, clear, hazy: ((clear.astype(int) + infrared) // 2).astype(np.uint8),
    "hazymax": lambda infrared, clear, hazy: np.maximum(hazy, infrared),
}
NAMES = {"VIFp": "VIF", "MSSSIM": "MS-SSIM"}

if not all(published(folder).is_dir() for folder in FOLDERS.values()):
    pytest.skip("needs MSRS and IASSF's haze in $FUSECAM_DATA, see train/DATA.md", allow_module_level=True)

CASES = json.loads(GOLDEN.read_text())["values"]


def read(folder, name):
    (path,) = published(FOLDERS[folder]).glob(f"{Path(name).stem}.*")
    return m.gray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))


@pytest.mark.parametrize("case", CASES)
def test_metrics_equal_an_independent_implementation(case):
    name, how = case.split(":")
    infrared, clear, hazy = (read(folder, name) for folder in ("ir", "clear", "hazy"))
    scores = m.fusion_scores(infrared, clear, FUSED[how](infrared, clear, hazy))
    for golden, expected in CASES[case].items():
        assert scores[NAMES.get(golden, golden)] == pytest.approx(expected, rel=1e-4, abs=1e-5), golden
