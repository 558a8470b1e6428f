import json

import numpy as np
import pytest
import torch
from causal_models import build, write_data, write_tokenizer
from torch.nn.functional import kl_div, log_softmax

from tuner.compress.batches import Split
from tuner.compress.causal.bridge import bridge, cuts, relative_error
from tuner.compress.causal.recover import Distillation, recover
from tuner.compress.causal.shape import shape
from tuner.compress.causal.teacher_outputs import teacher_outputs
from tuner.compress.causal.text_loss import summed_loss
from tuner.compress.checkpoint import save_checkpoint
from tuner.compress.training import Plan, train
from tuner.runtime.shaped import load_shaped

KEPT = [0, 3, 4]  # the first layer always stays, and those of the highest scores
SETTINGS = {"steps": 60, "batch_size": 8, "learning_rate": 2e-2, "temperature": 1.0}


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
    scores = {
        "layers": np.array([9.0, 0.0, 1.0, 2.0, 3.0]),
        "heads": rng.random((5, 3)),
        "ffn": rng.random((5, 64)),
    }
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
    found = [str(root / name) for name in ("student", "teacher", "outputs", "data")]
    student, teacher, *places = found
    return recover(student, teacher, KEPT, *places, {**SETTINGS, **more}, 0, str(out))


def test_a_student_learns_its_teachers_next_tokens_back(made, tmp_path):
    root, _ = made
    report = recovered(root, tmp_path / "out")
    teacher, before, after = (
        text_loss(root, f) for f in (root / "teacher", root / "student", tmp_path / "out")
    )
    assert report["steps"] == 60 and after - teacher < 0.3 * (before - teacher)


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


def test_cuts_that_share_a_neighbour_are_one():
    assert cuts([0, 1, 2, 4, 6, 7, 9]) == [[2, 4, 6], [7, 9]]
    assert cuts([0, 1, 2]) == [] == cuts([0])


def test_a_cuts_neighbours_come_near_to_what_was_between_them(made):
    """Only they learn, and what they hand on is nearer to the teacher's states than it was."""
    root, _ = made
    teacher, split = load_shaped(root / "teacher").requires_grad_(False), Split(root / "data", "distill")
    student = load_shaped(root / "teacher")
    student.model.layers = torch.nn.ModuleList(student.model.layers[i] for i in (0, 1, 3, 4))
    before = [{k: v.clone() for k, v in layer.state_dict().items()} for layer in student.model.layers]
    (report,) = bridge(student, teacher, [0, 1, 3, 4], split, 8, Plan(150, 3e-3), 0)
    moved = [
        any(not torch.equal(old[k], v) for k, v in layer.state_dict().items())
        for old, layer in zip(before, student.model.layers, strict=True)
    ]
    assert moved == [False, True, True, False] and report["steps"] == 150
    inputs, _, _ = split.take(torch.arange(48))
    real = inputs["attention_mask"].bool()
    with torch.inference_mode():
        wanted = teacher(**inputs, output_hidden_states=True).hidden_states[4][real]
        bridged = student(**inputs, output_hidden_states=True).hidden_states[3][real]
        for layer, old in zip(student.model.layers, before, strict=True):
            layer.load_state_dict(old)
        cut = student(**inputs, output_hidden_states=True).hidden_states[3][real]
    assert float(relative_error(bridged, wanted)) < 0.5 * float(relative_error(cut, wanted))


def test_layers_of_two_kinds_are_given_what_each_needs(tmp_path):
    """Some look back over a window of tokens only; and the last layer hands on to the last norm."""
    teacher, student, kept = build("qwen2"), build("qwen2"), [0, 1, 2, 4]
    split = Split(write_data(tmp_path / "data", 16), "distill")
    assert len({teacher.config.layer_types[i] for i in kept}) == 2
    student.model.layers = torch.nn.ModuleList(student.model.layers[i] for i in kept)
    (report,) = bridge(student, teacher, kept, split, 16, Plan(1, 0.0), 0)
    student.config.layer_types = [teacher.config.layer_types[i] for i in kept]
    student.config.num_hidden_layers = len(kept)
    inputs, _, _ = split.take(torch.arange(16))
    real, found = inputs["attention_mask"].bool(), []
    for model in (student, teacher):
        model.model.norm.register_forward_pre_hook(lambda _, given: found.append(given[0]))
        with torch.inference_mode():
            model(**inputs, use_cache=False)
    assert report["loss"] == pytest.approx(float(relative_error(*(one[real] for one in found))), rel=0.05)
