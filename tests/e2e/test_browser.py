"""The page in a real browser, of a run with two live cameras, and the metrics and log of the same run.

Screenshots at two sizes are kept in $FUSECAM_SCREENSHOTS, else in a folder of the test.
"""

import json
import os
import signal
import subprocess
import threading
import urllib.request
from pathlib import Path

import cv2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ..pipeline.rtsp_server import RtspServer
from .command import COMMAND, QUICK, street

pytestmark = pytest.mark.slow

DESK, PHONE = (1440, 900), (390, 844)
SPREAD = """
const canvas = document.getElementById(arguments[0]);
const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
let low = 255, high = 0;
for (let i = 0; i < data.length; i += 4) { low = Math.min(low, data[i + 1]); high = Math.max(high, data[i + 1]); }
return high - low;
"""

HUES = """
const canvas = document.getElementById(arguments[0]);
const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
let most = 0;
for (let i = 0; i < data.length; i += 4) most = Math.max(most, Math.abs(data[i] - data[i + 2]));
return most;
"""
CHANGE = """
const input = document.getElementById(arguments[0]);
input.value = arguments[1];
input.dispatchEvent(new Event(input.tagName === 'SELECT' ? 'change' : 'input'));
"""
SEEN = """
const at = (id) => document.getElementById(id).getBoundingClientRect();
const inside = (box) => box.height > 0 && box.top >= 0 && box.bottom <= innerHeight;
const gravest = document.getElementById('gravest');
return {wide: document.documentElement.scrollWidth, top: at('pictures').top, bottom: at('pictures').bottom,
        right: at('pictures').right, status: inside(at('status')) && (gravest.hidden || inside(at('gravest')))};
"""
DIMMED = "return document.body.classList.contains('old')"


class Run:
    """`fusecam` with its page, its metrics and its log."""

    def __init__(self, cameras, folder):
        ir, vis = cameras
        arguments = ["--ir", ir.url, "--vis", vis.url, "--serve", ":0", "--metrics", ":0", "--log-json", *QUICK]
        arguments += ["--record", str(folder)]
        self.process = subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.PIPE, text=True)
        self.log, self.urls, self._listens = [], {}, threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self._listens.wait(120), self.log

    def _read(self):
        for line in self.process.stderr:
            self.log.append(json.loads(line))  # nothing else may stand there
            if self.log[-1]["event"] == "listening":
                self.urls[self.log[-1]["what"]] = self.log[-1]["url"]
            if len(self.urls) == 2:
                self._listens.set()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(20)
        self._reader.join()
        self.process.stderr.close()
        return code

    def metrics(self):
        with urllib.request.urlopen(self.urls["metrics"]) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            return {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}


@pytest.fixture(scope="module")
def cameras():
    pictures = [street(i, 320, 240) for i in range(25)]
    servers = [RtspServer(pictures, fps=10) for _ in range(2)]
    yield servers
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def run(browser, cameras, tmp_path_factory):
    run = Run(cameras, tmp_path_factory.mktemp("recording"))
    yield run
    if run.process.poll() is None:
        run.end(signal.SIGKILL)


