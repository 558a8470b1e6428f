"""Scale tuning: levels stay, and the whole model's next tokens come nearer to what they were."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch.nn.functional import kl_div, log_softmax

from tests.backends.tiny_language_model import checkpoint
from tuner.backends.gptq import HEAD, restored, rounded
from tuner.backends.scale_tuning import tuned
from tuner.runtime.shaped import load_shaped


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("tuning") / "model")


@pytest.fixture(scope="module")
def model(source):
    return load_shaped(source)


def windows(seed, count=32):
    return torch.randint(0, 50, (count, 24), generator=torch.Generator().manual_seed(seed))


def coarse(model):
    """Return levels and scales of the layers' matrices, each rounded to the nearest of seven levels."""
    names = [name for name, one in model.named_parameters() if one.ndim == 2 and "layers" in name]
    levels, scales = {}, {}
    for name in names:
        blocks = model.get_parameter(name).detach().unflatten(1, (-1, 16))
        scales[name] = blocks.abs().amax(-1) / 3
        levels[name] = (blocks / scales[name][..., None]).round().to(torch.int8).flatten(1)
    return levels, scales


def divergence(model, levels, scales, norms, tokens):
    other = deepcopy(model)
    with torch.no_grad():
        for name, scale in scales.items():
            other.get_parameter(name).copy_(
                (levels[name].unflatten(1, (-1, 16)) * scale[..., None]).flatten(1)
            )
        for name, norm in norms.items():
            other.get_parameter(name).copy_(norm)
        ours, theirs = (log_softmax(one(input_ids=tokens).logits, -1) for one in (other, model))
    return float(kl_div(ours, theirs, reduction="sum", log_target=True)) / tokens.numel()


def test_on_text_it_has_not_seen_the_next_tokens_are_nearer_to_those_before_rounding(model):
    levels, scales = coarse(model)
    better, norms = tuned(deepcopy(model), levels, scales, windows(0))
    assert better.keys() == scales.keys()
    assert len(norms) == 2 * model.config.num_hidden_layers + 1
    before, after = (divergence(model, levels, *one, windows(1)) for one in ((scales, {}), (better, norms)))
    assert after < 0.9 * before


def test_what_was_not_off_stays(model):
    levels = {n: (q.sign() * 3).to(torch.int8) for n, q in coarse(model)[0].items()}
    scales = {n: torch.full((q.shape[0], q.shape[1] // 16), 0.01) for n, q in levels.items()}
    exact = deepcopy(model)
    with torch.no_grad():
        for name, level in levels.items():
            exact.get_parameter(name).copy_(level * 0.01)
    better, _ = tuned(exact, levels, scales, windows(0))
    assert divergence(exact, levels, better, {}, windows(1)) < 1e-4


def test_a_checkpoint_s_rounding_has_the_tuned_scales_and_norms(source, model, tmp_path):
    np.savez(tmp_path / "rows.npz", input_ids=windows(0).numpy())
    found = rounded(source, tmp_path / "rows.npz", tmp_path / "cache")
    assert {name for name, one in model.named_parameters() if one.ndim == 1} == found.norms.keys()
    own = {name: one.detach().numpy() for name, one in model.named_parameters() if one.ndim == 1}
    assert any(np.abs(found.norms[name] - own[name]).max() > 1e-4 for name in own)
    for name in found.levels.keys() - {HEAD}:
        back = restored(torch.from_numpy(found.levels[name]), torch.from_numpy(found.scales[name]))
        assert (back - model.get_parameter(name)).norm() < 0.2 * model.get_parameter(name).norm()
