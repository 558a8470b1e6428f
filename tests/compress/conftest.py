import json

import numpy as np
import pytest
import torch

from tests.compress.classifier_models import build, tiny_tokenizer
from tuner.compress.checkpoint import save_checkpoint


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def checkpoint(tmp_path):
    def make(name, **more):
        folder = tmp_path / f"checkpoint-{name}"
        tiny_tokenizer(folder)
        model = build(name, **more)
        model.config.id2label = {0: "a", 1: "b", 2: "c"}
        save_checkpoint(model, folder, folder)
        return folder, model

    return make


@pytest.fixture
def data(tmp_path):
    """48 documents of 4 to 12 tokens: the class is which third of the vocabulary the words are from."""
    rng, folder = np.random.default_rng(0), tmp_path / "data"
    folder.mkdir()
    for split in ("train", "distill", "validation", "test"):
        labels = rng.integers(0, 3, 48)
        mask = (np.arange(12) < rng.integers(4, 13, 48)[:, None]).astype(np.int64)
        ids = mask * (4 + labels[:, None] * 18 + rng.integers(0, 18, (48, 12)))
        np.savez(folder / f"{split}.npz", input_ids=ids, attention_mask=mask, labels=labels)
    (folder / "meta.json").write_text(json.dumps({"labels": ["a", "b", "c"]}))
    return folder


@pytest.fixture
def inputs():
    """Batches of several sizes and lengths, with padding."""
    torch.manual_seed(3)
    found = []
    for batch, length in ((1, 4), (2, 11), (5, 40)):
        mask = torch.ones(batch, length, dtype=torch.int64)
        mask[-1, length // 2 + 1 :] = 0
        found.append({"input_ids": torch.randint(4, 60, (batch, length)) * mask, "attention_mask": mask})
    return found


@pytest.fixture
def folder(tmp_path):
    """Make a new empty folder, as jobs get for their output."""

    def make(name):
        path = tmp_path / name
        path.mkdir()
        return str(path)

    return make
