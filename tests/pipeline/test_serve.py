"""The page's server: who is let in, what is sent, that nobody can slow or steer a run from elsewhere."""

import asyncio
import json
import struct
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import aiohttp
import cv2
import numpy as np
import pytest
from rich.console import Console

from fusecam.engines.prompts.conditioning import AdjustablePrompt
from fusecam.pipeline.config import MonitorConfig
from fusecam.pipeline.core.detections import Detection
from fusecam.pipeline.core.looks import PALETTES
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.monitoring.address import Address
from fusecam.pipeline.monitoring.page.pictures import SMALL_WIDTH, VIEWS, Pictures
from fusecam.pipeline.monitoring.page.server import IN_FLIGHT, WATCHERS, PageServer
from fusecam.pipeline.monitoring.watch import monitor_run

from .make_results import picture, result
from .watching import run_view

TOKEN = "correct horse"
SWITCH = {"name": "overlay", "on": False}


@contextmanager
def serving(view, token=None, complaints=None):
    complaints = [] if complaints is None else complaints
    server = PageServer(Address("127.0.0.1", 0), token, view, complaints.append)
    try:
        yield f"http://{server.address}"
    finally:
        server.close()


def asked(url, path="/", method="GET", headers=None, cookies=None, **more):
    """Status, headers and text of one request, redirects not followed."""

    async def ask():
        session = aiohttp.ClientSession(cookies=cookies, cookie_jar=aiohttp.CookieJar(unsafe=True))
        request = session.request(method, url + path, headers=headers, allow_redirects=False, **more)
        async with session, request as answer:
            return answer.status, answer.headers.copy(), await answer.text(), answer.cookies

    return asyncio.run(ask())


def port_of(url):
    return url.rpartition(":")[2]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1", 200),
        ("[::1]", 200),
        ("localhost:9", 200),  # through a tunnel the port is another
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("192.168.1.2", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
def test_host_check_without_a_token_allows_local_names_only(host, status):
    with serving(run_view()) as url:
        assert asked(url, headers={"Host": host})[0] == status
        assert asked(url, "/switch", "POST", {"Host": host}, json=SWITCH)[0] == (204 if status == 200 else 403)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 204),
        ("http://HOST", 204),
        ("http://evil.example", 403),
        ("http://localhost", 403),  # another port is another site
        ("null", 403),
    ],
)
def test_other_origins_can_neither_switch_nor_watch(origin, status):
    view = run_view()
    with serving(view) as url:
        headers = {} if origin is None else {"Origin": origin.replace("HOST", url.removeprefix("http://"))}
        assert asked(url, "/switch", "POST", headers, json=SWITCH)[0] == status
        assert view.switches.overlay == (status != 204)
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        upgrade["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
        if status == 403:
            assert asked(url, "/stream", headers=headers | upgrade)[0] == 403


@pytest.mark.parametrize("path", ["/", "/page.js", "/page.css", "/stream", "/nothing", "/switch"])
@pytest.mark.parametrize("given", [None, "wrong horse", TOKEN[:-1], "", "\u00e4"])
def test_requests_without_the_token_are_refused(path, given):
    with serving(run_view(), TOKEN) as url:
        method = "POST" if path == "/switch" else "GET"
        params = {} if given is None else {"token": given}
        assert asked(url, path, method, params=params)[0] == 401
        headers = {} if given is None else {"Authorization": f"Bearer {given}"}
        status, _, text, cookies = asked(url, path, method, headers)
        assert status == 401
        assert "WebSocket" not in text
        assert not cookies


def test_token_in_the_url_becomes_a_cookie():
    with serving(run_view(), TOKEN) as url:
        status, headers, _, cookies = asked(url, params={"token": TOKEN})
        assert (status, headers["Location"]) == (303, "/")
        (cookie,) = cookies.values()
        assert cookie["httponly"] and cookie["samesite"] == "Lax"
        assert asked(url, cookies={cookie.key: TOKEN})[0] == 200
        assert asked(url, "/switch", "POST", cookies={cookie.key: TOKEN}, json=SWITCH)[0] == 204
        assert asked(url, "/page.js", headers={"Authorization": f"Bearer {TOKEN}"})[0] == 200
        assert asked(url, headers={"Host": "car.example", "Authorization": f"Bearer {TOKEN}"})[0] == 200


def test_remote_clients_need_a_token(monkeypatch, capsys):
    console = Console(stderr=True, width=200)
    with monitor_run(MonitorConfig(serve="0.0.0.0:0"), run_view(), console):
        url = capsys.readouterr().err.split()[1]
        address, _, token = url.partition("?token=")
        local = f"http://127.0.0.1:{port_of(address).strip('/')}"
        assert len(token) > 20
        assert asked(local)[0] == 401
        assert asked(local, params={"token": token})[0] == 303
    monkeypatch.setenv("FUSECAM_TOKEN", TOKEN)
    with monitor_run(MonitorConfig(serve="0.0.0.0:0"), run_view(), console):
        said = capsys.readouterr().err
        assert TOKEN not in said and "token" not in said
    monkeypatch.setenv("FUSECAM_TOKEN", "short")
    with pytest.raises(InputError, match="FUSECAM_TOKEN"), monitor_run(MonitorConfig(serve=":0"), run_view(), console):
        pass


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"name": "overlay"}', b'{"name": "overlay", "on": 1}', b'{"name": "__class__", "on": true}',
     b'{"name": "health", "on": true}', b'{"name": ["overlay"], "on": true}', b"x" * 5000, b"\xff\xfe"],
)  # fmt: skip
def test_unknown_switch_is_refused(body):
    view = run_view()
    with serving(view) as url:
        headers = {"Content-Type": "application/json"}
        assert asked(url, "/switch", "POST", headers, data=body)[0] in (400, 413)
        assert asked(url, "/switch", "POST", {"Content-Type": "text/plain"}, data=json.dumps(SWITCH))[0] == 400
        assert view.switches.overlay and view.switches.detector


