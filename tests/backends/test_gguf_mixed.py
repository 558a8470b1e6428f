"""What of a mixed GGUF has how many bits."""

import numpy as np
import pytest

from tests.backends.tiny_language_model import checkpoint
from tuner.backends.base import BuildRequest
from tuner.backends.gguf_mixed import write_mixed
from tuner.backends.gptq import rounded
from tuner.candidate import Quantization

gguf = pytest.importorskip("gguf")


@pytest.mark.parametrize("head", [False, True])
def test_the_head_has_four_bits_of_its_own_where_it_is_to_and_spared_matrices_eight(tmp_path, head):
    source = checkpoint(tmp_path / "model")
    np.savez(tmp_path / "rows.npz", input_ids=np.random.default_rng(0).integers(0, 50, (8, 24)))
    asked = BuildRequest(
        source, Quantization(bits=4, scheme="weight-only", method="gptq_20"), "cpu", None, 48,
        tmp_path / "rows.npz", tmp_path / "cache", task="text-generation",
    )  # fmt: skip
    write_mixed(asked, tmp_path / "model.gguf", 0.4, head)
    kinds = {t.name: t.tensor_type.name for t in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    assert kinds["token_embd.weight"] == "Q8_0"
    assert kinds.get("output.weight") == ("Q4_0" if head else None)
    layers = [kind for name, kind in kinds.items() if name.startswith("blk") and "norm" not in name]
    spared = rounded(source, tmp_path / "rows.npz", tmp_path / "cache").spared(0.4)
    assert spared
    assert (layers.count("Q8_0"), layers.count("Q4_0")) == (len(spared), len(layers) - len(spared))
