import json
import subprocess
import sys

import numpy as np
import pytest

from tuner.errors import InputError
from tuner.spec.model import StudySpec
from tuner.tasks.documents import SPLITS, Documents, Split
from tuner.tasks.encode import encode, load_tokenizer
from tuner.tasks.limits import check_max_length, position_limit
from tuner.tasks.text_classification import documents_job, encode_job, train_tokenizer_job
from tuner.tasks.vocabulary import SPECIAL, train_tokenizer

SENTENCE = "the quick brown fox jumps over a lazy dog while two cats watch from some wall"
WORDS = SENTENCE.split(" ")
TEXTS = [" ".join(WORDS[(i * k) % len(WORDS)] for k in range(1, 3 + i % 20)) for i in range(40)]


def study(max_length: int = 16, **config) -> StudySpec:
    model = {"config": {"model_type": "bert", **config}, "max_length": max_length}
    scenario = {"sequence_length": "data"}
    data = {"source": "x.csv"}
    whole = {"name": "t", "model": model, "data": data, "scenario": scenario, "budget": {"trials": 1}}
    return StudySpec.model_validate(whole)


@pytest.fixture(scope="module")
def docs() -> Documents:
    parts = {"train": TEXTS[:24], "validation": TEXTS[24:32], "test": TEXTS[32:]}
    return Documents(["a", "b"], {n: Split(t, [i % 2 for i in range(len(t))]) for n, t in parts.items()})


@pytest.fixture(scope="module")
def tokenizer(docs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(docs, study(vocab_size=200), folder)
    return folder


def test_a_trained_tokenizer_is_one_that_transformers_loads(tokenizer):
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(tokenizer)
    assert (loaded.pad_token_id, loaded.cls_token, loaded.sep_token) == (0, "[CLS]", "[SEP]")
    coder, _ = load_tokenizer(tokenizer, 16)
    assert loaded("the quick fox")["input_ids"] == coder.encode("the quick fox").ids
    assert loaded.decode(loaded("The quick fox")["input_ids"], skip_special_tokens=True) == "the quick fox"


def test_the_same_texts_give_the_same_tokenizer_in_another_process_too(docs, tokenizer, tmp_path):
    documents = tmp_path / "docs"
    docs.save(documents)
    code = "import sys, json; from tuner.tasks.text_classification import train_tokenizer_job as job; "
    code += "job(json.loads(sys.argv[1]), *sys.argv[2:])"
    for i in range(2):
        spec = json.dumps(study(vocab_size=200).to_plain())
        command = [sys.executable, "-c", code, spec, str(documents), str(tmp_path / str(i))]
        subprocess.run(command, check=True)
        made = (tmp_path / str(i) / "tokenizer.json").read_bytes()
        assert made == (tokenizer / "tokenizer.json").read_bytes()


@pytest.mark.parametrize("size", [32, 60, 100])
def test_a_vocabulary_stays_within_its_size_and_rare_letters_give_way(docs, tmp_path, size):
    assert train_tokenizer(docs, study(vocab_size=size), tmp_path)["vocabulary"] <= size
    vocabulary = json.loads((tmp_path / "tokenizer.json").read_text())["model"]["vocab"]
    assert [word for word, i in sorted(vocabulary.items(), key=lambda item: item[1])][:5] == SPECIAL
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    assert "o" in vocabulary
    assert ("q" in vocabulary) == (size > 32)


@pytest.mark.parametrize("size", [8, "many", None])
def test_a_vocabulary_size_that_cannot_be(docs, tmp_path, size):
    with pytest.raises(InputError, match=r"^model\.config: vocab_size must be"):
        train_tokenizer(docs, study(vocab_size=size), tmp_path)


def test_splits_are_padded_on_the_right_and_cut_at_the_limit(docs, tokenizer, tmp_path):
    meta = encode(docs, tokenizer, study(max_length=10), tmp_path)
    assert json.loads((tmp_path / "meta.json").read_text()) == meta
    coder, pad = load_tokenizer(tokenizer, 1000)
    for name in SPLITS:
        with np.load(tmp_path / f"{name}.npz") as arrays:
            ids, mask, labels = arrays["input_ids"], arrays["attention_mask"], arrays["labels"]
        lengths = [len(coder.encode(text).ids) for text in docs[name].texts]
        assert meta["truncated"][name] == sum(length > 10 for length in lengths) > 0
        assert ids.shape == mask.shape == (len(lengths), min(10, max(lengths)))
        assert {ids.dtype, mask.dtype, labels.dtype} == {np.dtype("int64")}
        assert mask.sum(axis=1).tolist() == [min(10, length) for length in lengths]
        assert (ids[mask == 0] == pad).all()
        assert (np.diff(mask, axis=1) <= 0).all()
        assert labels.tolist() == docs[name].labels
        ends = ids[np.arange(len(ids)), mask.sum(axis=1) - 1]
        assert set(ends) == {coder.token_to_id("[SEP]")}
        assert len((tmp_path / f"{name}_texts.jsonl").read_text().splitlines()) == len(lengths)


def test_a_short_split_is_padded_to_its_own_longest(docs, tokenizer, tmp_path):
    encode(docs, tokenizer, study(max_length=500), tmp_path)
    with np.load(tmp_path / "train.npz") as arrays:
        assert arrays["attention_mask"].sum(axis=1).max() == arrays["input_ids"].shape[1] < 500


def test_the_padding_of_a_tokenizer_file_is_not_taken_over(tokenizer, tmp_path):
    coder, _ = load_tokenizer(tokenizer, 16)
    coder.enable_padding(length=64, pad_id=0)
    coder.enable_truncation(5)
    coder.save(str(tmp_path / "tokenizer.json"))
    again, _ = load_tokenizer(tmp_path, 16)
    assert 5 < len(again.encode(" ".join(WORDS)).ids) <= 16


def test_the_padding_token_of_the_tokenizer_is_used_not_a_guess(tokenizer, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes((tokenizer / "tokenizer.json").read_bytes())
    (tmp_path / "tokenizer_config.json").write_text('{"pad_token": {"content": "[MASK]"}}')
    assert load_tokenizer(tmp_path, 16)[1] == SPECIAL.index("[MASK]")
    (tmp_path / "tokenizer_config.json").unlink()
    (tmp_path / "config.json").write_text('{"pad_token_id": 3}')
    assert load_tokenizer(tmp_path, 16)[1] == 3


def test_a_folder_without_a_tokenizer_or_with_a_broken_one(tmp_path):
    with pytest.raises(InputError, match=r"has no tokenizer\.json"):
        load_tokenizer(tmp_path, 16)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be read"):
        load_tokenizer(tmp_path, 16)


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        ({"model_type": "bert", "max_position_embeddings": 512}, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "gpt2", "n_positions": 1024}, 1024),
        ({"model_type": "t5"}, None),
        ({"model_type": "xlnet", "max_position_embeddings": -1}, None),
    ],
)
def test_a_length_beyond_the_models_positions_is_refused(config, limit):
    assert position_limit(config) == limit
    check_max_length(config, limit or 10**6)
    if limit:
        with pytest.raises(InputError, match=rf"^model\.max_length: {limit + 1} tokens, .* at most {limit}"):
            check_max_length(config, limit + 1)


