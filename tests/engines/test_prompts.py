"""Prompts: what text asks for, what is said of text that is not understood, and what `auto` chooses."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import pytest

from fusecam.engines import EngineError, create_engine
from fusecam.engines.networks.average import Average
from fusecam.engines.networks.smoothing import STRENGTHS
from fusecam.engines.prompts import TASKS, understand
from fusecam.engines.prompts.conditioning import THRESHOLDS, AutoPrompt, Fixed, ask, measure
from fusecam.engines.prompts.words import LONGEST, PIECES, pieces, words

pytestmark = pytest.mark.slow

HAZE, DARK, GLARE, FAINT, X4, X8 = (task.name for task in TASKS)
CLEAN: set[str] = set()

PHRASES = [
    # the six tasks and the pseudo prompt
    ("foggy", {HAZE}),
    ("night", {DARK}),
    ("overexposed", {GLARE}),
    ("weak thermal contrast", {FAINT}),
    ("low resolution infrared", {X4}),
    ("thermal x8", {X8}),
    ("clean", CLEAN),
    ("clear", CLEAN),
    ("nothing wrong", CLEAN),
    # synonyms
    ("thick mist on the road", {HAZE}),
    ("there is smoke everywhere", {HAZE}),
    ("hazy day", {HAZE}),
    ("the scene is very dark", {DARK}),
    ("poorly lit street", {DARK}),
    ("under-exposed", {DARK}),
    ("low-light", {DARK}),
    ("driving after dark", {DARK}),
    ("headlight glare", {GLARE}),
    ("the sky is blown out", {GLARE}),
    ("over-exposed visible image", {GLARE}),
    ("faint thermal image", {FAINT}),
    ("washed-out infrared", {FAINT}),
    ("the thermal camera lacks contrast", {FAINT}),
    ("low contrast", {FAINT}),
    ("blurry thermal", {X4}),
    ("pixelated infrared image", {X4}),
    ("upscale the infrared by 4", {X4}),
    ("super resolution x4", {X4}),
    ("super-resolution x8 of the thermal image", {X8}),
    ("please dehaze", {HAZE}),
    ("brighten the visible image", {DARK}),
    ("remove the glare", {GLARE}),
    # combinations
    ("foggy night, weak thermal contrast", {HAZE, DARK, FAINT}),
    ("foggy night", {HAZE, DARK}),
    ("dark and misty, blurry infrared", {HAZE, DARK, X4}),
    ("low light and low-contrast infrared", {DARK, FAINT}),
    ("overexposed visible, low contrast thermal", {GLARE, FAINT}),
    ("visible: dark; infrared: low contrast", {DARK, FAINT}),
    ("Fog. Night. Glare.", {HAZE, DARK, GLARE}),
    # which camera
    ("visible is foggy, thermal is fine", {HAZE}),
    ("the rgb camera is clean but the thermal is washed out", {FAINT}),
    ("dark visible image, clear infrared", {DARK}),
    ("IR: OK, RGB: hazy", {HAZE}),
    # negation
    ("no fog", CLEAN),
    ("not foggy", CLEAN),
    ("no fog but dark", {DARK}),
    ("foggy but not dark", {HAZE}),
    ("night without fog", {DARK}),
    ("haze-free night", {DARK}),
    ("neither foggy nor dark", CLEAN),
    ("the visible image isn't dark, but there is fog", {HAZE}),
    ("clear night", {DARK}),
    ("don't dehaze", CLEAN),
    # misspelt
    ("fogy", {HAZE}),
    ("fogggy nihgt", {HAZE, DARK}),
    ("overexpossed", {GLARE}),
    ("weak termal contrast", {FAINT}),
    ("low contarst infared", {FAINT}),
    ("blury thermal", {X4}),
]


@pytest.mark.parametrize(("text", "meant"), PHRASES)
def test_prompts_are_understood(text: str, meant: set[str]) -> None:
    prompt = understand(text)
    assert {task.name for task, s in zip(TASKS, prompt.strengths, strict=True) if s} == meant
    assert set(prompt.strengths) <= {0.0, 1.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "says nothing"),
        ("...", "says nothing"),
        ("banana pudding", "not understood: 'banana pudding'"),
        ("xqzw", "not understood: 'xqzw'"),
        ("kubernetes cluster", "not understood"),
        ("the road in the city", "says nothing about the images"),
        ("rain and snow", "there is no task for 'rain snow'"),
        ("clear visible image, foggy visible image", "contradict each other (haze)"),
        ("foggy, no fog", "contradict each other (haze)"),
        ("thermal is fine, low contrast thermal", "contradict each other (low contrast)"),
        ("fog " * (LONGEST + 1), f"say it in {LONGEST}"),
    ],
)
def test_unknown_prompt_is_a_one_line_error(text: str, message: str) -> None:
    with pytest.raises(EngineError) as error:
        understand(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_part_of_a_prompt_is_named() -> None:
    prompt = understand("foggy night with bananas")
    assert prompt.strengths == (1, 1, 0, 0, 0, 0)
    assert prompt.note.startswith(
        "prompt: not understood: 'bananas'; taken as visible: haze, low light; infrared: clean"
    )
    rainy = understand("foggy and raining, snow")
    assert rainy.strengths[0] == 1
    assert "snow" in rainy.note
    assert understand("foggy night").note == ""


def test_words_are_split_into_pieces() -> None:
    assert words("Over-exposed; isn’t FOGGY!") == ["over", "exposed", ",", "isn't", "foggy", ","]
    assert all(len(pieces(word)) == PIECES for word in ("a", "fog", "x" * 50))
    shared = set(pieces("foggy")) & set(pieces("fogggy")) - {0}
    assert len(shared) >= 8 > len(set(pieces("foggy")) & set(pieces("banana")) - {0})


@pytest.mark.parametrize(
    ("prompt", "dehaze", "lift", "expectation"),
    [
        ("auto", -1, -1, nullcontext((-1, -1))),
        ("AUTO ", 0.5, -1, nullcontext((0.5, -1))),
        ("foggy", -1, -1, nullcontext((1, 0))),
        ("clear night", -1, -1, nullcontext((0, 1))),
        ("clear", -1, -1, nullcontext((0, 0))),
        ("foggy", 0.5, -1, pytest.raises(EngineError, match="realtime: prompt and dehaze contradict each other")),
        ("clear", -1, 0, pytest.raises(EngineError, match="realtime: prompt and lift contradict each other")),
        ("gibberish words", -1, -1, pytest.raises(EngineError, match="not understood")),
    ],
)
def test_prompt_sets_the_strengths(
    prompt: str, dehaze: float, lift: float, expectation: AbstractContextManager[tuple[float, float]]
) -> None:
    frame = np.zeros((32, 32, 3), np.uint8)
    with expectation as wanted:
        asked = ask("realtime", prompt, dehaze, lift, every_task=False)
        assert tuple(asked(frame, frame[..., 0], None)[:2]) == wanted


def test_unsupported_prompt_of_an_engine_is_noted() -> None:
    note = ask("realtime", "foggy, weak thermal contrast", -1, -1, every_task=False).note
    assert note == "realtime does nothing about low contrast; lure does"
    assert ask("lure", "foggy, weak thermal contrast", -1, -1, every_task=True).note == ""
    assert create_engine("physics:torch", prompt="glare").notes == [
        "physics does nothing about over-exposure; lure does"
    ]


def test_prompt_gives_the_result_of_its_strengths(street) -> None:
    visible, infrared = street(120, 160)
    hazy = (0.4 * visible + 0.6 * 200).astype(np.uint8)
    pair = hazy, infrared, np.full_like(infrared, 255)
    by_text = create_engine("physics:torch", prompt="foggy").fuse(*pair)
    by_number = create_engine("physics:torch", dehaze=1, lift=0).fuse(*pair)
    assert np.array_equal(by_text.image, by_number.image)
    left = create_engine("physics:torch", prompt="clear").fuse(*pair).image
    assert np.abs(by_text.image.astype(int) - left).mean() > 5


def scene(kind: str, street) -> tuple[np.ndarray, np.ndarray]:
    visible, infrared = street(120, 160)
    if kind == "fog":
        visible = (0.2 * visible + 0.8 * 210).astype(np.uint8)
    if kind == "night":
        visible = visible // 8
    if kind == "glare":
        visible = visible.copy()
        visible[:60, :80] = 255
    if kind == "faint":
        infrared = (90 + infrared // 12).astype(np.uint8)
    return visible, infrared


@pytest.mark.parametrize(
    ("kind", "chosen"), [("day", ()), ("fog", (0,)), ("night", (1,)), ("glare", (2,)), ("faint", (3,))]
)
def test_auto_prompt_follows_the_measured_scene(street, kind: str, chosen: tuple[int, ...]) -> None:
    asked = AutoPrompt([-1] * STRENGTHS)(*scene(kind, street), None)
    assert tuple(np.flatnonzero(asked[:-1])) == chosen
    assert set(measure(*scene(kind, street))) == set(THRESHOLDS)


def test_auto_prompt_keeps_given_strengths(street) -> None:
    given = AutoPrompt([0.25, 0, -1, -1, -1, 1, -1])
    assert given(*scene("fog", street), None).tolist() == [0.25, 0, 0, 0, 0, 1, -1]


def test_auto_prompt_has_hysteresis(street) -> None:
    """Fog that wavers within the hysteresis keeps what it was; only beyond a threshold, and after a while, it turns."""
    high, low = THRESHOLDS["haze"]

    def fog(density: float) -> tuple[np.ndarray, np.ndarray]:
        """A frame that is measured as this hazy by its blue alone: the green, by which cuts are seen, stays."""
        frame = np.full((120, 160, 3), 255, np.uint8)
        frame[6:, :, 2] = round(255 * density / 0.95)
        return frame, np.tile(np.arange(160, dtype=np.uint8), (120, 1))

    between = (high + low) / 2
    assert measure(*fog(between))["haze"] == pytest.approx(between, abs=0.04)
    for start, kept in ((low - 0.12, 0.0), (high + 0.12, 1.0)):
        auto = AutoPrompt([-1] * STRENGTHS)
        assert auto(*fog(start), None)[0] == kept
        wavering = [auto(*fog(between + 0.02 * (-1) ** n), 0.04)[0] for n in range(100)]
        assert set(wavering) == {kept}
        beyond = low - 0.12 if kept else high + 0.12
        turned = [auto(*fog(beyond), 0.04)[0] for _ in range(100)]
        assert turned[0] == kept, "one frame is no change of weather"
        assert turned[-1] != kept
        assert np.count_nonzero(np.diff(turned)) == 1


def test_auto_prompt_restarts_after_a_cut_or_a_gap(street) -> None:
    auto = AutoPrompt([-1] * STRENGTHS)
    for _ in range(10):
        assert auto(*scene("fog", street), 0.04)[0] == 1
    assert auto(*scene("night", street), 0.04).tolist() == [0, 1, 0, 0, 0, 0, -1], "a cut"
    day = scene("day", street)
    assert not auto(*day, 5.0)[:-1].any(), "a gap"


def test_strengths_are_read_for_every_frame(street) -> None:
    from fusecam.engines.backends.eager import EagerEngine

    seen: list[np.ndarray] = []

    class Listening(Average):
        def forward(self, *given):
            seen.append(given[-1].numpy().copy())
            return super().forward(*given)

    engine = EagerEngine("average", Listening(), AutoPrompt([-1] * STRENGTHS))
    for kind in ("fog", "night", "day"):
        visible, infrared = scene(kind, street)
        engine.fuse(visible, infrared, np.full_like(infrared, 255))
    assert [given[:6].tolist() for given in seen] == [[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0] * 6]
    assert Fixed([0.5] * STRENGTHS)(*scene("fog", street), None).tolist() == [0.5] * STRENGTHS


def test_missing_encoder_weights_are_reported(monkeypatch, tmp_path: Path) -> None:
    from fusecam.engines.prompts import encoder

    monkeypatch.setattr(encoder, "WEIGHTS", tmp_path / "prompts.safetensors")
    encoder.trained.cache_clear()
    try:
        with pytest.raises(EngineError, match="reinstall fusecam") as error:
            understand("foggy")
        assert "\n" not in str(error.value)
    finally:
        encoder.trained.cache_clear()
