"""A whole tiny training run, by the command."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fusecam.engines.networks.checkpoints import weights_file, write
from fusecam.engines.networks.realtime import RealtimeFusion
from fusecam.engines.networks.realtime_core import PROFILES
from fusecam.train.module import make_network, save_weights
from fusecam.train.objective import Example, make_example
from fusecam.train.reading import read_training
from fusecam.train.recipe import Recipe

from .tiny_run import RECIPE, one_line, run

pytestmark = pytest.mark.slow

TINY = weights_file("tiny")


def test_training_writes_weights_metrics_and_sheets_and_resumes(recipe: Path, tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    out = tmp_path / "run"
    result = run(str(recipe), "--out", str(out), "--devices", "1")
    assert result.exit_code == 0, result.output
    assert "weights.safetensors" in result.output
    assert "Epoch 1 " in result.output and "Epoch 0" not in result.output and "/-" not in result.output
    first = load_file(out / "weights.safetensors")
    assert first["core.maps.weight"].abs().sum() > 0 and all(value.isfinite().all() for value in first.values())
    assert "val/psnr" in (out / "logs/version_0/metrics.csv").read_text().splitlines()[0]
    assert [path.name for path in (out / "sheets").iterdir()] == ["000002.png"]

    recipe.write_text(RECIPE.replace("STEPS", "4"))
    result = run(str(recipe), "--out", str(out), "--resume", "--devices", "1")
    assert result.exit_code == 0, result.output
    assert {path.name for path in (out / "sheets").iterdir()} == {"000002.png", "000004.png"}
    assert (out / "logs/version_1/metrics.csv").is_file()
    second = load_file(out / "weights.safetensors")
    assert any(not value.equal(first[name]) for name, value in second.items())


def test_validation_writes_the_averaged_weights(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lightning")
    from fusecam.train import module

    written: list[dict[str, torch.Tensor]] = []

    def save(network: torch.nn.Module, path: Path, about: dict[str, str] | None = None) -> None:
        written.append({name: value.clone() for name, value in network.state_dict().items()})
        save_weights(network, path, about)

    monkeypatch.setattr(module, "save_weights", save)
    out = tmp_path / "run"
    result = run(str(recipe), "--out", str(out), "--devices", "1")
    assert result.exit_code == 0, result.output
    checkpoint = torch.load(out / "last.ckpt", weights_only=True)
    averaged = {name.removeprefix("network."): value for name, value in checkpoint["state_dict"].items()}
    after_validation, _ = written  # and at the end
    learning = checkpoint["current_model_state"]["network.core.maps.weight"]
    assert not learning.equal(averaged["core.maps.weight"]), "would go on from the mean"
    assert after_validation["core.maps.weight"].abs().sum() > 0
    assert all(value.equal(averaged[name]) for name, value in after_validation.items())


def test_weight_average_starts_short_and_grows_long() -> None:
    pytest.importorskip("lightning")
    from fusecam.train.fit import averaged

    mean = torch.ones(1)
    for count in range(1, 60):
        mean = averaged(mean, torch.zeros(1), torch.tensor(count), 0.998)
    assert mean < 1e-3
    assert averaged(torch.ones(1), torch.zeros(1), 100_000, 0.998).item() == pytest.approx(0.998)


def test_every_device_and_epoch_draws_different_batches(recipe: Path) -> None:
    pytest.importorskip("lightning")
    from fusecam.train.data import PairDataset, find_pairs
    from fusecam.train.fit import Mixed

    sources = read_training(recipe).recipe.data
    pairs = [PairDataset(find_pairs(source.root), source.size, source.grid == "frame") for source in sources]

    def drawn(*where: int) -> list[torch.Tensor]:
        return [visible for visible, _, _ in Mixed(sources, pairs, 6, lambda: where)]

    def alike(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
        return all(a.equal(b) for a, b in zip(first, second, strict=True))

    first = drawn(0, 0, 0)
    assert alike(first, drawn(0, 0, 0))
    assert not any(alike(first, drawn(*where)) for where in [(0, 1, 0), (0, 0, 6), (1, 0, 0)])
    assert len({int(visible.float().sum()) for visible in first}) > 1


def test_two_devices_draw_different_batches(recipe: Path, tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    code = """
import os, sys
from pathlib import Path
from fusecam.train import fit
from fusecam.train.reading import read_training

