"""Every format that PyTorch has on this host's GPU, through the conformance suite."""

import sys
from pathlib import Path

import pytest

from tuner.backends.conformance import check
from tuner.backends.cuda import no_cuda
from tuner.backends.generating_conformance import check as check_chat
from tuner.backends.registry import backends, offers
from tuner.hardware import this_host

sys.path.insert(0, str(Path(__file__).parent))
from tiny_models import MAX_LENGTH, checkpoint, inputs

OFFERED = [
    (e, o) for e, o in offers(this_host(), "text-classification") if o.device == "cuda" and o.available
]
NAMES = [f"{engine}-{offer.bits}-{offer.scheme}" for engine, offer in OFFERED]
CHAT = [(e, o) for e, o in offers(this_host(), "text-generation") if o.device == "cuda" and o.available]
pytestmark = pytest.mark.skipif(not OFFERED, reason=no_cuda(this_host()) or "nothing is offered on the GPU")


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    return inputs(tmp_path_factory.mktemp("data") / "documents.npz")


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A model whose widths the groups of low-bit weights divide."""
    from transformers import BertConfig

    wide = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
    config = BertConfig(**wide, vocab_size=100, num_labels=3, max_position_embeddings=MAX_LENGTH)
    return checkpoint(tmp_path_factory.mktemp("bert"), config, scale=3.0)


@pytest.mark.parametrize("shape", [None, (2, 32)], ids=["dynamic", "one-graph"])
@pytest.mark.parametrize(("engine", "offer"), OFFERED, ids=NAMES)
def test_on_the_gpu(engine, offer, shape, bert, documents, tmp_path):
    assert check(backends()[engine], offer, bert, documents, tmp_path, MAX_LENGTH, fixed_shape=shape) == []


@pytest.mark.parametrize(
    ("engine", "offer"), CHAT, ids=[f"{engine}-{offer.bits}-{offer.scheme}" for engine, offer in CHAT]
)
def test_a_language_model_on_the_gpu(engine, offer, model, rows, tmp_path):
    assert check_chat(backends()[engine], offer, None, model, rows, tmp_path, 48) == []
