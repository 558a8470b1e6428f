import json
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner.errors import InputError
from tuner.spec.model import StudySpec
from tuner.tasks import load_task
from tuner.tasks.documents import SPLITS, Documents
from tuner.tasks.read import documents
from tuner.tasks.split import cut, stratified_order

ROWS = [(f"text {i} of the {'good' if i % 3 else 'bad'} kind", "good" if i % 3 else "bad") for i in range(60)]


def study(base: Path, source: str, seed: int = 0, **data) -> StudySpec:
    """Only a language model's study may leave labels out; how texts are read is the same for all tasks."""
    labelled = data.get("label", "label") is not None
    return StudySpec.model_validate(
        {
            "name": "t",
            "task": "text-classification" if labelled else "text-generation",
            "model": {"config": {"model_type": "bert"}} if labelled else {"source": "model"},
            "data": {"source": source, **data},
            "budget": {"trials": 1},
            "seed": seed,
            "base": base,
        }
    )


def write_csv(folder: Path, rows=ROWS, name="data.csv", columns=("text", "label")) -> str:
    pd.DataFrame(rows, columns=list(columns)).to_csv(folder / name, index=False)
    return name


def write_jsonl(folder: Path) -> str:
    lines = [json.dumps({"text": text, "label": label}) for text, label in ROWS]
    (folder / "data.jsonl").write_text("\n".join(lines) + "\n\n")
    return "data.jsonl"


def write_parquet(folder: Path) -> str:
    pd.DataFrame(ROWS, columns=["text", "label"]).to_parquet(folder / "data.parquet")
    return "data.parquet"


def write_tree(folder: Path) -> str:
    for i, (text, label) in enumerate(ROWS):
        (folder / "tree" / label).mkdir(parents=True, exist_ok=True)
        (folder / "tree" / label / f"{i:03}.txt").write_text(text)
    (folder / "tree" / "__pycache__").mkdir()
    (folder / "tree" / ".hidden").mkdir()
    return "tree"


@pytest.mark.parametrize("write", [write_csv, write_jsonl, write_parquet, write_tree])
def test_each_format_gives_the_same_documents(tmp_path, write):
    found = documents(study(tmp_path, write(tmp_path)))
    assert found.labels == ["bad", "good"]
    assert {name: len(found[name]) for name in SPLITS} == {"train": 36, "validation": 12, "test": 12}
    pairs = [
        (t, found.labels[y]) for s in SPLITS for t, y in zip(found[s].texts, found[s].labels, strict=True)
    ]
    assert sorted(pairs) == sorted(ROWS)


def test_a_saved_folder_reads_back(tmp_path):
    found = documents(study(tmp_path, write_csv(tmp_path)))
    found.save(tmp_path / "out")
    assert Documents.load(tmp_path / "out") == found
    first = json.loads((tmp_path / "out" / "test_texts.jsonl").read_text().splitlines()[0])
    assert first == {"text": found["test"].texts[0], "label": found.labels[found["test"].labels[0]]}


def test_the_split_follows_the_seed_and_nothing_else(tmp_path):
    source = write_csv(tmp_path)
    assert documents(study(tmp_path, source)) == documents(study(tmp_path, source))
    assert documents(study(tmp_path, source))["test"] != documents(study(tmp_path, source, seed=1))["test"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=200), st.integers(0, 9), st.data())
