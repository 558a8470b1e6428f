import json

import numpy as np
import pytest
import torch
from causal_models import build, write_data, write_tokenizer
from torch.nn.functional import kl_div, log_softmax

from tuner.compress.batches import Split
from tuner.compress.causal.recover import Distillation, recover
from tuner.compress.causal.shape import shape
from tuner.compress.causal.teacher_outputs import teacher_outputs
from tuner.compress.causal.text_loss import summed_loss
from tuner.compress.checkpoint import save_checkpoint
from tuner.compress.training import Plan, train
from tuner.runtime.shaped import load_shaped

SETTINGS = {"steps": 150, "batch_size": 8, "learning_rate": 2e-2, "temperature": 1.0}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tiny llama that has learnt the text, its answers, and a student of three layers and half its neurons."""
    torch.set_num_threads(1)  # made before the fixture that every test has
    root = tmp_path_factory.mktemp("recover")
    data, teacher = write_data(root / "data", 48), write_tokenizer(root / "teacher")
    model, split = build("llama", tie_word_embeddings=False), Split(data, "train")
    train(model, split.shuffled(16, 0), lambda batch: summed_loss(model, batch[0]) / 240, Plan(150, 5e-3))
    save_checkpoint(model, teacher, teacher)
    for name in ("outputs", "importance", "student"):
        (root / name).mkdir()
    rng = np.random.default_rng(0)
    scores = {"layers": np.arange(5.0), "heads": rng.random((5, 3)), "ffn": rng.random((5, 64))}
    np.savez(root / "importance" / "importance.npz", **scores)
    shape(str(teacher), str(root / "importance"), 3, 0.0, 0.5, str(root / "student"))
    return root, teacher_outputs(str(teacher), str(data), 1.0, 256, str(root / "outputs"))


def text_loss(root, checkpoint):
    inputs, _, _ = Split(root / "data", "distill").take(torch.arange(48))
    with torch.inference_mode():
        return float(summed_loss(load_shaped(checkpoint), inputs)) / float(
            inputs["attention_mask"].sum() - 48
        )


def recovered(root, out, **more):
    out.mkdir()
    places = (root / "student", root / "outputs", root / "data")
    return recover(*map(str, places), {**SETTINGS, **more}, 0, str(out))


def test_a_student_learns_its_teachers_next_tokens_back(made, tmp_path):
    root, _ = made
    report = recovered(root, tmp_path / "out")
    teacher, before, after = (
        text_loss(root, f) for f in (root / "teacher", root / "student", tmp_path / "out")
    )
    assert report["steps"] == 150 and after - teacher < 0.3 * (before - teacher)


def test_time_ends_a_recovery(made, tmp_path):
    report = recovered(made[0], tmp_path / "out", steps=10**6, seconds=0.5)
    assert 0 < report["steps"] < 10**5 and report["seconds"] < 5


def test_what_is_stored_is_what_the_teacher_finds_likeliest(made):
    root, info = made
    stored = {name: np.load(root / "outputs" / f"{name}.npy") for name in ("rows", "tokens", "logprobs")}
    assert stored["tokens"].shape == (48, 16, 59) and stored["tokens"].dtype == np.int32
    assert info == {"windows": 48, "bytes": 48 * 16 * 59 * 6} and (stored["rows"] == np.arange(48)).all()
    inputs, _, _ = Split(root / "data", "distill").take(torch.arange(48))
    with torch.inference_mode():
        wanted = log_softmax(load_shaped(root / "teacher")(**inputs).logits, -1)
    found = torch.from_numpy(stored["logprobs"][:-1]).float()  # the last window has padding
    taken = wanted[:-1].gather(2, torch.from_numpy(stored["tokens"][:-1]).long())
    assert float((found - taken).abs().mean()) < 0.05  # bf16, where the host multiplies it
    assert float((found.exp() - taken.exp()).abs().max()) < 0.1
    assert float(found.exp().sum(-1).min()) > 0.99 and (found[..., 0] == found.max(-1).values).all()


def test_the_loss_is_the_divergence_of_the_whole_distributions(made, tmp_path):
    """All tokens but one are stored, and so the other one's mass is known too: nothing is lost."""
    root, _ = made
    student = load_shaped(root / "student")
    batch = Split(root / "data", "distill").take(torch.arange(8))
    with torch.inference_mode():
        mine, theirs = (
            log_softmax(m(**batch[0]).logits, -1).flatten(0, 1)
            for m in (student, load_shaped(root / "teacher"))
        )
    exact = float(kl_div(mine, theirs, log_target=True, reduction="batchmean"))
    found = Distillation(student, root / "outputs", 1.0)(batch)
    assert float(found.detach()) == pytest.approx(exact, rel=0.03)


def test_gradients_in_chunks_are_those_of_the_whole(made):
    root, _ = made
    model = load_shaped(root / "teacher")
    inputs, _, _ = Split(root / "data", "train").take(torch.arange(40))
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    count = (labels[:, 1:] >= 0).sum()
    weight = model.model.layers[0].mlp.up_proj.weight
    (whole,) = torch.autograd.grad(model(**inputs, labels=labels).loss * count, weight)
    (chunks,) = torch.autograd.grad(summed_loss(model, inputs), weight)
    torch.testing.assert_close(chunks, whole, rtol=1e-3, atol=1e-4)


def test_the_words_stay_the_teachers(made, tmp_path):
    root, _ = made
    recovered(root, tmp_path / "out", steps=3)
    before, after = load_shaped(root / "student"), load_shaped(tmp_path / "out")
    assert torch.equal(before.lm_head.weight, after.lm_head.weight)
    assert torch.equal(before.model.embed_tokens.weight, after.model.embed_tokens.weight)
    assert not torch.equal(
        before.model.layers[0].mlp.up_proj.weight, after.model.layers[0].mlp.up_proj.weight
    )
    sizes = [
        json.loads((folder / "config.json").read_text()) for folder in (root / "student", tmp_path / "out")
    ]
    assert sizes[0] == sizes[1] and (tmp_path / "out" / "chat_template.jinja").exists()
