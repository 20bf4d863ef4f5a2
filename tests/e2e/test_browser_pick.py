"""Points picked by hand in a real browser, as a person would."""

import re
import subprocess

import numpy as np
import pytest

from fusecam.calib.rig import load_rig

from .command import COMMAND, pair_of_clips
from .test_browser import DESK, PHONE, eventually, resized, text

pytestmark = pytest.mark.slow
TRUE = np.array([[0.9, 0.01, 6.0], [-0.01, 0.92, 4.0], [0.0, 0.0, 1.0]])
PLACES = [(8, 8), (150, 10), (148, 110), (10, 108), (80, 60), (40, 30), (120, 80), (60, 95)]
SIZE = """
const canvas = document.getElementById(arguments[0]), box = canvas.getBoundingClientRect();
return [canvas.width, box.width, box.height];
"""


def click(browser, camera, place):
    from selenium.webdriver.common.action_chains import ActionChains

    pixels, width, height = browser.execute_script(SIZE, camera)
    x, y = ((each + 0.5) * width / pixels for each in place)
    canvas = browser.find_element("id", camera)
    ActionChains(browser).move_to_element_with_offset(canvas, x - width / 2, y - height / 2).click().perform()


def test_points_can_be_picked_undone_checked_and_saved(browser, tmp_path):
    ir, vis = pair_of_clips(tmp_path, 6)
    out = tmp_path / "rig.yaml"
    order = [*COMMAND, "calibrate", "points", "--ir", ir, "--vis", vis, "--out", out, "--offset-ms", "0"]
    with subprocess.Popen([*map(str, order)], stderr=subprocess.PIPE, text=True) as process:
        try:
            url = next(found[0] for line in process.stderr if (found := re.search(r"http://\S+", line)))
            resized(browser, DESK)
            browser.get(url)
            eventually(browser, "pairs are there", lambda b: b.execute_script(SIZE, "infrared")[0] == 160)
            save = browser.find_element("id", "save")
            for number, place in enumerate(PLACES, start=1):
                click(browser, "visible", place)
                click(browser, "infrared", (TRUE @ (*place, 1))[:2])
                eventually(browser, f"point {number}", lambda b, n=number: text(b, "status") == f"{n} points")
                assert save.is_enabled() == (number >= 4)
                if number == 4:
                    assert "fit any homography" in text(browser, "fit")
                    browser.find_element("id", "after").click()
            click(browser, "visible", (20, 100))
            click(browser, "infrared", (140, 20))
            eventually(browser, "a slip is told", lambda b: "do not fit one homography" in text(b, "fit"))
            assert not save.is_enabled() and "the worst is point 9" in text(browser, "fit")
            undo = browser.find_element("id", "undo")
            undo.click()
            eventually(browser, "it is undone", lambda b: save.is_enabled() and text(b, "status") == "8 points")
            click(browser, "visible", (20, 100))
            undo.click()  # the half
            browser.refresh()
            eventually(browser, "nothing is lost", lambda b: text(b, "status") == "8 points")
            for size in (PHONE, DESK):
                resized(browser, size)
                assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
            browser.find_element("id", "save").click()
            eventually(browser, "it is saved", lambda b: text(b, "status") == "saved")
            assert process.wait(20) == 0 and "8 points, 0." in process.stderr.read()
        finally:
            process.kill()
    corners = np.array([(0, 0, 1), (159, 0, 1), (159, 119, 1), (0, 119, 1)]).T
    found, true = np.array(load_rig(out).homography) @ corners, TRUE @ corners
    assert np.abs(found[:2] / found[2] - true[:2]).max() < 1.0
