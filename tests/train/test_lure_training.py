"""LURE's two stages, the examples they learn from, and the text encoder's grammar."""

from __future__ import annotations

from pathlib import Path
from random import Random

import cv2
import numpy as np
import pytest
import torch

from fusecam.engines.networks.lure import Lure, Profile
from fusecam.engines.networks.tasks import TASKS
from fusecam.engines.prompts.encoder import TAGS, TextEncoder
from fusecam.engines.prompts.words import LONGEST
from fusecam.train import losses
from fusecam.train.errors import TrainError
from fusecam.train.lure import LureRecipe, Weights, coarsen, make_restoration, overexpose, score, stage_one, stage_two
from fusecam.train.prompts.fit import loss, understood
from fusecam.train.prompts.grammar import known, misspelt, sentence
from fusecam.train.recipe import read_recipe

pytestmark = pytest.mark.slow

LEAST = Profile((8, 8, 8, 8), (4, 4, 4, 4), (1, 1, 1, 1), (1, 1, 1, 1), fusion=(1, 1, 1, 1), heads=2, text=8)


def batch(n: int = 4, level: float = 0.5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(3)
    frames = (255 * level * 2 * torch.rand(n, 4, 32, 40, generator=random)).clamp(0, 255).to(torch.uint8)
    return frames[:, :3], frames[:, 3:], torch.tensor(4)


def test_unified_loss_is_one_minus_cosine_similarity() -> None:
    first = [torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0]])]
    second = [torch.tensor([[4.0, 3.0]]), torch.tensor([[0.0, 5.0]])]
    assert losses.unified(first, second).item() == pytest.approx(1 - (24 / 25 + 0) / 2)
    assert losses.unified(first, first).item() == pytest.approx(0, abs=1e-6)


def test_examples_are_degraded_by_their_prompts() -> None:
    visible, infrared, _ = batch(64)
    example = make_restoration(visible, infrared, torch.Generator().manual_seed(0))
    asked = example.strengths.flatten(1).bool()
    assert asked.shape == (64, len(TASKS))
    assert asked.any(dim=0).all(), "every task is drawn"
    assert not asked[:, 3:].sum(dim=1).gt(1).any(), "one task for infrared"
    assert (~asked).all(dim=1).sum() < 16
    clean_infrared = ~asked[:, 3:].any(dim=1)
    moved = (example.infrared - example.sharp).abs().amax(dim=(1, 2, 3))
    assert moved[clean_infrared].max() < 1 / 255 + 1e-6
    assert moved[~clean_infrared].min() > 0.05
    moved = (example.visible - example.clear).abs().mean(dim=(1, 2, 3))
    clean = ~asked[:, :3].any(dim=1)
    assert moved[clean].max() < 0.02 < moved[~clean].min()
    again = make_restoration(visible, infrared, torch.Generator().manual_seed(0))
    assert torch.equal(again.visible, example.visible)


def test_night_examples_are_not_darkened_further() -> None:
    visible, infrared, _ = batch(64, level=0.05)
    example = make_restoration(visible, infrared, torch.Generator().manual_seed(0))
    dark = example.strengths[:, 1, 0, 0] == 1
    given = visible.float() / 255
    assert example.clear[dark].mean() > 1.5 * given[dark].mean()
    assert torch.equal(example.clear[~dark], given[~dark])


def test_single_degradations_change_their_image() -> None:
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2
    bright = overexpose(image, torch.Generator().manual_seed(0))
    assert (bright >= image).all()
    assert bright.max() == 1
    coarse = coarsen(image, 8)
    assert coarse.shape == image.shape
    assert coarse.diff(dim=3).abs().mean() < 0.3 * image.diff(dim=3).abs().mean()


def test_stage_one_trains_all_but_fusion_and_stage_two_all_but_the_encoder() -> None:
    torch.manual_seed(0)
    given = batch()
    example = make_restoration(*given[:2], torch.Generator().manual_seed(0))
    for parts, reached, left in (
        (lambda net: stage_one(net, example, Weights()), {"prompts", "encoder", "decoder"}, {"fusion"}),
        (lambda net: stage_two(net, given, Weights()), {"fusion", "decoder"}, {"prompts", "encoder"}),
    ):
        network = Lure(LEAST)
        found = parts(network)
        assert all(torch.isfinite(value) for value in found.values())
        torch.stack([*found.values()]).sum().backward()
        names = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
        assert names == reached
        assert not names & left


