"""Generator of random prompts with a tag for each word. The vocabulary is in `lexicon`."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence
from functools import cache
from pydoc_data.topics import topics
from random import Random

from ...engines.networks.tasks import TASKS
from ...engines.prompts.words import LONGEST, words
from . import lexicon
from .lexicon import SAID

Tagged = list[tuple[str, str]]
"""Pairs of a word and its tag, one of TAGS."""
CAMERA = {task.name: task.camera for task in TASKS}
MODALITIES = {"visible": lexicon.VISIBLE, "infrared": lexicon.INFRARED}


def sentence(random: Random) -> Tagged:
    """Generate one random prompt of at most LONGEST words."""
    draw = random.random()
    if draw < 0.12:
        return _short(random)
    if draw < 0.18:
        tagged = _phrase(random, lexicon.CLEAN_BOTH, "clean")
    elif draw < 0.26:
        tagged = [unknown(random) for _ in range(random.randint(1, 5))]
    else:
        tagged = _clauses(random)
        if random.random() < 0.2:
            at = random.randint(0, len(tagged))
            tagged[at:at] = [unknown(random) for _ in range(random.randint(1, 2))]
    if random.random() < 0.2:
        tagged.insert(random.randint(0, len(tagged)), (random.choice(lexicon.FILLER), "filler"))
    if random.random() < 0.3:
        at = random.randrange(len(tagged))
        word, tag = tagged[at]
        tagged[at] = (misspelt(word, random), tag)
    return _resolve(tagged)[:LONGEST]


def _short(random: Random) -> Tagged:
    """One or two phrases without a clause, as in typical prompts: `foggy night`."""
    name, second = random.choices(tuple(SAID), k=2)
    said = _phrase(random, random.choice(SAID[name]), name)
    if random.random() < 0.3:
        scene = _phrase(random, lexicon.CLEAN_SCENE, "clean visible")
        return _resolve(scene + (said if name == "low light" else []))
    if random.random() < 0.4:
        said += _phrase(random, SAID[second].thing, second)
    if random.random() < 0.3:
        at = random.randrange(len(said))
        said[at] = misspelt(said[at][0], random), said[at][1]
    return said


def misspelt(word: str, random: Random) -> str:
    """Add a typing error to words of at least five letters: delete, double, replace or swap a letter."""
    if len(word) < 5 or not word.isalpha():
        return word
    at = random.randrange(1, len(word) - 1)
    kind = random.randrange(4)
    if kind == 0:
        return word[:at] + word[at + 1 :]
    if kind == 1:
        return word[:at] + word[at] + word[at:]
    if kind == 2:
        return word[:at] + random.choice(string.ascii_lowercase) + word[at + 1 :]
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def unknown(random: Random) -> tuple[str, str]:
    """An out-of-vocabulary word: from Python's documentation, or of random letters."""
    if random.random() < 0.4:
        word = "".join(random.choices(string.ascii_lowercase, k=random.randint(3, 10)))
        if word not in known():
            return word, "unknown"
    return random.choice(_other_words()), "unknown"


@cache
def known() -> frozenset[str]:
    """The vocabulary of the grammar."""
    lists: Iterable[list[str]] = [value for value in vars(lexicon).values() if isinstance(value, list)]
    said = [phrase for each in (*SAID.values(), lexicon.OTHER) for phrases in each for phrase in phrases]
    return frozenset(word for phrase in (*said, *(p for each in lists for p in each)) for word in words(phrase))


@cache
def _other_words() -> list[str]:
    vocabulary = {word for text in topics.values() for word in re.findall(r"[a-z]{3,}", text.lower())}
    roots = {word[:4] for word in known() if len(word) > 4}
    return sorted(word for word in vocabulary - known() if word[:4] not in roots and not word.startswith("un"))


def _clauses(random: Random) -> Tagged:
    tagged: Tagged = []
    for index in range(random.choices((1, 2, 3, 4), (4, 5, 2, 1))[0]):
        if index:
            # "foggy night": no conjunction between adjective and noun
            tagged += [] if random.random() < 0.35 else _phrase(random, lexicon.JOIN)
        tagged += _clause(random)
    if random.random() < 0.3:
        tagged = _phrase(random, lexicon.BEFORE) + tagged
    if random.random() < 0.3:
        tagged += _phrase(random, lexicon.AFTER)
    return tagged


def _clause(random: Random) -> Tagged:
    """One statement: an affirmed or negated degradation, or a clean image, with or without a camera."""
    draw = random.random()
    if draw < 0.12:
        return _clean(random)
    if draw < 0.17:
        return _phrase(random, random.choice(lexicon.OTHER), "other")
    name = random.choice(tuple(SAID))
    if draw < 0.35:
        return _denied(name, random)
    if draw < 0.65:
        return _of_camera(name, random)
    return _alone(name, random)


def _alone(name: str, random: Random) -> Tagged:
    said = SAID[name]
    kind = random.random()
    if kind < 0.45:
        return _intensity(name, random) + _phrase(random, said.quality, name)
    if kind < 0.8:
        return _intensity(name, random) + _phrase(random, said.thing, name)
    if kind < 0.9:
        return _phrase(random, lexicon.REMOVE) + _plain("the" * random.randrange(2)) + _phrase(random, said.thing, name)
    return _phrase(random, said.remedy, name)


