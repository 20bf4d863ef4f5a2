"""The doors: floods, slow and wrong requests, from strangers over real sockets."""

import http.client
import json
import os
import socket
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fusecam.pipeline.monitoring import site
from fusecam.pipeline.monitoring.address import Address
from fusecam.pipeline.monitoring.metrics import MetricsEndpoint
from fusecam.pipeline.monitoring.page.server import PageServer

from .watching import run_view

pytestmark = pytest.mark.slow

TOKEN = "correct horse"
HELLO = b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer correct horse\r\nConnection: close\r\n\r\n"
METRICS = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@contextmanager
def page(complaints, token=TOKEN):
    server = PageServer(Address("127.0.0.1", 0), token, run_view(), complaints.append)
    try:
        yield server.address.port
    finally:
        server.close()


@contextmanager
def metrics(complaints, host="127.0.0.1", view=None):
    endpoint = MetricsEndpoint(Address(host, 0), view or run_view(), complaints.append)
    try:
        yield endpoint.address.port
    finally:
        endpoint.close()


def connected(port):
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def answer(port, request):
    """All that comes back until the other side closes."""
    with connected(port) as talk:
        talk.sendall(request)
        found = b""
        try:
            while part := talk.recv(65536):
                found += part
        except ConnectionResetError:
            pass
        return found


def still_open(connections):
    count = 0
    for talk in connections:
        talk.setblocking(False)
        try:
            count += bool(talk.recv(1000))
        except BlockingIOError:
            count += 1
        except OSError:
            pass
    return count


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(("door", "request_"), [(page, HELLO), (metrics, METRICS)])
def test_idle_connections_without_token_are_few_and_closed(door, request_, monkeypatch):
    """Half a request each, three hundred times: descriptors stay free, others are answered, one line is told."""
    monkeypatch.setattr(site, "UNKNOWN_S", 1.5)
    complaints = []
    with door(complaints) as port:
        idle = []
        try:
            before = descriptors()
            for _ in range(300):
                idle.append(connected(port))
                idle[-1].sendall(b"GET / HTTP/1.1\r\nX: ")
            assert answer(port, request_).startswith(b"HTTP/1.1 200")
            assert descriptors() - before - len(idle) <= site.UNKNOWN + 1  # both ends of each are in this process
            time.sleep(0.3)
            assert still_open(idle) <= site.UNKNOWN
            time.sleep(site.UNKNOWN_S + 1)
            assert still_open(idle) == 0
        finally:
            for talk in idle:
                talk.close()
    assert len(complaints) == 1, complaints


def test_connections_with_token_are_limited():
    with page([]) as port:
        kept = [http.client.HTTPConnection("127.0.0.1", port, timeout=2) for _ in range(site.MOST + 4)]
        answered = 0
        try:
            for talk in kept:
                with suppress(OSError):  # nobody is sent away for the one too many, who waits
                    talk.request("GET", "/", headers={"Host": "localhost", "Authorization": f"Bearer {TOKEN}"})
                    answered += len(talk.getresponse().read()) > 0
        finally:
            for talk in kept:
                talk.close()
    assert site.MOST - 1 <= answered <= site.MOST


@pytest.mark.parametrize("door", [page, metrics])
def test_exhausted_descriptors_are_reported_once_a_second_at_most(door):
    """Others have taken all: the server waits for its turn, and goes on when there is room."""
    import resource

    complaints = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with door(complaints) as port:
        waiting = socket.socket()
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(descriptors() + 30, hard), hard))
        hoard = []
        try:
            with pytest.raises(OSError, match="Too many open files"):
                while True:
                    hoard.append(os.open("/dev/null", os.O_RDONLY))
            waiting.connect(("127.0.0.1", port))
            waiting.sendall(HELLO if door is page else METRICS)
            time.sleep(1.5)
            assert len(complaints) == 1
            assert "Too many open files" in complaints[0] and "\n" not in complaints[0]
        finally:
            for descriptor in hoard:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        with waiting:
            waiting.settimeout(10)
            assert waiting.recv(1000).startswith(b"HTTP/1.1 200")


