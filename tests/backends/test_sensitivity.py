"""What the rounding of a matrix costs: nothing where nobody reads it, four times as much twice as far off."""

import pytest
import torch

from tests.backends.tiny_language_model import checkpoint
from tuner.backends.sensitivity import loss_rises
from tuner.runtime.shaped import load_shaped

LAYER = "model.layers.0"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_shaped(checkpoint(tmp_path_factory.mktemp("sensitivity") / "model"))


@pytest.fixture(scope="module")
def windows():
    return torch.randint(0, 50, (5, 24), generator=torch.Generator().manual_seed(0))


def rises(model, windows, names, scale=1.0):
    made = torch.Generator().manual_seed(1)
    off = {n: scale * 1e-3 * torch.randn(model.get_submodule(n).weight.shape, generator=made) for n in names}
    return loss_rises(model, {name: (lambda name=name: off[name]) for name in names}, windows)


def test_what_nobody_reads_costs_nothing(model, windows):
    up, down = f"{LAYER}.mlp.up_proj", f"{LAYER}.mlp.down_proj"
    kept = model.get_submodule(down).weight.data.clone()
    model.get_submodule(down).weight.data.zero_()
    unread = rises(model, windows, [up])[up]
    model.get_submodule(down).weight.data.copy_(kept)
    assert unread == 0 < rises(model, windows, [up])[up]


def test_twice_as_far_off_costs_four_times_as_much(model, windows):
    names = [f"{LAYER}.self_attn.v_proj", f"{LAYER}.mlp.gate_proj"]
    once, twice = rises(model, windows, names), rises(model, windows, names, scale=2.0)
    for name in names:
        assert twice[name] == pytest.approx(4 * once[name], rel=1e-3)


def test_the_model_is_left_as_it_was(model, windows):
    before = model(windows).logits
    rises(model, windows, [f"{LAYER}.mlp.gate_proj"])
    torch.testing.assert_close(model(windows).logits, before)
    assert not any(module._forward_hooks for module in model.modules())
