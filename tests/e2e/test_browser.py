"""The page in a real browser, of a run with two live cameras, and the metrics and log of the same run."""

import json
import shutil
import signal
import subprocess
import threading
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ..pipeline.rtsp_server import RtspServer
from .command import COMMAND, QUICK, street

pytestmark = pytest.mark.slow

BROWSER, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
if BROWSER is None or DRIVER is None:
    pytest.skip("no chromium and chromedriver on this machine", allow_module_level=True)
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

DESK, PHONE = (1300, 900), (390, 844)
SPREAD = """
const canvas = document.getElementById(arguments[0]);
const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
let low = 255, high = 0;
for (let i = 0; i < data.length; i += 4) { low = Math.min(low, data[i + 1]); high = Math.max(high, data[i + 1]); }
return high - low;
"""

DIMMED = "return document.body.classList.contains('old')"


class Run:
    """`fusecam` with its page, its metrics and its log."""

    def __init__(self, cameras):
        ir, vis = cameras
        arguments = ["--ir", ir.url, "--vis", vis.url, "--serve", ":0", "--metrics", ":0", "--log-json", *QUICK]
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
def run(cameras):
    run = Run(cameras)
    yield run
    if run.process.poll() is None:
        run.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield browser
    browser.quit()


def resized(browser, size):
    """By the device's metrics: a window cannot be as narrow as a phone."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def eventually(browser, what, condition, seconds=60):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, seconds, 0.1).until(condition, f"never: {what}")


def shown(browser):
    return int(browser.execute_script("return document.body.dataset.shown || 0"))


def text(browser, name):
    return browser.find_element("id", name).text


def test_a_stalled_stream_is_not_shown_as_live(cameras, run, browser):
    browser.get(run.urls["page"])
    eventually(browser, "frames are shown", lambda b: shown(b) > 5)
    for camera in cameras:
        camera.stall()
    try:
        eventually(browser, "staleness is told", lambda b: b.execute_script(DIMMED) and text(b, "stale"))
        before = shown(browser)
    finally:
        for camera in cameras:
            camera.resume()
    eventually(browser, "frames again", lambda b: shown(b) > before + 3)
    eventually(browser, "no staleness", lambda b: text(b, "stale") == "")


def test_a_run_watched_to_its_end(run, browser):
    resized(browser, DESK)
    browser.get(run.urls["page"])
    eventually(browser, "frames are shown", lambda b: shown(b) > 5)
    eventually(browser, "figures", lambda b: text(b, "engine").startswith("average:"))
    eventually(browser, "it is live", lambda b: text(b, "link") == "live" and text(b, "stale") == "")
    for view in ("fused", "visible", "infrared", "illumination"):
        eventually(browser, f"{view} is seen", lambda b, view=view: b.execute_script(SPREAD, view) > 30)
    assert "fuse" in text(browser, "stages")
    assert "reconnects" in text(browser, "cameras")
    assert float(text(browser, "age")) > 0

    for size in (PHONE, DESK):
        resized(browser, size)
        wide = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1] == size[0]
        assert browser.find_element("id", "fused").rect["width"] > 0.6 * min(size)

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
    eventually(browser, "the end is told", lambda b: text(b, "stale") == "run ended")
    assert (
        [line for line in run.log if line["event"] == "switch"]
        == [line for line in run.log if line.get("name") == "overlay" and line.get("on") is False]
        != []
    )
    assert {"started", "camera", "ended"} <= {line["event"] for line in run.log}
