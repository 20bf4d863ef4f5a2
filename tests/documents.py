"""What the documents say, in units that a test can stand for, and whether a test that they name is there."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]


@cache
def _tests(path: str) -> set[str]:
    return {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef)}


def is_test(named: str) -> bool:
    """Whether `tests/.../test_x.py::test_name` is there."""
    path, _, name = named.partition("::")
    return name.startswith("test_") and (ROOT / path).is_file() and name in _tests(path)


def statements(document: str) -> list[str]:
    """Sentences, items of lists and rows of tables, in order, without headings, code blocks and comments."""
    text = re.sub(r"^```.*?^```$|<!--.*?-->", "", (ROOT / document).read_text(), flags=re.DOTALL | re.MULTILINE)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not re.match(r"#|\|[-|]+$", line)]
    return [part for line in lines for part in ([line] if line[0] == "|" else re.split(r"(?<=[^\d][.!?])\s+", line))]
