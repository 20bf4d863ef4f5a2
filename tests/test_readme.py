"""README.md: short, and its model table and picture are what the scripts make."""

import re
from pathlib import Path

from PIL import Image

from fusecam.pipeline.bench.model_table import model_table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_is_short():
    assert len(README.split()) < 900


def test_model_table_equals_the_stored_results():
    assert README.split("<!-- models -->\n")[1].split("\n<!-- /models -->")[0] == model_table()


def test_python_example_of_the_readme_is_that_of_the_package():
    """Which tests/pipeline/test_library.py runs."""
    lines = README.split("```python\n")[1].split("```")[0].split("\n")
    package = (ROOT / "pipeline/api/__init__.py").read_text(encoding="utf-8")
    assert all(line in package for line in lines)


def test_readme_picture_is_animated_and_small():
    path = ROOT / re.search(r"!\[.*\]\((.+)\)", README)[1]
    assert path.stat().st_size < 3_000_000
    with Image.open(path) as picture:
        assert picture.n_frames > 30


def test_links_into_the_repository_exist():
    for document in ROOT.glob("**/*.md"):
        parts = document.relative_to(ROOT).parts  # `pip install .` leaves a copy in build
        if parts[0] != "build" and not {part for part in parts if part.startswith(".")} - {".github"}:
            for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8")):
                assert (document.parent / target).exists(), f"{document.relative_to(ROOT)}: {target}"
