"""GPTQ onto ggml's blocks: what is packed is what ggml reads, and on its inputs it loses less than rounding."""

import numpy as np
import pytest
import torch

from tests.backends.tiny_language_model import checkpoint
from tuner.backends.gguf_mixed import packed
from tuner.backends.gptq import BLOCK, Rounded, best_scales, quantized, restored, rounded

gguf = pytest.importorskip("gguf")


def correlated(rows=64, columns=96, seed=0):
    """Return a matrix, inputs that hang together, and their second moments."""
    made = torch.Generator().manual_seed(seed)
    mixing = torch.randn(12, columns, generator=made)
    inputs = torch.randn(400, 12, generator=made) @ mixing + 0.1 * torch.randn(400, columns, generator=made)
    return torch.randn(rows, columns, generator=made), inputs, inputs.T @ inputs


def plainly(weight):
    """Round each block to the nearest of its levels, all inputs alike."""
    parts = [best_scales(block, torch.ones(BLOCK)) for block in weight.split(BLOCK, dim=1)]
    scales = torch.stack(parts, dim=1)
    wide = scales.float().repeat_interleave(BLOCK, dim=1)
    return restored((weight / wide).round().clamp(-8, 7).to(torch.int8), scales)


def test_what_is_packed_is_what_ggml_reads():
    weight, _, moments = correlated()
    levels, scales = quantized(weight, moments)
    blocks = packed(levels.numpy(), scales.numpy())
    read = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType.Q4_0)
    np.testing.assert_allclose(read, restored(levels, scales).numpy(), atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_its_outputs_are_nearer_than_those_of_plain_rounding(seed):
    weight, inputs, moments = correlated(seed=seed)
    exact = inputs @ weight.T
    off = [
        (inputs @ found.T - exact).norm()
        for found in (restored(*quantized(weight, moments)), plainly(weight))
    ]
    assert off[0] < 0.6 * off[1]


def test_levels_and_scales_hold_a_block_that_is_on_their_grid():
    levels = torch.randint(-8, 8, (5, BLOCK))
    levels[:, 0] = -8
    weight = levels * torch.tensor([0.5, 0.25, -1.0, 2.0, 0.125])[:, None]
    found = restored(*quantized(weight, torch.eye(BLOCK)))
    assert (found - weight).abs().max() < 0.02 * weight.abs().max()


def test_a_block_of_zeros_stays_zero():
    found = restored(*quantized(torch.zeros(3, BLOCK), torch.eye(BLOCK)))
    assert not found.any()


def test_widths_that_blocks_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="rows of 40 weights do not divide into blocks of 32"):
        quantized(torch.ones(2, 40), torch.eye(40))


def test_the_matrices_with_most_harm_a_weight_are_spared_within_the_share():
    sizes = {"a": 30, "b": 50, "c": 20}
    levels = {name: np.zeros((1, size), np.int8) for name, size in sizes.items()}
    found = Rounded(levels, {}, {"a": 0.3, "b": 0.4, "c": 0.1}, {})
    assert found.spared(0) == set()
    assert found.spared(0.55) == {"a", "c"}  # b would be too much; c still fits
    assert found.spared(1) == {"a", "b", "c"}


def test_another_studys_text_is_another_rounding_and_the_same_text_is_shared(tmp_path):
    source, cache = checkpoint(tmp_path / "model"), tmp_path / "cache"
    found = {}
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        ids = np.random.default_rng(seed).integers(0, 50, (8, 24))
        np.savez(tmp_path / f"{name}.npz", input_ids=ids)
        found[name] = rounded(source, tmp_path / f"{name}.npz", cache)
    assert sum(one.is_dir() for one in cache.iterdir()) == 2
    assert found["one"].harm == found["same"].harm != found["other"].harm
    assert all(0 < harm < 0.2 for harm in found["one"].harm.values())
