"""2:4 sparsity: which weights go, that training leaves the zeros, and that engines answer as the masked model does."""

import json

import numpy as np
import pytest
import torch

from tuner.backends.base import BuildRequest, Offer
from tuner.backends.conformance import check
from tuner.backends.registry import backends
from tuner.candidate import Quantization
from tuner.compress.anatomy import anatomy
from tuner.compress.importance import importance
from tuner.compress.recover import recover
from tuner.compress.semi_structured import mask_2_of_4
from tuner.compress.shape import shape
from tuner.compress.teacher_outputs import teacher_outputs
from tuner.errors import UnsupportedError
from tuner.runtime.shaped import is_semi_structured, load_shaped
from tuner.runtime.torch_formats import is_2_of_4, sparse_fits

WIDE = {"hidden_size": 64, "intermediate_size": 256}


@pytest.fixture
def sparse(checkpoint, data, folder):
    """A teacher whose layers are wide enough for the kernels, and its 2:4 student of two layers."""
    teacher, _ = checkpoint("bert", **WIDE)
    dear, out = folder("importance"), folder("sparse")
    importance(str(teacher), str(data), 20, 0, dear)
    shape(str(teacher), dear, 2, 0.0, 0.5, out, semi_structured=True)
    return teacher, teacher.parent / "sparse", dear


def linears(model):
    structure = anatomy(model.config)
    return [m for _, b in structure.units(model) for m in b.modules() if isinstance(m, torch.nn.Linear)]


def test_the_two_largest_of_each_four_stay():
    weight = torch.tensor([[1.0, -3.0, 2.0, 0.5, 0.0, 0.0, 0.0, 0.0], [4, 4, 4, 4, -1, -2, -3, -4]])
    kept = [[0, 1, 1, 0, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0, 1, 1]]  # of equals the first
    assert mask_2_of_4(weight).int().tolist() == kept
    random = torch.randn(32, 64, generator=torch.Generator().manual_seed(0))
    mask = mask_2_of_4(random)
    assert (mask.view(32, 16, 4).sum(-1) == 2).all()
    assert is_2_of_4(random * mask)
    assert not is_2_of_4(random)
    lost, left = (random * ~mask).abs(), (random * mask).abs()
    assert (lost.view(32, 16, 4).amax(-1) <= left.view(32, 16, 4).sort(-1).values[..., 2]).all()


def test_the_student_is_cut_and_then_half_zero(sparse):
    _, out, _ = sparse
    model = load_shaped(out)
    assert is_semi_structured(out)
    assert {tuple(layer.weight.shape) for layer in linears(model)} == {(64, 64), (128, 64), (64, 128)}
    for layer in linears(model):
        assert is_2_of_4(layer.weight)
        assert float((layer.weight == 0).float().mean()) == pytest.approx(0.5, abs=0.01)
    assert not is_2_of_4(model.get_input_embeddings().weight)


def test_recovery_leaves_the_zeros_where_they_are(sparse, data, folder):
    teacher, shaped, _ = sparse
    teacher_outputs(str(teacher), str(data), folder("outputs"))
    settings = {"steps": 5, "batch_size": 16, "learning_rate": 1e-2}
    recover(str(shaped), str(shaped.parent / "outputs"), str(data), settings, 0, folder("recovered"))
    out = shaped.parent / "recovered"
    assert is_semi_structured(out)
    for before, after in zip(linears(load_shaped(shaped)), linears(load_shaped(out)), strict=True):
        assert not torch.equal(before.weight, after.weight)
        assert (after.weight[before.weight == 0] == 0).all()


def test_a_model_too_narrow_for_the_kernels_is_refused(checkpoint, data, folder):
    teacher, _ = checkpoint("bert", intermediate_size=32)  # all layers are 32 x 32
    dear = folder("importance")
    importance(str(teacher), str(data), 20, 0, dear)
    with pytest.raises(UnsupportedError, match="2:4"):
        shape(str(teacher), dear, 2, 0.0, 0.0, folder("out"), semi_structured=True)


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_engines_without_such_kernels_compute_with_the_zeros(engine, sparse, data, tmp_path):
    _, out, _ = sparse
    offer = Offer("cpu", 32, tolerance=1e-3)
    assert check(backends()[engine], offer, out, data / "validation.npz", tmp_path / "w", 48) == []


def test_only_a_card_is_told_that_weights_are_sparse(sparse, data, tmp_path):
    _, out, _ = sparse
    said = {}
    for device, bits in (("cpu", 16), ("cuda", 16), ("cuda", 32)):
        made = tmp_path / f"{device}{bits}"
        made.mkdir()
        wanted = Quantization(bits=bits)
        request = BuildRequest(out, wanted, device, None, 12, data / "validation.npz", tmp_path)
        backends()["torch"].build(request, made)
        said[device, bits] = json.loads((made / "artefact.json").read_text()).get("sparse", False)
    assert said == {("cpu", 16): False, ("cuda", 16): True, ("cuda", 32): False}


def test_which_layers_the_kernels_take():
    fits = [(32, 64, True), (16, 64, False), (64, 32, False), (384, 1536, True), (384, 1504, False)]
    assert [sparse_fits(torch.nn.Linear(i, o)) for o, i, _ in fits] == [fit for *_, fit in fits]


def test_torch_reads_what_the_mask_leaves():
    """PyTorch's own check of the pattern, which its kernels' packing relies on, in plain tensor operations."""
    from torch.sparse._semi_structured_conversions import (
        sparse_semi_structured_from_dense_cutlass,
        sparse_semi_structured_to_dense_cutlass,
    )

    weight = torch.randn(64, 128, generator=torch.Generator().manual_seed(1)).half()
    pruned = weight * mask_2_of_4(weight)
    packed, meta = sparse_semi_structured_from_dense_cutlass(pruned)
    assert packed.shape == (64, 64)
    np.testing.assert_array_equal(
        sparse_semi_structured_to_dense_cutlass(packed, meta).numpy(), pruned.numpy()
    )
