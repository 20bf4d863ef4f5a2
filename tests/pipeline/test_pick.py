"""The page for picking points: its answers, who may pick, and what the command refuses. In a browser: e2e."""

import json

import cv2
import numpy as np
import pytest

from fusecam.calib.rig import load_rig, save_rig
from fusecam.pipeline.calibrate.pick.server import MOST, PickPage
from fusecam.pipeline.monitoring.address import Address

from ..calib.test_points import PLACES, SIZES, laid
from ..e2e.command import fusecam
from .test_serve import TOKEN, asked

ROWS = np.column_stack([np.arange(len(PLACES)) % 2, PLACES, laid(PLACES)]).tolist()
RNG = np.random.default_rng(0)
PAIRS = [tuple(RNG.integers(0, 255, (h, w, *more), np.uint8) for (w, h), more in zip(SIZES, ((3,), ()), strict=True))]
PAIRS *= 2


@pytest.fixture
def page(tmp_path):
    out = tmp_path / "rig.yaml"
    page = PickPage(
        Address("127.0.0.1", 0), TOKEN, "only looking", PAIRS, PLACES[:0].repeat(2, axis=1),
        lambda fit: save_rig(fit.rig, out), print,
    )  # fmt: skip
    page.out = out
    yield page
    page.close()


def sent(page, path, content, token=TOKEN):
    headers = {"Authorization": f"Bearer {token}"}
    status, _, text, _ = asked(f"http://{page.address}", path, "POST", headers, json=content)
    return status, text


def test_points_are_checked_kept_and_saved_on_request(page):
    status, text = sent(page, "/points", {"points": ROWS})
    found = json.loads(text)
    assert status == 200 and max(found["residuals"]) < 1e-3 and len(found["residuals"]) == len(ROWS)
    assert not page.out.exists() and not page.saved.is_set()
    login = {"Authorization": f"Bearer {TOKEN}"}
    start = json.loads(asked(f"http://{page.address}", "/start", headers=login)[2])
    assert start == {"pairs": 2, "points": ROWS}
    assert sent(page, "/save", {})[0] == 204 and page.saved.is_set()
    assert load_rig(page.out).infrared.width == SIZES[1][0]


def test_degenerate_points_are_reported_and_not_saved(page):
    turned = [[*row[:3], 383 - row[3], row[4]] for row in ROWS]
    status, text = sent(page, "/points", {"points": turned})
    assert status == 200 and "mirror" in json.loads(text)["trouble"]
    status, text = sent(page, "/save", {})
    assert status == 400 and "mirror" in text and text.count("\n") == 1
    assert not page.out.exists() and not page.saved.is_set()


def test_failed_save_is_reported_and_can_be_repeated(page):
    sent(page, "/points", {"points": ROWS})
    page.out.mkdir()
    status, text = sent(page, "/save", {})
    assert status == 400 and "rig.yaml" in text and not page.saved.is_set()
    page.out.rmdir()
    assert sent(page, "/save", {})[0] == 204 and page.out.is_file()


@pytest.mark.parametrize(
    "points",
    [None, "x", [[0, 1, 2, 3]], [[2, 1, 1, 1, 1]], [[0.5, 1, 1, 1, 1]], [[-1, 1, 1, 1, 1]], [[0, 1, None, 1, 1]],
     [[0, 1, 1, 1, "x"]], [[0, 0, 0, 0, 0]] * (MOST + 1), {"a": 1}, [[[0]]]],
)  # fmt: skip
def test_invalid_points_are_refused(page, points):
    sent(page, "/points", {"points": ROWS})
    assert sent(page, "/points", {"points": points})[0] in (400, 413)
    assert len(page.points) == len(ROWS)


def test_picking_needs_the_token_with_write_access(page):
    url = f"http://{page.address}"
    for path in ("/", "/start", "/pairs/0/visible", "/pick.js", "/page.css"):
        assert asked(url, path)[0] == 401
        if "pairs" not in path:
            assert asked(url, path, headers={"Authorization": "Bearer only looking"})[0] == 200
    assert sent(page, "/points", {"points": ROWS}, "only looking")[0] == 403
    assert sent(page, "/save", {}, "only looking")[0] == 403
    assert len(page.points) == 0


def test_images_of_the_pair_are_served_lossless(page):
    import urllib.error
    import urllib.request

    def read(path):
        request = urllib.request.Request(f"http://{page.address}{path}", headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request) as answer:
            return cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_UNCHANGED)

    assert np.array_equal(read("/pairs/1/visible")[..., ::-1], PAIRS[1][0])
    assert np.array_equal(read("/pairs/1/infrared"), PAIRS[1][1])
    for path in ("/pairs/2/visible", "/pairs/0/other", "/pairs/x/visible"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            read(path)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--serve", "8080"), "--serve 8080: give [HOST]:PORT"),
        (("points.csv", "--offset-ms", "5"), "--offset-ms are for picking on a page"),
        (("--out", "vis.mp4"), "is also the input"),
        ((), "no-such.mp4"),
    ],
)
def test_invalid_input_is_a_one_line_error_before_serving(tmp_path, monkeypatch, capfd, more, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "points.csv").write_text("1,2,3,4\n")
    (tmp_path / "vis.mp4").touch()
    order = ("calibrate", "points", "--ir", "no-such.mp4", "--vis", "vis.mp4", "--out", "rig.yaml", *more)
    answer = fusecam(*order, monkeypatch=monkeypatch, capfd=capfd)
    assert answer.code == 1 and says in answer.said and "http://" not in answer.said
    assert "Traceback" not in answer.said and not (tmp_path / "rig.yaml").exists()
