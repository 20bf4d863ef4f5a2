"""Training IASSF and DFVO: the papers' losses and hyper-parameters, and a run from recipe to engine."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from fusecam.engines import create_engine
from fusecam.engines.networks import checkpoints
from fusecam.train.degrade import Mixture
from fusecam.train.errors import TrainError
from fusecam.train.papers import (
    DfvoSettings,
    DfvoTask,
    IassfSettings,
    IassfTask,
    PaperModule,
    PaperRecipe,
    equalised,
    fit_paper,
    make_task,
    strip_over_exposure,
    turned,
)
from fusecam.train.recipe import read_recipe

pytestmark = pytest.mark.slow

RECIPES = Path(__file__).resolve().parents[2] / "train" / "recipes"


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return torch.rand(2, 3, 32, 48, generator=random), torch.rand(2, 1, 32, 48, generator=random)


@pytest.mark.parametrize(
    ("name", "epochs", "rate", "betas", "decay", "falls"),
    [
        ("iassf", 300, 2e-4, (0.9, 0.999), 0.01, 2e-6 / 2e-4),
        ("dfvo", 100, 1e-4, (0.9, 0.8), 0.0, 1.0),
    ],
)
def test_full_recipes_have_the_hyper_parameters_of_the_paper(name, epochs, rate, betas, decay, falls) -> None:
    recipe = read_recipe(RECIPES / f"{name}.yaml", PaperRecipe)
    assert recipe.steps == epochs * recipe.steps_per_epoch
    assert (recipe.rate, recipe.betas, recipe.decay, recipe.falls) == (rate, betas, decay, pytest.approx(falls))
    assert recipe.average == 0  # no running mean of the weights
    assert read_recipe(RECIPES / f"{name}_small.yaml", PaperRecipe).name == name


def test_learning_rate_follows_a_cosine() -> None:
    recipe = read_recipe(RECIPES / "iassf_small.yaml", PaperRecipe).model_copy(update={"steps": 100})
    given = PaperModule(recipe, make_task(recipe)).configure_optimizers()
    optimiser, schedule = given["optimizer"], given["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(101):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates[0] == pytest.approx(recipe.rate)
    assert rates[50] == pytest.approx(recipe.rate * (1 + 0.01) / 2)
    assert rates[100] == pytest.approx(recipe.rate / 100)
    assert optimiser.param_groups[0]["weight_decay"] == 0.01


def test_histogram_equalisation_equals_opencv() -> None:
    random = np.random.default_rng(0)
    planes = np.stack([random.integers(20, 90, (40, 50)), random.integers(0, 255, (40, 50)) // 9 * 3]).astype(np.uint8)
    found = equalised(torch.from_numpy(planes)[:, None] / 255)
    for plane, ours in zip(planes, found, strict=True):
        assert np.abs(cv2.equalizeHist(plane) - 255 * ours[0].numpy()).max() <= 0.51
    constant = equalised(torch.full((1, 1, 8, 8), 0.4))
    assert constant.isfinite().all()


def test_over_exposed_pixels_are_taken_from_infrared() -> None:
    visible = torch.full((1, 3, 96, 96), 0.02)
    visible[:, :, 40:60, 40:60] = 1.0  # a lamp: its dark channel is far above the mean
    enhanced, infrared = torch.full((1, 1, 96, 96), 0.6), torch.full((1, 1, 96, 96), 0.3)
    stripped = strip_over_exposure(enhanced, infrared, visible, 7)
    assert (stripped[..., 48:52, 48:52] == 0.3).all()
    assert (stripped[..., :20, :20] == 0.6).all()
    # one lamp red alone has no dark channel
    visible[:, 1:] = 0.02
    assert (strip_over_exposure(enhanced, infrared, visible, 7) == 0.6).all()


def test_pairs_are_rotated_together() -> None:
    seen = set()
    visible = torch.arange(12.0).reshape(1, 1, 2, 6).expand(1, 3, 2, 6)
    square = torch.arange(16.0).reshape(1, 1, 4, 4).expand(1, 3, 4, 4)
    for seed in range(40):
        random = torch.Generator().manual_seed(seed)
        flat = turned(visible, visible[:, :1], random)
        assert flat[0].shape == visible.shape
        both = turned(square, square[:, :1], random)
        assert torch.equal(both[0][:, :1], both[1])
        seen.add(tuple(both[1].flatten().tolist()))
    assert len(seen) == 8


def test_iassf_loss_equals_the_paper(pair) -> None:
    settings = IassfSettings(variant="small")
    none = Mixture(haze=0, night=0, glare=0, weak_infrared=0, stripes=0, noise=0)
    task = IassfTask(settings, none)
    task.network.eval()
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        parts = task.cost(*pair, random, 0.0)
    random = torch.Generator().manual_seed(1)
    clear, thermal = turned(*pair, random)
    with torch.no_grad():
        eight_bits = (clear * 255).round() / 255
        fused, restored, _ = task.network.fuse(eight_bits, thermal, torch.ones_like(thermal), torch.ones(1, 1, 1, 1))
    assert parts["intensity"] == pytest.approx(float((fused - torch.maximum(clear, thermal)).abs().mean()), rel=1e-4)
    assert parts["restoration"] == pytest.approx(2 * float((restored - clear).abs().mean()), rel=1e-4)
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])[None, None]

    def sobel(x: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="replicate").flatten(0, 1)[:, None]
        convolve = torch.nn.functional.conv2d
        return (convolve(x, kernel).abs() + convolve(x, kernel.transpose(2, 3)).abs()).unflatten(0, (2, -1))[:, :, 0]

    gradient = (sobel(fused) - torch.maximum(sobel(clear), sobel(thermal))).abs().mean()
    assert parts["gradient"] == pytest.approx(float(gradient), rel=1e-4)


def test_dfvo_loss_has_the_weights_and_ramp_of_the_paper(pair) -> None:
    torch.manual_seed(0)
    task = DfvoTask(DfvoSettings(variant="small"))
    task.network.eval()
    visible, infrared = pair
    random = torch.Generator()
    with torch.no_grad():
        first, half, last = (task.cost(visible, infrared, random, progress) for progress in (0.0, 0.5, 0.999))
        bright = (visible * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, True)
        outputs = task.network.tasks(bright, infrared)
    assert first["infrared"] == pytest.approx(10 * float((outputs.infrared - infrared).abs().mean()), rel=1e-4)
    retinex = (outputs.enhanced * outputs.illumination - bright).abs().mean()
    assert first["retinex"] == pytest.approx(500 * float(retinex), rel=1e-4)
    for name in ("content", "structure", "colour"):
        assert first[name] == 0  # epoch 0 of eq. 25
        assert half[name] > 0
        assert last[name] == pytest.approx(float(half[name]) * 99 / 50, rel=1e-5)  # 0.1 per epoch of a hundred
    assert half["retinex"] == first["retinex"]


def test_fusion_task_has_no_gradient_in_other_decoders(pair) -> None:
    task = DfvoTask(DfvoSettings(variant="small", infrared=0, retinex=0, smoothness=0, histogram=0))
    torch.stack([*task.cost(*pair, torch.Generator(), 0.9).values()]).sum().backward()
    network = task.network
    assert any((p.grad != 0).any() for p in network.fusion.parameters() if p.grad is not None)
    for decoder in (network.enhancement, network.reconstruction, network.illumination):
        assert all(p.grad is None or not p.grad.any() for p in decoder.parameters())


def _recipe(folder: Path, name: str, **more) -> Path:
    random = np.random.default_rng(0)
    for camera, shape in (("vis", (40, 56, 3)), ("ir", (40, 56))):
        (folder / "pairs" / camera).mkdir(parents=True, exist_ok=True)
        for index in range(4):
            picture = cv2.resize(random.integers(0, 256, (5, 7, *shape[2:]), np.uint8), shape[1::-1])
            cv2.imwrite(str(folder / "pairs" / camera / f"{index}.png"), picture)
    content = {
        "data": [{"root": "pairs", "grid": "frame", "size": [32, 32], "batch": 2, "hold_out": 2}],
        name: {"variant": "small"},
        "rate": 2e-3,
        "average": 0,
        "steps": 4,
        "steps_per_epoch": 2,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content | more))
    return path


@pytest.mark.parametrize("name", ["iassf", "dfvo"])
def test_training_gives_weights_that_an_engine_runs(tmp_path: Path, monkeypatch, capsys, name: str) -> None:
    monkeypatch.setenv("FUSECAM_HOME", str(tmp_path / "home"))
    weights = fit_paper(read_recipe(_recipe(tmp_path, name), PaperRecipe), tmp_path / "run", devices="1", bar=False)
    printed = capsys.readouterr().out
    assert "2 pairs" in printed
    assert all(row in printed for row in ("untrained", "average", name, "edges", "information", "similarity"))
    kept = checkpoints.import_weights(name, [weights])
    assert kept.profile["width"] == (16 if name == "iassf" else 4)
    visible, infrared = np.zeros((40, 56, 3), np.uint8), np.full((40, 56), 90, np.uint8)
    fused = create_engine(f"{name}:torch").fuse(visible, infrared, np.full((40, 56), 255, np.uint8))
    assert fused.image.shape == (40, 56, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"iassf": {"variant": "huge"}}, "iassf.variant"),
        ({"dfvo": {}}, "give one of `iassf` and `dfvo`"),
        ({"losses": {"intensity": 1}}, "`losses` does not apply to this network"),
        ({"iassf": {"prompts": 3}}, "iassf.prompts"),
    ],
)
def test_invalid_recipes_are_one_line_errors(tmp_path: Path, change, message: str) -> None:
    with pytest.raises(TrainError, match=message) as error:
        read_recipe(_recipe(tmp_path, "iassf", **change), PaperRecipe)
    assert "\n" not in str(error.value)


def test_recipes_select_ablations(tmp_path: Path) -> None:
    whole = make_task(read_recipe(_recipe(tmp_path, "iassf"), PaperRecipe)).network
    for switch in ("assisted", "haze", "prompt", "embed", "fusion_prompt", "fusion_embed"):
        less = make_task(
            read_recipe(_recipe(tmp_path, "iassf", iassf={"variant": "small", switch: False}), PaperRecipe)
        ).network
        assert getattr(whole.profile, switch)
        assert not getattr(less.profile, switch)