def test_both_stages_reduce_the_loss() -> None:
    torch.manual_seed(0)
    visible, infrared, factor = batch(2)
    smooth = [torch.nn.functional.avg_pool2d(x.float(), 9, 1, 4).to(torch.uint8) for x in (visible, infrared)]
    network, pair = Lure(LEAST), (smooth[0], smooth[1], factor)
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    example = make_restoration(*smooth, torch.Generator().manual_seed(0))
    for stage in (lambda: stage_one(network, example, Weights()), lambda: stage_two(network, pair, Weights())):
        costs = []
        for _ in range(25):
            cost = torch.stack([*stage().values()]).sum()
            optimiser.zero_grad()
            cost.backward()
            optimiser.step()
            costs.append(float(cost))
        assert min(costs[-3:]) < 0.75 * costs[0]


def test_clean_images_score_better_than_degraded_ones() -> None:
    visible, infrared, _ = batch(4)
    example = make_restoration(visible, infrared, torch.Generator().manual_seed(0))
    given = score(None, example)
    clean = score(None, example._replace(visible=example.clear, infrared=example.sharp))
    assert set(given) == {"restored", "infrared", "edges", "information", "similarity"}
    assert clean["restored"] == clean["infrared"] == 60
    assert all(clean[name] > given[name] for name in given)
    assert set(score(Lure(LEAST).eval(), example)) == set(given)


def test_recipes_are_valid_and_unknown_keys_refused(tmp_path: Path) -> None:
    recipes = Path(__file__).parents[2] / "train" / "recipes"
    assert read_recipe(recipes / "lure_small.yaml", LureRecipe).lure.small
    assert not read_recipe(recipes / "lure.yaml", LureRecipe).lure.small
    file = tmp_path / "mine.yaml"
    for text, message in (
        ("data: [{root: .}]\nlure: {smal: true}", "lure.smal"),
        ("data: [{root: .}]\nlure: {}\nlosses: {}", "`losses` does not apply to this network"),
        ("data: [{root: .}]\nlure: {tga: none}", "lure.tga"),
    ):
        file.write_text(text)
        with pytest.raises(TrainError, match=message) as error:
            read_recipe(file, LureRecipe)
        assert "\n" not in str(error.value)


def test_command_trains_weights_that_can_be_imported(tmp_path: Path, monkeypatch) -> None:
    from typer.testing import CliRunner

    from fusecam.engines.networks import checkpoints
    from fusecam.pipeline.cli import app

    monkeypatch.setenv("FUSECAM_HOME", str(tmp_path / "home"))
    random = np.random.default_rng(0)
    for folder, shape in (("vis", (48, 64, 3)), ("ir", (48, 64))):
        (tmp_path / folder).mkdir()
        for number in range(4):
            cv2.imwrite(str(tmp_path / folder / f"{number}.png"), random.integers(0, 256, shape, np.uint8))
    source = "{root: ., grid: frame, size: [32, 40], batch: 1, hold_out: 2}"
    (tmp_path / "r.yaml").write_text(
        f"data: [{source}]\nlure: {{small: true, first: 0.5}}\nsteps: 2\nsteps_per_epoch: 2\naverage: 0\n"
    )
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["train", str(tmp_path / "r.yaml"), "-o", str(out), "--devices", "1"])
    assert result.exit_code == 0, result.output
    for row in ("untrained", "average", "trained"):
        assert row in result.output
    kept = checkpoints.import_weights("lure", [out / "weights.safetensors"])
    assert kept.profile["widths"] == (12, 24, 40, 64)
    assert checkpoints.load("lure").profile.text == 32


def test_phrases_use_every_tag_and_truly_unknown_words() -> None:
    random = Random(0)
    drawn = [sentence(random) for _ in range(400)]
    assert all(1 <= len(each) <= LONGEST for each in drawn)
    said = {tag for each in drawn for _, tag in each}
    assert said == set(TAGS)
    strange = {word for each in drawn for word, tag in each if tag == "unknown"}
    assert not strange & known()
    changed = [misspelt("overexposed", random) for _ in range(50)]
    assert all(word != "overexposed" or len(word) >= 11 for word in changed)
    assert len(set(changed)) > 20
    assert misspelt("fog", random) == "fog"


def test_text_encoder_training_reduces_the_loss() -> None:
    torch.manual_seed(0)
    encoder, random = TextEncoder(), Random(0)
    optimiser = torch.optim.AdamW(encoder.parameters(), 1e-2)
    before = understood(encoder, 100, 1)
    costs = []
    for _ in range(40):
        cost = loss(encoder, [sentence(random) for _ in range(32)])
        optimiser.zero_grad()
        cost.backward()
        optimiser.step()
        costs.append(float(cost))
    assert costs[-1] < 0.6 * costs[0]
    assert understood(encoder, 100, 1) > before