def test_slow_request_is_cut_off(monkeypatch):
    monkeypatch.setattr(site, "UNKNOWN_S", 1.0)
    with page([]) as port, connected(port) as talk, pytest.raises(OSError):
        talk.sendall(b"GET / HTTP/1.1\r\nX: ")  # nothing wrong with it, but for the time that it takes
        started = time.monotonic()
        while time.monotonic() - started < 5:
            talk.sendall(b"X")
            time.sleep(0.1)


WRONG = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40,
    b"\r\n\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /switch HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"GET http://[::1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET //[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /%ff%00?token=%ff%ed%a0%80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /?token=\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a:b:c:99999999\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: \"\x7f=;;=;\xe4\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X%d: y\r\n" % i for i in range(500)) + b"\r\n",
    b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("door", [page, metrics])
@pytest.mark.parametrize("request_", WRONG)
def test_malformed_requests_get_4xx_without_details(door, request_, monkeypatch, capfd):
    monkeypatch.setattr(site, "UNKNOWN_S", 1.0)
    complaints = []
    with door(complaints) as port:
        found = answer(port, request_)
        assert answer(port, HELLO if door is page else METRICS).startswith(b"HTTP/1.1 200")
    assert not found or found.split()[1].startswith(b"4"), found[:300]
    assert b"Traceback" not in found and b"File" not in found
    assert complaints == []
    assert capfd.readouterr() == ("", "")


BODIES = [b"[" * 4000, b"\xff\xfe{", b'{"name": "overlay"', b"{}", b'"\\ud800"']


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=nonsense", "\u00e4"])
def test_malformed_bodies_get_4xx(body, kind):
    complaints = []
    with page(complaints) as port:
        head = f"POST /switch HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n"
        more = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        found = answer(port, (head + more).encode() + body)
    assert found.split()[1] == b"400", found
    assert complaints == []


def test_missing_body_times_out(monkeypatch):
    from fusecam.pipeline.monitoring import http

    monkeypatch.setattr(http, "BODY_S", 0.5)
    with page([]) as port:
        head = f"POST /switch HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 9\r\n\r\n"
        assert answer(port, head.encode() + b"{").split()[1] == b"408"


@pytest.mark.parametrize(
    ("listens", "host", "status"),
    [
        ("127.0.0.1", "localhost:1", 200),
        ("127.0.0.1", "127.0.0.1", 200),
        ("127.0.0.1", "[::1]:9100", 200),
        ("127.0.0.1", "10.0.0.7", 403),
        ("127.0.0.1", "evil.example", 403),
        ("127.0.0.1", "", 403),
        ("0.0.0.0", "10.0.0.7:9100", 200),
        ("0.0.0.0", "[fe80::1]:9100", 200),
        ("0.0.0.0", socket.gethostname(), 200),
        ("0.0.0.0", f"{socket.gethostname()}.local", 200),
        ("0.0.0.0", "evil.example", 403),
        ("0.0.0.0", "1.2.3.4.evil.example", 403),
        ("0.0.0.0", "0x7f.1", 403),
    ],
)
def test_metrics_refuse_foreign_host_names(listens, host, status):
    """DNS rebinding: a site whose name was made to point here asks under that name."""
    with metrics([], listens) as port:
        found = answer(port, f"GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert int(found.split()[1]) == status
    assert (b"fusecam_info" in found) == (status == 200)


def test_class_name_with_a_surrogate_is_served():
    from fusecam.pipeline.core.detections import Detection

    from .make_results import result

    view = run_view(["lost rtsp://admin:Zq81hunter2@cam/1"])
    name = 'per\udcffson\ud800 "x"\n[bold]'
    view.write(result(0, detections=[Detection(name, 0.9, (0, 0, 9, 9))]))
    with metrics([], view=view) as port:
        found = answer(port, METRICS)
    assert found.startswith(b"HTTP/1.1 200")
    assert b"per\\\\udcffson" in found
    text = json.dumps(view.snapshot())
    assert "Zq81hunter2" not in text and "rtsp://admin:***@cam/1" in text
