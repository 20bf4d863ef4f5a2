"""README's model table, from the kept results: python -m fusecam.pipeline.bench.model_table

The newest `results/VERSION-MACHINE.json` gives parameters and milliseconds. In `results/quality`, where they are kept,
`VERSION-fusion.json` (the summary.json of `fusecam eval`) gives Qabf and VIF, and `VERSION-detection.csv` (the
detection.csv of `fusecam eval --detect`) mAP50. What is not kept has no column.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def model_table(folder: Path = RESULTS) -> str:
    """The table as Markdown: each engine by its quickest backend in floating point, and of which version it is."""
    newest = max(folder.glob("*.json"), key=lambda path: [int(part) for part in path.name.partition("-")[0].split(".")])
    report = json.loads(newest.read_text(encoding="utf-8"))
    version: str = report["fusecam"]
    width, height = report["engines"][0]["size"]
    quickest: dict[str, Any] = {}
    for row in report["engines"]:
        best = quickest.get(row["network"])
        if row["precision"] != "int8" and (best is None or row["fuse"]["p50_ms"] < best["fuse"]["p50_ms"]):
            quickest[row["network"]] = row
    parameters = {row["network"]: row["parameters"] for row in report["networks"]}
    columns = {"engine": list(quickest)} | {
        "parameters": [f"{parameters[name]:,}" for name in quickest],
        "backend": [f"{row['backend']}, {row['precision']}" for row in quickest.values()],
        f"ms, {width}x{height}": [f"{row['fuse']['p50_ms']:.1f}" for row in quickest.values()],
        "p99": [f"{row['fuse']['p99_ms']:.1f}" for row in quickest.values()],
    }
    fusion = folder / "quality" / f"{version}-fusion.json"
    if fusion.exists():
        means = json.loads(fusion.read_text(encoding="utf-8"))["groups"]["all"]["fused"]
        scores = {row.partition(":")[0]: values for row, values in means.items()}
        for metric in ("Qabf", "VIF"):
            columns[metric] = [f"{scores[name][metric]:.3f}" if name in scores else "-" for name in quickest]
    detection = folder / "quality" / f"{version}-detection.csv"
    if detection.exists():
        with detection.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["condition"] == row["class"] == "all"]
        found = {row["row"].partition(":")[0]: float(row["mAP50"]) for row in rows}
        columns["mAP50"] = [f"{found[name]:.3f}" if name in found else "-" for name in quickest]
    lines = [f"| {' | '.join(cells)} |" for cells in (columns, *zip(*columns.values(), strict=True))]
    lines.insert(1, "|" + "---|" * len(columns))
    cpu, kept = report["machine"]["cpu"], f"pipeline/bench/results/{newest.name}"
    table = "\n".join(lines)
    return f"{table}\n\nMeasured with fusecam {version} on {cpu['cores']} cores of an {cpu['model']} ([JSON]({kept}))."


if __name__ == "__main__":
    print(model_table())
