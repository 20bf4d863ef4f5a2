"""The public data sets that some tests read (train/DATA.md): below `$FUSECAM_DATA`, else beside this checkout.

Reduced copies have short folder names. To lay them out as published, by links to their files, for commands and recipes:

    python -m tests.public_data COPIES ROOT
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

DATA = Path(os.environ.get("FUSECAM_DATA") or Path(__file__).resolve().parents[2] / "shared/data")
COPIES = {
    "MSRS/train/vi": "msrs_train_128/vis",
    "MSRS/train/ir": "msrs_train_128/ir",
    "MSRS_640/vi": "msrs_train_full_62/vis",
    "MSRS_640/ir": "msrs_train_ir_640/ir",
    "MSRS/test/vi": "msrs_dev_120/clear",
    "MSRS/test/ir": "msrs_dev_120/ir",
    "IASSF/data/MSRS/test/hazy": "msrs_dev_120/hazy",
    "MSRS_labels/train/fusion": "msrs_labels/train/fusion",
    "MSRS_labels/train/infrared": "msrs_labels/train/infrared",
    "MSRS_labels/train/visible": "msrs_labels/train/visible",
    "MSRS_labels/test/fusion": "msrs_labels/dev_120/fusion",
    "LLVIP/visible/train": "llvip_256/train/vis",
    "LLVIP/infrared/train": "llvip_256/train/ir",
    "LLVIP/visible/test": "llvip_256/test/vis",
    "LLVIP/infrared/test": "llvip_256/test/ir",
    "RoadScene/crop_LR_visible": "roadscene_171/vis",
    "RoadScene/cropinfrared": "roadscene_171/ir",
    "M3SVD": "m3svd_3",
    "weights": "../weights",
}
"""Published folder: its reduced copy."""


def published(folder: str) -> Path:
    """A folder of a data set by its published name, or its reduced copy. It may be missing."""
    return DATA / folder if (DATA / folder).exists() else DATA / COPIES[folder]


def link(copies: Path, root: Path) -> None:
    """Lay copies out as published below `root`: folders of links, since folders that are links are not searched."""
    for folder, copy in COPIES.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for file in (copies / copy).resolve().iterdir():
            (root / folder / file.name).symlink_to(file)


if __name__ == "__main__":
    link(Path(sys.argv[1]), Path(sys.argv[2]))
