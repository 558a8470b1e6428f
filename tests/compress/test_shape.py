import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.compress.classifier_models import CONFIGS
from tuner.compress.anatomy import anatomy, describe
from tuner.compress.checkpoint import save_checkpoint
from tuner.compress.importance import importance
from tuner.compress.shape import kept_layers, shape
from tuner.compress.widths import kept_heads, kept_neurons
from tuner.errors import UnsupportedError
from tuner.runtime.shaped import load_shaped

HEADS, WIDTH, NEURONS = 4, 8, 64


def outputs(model, inputs):
    with torch.inference_mode():
        return [model(**batch).logits for batch in inputs]


def scores(folder, heads, ffn):
    np.savez(f"{folder}/importance.npz", heads=heads, ffn=ffn)
    return folder


def units_of(model):
    structure = anatomy(model.config)
    return structure.parts, [block for _, block in structure.units(model)]


@pytest.mark.parametrize("name", CONFIGS)
def test_nothing_removed_gives_identical_outputs(name, checkpoint, data, inputs, folder):
    teacher, model = checkpoint(name)
    dear = folder("importance")
    importance(str(teacher), str(data), 20, 0, dear)
    info = shape(str(teacher), dear, 4, 0.0, 0.0, folder("out"))
    assert info["layers"] == [0, 1, 2, 3] and info["heads"] == 4 and info["ffn"] == 64
    student = load_shaped(teacher.parent / "out")
    for before, after in zip(outputs(model, inputs), outputs(student, inputs), strict=True):
        torch.testing.assert_close(before, after)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_student_is_smaller_and_runs_at_any_batch_and_length(name, checkpoint, data, inputs, folder):
    teacher, model = checkpoint(name)
    dear = folder("importance")
    importance(str(teacher), str(data), 20, 0, dear)
    info = shape(str(teacher), dear, 2, 0.5, 0.75, folder("out"))
    out = teacher.parent / "out"
    student = load_shaped(out)
    parts, units = units_of(student)
    assert len(units) == (1 if name == "albert" else 2)
    for unit in units:
        assert unit.get_submodule(parts.heads_out).weight.shape == (32, 2 * WIDTH)
        assert unit.get_submodule(parts.ffn_out).weight.shape == (32, 16)
    assert sum(t.numel() for t in load_file(out / "model.safetensors").values()) == info["parameters"]
    assert info["parameters"] < sum(p.numel() for p in model.parameters())
    assert all(logits.isfinite().all() and logits.shape[1] == 3 for logits in outputs(student, inputs))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_single_layer_is_a_model(name, checkpoint, data, inputs, folder):
    teacher, _ = checkpoint(name)
    dear = folder("importance")
    importance(str(teacher), str(data), 20, 0, dear)
    assert shape(str(teacher), dear, 1, 0.75, 0.5, folder("out"))["layers"] == [3]
    student = load_shaped(teacher.parent / "out")
    assert all(logits.isfinite().all() for logits in outputs(student, inputs))


@pytest.mark.parametrize("name", CONFIGS)
def test_the_rows_of_idle_heads_and_neurons_are_the_ones_that_go(name, checkpoint, inputs, folder):
    """Heads 0 and 2 and every odd neuron reach nothing: without them the outputs must not change at all."""
    teacher, model = checkpoint(name)
    parts, units = units_of(model)
    idle = torch.arange(NEURONS) % 2 == 1
    with torch.no_grad():
        for unit in units:
            out = unit.get_submodule(parts.heads_out).weight.view(32, HEADS, WIDTH)
            out[:, [0, 2]] = 0
            unit.get_submodule(parts.ffn_out).weight[:, idle] = 0
    save_checkpoint(model, teacher, teacher)
    heads = np.tile([0.0, 1.0, 0.0, 2.0], (len(units), 1))
    dear = scores(folder("importance"), heads, np.tile((~idle).double().numpy(), (len(units), 1)))
    shape(str(teacher), dear, 4, 0.5, 0.5, folder("out"))
    student = load_shaped(teacher.parent / "out")
    for before, after in zip(outputs(model, inputs), outputs(student, inputs), strict=True):
        torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_importance_finds_what_reaches_nothing(name, checkpoint, data, folder):
    teacher, model = checkpoint(name)
    parts, units = units_of(model)
    with torch.no_grad():
        for unit in units:
            unit.get_submodule(parts.heads_out).weight.view(32, HEADS, WIDTH)[:, 1] = 0
            unit.get_submodule(parts.ffn_out).weight[:, 7] = 0
    save_checkpoint(model, teacher, teacher)
    dear = folder("importance")
    assert importance(str(teacher), str(data), 20, 0, dear)["samples"] == 20
    found = np.load(f"{dear}/importance.npz")
    assert found["heads"].shape == (len(units), HEADS) and found["ffn"].shape == (len(units), NEURONS)
    assert (found["heads"][:, 1] == 0).all() and (found["ffn"][:, 7] == 0).all()
    assert (np.delete(found["heads"], 1, 1) > 0).all()
    assert (np.delete(found["ffn"], 7, 1) > 0).mean() > 0.9  # a gated or rectified unit may be silent


