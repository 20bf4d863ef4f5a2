"""DFVO: equal to the authors' network in training and deployed; attention in turns; its use as an engine."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fusecam.engines.backends.eager import EagerEngine
from fusecam.engines.networks import published
from fusecam.engines.networks.dfvo import DFVO, PROFILES, Outputs, Profile, Up, cross_attention
from fusecam.engines.networks.smoothing import STRENGTHS
from fusecam.engines.prompts.conditioning import Fixed

from .vectors import golden, parameters, run, state

pytestmark = pytest.mark.slow

PUBLISHED = Profile(scaled=False, own=False)


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture
def small() -> DFVO:
    torch.manual_seed(0)
    return DFVO(PROFILES["small"]).eval()


def test_network_equals_the_authors() -> None:
    network = DFVO(PUBLISHED).eval()
    network.load_state_dict(published.dfvo(state("dfvo")))
    truth = golden("dfvo")
    with torch.inference_mode():
        outputs = network.tasks(truth["vis_y"], truth["ir"])
    for name, value in outputs._asdict().items():
        assert (value - truth[name]).abs().max() < 1e-5, name


def test_deployed_form_equals_the_authors_network() -> None:
    network = DFVO(PUBLISHED, deployed=True).eval()
    own, given = network.state_dict(), published.dfvo(state("dfvo"))
    assert set(own) < set(given)
    network.load_state_dict({name: given[name] for name in own})
    truth = golden("dfvo")
    with torch.inference_mode():
        fused = network.fuse(truth["vis_y"], truth["ir"])
    assert (fused - truth["fused"]).abs().max() < 1e-5


def test_sizes_equal_the_paper() -> None:
    assert count(DFVO()) == count(DFVO(PUBLISHED)) == parameters("dfvo") == 10_105_316
    assert count(DFVO(deployed=True)) == 9_720_449
    unused = 128 * 128 * 9 + 128  # the published code applies one convolution to the details of both
    assert count(DFVO(PUBLISHED, deployed=True)) == 9_720_449 - unused


@pytest.mark.parametrize("most", [1, 7 * 30, 1 << 26])
def test_chunked_attention_equals_naive_attention(most: int) -> None:
    torch.manual_seed(0)
    query, key, value = (3 * torch.randn(2, 30, width, dtype=torch.float64) for width in (4, 4, 6))
    naive = torch.softmax(query @ key.transpose(1, 2), dim=-1) @ value
    assert torch.allclose(cross_attention(query, key, value, most), naive)


def test_chunked_attention_bounds_the_scores_held_at_once() -> None:
    held: list[int] = []
    softmax = torch.softmax

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            if function is softmax:
                held.append(args[0].numel())
            return function(*args, **(kwargs or {}))

    tokens = torch.rand(1, 500, 4)
    with Watch():
        cross_attention(tokens, tokens, tokens, most=10_000)
    assert len(held) == 25
    assert max(held) <= 10_000


def test_upsampling_equals_its_dilated_form() -> None:
    torch.manual_seed(0)
    up, x = Up(3, 2).double(), torch.rand(2, 3, 5, 7, dtype=torch.float64)
    with torch.no_grad():
        assert up(x).shape == (2, 2, 20, 28)
        assert torch.allclose(up(x), up.taps(x))


class Alive(TorchDispatchMode):
    """Counts the bytes of all tensors that live at once, here of tensors that have shapes and no values."""

    def __init__(self) -> None:
        super().__init__()
        self.known: set[int] = set()
        self.now = self.most = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata not in self.known:
            self.known.add(storage._cdata)
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


def test_memory_grows_linearly_with_pixels() -> None:
    most = {}
    with torch.device("meta"):
        network = DFVO(deployed=True).eval()
        for height, width in ((480, 640), (1024, 1280)):
            with torch.no_grad(), Alive() as alive:
                network.fuse(torch.empty(1, 1, height, width), torch.empty(1, 1, height, width))
            most[height * width] = alive.most
    assert most[480 * 640] > 480 * 640 * 128 * 4  # it does count
    assert most[1024 * 1280] < 6e9  # naively 54e9 for the attention alone
    assert most[1024 * 1280] / most[480 * 640] < 1.1 * (1024 * 1280) / (480 * 640)


@pytest.mark.parametrize("size", [(32, 32), (47, 33), (121, 163)])
def test_any_input_size_gives_a_uint8_result_of_that_size(small, street, size: tuple[int, int]) -> None:
    visible, infrared = street(*size)
    fused, restored, density, light = run(small, visible, infrared, np.full_like(infrared, 255))
    assert fused.shape == restored.shape == (*size, 3)
    assert density.shape == light.shape == size
    assert np.array_equal(restored, visible)
    assert not np.array_equal(fused, visible)


def test_chroma_is_that_of_the_visible_frame(small, street) -> None:
    visible, infrared = street(64, 80)
    fused = run(small, visible, infrared, np.full_like(infrared, 255))[0].astype(int)
    added = fused - visible
    inside = ((fused > 0) & (fused < 255)).all(axis=2)
    assert inside.mean() > 0.5
    assert np.ptp(added, axis=2)[inside].max() <= 1  # red, green and blue move together


def test_without_coverage_the_result_is_the_visible_frame(small, street) -> None:
    visible, infrared = street(64, 80)
    nothing = np.zeros_like(infrared)
    assert np.array_equal(run(small, visible, infrared, nothing)[0], visible)


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    network = DFVO(Profile(width=2))
    outputs = network.tasks(torch.rand(2, 1, 32, 40), torch.rand(2, 1, 32, 40))
    sum(((plane - 0.3) ** 2).mean() for plane in outputs).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # what is the same for all keys, or before batch norm, is divided out again
        if not name.endswith(("_key.narrow.bias", "0.bias")):
            assert (parameter.grad != 0).any(), name


def test_tasks_are_cropped_to_the_frame(small) -> None:
    with torch.inference_mode():
        outputs = small.tasks(torch.rand(1, 1, 33, 47), torch.rand(1, 1, 33, 47))
    assert isinstance(outputs, Outputs)
    for plane in outputs:
        assert plane.shape == (1, 1, 33, 47)
        assert plane.min() >= 0
        assert plane.max() <= 1


def test_published_code_and_paper_differ() -> None:
    torch.manual_seed(0)
    paper = DFVO(Profile(width=2)).eval()
    pair = torch.rand(2, 1, 1, 32, 32)
    with torch.inference_mode():
        base, detail = paper.lcfe(*pair)[0], paper.lcfe(*pair)[3]
        for profile, same in ((Profile(width=2, scaled=False), (False, True)), (Profile(2, own=False), (True, False))):
            other = DFVO(profile).eval()
            other.load_state_dict(paper.state_dict())
            found = other.lcfe(*pair)
            assert (torch.allclose(found[0], base), torch.allclose(found[3], detail)) == same


def test_strengths_have_no_effect(small, street) -> None:
    visible, infrared = street(64, 80)
    none, whole = (
        EagerEngine("dfvo", small, Fixed([strength] * STRENGTHS)).fuse(visible, infrared, np.full_like(infrared, 255))
        for strength in (0.0, 1.0)
    )
    assert np.array_equal(none.image, whole.image) and np.array_equal(none.restored, whole.restored)
