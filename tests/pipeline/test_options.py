"""Every option of the command reaches a setting, and what is given there overrules a run file."""

from __future__ import annotations

import sys
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from fusecam.pipeline import cli
from fusecam.pipeline.batch import run
from fusecam.pipeline.cli import app
from fusecam.pipeline.commands import fuse
from fusecam.pipeline.config import RunConfig

VALUES = {
    "ir": "x.mp4", "vis": "y.mp4", "config": "run.yaml", "max_frames": 3, "rig": "rig.yaml", "distance": 7.5,
    "offset_ms": 12.5, "pairs": "pairs.csv", "engine": "tiny", "dehaze": 0.5, "lift": 0.5, "hue": 0.3,
    "prompt": "foggy night", "detector": "other.pt",
    "classes": "person", "conf": 0.7, "out": "other", "report": "r.json", "record": "recordings",
    "metrics": ":9101", "serve": ":8081", "token": "longenough", "watch_token": "longenough", "view": "edges",
    "tls": ("c.pem", "k.pem"),
    "palette": "ironbow", "ray": "host:6379", "ray_cores": 3,
}  # fmt: skip
NEEDED = {"events": ["--record", "d"], "ray_cores": ["--ray", "host:1"], "token": ["--serve", ":8080"]} | {
    "palette": ["--view", "blend"]
}
FIRST = {"run": ["--ir", "a.mp4", "--vis", "b.mp4"], "batch": ["batch", "a", "b", "--out", "o"]}
LEFT_OUT = {"version", "help", "help_all", "ir_source", "vis_source"}


def cases() -> list[Any]:
    """Each spelling of each option: (command, words)."""
    group: Any = get_command(app)
    found = []
    for name, command in (("run", group), ("batch", group.commands["batch"])):
        for option in command.params:
            if option.name in LEFT_OUT:
                continue
            given = () if option.is_flag else VALUES[option.name]
            value = list(given) if isinstance(given, tuple) else [str(given)]
            for word in (option.opts[0], *option.secondary_opts[:1]):
                found.append(pytest.param(name, option.name, [word, *value], id=f"{name} {word}"))
    return found


