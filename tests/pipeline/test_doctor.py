"""What `fusecam doctor` prints."""

import io
import sys

from fusecam.engines.host.terminal import Terminal
from fusecam.pipeline.commands.doctor import run_doctor


def test_brackets_of_advice_are_not_markup(monkeypatch):
    """Brackets are markup to rich: `pip install 'fusecam'` is another thing, from somebody else."""
    monkeypatch.setitem(sys.modules, "nncf", None)  # as where it is not installed
    out = io.StringIO()
    run_doctor(Terminal(file=out, width=1000, color_system=None))
    assert "pip install 'fusecam[int8]'" in out.getvalue()
    assert "pip install 'fusecam'" not in out.getvalue()
