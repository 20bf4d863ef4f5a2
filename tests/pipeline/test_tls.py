"""The page by https, and its two tokens."""

import asyncio
import io
import shutil
import socket
import ssl
import subprocess
from contextlib import suppress

import aiohttp
import pytest
from rich.console import Console

from fusecam.pipeline.config import MonitorConfig
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.monitoring import site
from fusecam.pipeline.monitoring.address import Address
from fusecam.pipeline.monitoring.page.server import PageServer
from fusecam.pipeline.monitoring.tls import tls_context
from fusecam.pipeline.monitoring.watch import check_watching, monitor_run

from .test_serve import SWITCH, TOKEN, asked
from .watching import run_view

if shutil.which("openssl") is None:
    pytest.skip("no openssl on this machine", allow_module_level=True)
WATCH_TOKEN = "only looking"


@pytest.fixture(scope="module")
def pems(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pems")
    for name, more in (("one", ["-nodes"]), ("other", ["-nodes"]), ("locked", ["-passout", "pass:secret"])):
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        about = ["-x509", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
        files = ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"]
        subprocess.run(["openssl", "req", *curve, *about, *more, *files], check=True, capture_output=True)
    (folder / "none.pem").write_text("no certificate\n")
    return folder


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        ("missing.pem", "one.key", "missing.pem: cannot be read: No such file"),
        ("one.pem", "missing.key", "missing.key: cannot be read"),
        ("none.pem", "one.key", "not a certificate and its key in PEM form"),
        ("one.key", "one.pem", "give CERT, then KEY"),
        ("one.pem", "other.key", "other.key is not the key of"),
        ("locked.pem", "locked.key", "locked.key: has a password"),
    ],
)
def test_unusable_tls_files_are_a_one_line_error(pems, certificate, key, words):
    with pytest.raises(InputError, match=r"^--tls: ") as raised:
        check_watching(MonitorConfig(serve=":0", tls=(pems / certificate, pems / key)))
    assert words in str(raised.value) and "\n" not in str(raised.value)


def test_tls_without_a_page_and_one_token_for_two_roles_are_refused(pems):
    with pytest.raises(InputError, match="give --serve or --metrics too"):
        check_watching(MonitorConfig(tls=(pems / "one.pem", pems / "one.key")))
    with pytest.raises(InputError, match="--watch-token: equals --token"):
        check_watching(MonitorConfig(serve=":0", token=TOKEN, watch_token=TOKEN))
    with pytest.raises(InputError, match=r"--watch-token.*too short"):
        check_watching(MonitorConfig(serve=":0", token=TOKEN, watch_token="short"))


def test_metrics_are_served_by_https_only(pems):
    with pytest.raises(InputError, match=r"none\.pem: cannot be read|not a certificate"):
        check_watching(MonitorConfig(metrics=":0", tls=(pems / "none.pem", pems / "one.key")))
    config = MonitorConfig(metrics=":0", tls=(pems / "one.pem", pems / "one.key"))
    check_watching(config)
    said = io.StringIO()
    with monitor_run(config, run_view(), Console(file=said, width=200)):
        url = said.getvalue().split()[1]
        assert url.startswith("https://127.0.0.1:") and url.endswith("/metrics")
        trusting = ssl.create_default_context(cafile=str(pems / "one.pem"))
        status, _, body, _ = asked(url, "", ssl=trusting)
        assert status == 200 and "fusecam_frames_out_total" in body
        with pytest.raises(aiohttp.ClientError):
            asked(url.replace("https", "http"), "")


def test_page_is_served_by_https_only_and_open_handshakes_block_nobody(pems, monkeypatch):
    monkeypatch.setattr(site, "UNKNOWN_S", 1.5)
    complaints = []
    tls = tls_context(pems / "one.pem", pems / "one.key")
    server = PageServer(Address("127.0.0.1", 0), TOKEN, run_view(), complaints.append, tls=tls)
    trusting = ssl.create_default_context(cafile=str(pems / "one.pem"))
    idle = [socket.create_connection((server.address.host, server.address.port)) for _ in range(2 * site.UNKNOWN)]
    try:
        url = f"https://{server.address}"
        assert asked(url, params={"token": TOKEN}, ssl=trusting)[0] == 303
        status, _, _, cookies = asked(url, params={"token": TOKEN}, ssl=trusting)
        assert status == 303 and all(cookie["secure"] for cookie in cookies.values())
        with pytest.raises(aiohttp.ClientError):
            asked(f"http://{server.address}", params={"token": TOKEN})
        for talk in idle:
            talk.settimeout(10)
            with suppress(ConnectionError):
                assert talk.recv(1) == b""
        assert asked(url, headers={"Authorization": f"Bearer {TOKEN}"}, ssl=trusting)[0] == 200
    finally:
        for talk in idle:
            talk.close()
        server.close()
    assert all("too many idle connections" in line for line in complaints)


def test_view_token_allows_no_switching():
    view = run_view()
    server = PageServer(Address("127.0.0.1", 0), TOKEN, view, print, watch_token=WATCH_TOKEN)
    url = f"http://{server.address}"

    async def first_state(token):
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(headers=headers) as session, session.ws_connect(url + "/stream") as talk:
            return await talk.receive_json(timeout=10)

    try:
        for token, status, offered in ((WATCH_TOKEN, 403, {}), (TOKEN, 204, {"overlay": True, "detector": True})):
            headers = {"Authorization": f"Bearer {token}"}
            assert asked(url, headers=headers)[0] == 200
            assert asyncio.run(first_state(token))["switches"] == offered
            assert asked(url, "/switch", "POST", headers, json=SWITCH)[0] == status
            assert asked(url, "/prompt", "POST", headers, json={"text": "fog"})[0] == (403 if status == 403 else 400)
            assert view.switches.overlay == (status == 403)
        cookies = asked(url, params={"token": WATCH_TOKEN})[3]
        ((name, cookie),) = cookies.items()
        assert asked(url, "/switch", "POST", cookies={name: cookie.value}, json=SWITCH)[0] == 403
    finally:
        server.close()


def test_wrong_token_gets_a_login_page_without_scripts():
    server = PageServer(Address("127.0.0.1", 0), TOKEN, run_view(), print)
    try:
        status, headers, text, _ = asked(f"http://{server.address}", params={"token": "wrong horse"})
    finally:
        server.close()
    assert status == 401 and "not the right one" in text and "wrong horse" not in text
    assert "sha256-" in headers["Content-Security-Policy"] and "unsafe" not in headers["Content-Security-Policy"]
    assert "<script" not in text