def test_the_limit_is_what_a_real_roberta_takes():
    import torch
    from transformers import RobertaConfig, RobertaForSequenceClassification

    torch.set_num_threads(1)
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = RobertaConfig(vocab_size=20, max_position_embeddings=12, **shape)
    model, limit = RobertaForSequenceClassification(config).eval(), position_limit(config.to_dict())
    model(torch.full((1, limit), 5))
    with pytest.raises((IndexError, RuntimeError)):
        model(torch.full((1, limit + 1), 5))


def test_jobs_take_and_return_plain_data(tmp_path):
    rows = "\n".join(f"{text} {i},{'ab'[i % 2]}" for i, text in enumerate(TEXTS))
    (tmp_path / "x.csv").write_text("text,label\n" + rows)
    spec = {**study().to_plain(), "base": str(tmp_path)}
    folders = {name: str(tmp_path / name) for name in ("docs", "tok", "data")}
    reports = [
        documents_job(spec, folders["docs"]),
        train_tokenizer_job(spec, folders["docs"], folders["tok"]),
        encode_job(spec, folders["docs"], folders["tok"], folders["data"]),
    ]
    assert json.loads(json.dumps(reports)) == reports
    assert reports[2]["labels"] == reports[0]["labels"] == ["a", "b"]
    with np.load(tmp_path / "data" / "test.npz") as arrays:
        assert len(arrays["labels"]) == reports[2]["documents"]["test"] == 8


@pytest.mark.parametrize("task", ["text_classification", "generation"])
def test_reading_and_encoding_need_no_torch(task):
    code = f"import sys, tuner.spec.load, tuner.tasks.{task} as t; "
    code += "print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
