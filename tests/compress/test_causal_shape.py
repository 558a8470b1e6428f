import json

import numpy as np
import pytest
import torch
from causal_models import FAMILIES, build, write_data, write_tokenizer
from transformers import AutoModelForCausalLM

from tuner.compress.anatomy import describe
from tuner.compress.causal.compensate import FILE, RIDGE
from tuner.compress.causal.depth import layer_scores
from tuner.compress.causal.importance import importance
from tuner.compress.causal.shape import shape
from tuner.compress.checkpoint import save_checkpoint
from tuner.compress.widths import kept_groups, kept_wide_neurons
from tuner.errors import UnsupportedError
from tuner.runtime.shaped import load_shaped

IDS = torch.randint(4, 60, (2, 20), generator=torch.Generator().manual_seed(3))


@pytest.fixture
def made(tmp_path):
    def make(name, **more):
        folder = write_tokenizer(tmp_path / "teacher")
        model = build(name, **more)
        save_checkpoint(model, folder, folder)
        return folder, model

    return make


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data")


def logits(model):
    with torch.inference_mode():
        return model(IDS).logits


def scored(folder, layers, heads, ffn):
    folder.mkdir()
    np.savez(folder / "importance.npz", layers=layers, heads=heads, ffn=ffn)
    return str(folder)


@pytest.mark.parametrize("name", FAMILIES)
def test_students_are_plain_folders_that_transformers_and_the_tuner_read_alike(name, made, data, tmp_path):
    teacher, model = made(name)
    dear, whole, small = (tmp_path / n for n in ("importance", "whole", "small"))
    for folder in (dear, whole, small):
        folder.mkdir()
    assert importance(str(teacher), str(data), 8, 0, str(dear)) == {
        "samples": 8,
        "layers": 5,
        "moments": True,
    }
    shape(str(teacher), str(dear), 5, 0.0, 0.0, str(whole))
    assert torch.equal(logits(load_shaped(whole)), logits(model))
    found = shape(str(teacher), str(dear), 3, 0.5, 0.5, str(small))
    sizes = json.loads((small / "config.json").read_text())
    groups = {"llama-no-groups": 3}.get(name, 2)
    assert (len(found["layers"]), found["heads"], found["ffn"]) == (3, groups, 32)
    assert found["layers"][0] == 0 and found["layers"][-1] == 4 and found["compensated"]
    per_group = 1 if name == "llama-no-groups" else 2
    assert sizes["num_attention_heads"] == groups * per_group and sizes["head_dim"] == 8
    plain = AutoModelForCausalLM.from_pretrained(small).eval()
    student = load_shaped(small)
    assert torch.equal(logits(student), logits(plain)) and logits(student).isfinite().all()
    if name == "qwen2":
        assert sizes["layer_types"] == [model.config.layer_types[i] for i in found["layers"]]
    assert (small / "chat_template.jinja").exists()
    assert describe(str(small))["parameters"] == found["parameters"]
    assert found["parameters"] == sum(p.numel() for p in plain.parameters())


@pytest.mark.parametrize("name", FAMILIES)
def test_groups_and_neurons_that_reach_nothing_go_without_a_trace(name, made, tmp_path):
    """What hands on nothing is scored 0: without it the outputs must not change at all."""
    teacher, model = made(name)
    groups = model.config.num_key_value_heads
    idle = torch.arange(64) % 2 == 1
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.view(48, groups, -1)[:, 1:] = 0
            layer.mlp.down_proj.weight[:, idle] = 0
    save_checkpoint(model, teacher, teacher)
    first = np.tile(np.eye(groups)[0], (5, 1))
    dear = scored(tmp_path / "importance", np.ones(5), first, np.tile((~idle).double().numpy(), (5, 1)))
    (tmp_path / "out").mkdir()
    found = shape(str(teacher), dear, 5, 1 - 1 / groups, 0.5, str(tmp_path / "out"))
    assert (found["heads"], found["ffn"], found["compensated"]) == (1, 32, False)
    torch.testing.assert_close(logits(load_shaped(tmp_path / "out")), logits(model), rtol=1e-4, atol=1e-5)


def test_importance_finds_the_layers_groups_and_neurons_that_do_nothing(made, data, tmp_path):
    teacher, model = made("llama")
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.view(48, 3, -1)[:, 1] = 0
            layer.mlp.down_proj.weight[:, 7] = 0
        model.model.layers[2].self_attn.o_proj.weight.zero_()
        model.model.layers[2].mlp.down_proj.weight.zero_()
    save_checkpoint(model, teacher, teacher)
    (tmp_path / "importance").mkdir()
    importance(str(teacher), str(data), 8, 0, str(tmp_path / "importance"))
    found = np.load(tmp_path / "importance" / "importance.npz")
    assert found["layers"].argmin() == 2 and sorted(found["layers"]) == [0, 1, 2, 3, 4]
    assert found["layers"][0] == 4 and found["layers"][4] == 3
    rest = [0, 1, 3, 4]
    assert (found["heads"][:, 1] == 0).all() and (found["heads"][rest][:, [0, 2]] > 0).all()
    assert (found["ffn"][:, 7] == 0).all() and (np.delete(found["ffn"][rest], 7, 1) > 0).all()