def test_switch_of_a_missing_stage_is_refused():
    view = run_view(available=("overlay",))
    with serving(view) as url:
        assert asked(url, "/switch", "POST", json={"name": "detector", "on": False})[0] == 400
        assert view.switches.detector


@pytest.mark.parametrize(("text", "status"), [("", 400), (3, 400), (None, 400), ("x " * 100, 400), ("AUTO ", 204)])
def test_refused_prompt_changes_nothing(text, status):
    prompt = AdjustablePrompt("realtime", "auto", -1.0, -1.0, every_task=False)
    with serving(run_view(prompt=prompt)) as url:
        found, _, said, _ = asked(url, "/prompt", "POST", json={"text": text})
    assert found == status, said
    assert len(said.splitlines()) == (status == 400)
    assert prompt.prompt == ("auto" if status == 400 else "AUTO")


def test_prompt_can_change_during_a_run():
    frame = picture(160, 120)
    prompt = AdjustablePrompt("realtime", "auto", -1.0, -1.0, every_task=False)
    with serving(run_view(prompt=prompt)) as url:
        assert prompt(frame, frame[..., 0], None)[0] < 0  # the network chooses
        status, _, said, _ = asked(url, "/prompt", "POST", json={"text": "foggy"})
        assert status == 204, said
        assert prompt(frame, frame[..., 0], None)[0] == 1
        assert asked(url, "/prompt", "POST", json={"text": "qwxz"})[0] == 400
        assert prompt.prompt == "foggy"
    with serving(run_view()) as url:
        assert asked(url, "/prompt", "POST", json={"text": "foggy"})[0] == 400


def unpacked(message):
    (length,) = struct.unpack_from("<I", message)
    head, at, views = json.loads(message[4 : 4 + length]), 4 + length, {}
    for name, size in head["views"]:
        views[name], at = message[at : at + size], at + size
    assert at == len(message)
    return head, views


def decoded(jpeg):
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def test_views_show_what_they_are_named():
    image = np.zeros((480, 640, 3), np.uint8)
    image[:, :320] = (220, 40, 30)
    one = result(3, image, detections=[Detection("person", 0.9, (1, 2, 3, 4))])
    head, views = unpacked(Pictures().packed(one, VIEWS))
    assert head["frame"] == 3
    assert (head["width"], head["height"]) == (640, 480)
    assert head["detections"][0]["class"] == "person"
    assert tuple(views) == VIEWS
    fused, visible = decoded(views["fused"]), decoded(views["visible"])
    assert fused.shape == (480, 640, 3)
    assert np.abs(fused.astype(int) - image).mean() < 4  # red stays red
    assert visible.shape == (240, SMALL_WIDTH, 3)
    assert decoded(views["visible-large"]).shape == (480, 640, 3)
    assert decoded(views["infrared-large:turbo"]).std(axis=2).max() > 50
    assert decoded(views["infrared"]).std(axis=2).max() < 3  # grey
    assert decoded(views["haze"]).shape[:2] == one.fused.haze_density.shape


def test_lost_camera_has_no_image():
    without = result(infrared=False)
    blank = unpacked(Pictures().packed(without, VIEWS))[1]
    assert blank["infrared"] == blank["infrared-large:turbo"] == b""
    led = replace(result(), pair=replace(result().pair, led_by="infrared"))
    _, views = unpacked(Pictures().packed(led, VIEWS))
    seen = {name for name, jpeg in views.items() if jpeg}
    assert seen == {"fused", "infrared", *(f"infrared-large:{palette}" for palette in PALETTES)}


