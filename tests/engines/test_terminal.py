"""No secret and no control character reaches a terminal, a log or a report."""

import ast
import io
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from fusecam.engines.host.terminal import HINT, Terminal, markup, plain, printable, redact, redacted

ROOT = Path(__file__).parents[2]
SECRET = st.text("abcXYZ0189", min_size=4, max_size=9).map(lambda core: f"Zq{core}Qz")
SIGNS = st.text("/@:?#&;%!$'()*+,[]-_.~\\|{}^\"", max_size=4)
PLACES = st.sampled_from(["cam.local", "10.0.0.7:554", "[::1]:8080", "[fe80::1%25eth0]", "h"])
SCHEMES = st.sampled_from(["rtsp", "RTSP", "http", "https", "srt", "rtmp", "udp", "ftp", "x-own"])
USERS = st.sampled_from(["", "admin", "user@corp.example", "us%65r", "a.b-c"])
NAMES = st.sampled_from(
    ["password", "PASSWORD", "passwd", "pwd", "pass", "token", "access_token", "api_key", "apikey", "key", "auth",
     "secret", "client_secret", "sig", "X-Amz-Signature", "p%61ssword", "passphrase", "sessionId", "user[password]"]
)  # fmt: skip
AROUND = st.sampled_from(
    ["{}", "{}: no answer within 10 s", "'{}' is given twice", "a, b: {} (reconnecting)", "x={}", "\x1b[1m{}\n"]
)


@given(SCHEMES, USERS, SECRET, SIGNS, SIGNS, SECRET, PLACES, st.sampled_from(["", "/", "/a/b?x=1", "/u@v"]), AROUND)
def test_passwords_before_the_host_are_redacted(scheme, user, first, signs, more, second, place, path, around):
    secret = first + signs + second + more
    shown = redact(around.format(f"{scheme}://{user}:{secret}@{place}{path}"))
    assert first not in shown and second not in shown
    assert f"{scheme}://{user}:***@" in shown
    encoded = redact(around.format(f"{scheme}://{user}:{quote(secret, safe='')}@{place}{path}"))
    assert first not in encoded and second not in encoded
    assert place in encoded or "@" in path


@given(SCHEMES, PLACES, NAMES, SECRET, SIGNS, SECRET, st.sampled_from("?&;"), AROUND)
def test_secrets_in_the_query_are_redacted(scheme, place, name, first, signs, second, sign, around):
    start = "?" if sign == "?" else f"?channel=1{sign}"
    shown = redact(around.format(f"{scheme}://{place}/live{start}{name}={first}{signs}{second}&subtype=0"))
    assert first not in shown and second not in shown
    assert place in shown
    if sign != "?":
        assert "channel=1" in shown


@given(SECRET)
def test_secrets_in_unusual_places_are_redacted(secret):
    for text in (
        f"rtsp://h/user=admin_password={secret}_channel=1_stream=0.sdp",
        f"http://proxy/?src=rtsp://admin:{secret}@cam/1",
        f"http://proxy/?src=rtsp%3A%2F%2Fadmin%3A{secret}%40cam%2F1",
        f"admin:{secret}@10.0.0.7/stream: no such file or folder",
        f"rtsp://admin:my {secret}@h/x",
        f"rtsp://admin:12/{secret}@h/x",
        f"http://h/#token={secret}",
        f"10.0.0.7/s?password={secret}",
        f"srt://h:9000?passphrase={secret}&mode=caller",
        f"http://h/?x=1&a=b;password={secret}",
    ):
        assert secret not in redact(text), redact(text)
        assert secret not in str(redacted({"a": [text, {"b": (text,), text: 3}]}))


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://h:554/x: nothing listens there: check host and port, and that the stream is running",
        "rtsp://admin@cam.local:554/x: no answer within 10 s",
        f"rtsp://h/x: asks for a password: write rtsp://{HINT}/PATH",
        "http://h:80/a?channel=1&subtype=0",
        "http://[::1]:8080/metrics",
        "--engine monkey=3, keyint=25",
        "rtsp://h/x: names no host: write rtsp://HOST/PATH or mail a@b.example",
        "offset +36.0 ms (2026-11-28T18:30:00Z)",
        "/data/drive@2x/ir_00:12.mp4",
        "pip install 'fusecam[int8]'",
    ],
)  # fmt: skip
def test_plain_text_is_not_redacted(text):
    assert redact(text) == text


@given(st.text(st.characters(exclude_categories=())))
def test_control_characters_are_escaped(text):
    for shown in (printable(text), plain(text)):
        assert shown.isprintable()
        shown.encode()  # no lone surrogate is left
    out = io.StringIO()
    terminal = Terminal(file=out, force_terminal=True, color_system=None, width=10_000)
    table = Table()
    table.add_column(Text(text))
    table.add_row(Text(text))
    terminal.print(table)
    terminal.print(Text(text), markup=False, soft_wrap=True)
    assert all(sign.isprintable() or sign == "\n" for sign in out.getvalue())


@given(st.text(st.characters(exclude_categories=())))
def test_brackets_are_not_markup(text):
    out = io.StringIO()
    Terminal(file=out, color_system=None, emoji=False).print(
        markup(text) + "[bold].[/]", soft_wrap=True, highlight=False
    )
    assert out.getvalue() == plain(text) + ".\n"


def test_all_consoles_are_the_safe_terminal():
    """Consoles, and what goes into markup, are those of `engines.terminal`."""
    found = []
    for folder in ("pipeline", "engines", "calib", "train"):
        for path in (ROOT / folder).rglob("*.py"):
            if path == ROOT / "engines/host/terminal.py":
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module == "rich.markup":
                    found.append(f"{path}:{node.lineno}: rich.markup")
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Console":
                    found.append(f"{path}:{node.lineno}: Console()")
    assert not found, "\n".join(found)