class Seen:
    """What the command would do, as told by what it calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._patch = monkeypatch
        monkeypatch.chdir(folder)
        monkeypatch.delenv("FUSECAM_TOKEN", raising=False)
        (folder / "run.yaml").write_text("max_frames: 11\n")

    def __call__(self, *words: str) -> tuple[str, Any]:
        """The configuration as JSON, and the call's other arguments."""
        took: list[Any] = []

        def take(*arguments: Any) -> int:
            took.extend(arguments)
            return 0

        self._patch.setattr(fuse, "run_fuse", take)
        self._patch.setattr(run, "run_batch", take)
        self._patch.setattr(sys, "argv", ["fusecam", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert left.value.code == 0, words
        config = next(argument for argument in took if isinstance(argument, RunConfig))
        tokens = config.monitor.token, config.monitor.watch_token
        token = [None if each is None else each.get_secret_value() for each in tokens]
        others = [
            repr(argument)
            for argument in took
            if isinstance(argument, str | bool | Path) or "Cluster" in repr(argument)
        ]
        return f"{config.model_dump_json()} {token}", others


@pytest.fixture
def seen(monkeypatch, tmp_path) -> Seen:
    return Seen(monkeypatch, tmp_path)


@pytest.mark.parametrize(("command", "name", "words"), cases())
def test_option_sets_its_setting(command, name, words, seen):
    base = [*FIRST[command], *NEEDED.get(name, [])]
    if words[0] == "--no-inset" or words[0] in ("--no-tint", "--no-events", "--no-trails", "--no-track"):
        base += {"--no-trails": ["--track"]}.get(words[0], [])
        on = {"--no-events": ["--record", "d"]}.get(words[0], [])
        assert seen(*base, *on, words[0].replace("--no-", "--")) != seen(*base, *on, *words)
        return
    assert seen(*base) != seen(*base, *words)


@pytest.mark.parametrize(
    ("run_file", "words", "expected"),
    [
        ("detector: {track: true}", ["--no-detect"], ("detector", "enabled", False)),
        ("{detector: {track: true}, overlay: {trails: true}}", ["--no-detect"], ("overlay", "trails", False)),
        ("{detector: {track: true}, overlay: {trails: true}}", ["--no-track"], ("detector", "track", False)),
        ("record: {folder: d, events: true}", ["--no-detect"], ("record", "events", False)),
        ("engine: {dehaze: 0.3, lift: 0.2}", ["--prompt", "haze"], ("engine", "dehaze", "auto")),
        ("engine: {prompt: haze}", ["--lift", "0.5"], ("engine", "prompt", "auto")),
        ("engine: {dehaze: 0.3}", ["--lift", "0.5"], ("engine", "dehaze", 0.3)),
        ("{detector: {enabled: false}}", ["--detect"], ("detector", "enabled", True)),
        ("sources: {ir: 0, vis: 1}", [], ("sources.ir", "source", "0")),
    ],
)
def test_option_overrides_the_run_file(run_file, words, expected, seen, tmp_path):
    (tmp_path / "run.yaml").write_text(run_file)
    first = [] if "sources" in run_file else FIRST["run"]
    config = RunConfig.model_validate_json(seen(*first, "--config", "run.yaml", *words)[0].rsplit(" [", 1)[0])
    section, key, value = expected
    assert attrgetter(f"{section}.{key}")(config) == value


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ir", "a.mp4", "--vis", "b.mp4", "--detect", "true"], "--detect takes no value, but 'true' follows: write"),
        (["--no-detect", "YES", "--ir", "a.mp4"], "write --detect or --no-detect alone"),
        (
            ["batch", "a", "b", "--out", "o", "--force", "1"],
            "--force takes no value, but '1' follows: write --force al",
        ),
        (["batch", "--track", "false", "a", "b", "--out", "o"], "write --track or --no-track alone"),
        (["eval", "--ir", "a", "--vis", "b", "--video", "no"], "--video takes no value"),
        (["train", "tiny", "--resume", "on"], "--resume takes no value"),
    ],
)
def test_value_of_a_flag_is_refused_in_plain_words(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(sys, "argv", ["fusecam", *words])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2 and said in capsys.readouterr().err


def test_folder_named_as_a_truth_value_may_follow_a_flag(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    seen = Seen(monkeypatch, tmp_path)
    _, others = seen("batch", "--force", "1", "b", "--out", "o")
    assert "'1'" in others and "True" in others


def test_flags_of_one_command_take_no_value_in_another() -> None:
    """They are told from values by name alone."""
    flags: set[str] = set()
    valued: set[str] = set()

    def collect(command: Any) -> None:
        for each in command.params:
            if each.param_type_name == "option":
                (flags if each.is_flag else valued).update([*each.opts, *each.secondary_opts])
        for each in getattr(command, "commands", {}).values():
            collect(each)

    collect(get_command(app))
    assert "--detect" in flags and "--rig" in valued and not flags & valued


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--distance", "-3"], "--distance -3: give metres above 0"),
        (["--distance", "nan"], "--distance nan: give metres above 0"),
        (["--offset-ms", "inf"], "--offset-ms inf: give a number"),
        (["--view", "side"], "--view side: unknown; use one of fused, blend, edges, side-by-side, visible, infrared"),
        (
            ["--palette", "red"],
            "--palette red: unknown; use one of white-hot, black-hot, ironbow, inferno, magma, turbo",
        ),
        (["--conf", "7"], "--conf 7.0: give a number between 0 and 1"),
        (["--lift", "7"], "--lift 7: give a number from 0 to 1, or auto"),
    ],
)
def test_bad_value_names_its_option_and_not_the_run_file(words, told, tmp_path, monkeypatch, capsys):
    (tmp_path / "run.yaml").write_text("sources: {ir: 0, vis: 1}")
    monkeypatch.setattr(sys, "argv", ["fusecam", "--config", str(tmp_path / "run.yaml"), *words])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 1
    assert capsys.readouterr().err.strip() == f"fusecam: error: {told}"