class Feed:
    """A run that puts out results as fast as it is told to, in a thread of its own."""

    def __init__(self, view, period_s):
        self._view, self._period_s, self._over = view, period_s, threading.Event()
        self.count = 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _run(self):
        image = picture(320, 240)
        while not self._over.wait(self._period_s):
            self._view.write(result(self.count, image))
            self.count += 1


async def frames_of(socket, number):
    """So many frames' heads, asked for one after the other; states are left out."""
    heads = []
    while len(heads) < number:
        message = await socket.receive(timeout=10)
        assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), message
        if message.type == aiohttp.WSMsgType.BINARY:
            heads.append(unpacked(message.data)[0])
            await socket.send_json({"next": ["fused"]})
    return heads


def test_frames_are_sent_on_request_and_figures_without():
    view = run_view(["a warning"])

    async def watch(url):
        async with aiohttp.ClientSession() as session, session.ws_connect(url + "/stream") as socket:
            state = json.loads((await socket.receive(timeout=10)).data)
            await socket.send_json({"next": ["fused"]})
            return state, await frames_of(socket, 8)

    with serving(view) as url, Feed(view, 0.005):
        state, heads = asyncio.run(watch(url))
    assert state["warnings"] == ["a warning"]
    assert state["switches"] == {"overlay": True, "detector": True}
    assert set(state["cameras"]) == {"visible", "infrared"}
    numbers = [head["frame"] for head in heads]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] - numbers[0] > 8  # 200 a second came, a browser gets 30


def test_slow_browser_blocks_nobody_and_gets_the_newest_frame():
    view = run_view()

    async def watch(url, feed):
        session = aiohttp.ClientSession()
        async with session, session.ws_connect(url + "/stream") as slow, session.ws_connect(url + "/stream") as quick:
            for _ in range(IN_FLIGHT + 5):
                await slow.send_json({"next": ["fused"]})
            await quick.send_json({"next": ["fused"]})
            heads = await frames_of(quick, 12)
            arrived = []
            while len(arrived) < IN_FLIGHT:
                message = await slow.receive(timeout=10)
                if message.type == aiohttp.WSMsgType.BINARY:
                    arrived.append(unpacked(message.data)[0]["frame"])
            before = feed.count
            await slow.send_json({"next": ["fused"]})
            (late,) = await frames_of(slow, 1)
            return heads, arrived, before, late["frame"]

    with serving(view) as url, Feed(view, 0.01) as feed:
        heads, arrived, before, late = asyncio.run(watch(url, feed))
    assert len(heads) == 12
    assert max(arrived) < heads[-1]["frame"]  # sent early on, and no more than were in flight
    assert late >= before - 1


def test_frames_are_not_encoded_without_a_viewer(monkeypatch):
    encoded = []
    whole = Pictures.packed
    monkeypatch.setattr(Pictures, "packed", lambda self, *more: encoded.append(1) or whole(self, *more))
    view = run_view()

    async def idle(url):
        async with aiohttp.ClientSession() as session, session.ws_connect(url + "/stream") as socket:
            await socket.receive(timeout=10)  # the figures: connected, but asks for no frame
            await asyncio.sleep(0.3)
            before = len(encoded)
            await socket.send_json({"next": ["fused"]})
            await frames_of(socket, 1)
            return before

    with serving(view) as url, Feed(view, 0.005) as feed:
        while feed.count < 20:
            time.sleep(0.01)
        assert asyncio.run(idle(url)) == 0
        assert encoded


@pytest.mark.parametrize(
    "words", ["", "{}", '{"next": 3}', '{"next": ["secret"]}', '{"next": [["fused"]]}', "x" * 9000]
)
def test_invalid_message_ends_its_connection_only(words):
    view = run_view()

    async def talk(url):
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(url + "/stream") as socket:
                await socket.send_str(words)
                while (message := await socket.receive(timeout=10)).type == aiohttp.WSMsgType.TEXT:
                    pass
                assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING)
            async with session.get(url) as answer:
                return answer.status

    with serving(view) as url:
        assert asyncio.run(talk(url)) == 200


def test_excess_browsers_and_the_end_of_a_run_are_reported():
    view = run_view()

    async def crowd(server):
        url = f"http://{server.address}"
        async with aiohttp.ClientSession() as session:
            sockets = [await session.ws_connect(url + "/stream") for _ in range(WATCHERS)]
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(url + "/stream")
            await asyncio.get_running_loop().run_in_executor(None, server.close)
            ends = []
            for socket in sockets:
                while (message := await socket.receive(timeout=10)).type == aiohttp.WSMsgType.TEXT:
                    pass
                ends.append((message.data, message.extra))
            return refused.value.status, ends

    server = PageServer(Address("127.0.0.1", 0), None, view, print)
    status, ends = asyncio.run(crowd(server))
    assert status == 503
    assert ends == [(1001, "ended")] * WATCHERS
    view.write(result())  # a run that goes on without its page
