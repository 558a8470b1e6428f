"""Divided models: every division answers as the undivided model does, and each rank holds its part only."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOUR = {"num_hidden_layers": 4}
#: family, sizes, bits, tensor, pipeline: four processes are more than this machine's cores.
CASES = {
    "bert tensor 2": ("bert", {}, 32, 2, 1),
    "bert tensor 4": ("bert", {}, 32, 4, 1),
    "bert pipeline 2": ("bert", {}, 32, 1, 2),
    "bert pipeline 4": ("bert", FOUR, 32, 1, 4),
    "llama tensor 2": ("llama", {}, 32, 2, 1),
    "llama tensor 4": ("llama", {}, 32, 4, 1),
    "llama pipeline 2": ("llama", {}, 32, 1, 2),
    "llama pipeline 4": ("llama", {}, 32, 1, 4),
    "grouped queries": ("llama", {"num_key_value_heads": 2}, 32, 2, 1),
    "a head of its own": ("llama", {"tie_word_embeddings": False}, 32, 2, 1),
    "attention stays whole": ("llama", {"num_key_value_heads": 1, "num_attention_heads": 1}, 32, 2, 1),
    "vocabulary stays whole": ("llama", {"vocab_size": 97}, 32, 2, 1),
    "roberta": ("roberta", {}, 32, 2, 1),
    "electra by layers": ("electra", {}, 32, 1, 2),
    "electra": ("electra", {}, 32, 2, 1),
    "distilbert": ("distilbert", {}, 32, 2, 1),
    "distilbert by layers": ("distilbert", {}, 32, 1, 2),
    "roberta by layers": ("roberta", {}, 32, 1, 2),
    "mistral": ("mistral", {}, 32, 2, 1),
    "qwen2 by layers": ("qwen2", {}, 32, 1, 2),
    "qwen3": ("qwen3", {"head_dim": 8}, 32, 2, 1),
    "bf16": ("llama", {}, 16, 2, 1),
    "bf16 by layers": ("llama", {}, 16, 1, 2),
    "more stages than layers": ("bert", {}, 32, 1, 4),
    "nothing divides": ("bert", {"num_attention_heads": 4, "intermediate_size": 64}, 32, 3, 1),
    "an unknown family": ("albert", {}, 32, 2, 1),
}
REFUSED = {
    "more stages than layers": "pipeline 4 is more than the model's 2 layers",
    "nothing divides": "tensor 3 divides neither the 4 heads nor the 64 FFN neurons of a layer",
    "an unknown family": "albert: how such layers are divided among processes is not known here",
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Run all cases in one process that forks its ranks."""
    fields = ("family", "sizes", "bits", "tensor", "pipeline")
    lines = [json.dumps(dict(zip(fields, case, strict=True))) for case in CASES.values()]
    command = [sys.executable, "-m", "tests.runtime.forked_ranks", str(tmp_path_factory.mktemp("ranks"))]
    done = subprocess.run(
        command, input="\n".join(lines), capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(zip(CASES, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("name", [name for name in CASES if name not in REFUSED])
def test_a_divided_model_answers_as_the_whole_one(found, name):
    said, bits = found[name], CASES[name][2]
    assert said["off"] < (1e-4 if bits == 32 else 0.5), said
    assert said["same"] or bits < 32


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_divided_is_refused_with_the_reason(found, name):
    assert REFUSED[name] in found[name]["refused"]


def test_each_rank_holds_its_part_only(found):
    layers = found["llama pipeline 4"]["parts"]
    assert (
        sum(layers) < 1.3 and max(layers) < 0.5
    )  # the first has the embedding, and so has the last, as its head
    rows = found["a head of its own"]["parts"]
    assert max(rows) - min(rows) < 0.01 and max(rows) < 0.75  # the embedding is whole, all else halved
    assert max(found["attention stays whole"]["parts"]) > max(found["llama tensor 2"]["parts"])