def resized(browser, size):
    """By the device's metrics: a window cannot be as narrow as a phone."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


@pytest.fixture(scope="module")
def photograph(browser, tmp_path_factory):
    folder = Path(os.environ.get("FUSECAM_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)

    def take(name):
        for size in (PHONE, DESK):
            resized(browser, size)
            shows = browser.execute_script(SEEN)
            assert shows["wide"] <= size[0], shows
            assert shows["bottom"] <= size[1] and shows["right"] <= size[0], shows  # the picture as a whole
            assert shows["status"] and shows["top"] >= 0, shows
            path = folder / f"{name}-{size[0]}x{size[1]}.png"
            assert browser.save_screenshot(str(path)) and path.stat().st_size > 10_000

    return take


def eventually(browser, what, condition, seconds=60):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, seconds, 0.1).until(condition, f"never: {what}")


def shown(browser):
    return int(browser.execute_script("return document.body.dataset.shown || 0"))


def text(browser, name):
    return browser.find_element("id", name).text


def status(browser):
    return (
        browser.find_element("id", "status").get_attribute("class"),
        text(browser, "status"),
        text(browser, "gravest"),
    )


def test_stalled_stream_is_not_shown_as_healthy(cameras, run, browser, photograph):
    browser.get(run.urls["page"])
    eventually(browser, "frames are shown", lambda b: shown(b) > 5)
    for camera in cameras:
        camera.stall()
    try:
        eventually(browser, "staleness is told", lambda b: b.execute_script(DIMMED) and text(b, "stale"))
        eventually(browser, "trouble is told", lambda b: status(b)[:2] == ("bad", "trouble") and status(b)[2])
        eventually(browser, "the age grows", lambda b: float(text(b, "age")) > 1000)
        before = shown(browser)
        photograph("stalled")
    finally:
        for camera in cameras:
            camera.resume()
    eventually(browser, "frames again", lambda b: shown(b) > before + 3)
    eventually(browser, "no staleness", lambda b: text(b, "stale") == "")


def test_lost_camera_is_shown_first(cameras, run, browser, photograph):
    browser.get(run.urls["page"])
    eventually(browser, "both cameras are there", lambda b: status(b)[0] in ("good", "warn") and shown(b) > 5)
    infrared = cameras[0]
    infrared.stall()
    try:
        lost = eventually(browser, "the loss", lambda b: status(b)[0] == "bad" and status(b))
        assert lost[1] == "trouble" and lost[2].startswith("infrared camera lost: no picture for")
        photograph("lost")
    finally:
        infrared.resume()
    eventually(browser, "it is back", lambda b: status(b)[0] != "bad")
    browser.find_element("css selector", "#past summary").click()
    eventually(browser, "the history", lambda b: "infrared lost" in text(b, "history"))


def test_two_views_can_be_compared(run, browser, photograph, tmp_path):
    browser.get(run.urls["page"])
    eventually(browser, "frames are shown", lambda b: shown(b) > 5)
    for mode in ("visible", "infrared", "side by side", "swipe", "blend"):
        browser.find_element("xpath", f"//div[@id='modes']/button[.='{mode}']").click()
        browser.execute_script(CHANGE, "palette", "inferno")
        eventually(browser, f"{mode} is seen", lambda b: b.execute_script(SPREAD, "first") > 30)
        if mode in ("infrared", "side by side"):
            canvas = "first" if mode == "infrared" else "second"
            eventually(browser, "colours", lambda b, canvas=canvas: b.execute_script(HUES, canvas) > 60)
        if mode in ("swipe", "blend"):
            before = browser.execute_script("return document.getElementById('second').style.cssText")
            browser.execute_script(CHANGE, "slider", "20" if mode == "swipe" else "70")
            assert browser.execute_script("return document.getElementById('second').style.cssText") != before
        photograph(mode.replace(" ", "-"))
    downloads = str(tmp_path)
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": downloads})
    browser.find_element("id", "snapshot").click()
    picture = eventually(browser, "a snapshot", lambda b: next(tmp_path.glob("fusecam *.jpg"), None))
    assert cv2.imread(str(picture)).shape == (240, 320, 3)
    browser.find_element("id", "full").click()
    eventually(browser, "full screen", lambda b: b.execute_script("return document.fullscreenElement?.id") == "stage")
    browser.find_element("id", "full").click()


def test_comparison_is_not_black_before_the_second_image_arrives(cameras, run, browser):
    """Between the choice and the next frame, and where no frame comes any more."""
    browser.get(run.urls["page"])
    eventually(browser, "frames are shown", lambda b: shown(b) > 5)
    for camera in cameras:
        camera.stall()
    try:
        eventually(browser, "no frame comes", lambda b: b.execute_script(DIMMED))
        for mode in ("swipe", "blend", "side by side"):
            browser.find_element("xpath", f"//div[@id='modes']/button[.='{mode}']").click()
            assert not browser.find_element("id", "second").is_displayed(), mode
    finally:
        for camera in cameras:
            camera.resume()
    browser.find_element("xpath", "//div[@id='modes']/button[.='swipe']").click()
    second = browser.find_element("id", "second")
    eventually(
        browser, "the second picture", lambda b: second.is_displayed() and b.execute_script(SPREAD, "second") > 30
    )
    browser.find_element("xpath", "//div[@id='modes']/button[.='fused']").click()
    browser.execute_script("document.getElementById('modes').children[4].click()")  # before the next frame
    assert not browser.execute_script("return document.getElementById('second').dataset.view")
    eventually(browser, "the picture of now", lambda b: second.is_displayed())


def test_lost_camera_is_named_in_its_half(cameras, run, browser, photograph):
    browser.get(run.urls["page"])
    eventually(browser, "frames are shown", lambda b: shown(b) > 5)
    browser.find_element("xpath", "//div[@id='modes']/button[.='swipe']").click()
    cameras[0].stall()
    try:
        told = "return document.getElementById('second').dataset.missing"
        eventually(browser, "it is said", lambda b: b.execute_script(told) == "missing")
        assert browser.execute_script(SPREAD, "second") > 30
        photograph("swipe-lost")
    finally:
        cameras[0].resume()
    eventually(browser, "it is back", lambda b: not b.execute_script(told))


def test_recording_replaces_the_live_image(run, browser, photograph):
    browser.get(run.urls["page"])
    eventually(browser, "the recording light", lambda b: text(b, "recording").startswith("recording, "))
    browser.find_element("css selector", "#recordings summary").click()
    find = "//ol[@id='videos']/li/button"
    eventually(browser, "the list", lambda b: b.find_elements("xpath", find))[0].click()
    eventually(
        browser, "it plays", lambda b: b.execute_script("return document.getElementById('video').currentTime > 0")
    )
    assert text(browser, "played").startswith("fused of 20")
    browser.find_element("css selector", "#recordings summary").click()
    photograph("playback")
    browser.find_element("id", "live").click()
    before = shown(browser)
    eventually(browser, "live again", lambda b: shown(b) > before + 3 and b.execute_script(SPREAD, "first") > 30)


def test_page_follows_a_run_to_its_end(run, browser, photograph):
    resized(browser, DESK)
    browser.get(run.urls["page"])
    eventually(browser, "frames are shown", lambda b: shown(b) > 5)
    for name in ("maps", "timing", "counts", "about"):
        browser.find_element("css selector", f"#{name} summary").click()
    eventually(browser, "figures", lambda b: text(b, "engine").startswith("engine average:"))
    eventually(browser, "it is live", lambda b: status(b)[0] in ("good", "warn") and text(b, "stale") == "")
    for view in ("first", "visible", "infrared", "illumination"):
        eventually(browser, f"{view} is seen", lambda b, view=view: b.execute_script(SPREAD, view) > 30)
    assert "fuse" in text(browser, "stages")
    assert "reconnects" in text(browser, "cameras")
    assert text(browser, "age-how").startswith("within ")
    assert float(text(browser, "age")) > 0
    for name in ("maps", "timing", "counts", "about"):
        browser.find_element("css selector", f"#{name} summary").click()
    photograph("live")

    switch = browser.find_element("id", "switch-overlay")
    assert switch.is_selected()
    switch.click()
    before = shown(browser)
    eventually(browser, "frames go on", lambda b: shown(b) > before + 5)
    assert not switch.is_selected()

    field = browser.find_element("id", "prompt")
    field.clear()
    field.send_keys("\n")
    eventually(browser, "a prompt is refused", lambda b: "says nothing" in text(b, "prompt-answer"))
    assert run.process.poll() is None

    names = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert names and all(name.startswith((run.urls["page"], "data:")) for name in names)
    errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert [entry for entry in errors if "/prompt" not in entry["message"]] == []  # the refusal is one to the browser

    figures = run.metrics()
    assert figures["fusecam_frames_out_total",] >= shown(browser)
    assert figures["fusecam_camera_frames_total", ("camera", "visible")] > 0

    assert run.end() == 130
    eventually(
        browser, "the end is told", lambda b: text(b, "stale") == "run ended" and status(b)[:2] == ("ended", "ended")
    )
    for name in ("recording", "fps", "age", "switches"):
        assert not browser.find_element("id", name).is_displayed(), name  # of the past
    photograph("ended")
    assert (
        [line for line in run.log if line["event"] == "switch"]
        == [line for line in run.log if line.get("name") == "overlay" and line.get("on") is False]
        != []
    )
    assert {"started", "camera", "ended"} <= {line["event"] for line in run.log}
