import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tuner.compress.batches import Split
from tuner.compress.finetune import fine_tune
from tuner.compress.importance import importance
from tuner.compress.recover import Distillation, recover
from tuner.compress.shape import shape
from tuner.compress.teacher_outputs import teacher_outputs
from tuner.compress.training import Plan, train
from tuner.compress.used_rows import used_rows
from tuner.runtime.shaped import load_shaped


@pytest.fixture
def student(checkpoint, data, folder):
    """A teacher that knows its classes, its stored answers, and a student half as deep and wide."""

    def make(name):
        raw, _ = checkpoint(name)
        teacher, outputs, dear, shaped = (folder(n) for n in ("teacher", "outputs", "dear", "shaped"))
        fine_tune(str(raw), str(data), {"epochs": 30, "learning_rate": 3e-3, "batch_size": 16}, 0, teacher)
        teacher_outputs(teacher, str(data), outputs)
        importance(teacher, str(data), 20, 0, dear)
        shape(teacher, dear, 2, 0.5, 0.5, shaped)
        return teacher, outputs, shaped

    return make


def distance(folder, outputs, data):
    loss, total = Distillation(load_shaped(folder), outputs, 2.0), 0.0
    with torch.inference_mode():
        for batch in Split(data, "distill").in_order(16):
            total += float(loss(batch))
    return total


@pytest.mark.parametrize("name", ["bert", "distilbert", "albert", "modernbert", "deberta-v2"])
def test_recovery_brings_the_student_nearer_to_its_teacher(name, student, data, folder):
    _, outputs, shaped = student(name)
    settings = {"steps": 30, "batch_size": 16, "learning_rate": 1e-3}
    report = recover(shaped, outputs, str(data), settings, 0, folder("out"))
    out = data.parent / "out"
    assert report["steps"] == 30 and report["seconds"] > 0 and np.isfinite(report["loss"])
    assert distance(out, data.parent / "outputs", data) < 0.5 * distance(
        data.parent / "shaped", data.parent / "outputs", data
    )
    assert (out / "shape.json").read_text() == (data.parent / "shaped" / "shape.json").read_text()
    assert json.loads((out / "config.json").read_text())["id2label"] == {"0": "a", "1": "b", "2": "c"}
    assert (out / "tokenizer.json").exists() and (out / "tokenizer_config.json").exists()


@pytest.mark.parametrize("name", ["bert", "roberta", "albert", "modernbert", "deberta-v2"])
def test_rows_of_absent_tokens_stay_and_the_others_learn(name, checkpoint, data, folder):
    """The whole embedding, and RoBERTa's positions made from token ids, are as without the shortcut."""
    raw, _ = checkpoint(name)
    out = folder("out")
    settings = {"epochs": 1, "learning_rate": 1e-2, "batch_size": 16}
    before = load_shaped(raw)
    fine_tune(str(raw), str(data), settings, 0, out)
    after = load_shaped(data.parent / "out").get_input_embeddings().weight
    used = Split(data, "train").inputs["input_ids"].unique()
    absent = torch.ones(len(after), dtype=torch.bool)
    absent[used] = False
    start = before.get_input_embeddings().weight
    assert absent.any() and torch.equal(after[absent], start[absent])
    assert not torch.equal(after[used], start[used])
    ids = Split(data, "train").inputs
    with torch.inference_mode():
        expected = before(**ids).logits
        with used_rows(before, ids["input_ids"]):
            torch.testing.assert_close(before(**ids).logits, expected)


def test_fine_tuning_learns_the_task(student, data):
    teacher, _, _ = student("bert")
    split = Split(data, "validation")
    with torch.inference_mode():
        logits = load_shaped(Path(teacher))(**split.inputs).logits
    assert (logits.argmax(1) == split.labels).double().mean() > 0.9


def test_the_teacher_itself_is_at_no_distance_but_the_labels(student, data):
    """Hidden states are stored in fp16, row for row, zero at padding."""
    teacher, outputs, _ = student("bert")
    loss = Distillation(load_shaped(Path(teacher)), data.parent / "outputs", 2.0)
    batch = Split(data, "distill").take(torch.tensor([7, 3, 40]))
    inputs, labels, _ = batch
    with torch.inference_mode():
        alone = torch.nn.functional.cross_entropy(loss.student(**inputs).logits, labels)
        assert float(loss(batch)) == pytest.approx(float(alone), abs=1e-4)
    states = np.load(f"{outputs}/hidden.npy")
    assert states.dtype == np.float16 and states.shape == (48, 12, 32)
    lengths = Split(data, "distill").lengths
    assert (states[3, lengths[3] :] == 0).all() and (states[3, : lengths[3]] != 0).any()


def test_large_hidden_states_are_left_out_and_recovery_goes_on(student, data, folder, monkeypatch):
    teacher, _, shaped = student("bert")
    monkeypatch.setattr("tuner.compress.teacher_outputs.HIDDEN_LIMIT", 1000)
    assert teacher_outputs(teacher, str(data), folder("logits"))["hidden"] is False
    assert [p.name for p in (data.parent / "logits").iterdir()] == ["logits.npy"]
    report = recover(shaped, str(data.parent / "logits"), str(data), {"steps": 3}, 0, folder("out"))
    assert report["steps"] == 3


def test_the_same_seed_gives_the_same_student(student, data, folder):
    _, outputs, shaped = student("bert")
    losses = [
        recover(shaped, outputs, str(data), {"steps": 5, "batch_size": 8}, seed, folder(f"out{i}"))["loss"]
        for i, seed in enumerate((1, 1, 2))
    ]
    assert losses[0] == losses[1] != losses[2]


def test_training_ends_at_its_seconds_with_the_rate_annealed():
    model, rates = torch.nn.Linear(2, 2), []
    seen = torch.optim.AdamW.step

    def batches():
        while True:
            yield ({}, torch.zeros(1), torch.zeros(1))

    def step(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return seen(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", step)
        report = train(model, batches(), lambda _: model(torch.ones(2)).sum(), Plan(10**9, 0.1, seconds=0.5))
    assert 0.4 < report["seconds"] < 1.5 and 10 < report["steps"] < 10**6
    assert rates[-1] < 0.2 * max(rates)


def test_batches_cover_each_pass_once_and_pad_to_their_own_longest(data):
    split = Split(data, "train")
    batches = split.shuffled(20, 0)
    first = [next(batches) for _ in range(3)]
    assert sorted(torch.cat([rows for _, _, rows in first]).tolist()) == list(range(48))
    for inputs, labels, rows in first:
        assert inputs["input_ids"].shape[1] == int(split.lengths[rows].max())
        assert torch.equal(labels, split.labels[rows])
        assert inputs["attention_mask"].sum() == split.lengths[rows].sum()
    second = torch.cat([next(batches)[2] for _ in range(3)])
    assert second.tolist() != torch.cat([rows for _, _, rows in first]).tolist()