def test_importance_is_the_sum_of_squared_gradients_of_each_document(checkpoint, data, folder):
    """Against finite differences: scale one head's output in the weights, one document at a time."""
    teacher, model = checkpoint("bert")
    dear = folder("importance")
    importance(str(teacher), str(data), 48, 0, dear)
    stored = np.load(data / "train.npz")
    weight = model.bert.encoder.layer[1].attention.output.dense.weight
    ids, mask, labels = (torch.from_numpy(stored[k]) for k in ("input_ids", "attention_mask", "labels"))
    model.double()

    def losses():
        logits = model(input_ids=ids, attention_mask=mask).logits
        return torch.nn.functional.cross_entropy(logits, labels, reduction="none")

    with torch.no_grad():
        columns, step = slice(2 * WIDTH, 3 * WIDTH), 1e-4
        weight[:, columns] *= 1 + step
        above = losses()
        weight[:, columns] *= (1 - step) / (1 + step)
        gradients = (above - losses()) / (2 * step)
    expected = float(gradients.square().sum())
    assert np.load(f"{dear}/importance.npz")["heads"][1, 2] == pytest.approx(expected, rel=1e-3)


def test_modernbert_keeps_each_layers_kind_of_attention(checkpoint, folder):
    teacher, model = checkpoint("modernbert")
    assert model.config.layer_types == ["full_attention", *["sliding_attention"] * 2, "full_attention"]
    dear = scores(folder("importance"), np.ones((4, 4)), np.ones((4, 64)))
    kept = shape(str(teacher), dear, 3, 0.0, 0.0, folder("out"))["layers"]
    student = load_shaped(teacher.parent / "out")
    types = [model.config.layer_types[i] for i in kept]
    assert [layer.attention_type for layer in student.model.layers] == types
    assert [layer.attn.sliding_window for layer in student.model.layers] == [
        None if t == "full_attention" else 5 for t in types
    ]


def test_a_layer_that_is_kept_has_its_own_weights(checkpoint, folder):
    teacher, model = checkpoint("distilbert")
    dear = scores(folder("importance"), np.ones((4, 4)), np.ones((4, 64)))
    kept = shape(str(teacher), dear, 2, 0.0, 0.0, folder("out"))["layers"]
    student = load_shaped(teacher.parent / "out")
    for number, layer in zip(kept, student.distilbert.transformer.layer, strict=True):
        torch.testing.assert_close(
            layer.ffn.lin1.weight, model.distilbert.transformer.layer[number].ffn.lin1.weight
        )


def test_kept_counts():
    assert [kept_heads(12, r) for r in (0.0, 0.25, 0.5, 0.99)] == [12, 9, 6, 1]
    assert [kept_neurons(1536, r) for r in (0.0, 0.5, 0.875, 0.99)] == [1536, 768, 192, 32]
    assert [kept_neurons(1000, r) for r in (0.0, 0.001)] == [1000, 992]
    assert [kept_neurons(64, r) for r in (0.5, 0.9, 0.99)] == [32, 8, 8]
    for total in (1, 6, 12):
        for keep in range(1, total + 1):
            kept = kept_layers(total, keep)
            assert kept == sorted(set(kept)) and len(kept) == keep and kept[-1] == total - 1
            assert kept[0] == (0 if keep > 1 else total - 1)


@pytest.mark.parametrize("name", CONFIGS)
def test_describe(name, checkpoint):
    teacher, model = checkpoint(name)
    found = describe(str(teacher))
    assert (found["layers"], found["heads"], found["ffn"], found["hidden"]) == (4, 4, 64, 32)
    assert found["family"] == CONFIGS[name][0] and found["refused"] == {}
    assert found["parameters"] == sum(p.numel() for p in model.parameters())
    json.dumps(found)


def test_refusals_name_the_reason(checkpoint, folder):
    teacher, _ = checkpoint("albert", num_hidden_groups=2)
    assert list(describe(str(teacher))["refused"]) == ["student_layers"]
    dear = scores(folder("importance"), np.ones((2, 4)), np.ones((2, 64)))
    with pytest.raises(UnsupportedError, match=r"student_layers: .*groups"):
        shape(str(teacher), dear, 2, 0.0, 0.0, folder("one"))
    shape(str(teacher), dear, 4, 0.5, 0.5, folder("two"))
    with pytest.raises(UnsupportedError, match=r"5 layers .* has 4"):
        shape(str(teacher), dear, 5, 0.0, 0.0, folder("three"))


def test_an_unknown_family_is_loadable_and_refuses_all_axes(checkpoint, inputs, folder, monkeypatch, data):
    monkeypatch.setitem(CONFIGS, "stranger", ("mpnet", {**CONFIGS["bert"][1]}))
    teacher, model = checkpoint("stranger")
    found = describe(str(teacher))
    assert found["layers"] == 4 and set(found["refused"]) == {"student_layers", "heads", "ffn"}
    assert "mpnet" in found["refused"]["heads"]
    dear = folder("importance")
    assert importance(str(teacher), str(data), 8, 0, dear) == {"samples": 0, "layers": 0}
    shape(str(teacher), dear, 4, 0.0, 0.0, folder("same"))
    same = outputs(load_shaped(teacher.parent / "same"), inputs)
    torch.testing.assert_close(same, outputs(model, inputs))
    with pytest.raises(UnsupportedError, match="heads"):
        shape(str(teacher), dear, 4, 0.5, 0.0, folder("out"))