def _of_camera(name: str, random: Random) -> Tagged:
    """A degradation of the camera that has a task for it, or, in 15 %, of the other camera, which has none."""
    camera, tag = CAMERA[name], name
    if random.random() < 0.15:
        camera, tag = ("infrared" if camera == "visible" else "visible"), "other"
    of = _phrase(random, MODALITIES[camera])
    thing = _phrase(random, lexicon.THING)
    the = _phrase(random, ("the", "", "my", ""))
    said = SAID[name]
    quality = _intensity(name, random) + _phrase(random, said.quality, tag)
    noun = _phrase(random, said.thing, tag)
    if random.random() < 0.2:  # a second degradation of the same camera
        second = random.choice([other for other in SAID if CAMERA[other] == CAMERA[name]])
        quality += _phrase(random, ("and", ",", "and also"))
        quality += _phrase(random, SAID[second].quality, second if tag == name else "other")
    first, *rest = noun
    forms = (
        lambda: the + of + thing + _phrase(random, lexicon.BE) + quality,
        lambda: the + of + _phrase(random, lexicon.BE) + quality,
        lambda: quality + of + thing,
        lambda: quality + of,
        lambda: [first, *of, *rest] if rest else noun + of,  # "weak thermal contrast"
        lambda: noun + _phrase(random, ("in", "of", "in the", "on the", "for")) + of + thing,
        lambda: of + _phrase(random, (":", "has", "with", "suffers from", ":")) + noun,
        lambda: of + _plain(":") + quality,
        lambda: of + noun,
        lambda: _phrase(random, said.remedy, tag) + _phrase(random, ("", "the")) + of + thing,
        lambda: _phrase(random, said.remedy, tag) + of,
        lambda: _phrase(random, lexicon.REMOVE) + noun + _plain("in") + of,
    )
    return random.choice(forms)()


def _denied(name: str, random: Random) -> Tagged:
    said, tag = SAID[name], f"no {name}"
    qualities = [q for q in said.quality if not q.startswith("not ") and "lacking" not in q]
    things = [
        t for t in said.thing if not t.startswith(("no ", "lack", "little", "hardly", "missing", "low ", "few", "in"))
    ]
    quality, noun = _phrase(random, qualities, tag), _phrase(random, things, tag)
    other = random.choice([other for other in SAID if other != name])
    of = _phrase(random, MODALITIES[CAMERA[name]]) + _phrase(random, lexicon.THING)
    forms = (
        lambda: _phrase(random, lexicon.NO, tag) + noun,
        lambda: _phrase(random, lexicon.NOT, tag) + quality,
        lambda: of + _phrase(random, ("is not", "isn't", "not", "is no longer"), tag) + quality,
        lambda: _phrase(random, lexicon.NO, tag) + noun + _plain("in the") + of,
        lambda: noun[:1] + _tag("free", tag) if len(noun) == 1 else _tag("no", tag) + noun,
        lambda: _phrase(random, lexicon.DONT, tag) + _phrase(random, said.remedy, tag),
        lambda: (
            _tag("no", tag)
            + noun
            + _phrase(random, ("or", "and no", ", no"))
            + _tag(min(random.choices(SAID[other].thing, k=3), key=len), f"no {other}")
        ),
        lambda: _tag("neither", tag) + quality + _plain("nor") + _tag(_single(other, random), f"no {other}"),
        lambda: _tag("not", tag) + quality + _plain("or") + _tag(_single(other, random), f"no {other}"),
        lambda: (
            _phrase(random, ("not", "isn't"), tag)
            + quality
            + _phrase(random, ("but", ", but", ","))
            + _tag(_single(other, random), other)
        ),
        lambda: _tag("no", tag) + noun + _phrase(random, ("but", ", but", ",", "just", "only")) + _alone(other, random),
    )
    return random.choice(forms)()


def _single(name: str, random: Random) -> str:
    return random.choice([q for q in SAID[name].quality if len(q.split()) == 1] or SAID[name].thing)


def _clean(random: Random) -> Tagged:
    if random.random() < 0.3:
        return _phrase(random, lexicon.CLEAN_SCENE, "clean visible")
    camera = random.choice(tuple(MODALITIES))
    tag = f"clean {camera}"
    of, thing = _phrase(random, MODALITIES[camera]), _phrase(random, lexicon.THING)
    good = _phrase(random, lexicon.CLEAN, tag)
    forms = (
        lambda: _phrase(random, ("the", "")) + of + thing + _phrase(random, lexicon.BE) + good,
        lambda: good + of + thing,
        lambda: good + of,
        lambda: of + _phrase(random, (":", "is", "are")) + good,
        lambda: of + good,
        lambda: _phrase(random, ("no problem", "nothing wrong"), tag) + _plain("with the") + of + thing,
    )
    return random.choice(forms)()


def _intensity(name: str, random: Random) -> Tagged:
    if name.startswith("low resolution") or random.random() > 0.25:  # "very low resolution" means x8
        return []
    return _phrase(random, lexicon.HARD)


def _phrase(random: Random, phrases: Sequence[str], tag: str = "filler") -> Tagged:
    """One of the phrases."""
    return _tag(random.choice(phrases), tag)


def _tag(phrase: str, tag: str) -> Tagged:
    return [(word, tag) for word in words(phrase)]


def _plain(phrase: str) -> Tagged:
    return _tag(phrase, "filler")


def _resolve(tagged: Tagged) -> Tagged:
    """Tag weather words as filler if a degradation is named: `clear night` does not mean a clean visible image."""
    said = {tag for _, tag in tagged}
    if not any(task.name in said for task in TASKS if task.camera == "visible"):
        return tagged
    night = "low light" in said and "haze" not in said
    weather = {"sunny", "day", "weather", "bright", "nice", *(["clear"] if night else [])}
    return [(word, "filler" if tag == "clean visible" and word in weather else tag) for word, tag in tagged]
