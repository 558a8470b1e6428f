import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.compress.classifier_models import CONFIGS, build, tiny_tokenizer
from tuner.compress.source import import_model
from tuner.errors import InputError
from tuner.runtime.shaped import load_shaped

CONFIG = {
    "model_type": "bert",
    **{k: v for k, v in CONFIGS["bert"][1].items() if k not in ("vocab_size", "pad_token_id")},
}


@pytest.fixture
def trained(tmp_path):
    """A transformers folder with a head for the classes b, a, c."""

    def make(name="bert"):
        path = tiny_tokenizer(tmp_path / "model")
        model = build(name)
        model.config.id2label = {0: "b", 1: "a", 2: "c"}
        model.save_pretrained(path)
        return path, model

    return make


def imported(path, labels, out, config=None, tokenizer=None):
    return import_model(None if path is None else str(path), config, labels, str(tokenizer or path), 0, out)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_head_for_these_labels_is_kept_in_their_order(name, trained, inputs, folder, tmp_path):
    path, model = trained(name)
    assert imported(path, ["a", "b", "c"], folder("out")) == {"trained_head": True}
    loaded = load_shaped(tmp_path / "out")
    assert loaded.config.id2label == {0: "a", 1: "b", 2: "c"}
    with torch.inference_mode():
        for batch in inputs:
            torch.testing.assert_close(loaded(**batch).logits, model(**batch).logits[:, [1, 0, 2]])
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {
        "config.json",
        "model.safetensors",
        "shape.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert json.loads((tmp_path / "out" / "shape.json").read_text()) == {"attributes": {}}


@pytest.mark.parametrize("labels", [["x", "b", "c"], ["a", "b", "c", "d"], ["a", "b"]])
def test_a_head_for_other_labels_is_drawn_anew_and_the_body_kept(labels, trained, folder, tmp_path):
    path, model = trained()
    assert imported(path, labels, folder("out")) == {"trained_head": False}
    loaded = load_shaped(tmp_path / "out")
    assert list(loaded.config.id2label.values()) == labels and loaded.classifier.out_features == len(labels)
    old = model.bert.encoder.layer[3].output.dense.weight
    torch.testing.assert_close(loaded.bert.encoder.layer[3].output.dense.weight, old)


def test_a_body_without_a_head_is_not_trained(trained, folder):
    path, model = trained()
    model.bert.save_pretrained(path)
    settings = json.loads((path / "config.json").read_text())
    assert settings["architectures"] == ["BertModel"]
    assert imported(path, ["a", "b", "c"], folder("out")) == {"trained_head": False}


def test_half_precision_weights_are_kept_as_they_are_but_in_fp32(trained, folder, tmp_path):
    path, model = trained()
    model.to(torch.bfloat16).save_pretrained(path)
    imported(path, ["a", "b", "c"], folder("out"))
    weight = load_shaped(tmp_path / "out").bert.encoder.layer[0].attention.self.query.weight
    torch.testing.assert_close(weight, model.bert.encoder.layer[0].attention.self.query.weight.float())


@pytest.mark.parametrize("kind", ["bert", "distilbert", "modernbert"])
def test_a_config_study_takes_its_vocabulary_from_the_tokenizer(kind, folder, tmp_path):
    tokenizer = tiny_tokenizer(tmp_path / "tokenizer")
    sizes = (
        CONFIG
        if kind == "bert"
        else {"model_type": kind, "hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2}
    )
    assert imported(None, ["a", "b"], folder("out"), sizes, tokenizer) == {"trained_head": False}
    model = load_shaped(tmp_path / "out")
    assert model.get_input_embeddings().weight.shape == (60, 32) and model.config.pad_token_id == 0
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (tokenizer / "tokenizer.json").read_bytes()


def test_the_same_seed_draws_the_same_model(folder, tmp_path):
    tokenizer = tiny_tokenizer(tmp_path / "tokenizer")
    for name in ("one", "two"):
        imported(None, ["a", "b"], folder(name), CONFIG, tokenizer)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_an_older_tokenizer_is_converted(trained, folder, tmp_path):
    path, _ = trained()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (path / name).unlink()
    (path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello"]))
    imported(path, ["a", "b", "c"], folder("out"))
    assert "hello" in (tmp_path / "out" / "tokenizer.json").read_text()


def refused(path, out, **more):
    with pytest.raises(InputError) as caught:
        imported(path, ["a", "b", "c"], out, **more)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    return message


def test_pickled_weights_are_refused(trained, folder):
    path, model = trained()
    (path / "model.safetensors").unlink()
    assert "model.safetensors" in refused(path, folder("one"))
    torch.save(model.state_dict(), path / "pytorch_model.bin")
    assert "pytorch_model.bin" in refused(path, folder("two"))


def test_unknown_and_broken_models_are_refused(trained, folder):
    path, _ = trained()
    settings = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**settings, "model_type": "nobodys"}))
    assert "nobodys" in refused(path, folder("one"))
    (path / "config.json").write_text("{")
    assert "config.json" in refused(path, folder("two"))
    (path / "config.json").unlink()
    assert "config.json" in refused(path, folder("three"))


def test_code_of_the_model_is_not_run(trained, folder):
    path, _ = trained()
    settings = json.loads((path / "config.json").read_text())
    custom = {"AutoConfig": "evil.Config", "AutoModelForSequenceClassification": "evil.Model"}
    (path / "config.json").write_text(json.dumps({**settings, "model_type": "evil", "auto_map": custom}))
    (path / "evil.py").write_text("raise SystemExit('ran')")
    assert "code of its own" in refused(path, folder("out"))


def test_weights_of_another_model_are_refused(trained, folder):
    path, _ = trained()
    save_file({"something": torch.zeros(2)}, path / "model.safetensors")
    assert "weights do not fit" in refused(path, folder("one"))
    (path / "model.safetensors").write_bytes(b"no weights at all")
    assert "model" in refused(path, folder("two"))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model_type": "nobodys"}, "nobodys"),
        ({**CONFIG, "num_hidden_layer": 2}, "num_hidden_layer: .*num_hidden_layers"),
        ({**CONFIG, "num_attention_heads": 5}, "heads"),
        ({**CONFIG, "hidden_size": "many"}, "many|hidden_size"),
    ],
)
def test_impossible_configurations_are_refused(fields, said, folder, tmp_path):
    tokenizer = tiny_tokenizer(tmp_path / "tokenizer")
    with pytest.raises(InputError, match=said) as caught:
        imported(None, ["a", "b"], folder("out"), fields, tokenizer)
    assert "\n" not in str(caught.value)


def test_a_folder_without_any_tokenizer_is_refused(trained, folder, tmp_path):
    path, _ = trained()
    bare = tmp_path / "bare"
    shutil.copytree(path, bare, ignore=shutil.ignore_patterns("tokenizer*"))
    assert "tokenizer" in refused(bare, folder("out"))