def test_any_stretch_of_the_order_is_stratified(labels, seed, data):
    order = stratified_order(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    begin = data.draw(st.integers(0, len(labels)))
    end = data.draw(st.integers(begin, len(labels)))
    taken = Counter(labels[i] for i in order[begin:end])
    for label, total in Counter(labels).items():
        assert abs(taken[label] - (end - begin) * total / len(labels)) <= len(set(labels)) + 1


@settings(deadline=None)
@given(st.integers(0, 300), st.lists(st.floats(0.05, 0.3), min_size=1, max_size=3))
def test_a_cut_repeats_nothing_and_rounds_to_whole_documents(total, shares):
    parts = cut(range(total), shares)
    joined = [i for part in parts for i in part]
    assert joined == list(range(len(joined)))
    assert all(abs(len(p) - total * s) <= 1 for p, s in zip(parts, shares, strict=True))


copies = st.lists(st.tuples(st.integers(0, 25), st.sampled_from(["", " ", "\n"])), min_size=40, max_size=120)


@settings(max_examples=30, deadline=None)
@given(copies)
def test_no_text_is_in_two_splits_however_often_it_is_repeated(tmp_path_factory, drawn):
    folder = tmp_path_factory.mktemp("data")
    rows = ROWS + [(ROWS[i][0].replace(" ", " " + space, 1), ROWS[i][1]) for i, space in drawn]
    found = documents(study(folder, write_csv(folder, rows)))
    texts = [" ".join(text.split()) for name in SPLITS for text in found[name].texts]
    assert sorted(texts) == sorted(text for text, _ in ROWS)
    assert found.counts["duplicates"] == len(drawn)


def test_a_text_under_two_labels_is_left_out_and_counted(tmp_path):
    rows = [*ROWS, (ROWS[0][0], "good" if ROWS[0][1] == "bad" else "bad")]
    found = documents(study(tmp_path, write_csv(tmp_path, rows)))
    assert found.counts["conflicting"] == 2
    assert ROWS[0][0] not in [text for name in SPLITS for text in found[name].texts]


def test_empty_texts_are_left_out_and_counted(tmp_path):
    found = documents(study(tmp_path, write_csv(tmp_path, [*ROWS, ("", "bad"), ("  ", "good")])))
    assert found.counts["empty"] == 2
    assert sum(len(found[name]) for name in SPLITS) == 60


def test_a_limit_keeps_the_classes_in_proportion(tmp_path):
    found = documents(study(tmp_path, write_csv(tmp_path), limit=30))
    assert sum(len(found[name]) for name in SPLITS) == 30
    bad = sum(label == 0 for name in SPLITS for label in found[name].labels)
    assert bad == 10
    assert found.counts["beyond_limit"] == 30


def test_classes_choose_labels(tmp_path):
    rows = [*ROWS, *((f"other {i}", "other") for i in range(9))]
    found = documents(study(tmp_path, write_csv(tmp_path, rows), classes=["good", "bad"]))
    assert found.labels == ["bad", "good"]
    assert found.counts["other_classes"] == 9


def test_numbers_as_labels_are_ordered_as_numbers(tmp_path):
    rows = [(f"text {i}", [2, 10, 1][i % 3]) for i in range(60)]
    assert documents(study(tmp_path, write_csv(tmp_path, rows))).labels == ["1", "2", "10"]
    frame = pd.DataFrame(rows, columns=["text", "label"]).astype({"label": float})
    frame.to_parquet(tmp_path / "x.parquet")
    assert documents(study(tmp_path, "x.parquet")).labels == ["1", "2", "10"]


def test_a_column_says_which_document_is_where(tmp_path):
    marks = ["train", "Dev", "test", "train"]
    rows = [(text, label, marks[i % 4]) for i, (text, label) in enumerate(ROWS)]
    source = write_csv(tmp_path, rows, columns=("text", "label", "part"))
    found = documents(study(tmp_path, source, split={"column": "part"}))
    assert {name: len(found[name]) for name in SPLITS} == {"train": 30, "validation": 15, "test": 15}
    assert set(found["validation"].texts) == {text for text, _, mark in rows if mark == "Dev"}


def test_named_splits_are_files_and_a_share_is_taken_from_train(tmp_path):
    write_csv(tmp_path, ROWS[:40], "train.csv")
    write_csv(tmp_path, ROWS[40:], "eval.csv")
    found = documents(study(tmp_path, ".", split={"train": "train", "validation": 0.25, "test": "eval"}))
    assert {name: len(found[name]) for name in SPLITS} == {"train": 30, "validation": 10, "test": 20}
    assert set(found["test"].texts) == {text for text, _ in ROWS[40:]}


def test_a_text_of_test_that_is_also_in_train_leaves_train(tmp_path):
    write_csv(tmp_path, ROWS[:41], "train.csv")
    write_csv(tmp_path, ROWS[40:], "test.csv")
    found = documents(study(tmp_path, ".", split={"train": "train", "validation": 0.25, "test": "test"}))
    assert ROWS[40][0] in found["test"].texts
    assert ROWS[40][0] not in found["train"].texts + found["validation"].texts


def test_cells_that_look_like_numbers_or_nothing_stay_text(tmp_path):
    rows = [*ROWS, ("NA", "good"), ("007", "good"), ('line one\nline two, \u2028 "quoted"', "bad")]
    found = documents(study(tmp_path, write_csv(tmp_path, rows)))
    texts = [text for name in SPLITS for text in found[name].texts]
    assert {"NA", "007", 'line one\nline two, \u2028 "quoted"'} <= set(texts)


def test_other_encodings_and_half_characters_are_survived(tmp_path):
    source = write_tree(tmp_path)
    (tmp_path / "tree" / "good" / "x.txt").write_bytes(b"costs \xa3 5")
    found = documents(study(tmp_path, source))
    assert found.counts["not_utf8"] == 1
    assert "costs £ 5" in [text for name in SPLITS for text in found[name].texts]
    with (tmp_path / write_jsonl(tmp_path)).open("a") as stream:
        stream.write('{"text": "half \\ud800 of one", "label": "good"}')
    assert "half ? of one" in [t for n in SPLITS for t in documents(study(tmp_path, "data.jsonl"))[n].texts]


BAD = {
    "no text column": (
        ROWS,
        {"text": "txt"},
        "data.text: data.csv has no column 'txt' (did you mean 'text'?)",
    ),
    "no label column": (ROWS, {"label": "class"}, "data.label: data.csv has no column 'class'"),
    "no split column": (
        ROWS,
        {"split": {"column": "part"}},
        "data.split.column: data.csv has no column 'part'",
    ),
    "a label missing": (
        [*ROWS, ("x", "")],
        {},
        "data.label: 1 of 61 rows have no label (the first: data.csv:62)",
    ),
    "one class": ([(t, "x") for t, _ in ROWS], {}, "data.label: data.csv has only one class, 'x'"),
    "no rows": ([], {}, "data.source: data.csv holds no document with text"),
    "empty texts only": ([("", "a"), (" ", "b")], {}, "data.source: data.csv holds no document with text"),
    "unknown class": (
        ROWS,
        {"classes": ["good", "bed"]},
        "no document has the label 'bed' (did you mean 'bad'?)",
    ),
    "too few": (ROWS[:2], {}, "data.split: no document is left for"),
    "contradictions only": ([("a", "x"), ("a", "y")], {}, "data.label: data.csv has no class"),
    "unknown split": (ROWS, {"split": {"column": "label"}}, "data.split.column: data.csv:2 is in 'bad'"),
    "not a folder": (ROWS, {"format": "folder"}, "data.source: "),
    "no such split": (ROWS, {"split": {"train": "a", "validation": "b", "test": "c"}}, "has no split 'a'"),
}


@pytest.mark.parametrize("case", BAD)
def test_data_that_cannot_be_used_is_one_clear_line(tmp_path, case):
    rows, data, message = BAD[case]
    with pytest.raises(InputError) as caught:
        documents(study(tmp_path, write_csv(tmp_path, rows), **data))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", b"", "data.source: x.csv is empty"),
        ("x.csv", b"text,label\na,b,c\n", "data.source: x.csv:2: 3 cells where the header has 2"),
        ("x.csv", b'text,label\n"a"b,c\n', "data.source: x.csv:2: not CSV"),
        ("x.jsonl", b'{"text": "a"}\n{oops\n', "data.source: x.jsonl:2: not JSON"),
        ("x.jsonl", b'["a"]\n', "data.source: x.jsonl:1: not a JSON object"),
        ("x.jsonl", b"", "holds no document with text"),
        ("x.jsonl", b'{"text": "a", "label": null}\n', "1 of 1 rows have no label (the first: x.jsonl:1)"),
        ("x.parquet", b"PAR0", "data.source: x.parquet: not Parquet"),
        ("x.dat", b"a", "data.format: cannot tell the format of x.dat"),
    ],
)
def test_a_file_that_is_not_of_its_format(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        documents(study(tmp_path, name))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_source_and_an_empty_folder(tmp_path):
    with pytest.raises(InputError, match=r"^data\.source: \./gone: no such file or folder"):
        documents(study(tmp_path, "./gone"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no folders"):
        documents(study(tmp_path, "empty"))


def test_without_a_network_a_hub_data_set_is_one_clear_line(tmp_path, monkeypatch):
    from datasets import config
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(config, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        InputError, match="no-such-owner/no-such-data: no local folder of that name"
    ) as caught:
        documents(study(tmp_path, "no-such-owner/no-such-data"))
    assert "\n" not in str(caught.value)


def test_the_key_follows_content_seed_and_section_but_not_the_place(tmp_path):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        write_csv(tmp_path / name)
    key = load_task(study(tmp_path, "x")).data_key
    first = key(study(tmp_path, "here/data.csv"))
    assert first == key(study(tmp_path, "there/data.csv")) == json.loads(json.dumps(first))
    others = [key(study(tmp_path, "here/data.csv", seed=1)), key(study(tmp_path, "here/data.csv", limit=9))]
    (tmp_path / "there" / "data.csv").open("a").write("more,good\n")
    others.append(key(study(tmp_path, "there/data.csv")))
    assert first not in others
    tree = write_tree(tmp_path)
    whole = key(study(tmp_path, tree))
    (tmp_path / tree / "bad" / "000.txt").rename(tmp_path / tree / "good" / "000.txt")
    assert key(study(tmp_path, tree)) != whole


@pytest.mark.parametrize("write", [write_csv, write_jsonl, write_parquet, write_tree])
def test_without_labels_the_same_texts_are_read(tmp_path, write):
    found = documents(study(tmp_path, write(tmp_path), label=None))
    assert found.labels == []
    assert {text for name in SPLITS for text in found[name].texts} == {text for text, _ in ROWS}
    assert {label for name in SPLITS for label in found[name].labels} == {-1}
    found.save(tmp_path / "kept")
    assert Documents.load(tmp_path / "kept") == found


def test_texts_in_one_folder_need_no_folders_of_classes(tmp_path):
    for i, (text, _) in enumerate(ROWS):
        (tmp_path / f"{i}.txt").write_text(text)
    assert documents(study(tmp_path, ".", label=None)).summary()["read"] == len(ROWS)


def test_a_text_with_two_labels_is_kept_where_labels_are_not_read(tmp_path):
    name = write_csv(tmp_path, [*ROWS, (ROWS[0][0], "other")])
    assert documents(study(tmp_path, name, label=None)).counts["duplicates"] == 1


def test_classes_of_documents_without_labels_are_refused(tmp_path):
    with pytest.raises(ValueError, match="documents without labels have no classes"):
        study(tmp_path, "x.csv", label=None, classes=["a", "b"])