def test_layers_go_in_the_order_of_an_exhaustive_greedy_search(data):
    """Against whole models with the layers really taken out."""
    model = build("qwen3", num_hidden_layers=6)
    stored = np.load(data / "train.npz")
    ids, mask = (torch.from_numpy(stored[k]) for k in ("input_ids", "attention_mask"))
    scores = layer_scores(model, model.model.layers, {"input_ids": ids, "attention_mask": mask})
    whole = list(model.model.layers)

    def loss(kept):
        model.model.layers = torch.nn.ModuleList(whole[i] for i in kept)
        model.config.num_hidden_layers = len(kept)
        labels = ids.masked_fill(mask == 0, -100)
        with torch.inference_mode():
            return float(model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss)

    first = min(range(1, 5), key=lambda i: loss([j for j in range(6) if j != i]))
    assert scores.index(0) == first and sorted(scores) == [0, 1, 2, 3, 4, 5]


def test_what_is_left_is_fitted_by_least_squares_drawn_to_the_plain_cut(made, data, tmp_path):
    """Against a solver, on the calibration text: rows for the penalty stand below those of the text."""
    teacher, model = made("llama")
    dear = tmp_path / "importance"
    dear.mkdir()
    importance(str(teacher), str(data), 24, 0, str(dear))
    weights = {}
    for name in ("fitted", "plain"):
        (tmp_path / name).mkdir()
        shape(str(teacher), str(dear), 5, 0.0, 0.5, str(tmp_path / name))
        (dear / FILE).unlink(missing_ok=True)
        weights[name] = load_shaped(tmp_path / name).model.layers[0].mlp.down_proj.weight.detach()
    stored = np.load(data / "train.npz")
    text = {name: torch.from_numpy(stored[name]) for name in stored.files}
    _, wanted = around_down(model, text)
    kept, cut = around_down(load_shaped(tmp_path / "plain"), text)
    penalty = (RIDGE * kept.square().sum(0).mean()).sqrt() * torch.eye(32)
    rows = torch.cat([kept, penalty]), torch.cat([wanted, penalty @ weights["plain"].T])
    solved = torch.linalg.lstsq(*rows).solution.T
    assert float((weights["fitted"] - solved).norm()) < 0.05 * float((solved - weights["plain"]).norm())
    assert float((wanted - kept @ weights["fitted"].T).norm()) < 0.95 * float((wanted - cut).norm())


def around_down(model, text):
    """Return what goes into the first layer's consumer of neurons, and what comes out, (tokens, …)."""
    seen = []
    down = model.model.layers[0].mlp.down_proj
    hook = down.register_forward_hook(lambda m, i, o: seen.extend((i[0].flatten(0, 1), o.flatten(0, 1))))
    with torch.inference_mode():
        model(**text)
    hook.remove()
    return seen


def test_one_group_for_all_heads_is_refused_with_the_reason(made, tmp_path):
    teacher, _ = made("llama", num_key_value_heads=1)
    assert describe(str(teacher))["refused"].keys() == {"heads"}
    dear = scored(tmp_path / "importance", np.ones(5), np.ones((5, 1)), np.ones((5, 64)))
    (tmp_path / "out").mkdir()
    with pytest.raises(UnsupportedError, match="share one key-value head"):
        shape(str(teacher), dear, 5, 0.5, 0.0, str(tmp_path / "out"))
    with pytest.raises(UnsupportedError, match="6 layers asked of a model that has 5"):
        shape(str(teacher), dear, 6, 0.0, 0.0, str(tmp_path / "out"))


def test_neurons_stay_in_multiples_that_kernels_fill():
    assert kept_wide_neurons(1536, 0.0) == 1536 and kept_wide_neurons(1536, 0.25) == 1152
    assert kept_wide_neurons(1536, 0.3) == 1088 and kept_wide_neurons(1536, 0.99) == 64
    assert kept_wide_neurons(100, 0.0) == 100 and kept_wide_neurons(100, 0.5) == 48


def test_a_llama_keeps_as_many_groups_as_its_configuration_can_say():
    ratios = (0.0, 0.25, 0.3, 0.5, 0.7, 0.9)
    assert [kept_groups(8, 4, 2048, True, r) for r in ratios] == [8, 8, 4, 4, 2, 1]
    assert [kept_groups(8, 4, 4096, False, r) for r in (0.0, 0.25, 0.5, 0.99)] == [8, 6, 4, 1]