collate = fit._collate

def told(pairs, source):
    batch = collate(pairs, source)
    with (Path(sys.argv[2]) / f"{os.environ.get('LOCAL_RANK', '0')}.txt").open("a") as file:
        print(source.grid, float(batch[0].float().mean()), file=file)
    return batch

fit._collate = told
read_training(Path(sys.argv[1])).run(Path(sys.argv[2]), False, "2")
"""
    text = RECIPE.replace("STEPS", "4").replace("steps_per_epoch: 2", "steps_per_epoch: 4")
    recipe.write_text(text)
    script = tmp_path / "train_on_two.py"
    script.write_text(code)
    folder = tmp_path / "drawn"
    folder.mkdir()
    done = subprocess.run([sys.executable, script, recipe, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = (path.read_text().splitlines()[:4] for path in sorted(folder.glob("?.txt")))
    assert len(first) == 4 and first != second


def test_hangup_ignored_by_nohup_stays_ignored(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    from fusecam.train.loop import InterruptHandler

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    handler = InterruptHandler(tmp_path / "last.ckpt")
    try:
        with handler.handle_signals():
            handler.on_train_start(None, None)  # type: ignore[arg-type]
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_run_says_how_to_resume(recipe: Path, tmp_path: Path, number: signal.Signals) -> None:
    pytest.importorskip("lightning")
    text = RECIPE.replace("steps_per_epoch: 2", "steps_per_epoch: 5")
    recipe.write_text(text.replace("STEPS", "100000"))
    out = tmp_path / "run"
    command = [sys.executable, "-c", "from fusecam.pipeline.cli import main; main()", "train", str(recipe)]
    command += ["--out", str(out), "--devices", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            deadline = time.monotonic() + 300
            while not (out / "sheets").is_dir() or not any((out / "sheets").iterdir()):
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.05)
            process.send_signal(number)
            said, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, said
    assert f"stopped; checkpoint saved to {out / 'last.ckpt'}: continue with --resume" in said
    assert "wrote" not in said
    last = torch.load(out / "last.ckpt", weights_only=True)
    done, name = last["global_step"], "network.core.maps.weight"
    assert not last["current_model_state"][name].equal(last["state_dict"][name]), "would go on from the mean"
    assert all(int(path.stem) % 5 == 0 for path in (out / "sheets").iterdir())  # it does not validate first
    recipe.write_text(text.replace("STEPS", str(done + 2)))
    assert run(str(recipe), "--out", str(out), "--resume", "--devices", "1").exit_code == 0
    assert torch.load(out / "last.ckpt", weights_only=True)["global_step"] == done + 2


def test_diverged_run_stops_and_writes_no_weights(recipe: Path, tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    out = tmp_path / "run"
    recipe.write_text(RECIPE.replace("STEPS", "8").replace("steps_per_epoch: 2", "steps_per_epoch: 8\nrate: 1.0e+30"))
    result = run(str(recipe), "--out", str(out), "--devices", "1")
    assert result.exit_code == 1 and re.search(r"the loss is nan at step \d: diverged; lower `rate`", result.output)
    assert not (out / "weights.safetensors").exists()
    recipe.write_text(RECIPE.replace("STEPS", "8") + "rate: .inf\n")
    result = run(str(recipe), "--out", str(out), "--devices", "1")
    assert result.exit_code == 1 and "rate: Input should be a finite number" in result.output


def test_unusable_checkpoint_is_refused_on_resume(recipe: Path, tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    out = tmp_path / "run"
    result = run(str(recipe), "--out", str(out), "--resume", "--devices", "1")
    assert result.exit_code == 0 and "no checkpoint yet: starting from scratch" in one_line(result.output)
    last = out / "last.ckpt"
    recipe.write_text(RECIPE.replace("STEPS", "4").replace("profile: tiny", "profile: realtime"))
    result = run(str(recipe), "--out", str(out), "--resume", "--devices", "1")
    assert result.exit_code == 1
    assert "last.ckpt: checkpoint of a different network than the recipe's" in one_line(result.output)
    last.write_bytes(last.read_bytes()[:5000])
    result = run(str(recipe), "--out", str(out), "--resume", "--devices", "1")
    assert result.exit_code == 1 and "last.ckpt: damaged, or not a checkpoint" in one_line(result.output)


def test_stages_run_in_sequence_and_train_their_parameters(recipe: Path, tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    text = RECIPE.replace("steps: STEPS\n", "").replace("average: 0.5", "average: 0").replace("tiny", "realtime")
    made = {}
    for name, stages in (("core", "{steps: 2, head: 0}"), ("both", "{steps: 2, head: 0}, {steps: 2, core: 0}")):
        recipe.write_text(text + f"stages: [{stages}]\n")
        result = run(str(recipe), "--out", str(tmp_path / name), "--devices", "1")
        assert result.exit_code == 0, result.output
        made[name] = load_file(tmp_path / name / "weights.safetensors")
    core, both = made["core"], made["both"]
    assert torch.load(tmp_path / "both/last.ckpt", weights_only=True)["global_step"] == 4
    assert core["core.maps.weight"].abs().sum() > 0 and core["head.both.weight"].abs().sum() == 0
    assert both["core.maps.weight"].equal(core["core.maps.weight"]) and both["head.both.weight"].abs().sum() > 0


def test_batch_norm_is_frozen_from_the_step_of_the_recipe(recipe: Path, tmp_path: Path) -> None:
    recipe.write_text(RECIPE.replace("STEPS", "4").replace("average: 0.5", "average: 0") + "norms: 3\n")
    result = run(str(recipe), "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    state = load_file(tmp_path / "out" / "weights.safetensors")
    counted = {int(value) for name, value in state.items() if name.endswith("num_batches_tracked")}
    assert counted == {3}


def test_stages_have_their_own_mixture(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fusecam.train import module

    drawn: list[float] = []

    def example(*given: Any) -> Example:
        drawn.append(given[2].haze)
        return make_example(*given)

    monkeypatch.setattr(module, "make_example", example)
    text = RECIPE.replace("steps: STEPS\n", "").replace("steps_per_epoch: 2", "steps_per_epoch: 4")
    recipe.write_text(text + "stages: [{steps: 2, mixture: {haze: 0.25}}, {steps: 2}]\nmixture: {haze: 0.5}\n")
    result = run(str(recipe), "--out", str(tmp_path / "out"), "--devices", "1")
    assert result.exit_code == 0, result.output
    assert drawn[:4] == [0.25, 0.25, 0.5, 0.5] and set(drawn[4:]) == {0.5}


def test_start_weights_of_other_airlight_ranges_keep_their_output(tmp_path: Path) -> None:
    start, profile = RealtimeFusion(PROFILES["tiny"]), PROFILES["tiny"]
    for layer in (start.core.whole, start.core.air_field):  # small corrections: tanh bends far ones
        torch.nn.init.normal_(layer.weight, std=0.1)
    file = tmp_path / "start.safetensors"
    write(file, "tiny", start.state_dict(), profile)
    given = [torch.rand(1, channels, 48, 64) for channels in (3, 1)]

    def airlight(network: RealtimeFusion) -> torch.Tensor:
        with torch.no_grad():
            return network.core(*given, torch.ones(1, 1, 48, 64)).air

    kept, wider = (
        make_network(
            Recipe(
                data=[{"root": "pairs"}], network={"profile": "tiny", "start": tmp_path / "start.safetensors"} | ranges
            )
        ).eval()
        for ranges in ({}, {"air": 0.7, "field": 0.4})
    )
    assert (wider.profile.air, wider.profile.field) == (0.7, 0.4)
    assert kept.profile.air == profile.air != 0.7
    torch.testing.assert_close(airlight(wider), airlight(kept), atol=0.03, rtol=0)
    assert not airlight(wider).equal(airlight(kept))


def test_start_weights_are_blended_with_trained_ones(recipe: Path, tmp_path: Path) -> None:
    made = {}
    for keep in (0, 0.75):
        network = f"network: {{profile: tiny, start: {TINY}, keep: {keep}}}"
        recipe.write_text(RECIPE.replace("STEPS", "2").replace("network: {profile: tiny}", network))
        result = run(str(recipe), "--out", str(tmp_path / str(keep)), "--devices", "1")
        assert result.exit_code == 0, result.output
        made[keep] = load_file(tmp_path / str(keep) / "weights.safetensors")["core.maps.weight"].float()
    start = load_file(TINY)["core.maps.weight"].float()
    assert not made[0].equal(start)
    torch.testing.assert_close(made[0.75] - start, 0.25 * (made[0] - start), atol=2e-4, rtol=0)
