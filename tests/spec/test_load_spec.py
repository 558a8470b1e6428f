import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner.errors import InputError
from tuner.spec.explain import all_places
from tuner.spec.load import errors_placed, load_spec
from tuner.spec.model import StudySpec

STUDY = """\
name: small
model:
  config: {model_type: bert, hidden_size: 32}
  max_length: 64
data:
  source: data.csv
scenario:
  sequence_length: 64
budget:
  trials: 3
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data.csv").write_text("text,label\na,x\nb,y\n")

    def written(text: str) -> Path:
        Path("x.yaml").write_text(text)
        return Path("x.yaml")

    return written


def problem(path, *overrides) -> str:
    with pytest.raises(InputError) as caught:
        load_spec(path, overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_study_is_read_with_its_defaults_and_its_folder(write, tmp_path):
    spec = load_spec(write(STUDY))
    assert (spec.name, spec.budget.trials, spec.sampler) == ("small", 3, "stage-aware")
    assert spec.base == tmp_path
    assert spec.objectives == ["accuracy", "latency_ms"]


def test_plain_data_reads_back_as_the_same_study(write):
    spec = load_spec(write(STUDY + "constraints: [accuracy_drop <= 1%]\n"))
    assert StudySpec.model_validate(spec.to_plain()) == spec
    assert spec.parsed_constraints()[0].bound == pytest.approx(0.01)


@pytest.mark.parametrize("said", ["budget: auto", "budget:\n  auto: true", "budget: {auto: {}}"])
def test_a_search_may_end_by_itself(write, said):
    budget = load_spec(write(STUDY.replace("budget:\n  trials: 3", said))).budget
    assert budget.auto is not None and (budget.auto.share, budget.auto.minutes) == (0.01, 5.0)
    assert budget.words() == "until 5 minutes promise under 1.0%"


def test_a_relative_source_is_found_beside_the_file_not_beside_the_user(write, tmp_path, monkeypatch):
    path = write(STUDY).resolve()
    monkeypatch.chdir("/")
    assert load_spec(path).base == tmp_path


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        (("trials: 3", "trails: 3"), 10, "budget.trails: unknown key (did you mean 'trials'?)"),
        (("name: small", "name: small\ntrials: 3"), 2, "trials: unknown key (did you mean 'budget.trials'?)"),
        (("name: small", "name: a/b"), 1, "name: 'a/b' may only hold letters, digits and . _ -"),
        (("trials: 3", "trials: many"), 10, "budget.trials: should be a valid integer, not 'many'"),
        (("trials: 3", "trials: 0"), 10, "budget.trials: should be greater than or equal to 1"),
        (("trials: 3", 'trials: "3"'), 10, "budget.trials: should be a valid integer, not '3'"),
        (("trials: 3", "trials:"), 9, "budget: give `trials`, `minutes`, or `auto`"),
        (("budget:\n  trials: 3", "budget: auto\nsampler: tpe"), 9, "budget.auto: sampler tpe expects nothing"),
        (("trials: 3", "minutes: .inf"), 10, "budget.minutes: should be a finite number"),
        (("budget:\n  trials: 3", "seed: 1"), 1, "budget: required, and not given"),
        (("budget:\n  trials: 3", "budget: 3"), 9, "budget: should be a section with keys of its own"),
        (("sequence_length: 64", "sequence_length: 65"), 8,
         "scenario.sequence_length: 65 tokens are more than the 64 of model.max_length"),
        (("sequence_length: 64", "sequence_length: long"), 8,
         "scenario.sequence_length: should be a valid integer or 'data', not 'long'"),
        (("  max_len", "  source: data.csv\n  max_len"), 3, "model.config: `source` and `config` excl"),
        (("  config: {model_type: bert, hidden_size: 32}\n", ""), 2, "model: name a `source`"),
        (("model_type: bert, ", ""), 3, "model.config: needs a `model_type`"),
        (("data.csv", "dta.csv"), 6, "source: dta.csv: no such file or folder (did you mean 'data.csv'?)"),
        (("data.csv", "pkg://no_such_package/x"), 6, "the package 'no_such_package' is not installed"),
    ],
)  # fmt: skip
def test_a_problem_names_file_line_and_field(write, change, line, message):
    assert change[0] in STUDY
    assert problem(write(STUDY.replace(*change, 1))).startswith(f"x.yaml:{line}: ")
    assert message in problem(Path("x.yaml"))


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ("objectives: [acuracy]", "11: objectives[0]: unknown metric 'acuracy' (did you mean 'accuracy'?)"),
        ("objectives: [size_mb, size_mb]", "11: objectives: 'size_mb' is listed twice"),
        ("objectives: []", "11: objectives: List should have at least 1 item"),
        ("constraints:\n  - size_mb <= 5\n  - latency <= 5", "13: constraints[1]: unknown metric 'latency'"),
        ("constraints: size_mb <= 5", "11: constraints: should be a list"),
        ("sampler: tpe_grouped", "11: sampler: should be 'stage-aware', 'tpe-grouped'"),
        ("axes:\n  pruning:\n    heads: [0.5,\n 1.0]", "14: axes.pruning.heads[1]: should be less than 1"),
        ("axes: {quantization: {bits: [32, 7]}}", "11: axes.quantization.bits[1]: should be 32, 16, 8, 4, 3 or 2"),
        ("axes: {backend: {engines: [torch, openvno]}}",
         "11: axes.backend.engines[1]: unknown backend 'openvno' (did you mean 'openvino'?)"),
        ("axes: {distillation: {student_layers: [2, 2]}}", "11: axes.distillation.student_layers: 2 is"),
        ("base: /tmp", "11: base: unknown key"),
    ],
)  # fmt: skip
def test_a_problem_in_what_is_added_names_its_line(write, added, message):
    assert message in problem(write(STUDY + added + "\n"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("text: a\n  label: a", "data.label: text and label are the same column"),
        ("classes: [x]", "data.classes: a classifier needs at least two classes"),
        ("split: {train: 0.8}", "data.split: the shares add up to 1.2"),
        ("split: {train: 1.0}", "data.split.train: a share must be between 0 and 1, not 1"),
        ("split: {test: test}", "data.split.test: `train` is a share"),
        ("split: {column: part, train: 0.5}", "data.split.train: `column` already says"),
        ("limit: 2", "data.limit: should be greater than or equal to 3"),
    ],
)
def test_a_problem_of_the_data_section(write, data, message):
    assert message in problem(write(STUDY.replace("source: data.csv", f"source: data.csv\n  {data}")))


def test_all_problems_are_told_at_once_in_the_order_of_the_file(write):
    told = problem(write(STUDY.replace("trials: 3", "trials: x").replace("name: small", "nme: small")))
    assert [int(line) for line in re.findall(r"^x\.yaml:(\d+): ", told, re.M)] == [
        1,
        10,
    ]  # a key under a misspelt name is not missing as well


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nname: b\n", "x.yaml:2: name: given twice, first in line 1"),
        ("budget:\n  trials: 1\n  trials: 2\n", "x.yaml:3: budget.trials: given twice, first in line 2"),
        ("name: [a\nb: c\n", "x.yaml:2: "),
        ("name: !!python/object/apply:os.system [id]\n", "x.yaml:1: the tag"),
        ("name: !mine x\n", "x.yaml:1: the tag '!mine' is not allowed"),
        ("name: *gone\n", "x.yaml:1: found undefined alias"),
        ("[1, 2]: x\n", "x.yaml:1: a key must be plain text"),
        ("name: !!int x\n", "x.yaml:1: 'x' is not a number"),
        ("a: 1\n---\nb: 2\n", "x.yaml:2: but found another document"),
        ("", "x.yaml:1: a study is a mapping"),
        ("- a\n", "x.yaml:1: a study is a mapping"),
        ("a: " + "[" * 5000, "nested over 40 deep"),
        ("a: [" + "1," * 30_000 + "]", "over 20000 values"),
        ("a: &a [*a]\n", "x.yaml:1: "),
        ("name: \x00\n", "x.yaml:1: not YAML"),
    ],
)
def test_yaml_that_is_not_a_study(write, text, message):
    assert message in problem(write(text))


def test_an_anchor_bomb_is_refused_quickly(write):
    levels = "\n".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 12))
    assert "aliases expand" in problem(write(f"l0: &l0 [x, x]\n{levels}\n"))


def test_a_file_that_is_missing_a_folder_too_large_or_not_text(write, tmp_path):
    assert problem(Path("gone.yaml")) == "gone.yaml: no such file"
    assert "is a folder" in problem(tmp_path)
    assert "larger than 1 MB" in problem(write("#" * 1_000_001))
    Path("x.yaml").write_bytes(b"name: \xff\xfe")
    assert "not UTF-8" in problem(Path("x.yaml"))


def test_yaml_words_are_those_of_version_1_2(write):
    text = (
        STUDY.replace("source: data.csv", "source: data.csv\n  classes: [no, 2024-01-01, 7]") + "seed: 010\n"
    )
    spec = load_spec(
        write(text.replace("max_length: 64", "max_length: 64\n  fine_tune: {learning_rate: 1e-4}"))
    )
    assert spec.data.classes == ["no", "2024-01-01", "7"]
    assert spec.model.fine_tune.learning_rate == 1e-4
    assert spec.seed == 10


def test_reading_leaves_pyyaml_as_it_was(write):
    load_spec(write(STUDY))
    assert yaml.safe_load("a: no") == {"a": False}


def test_overrides_are_dotted_places_with_yaml_values(write):
    path = write(STUDY + "constraints: [size_mb <= 5]\n")
    overrides = [
        "budget.trials=50",
        "axes.pruning.ffn=[0.0, 0.5]",
        "constraints[0]=size_mb <= 1",
        "budget.minutes=2",
    ]
    spec = load_spec(path, overrides)
    assert (spec.budget.trials, spec.budget.minutes) == (50, 2.0)
    assert (spec.axes.pruning.ffn, spec.constraints) == ([0.0, 0.5], ["size_mb <= 1"])
    assert load_spec(path, ["budget.trials=", "budget.minutes=1"]).budget.trials is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("budget.trials=x", "--set budget.trials=x: budget.trials: should be a valid integer, not 'x'"),
        ("budget.trails=5", "--set budget.trails=5: budget.trails: unknown key (did you mean 'trials'?)"),
        ("constraints=[size_mb < x]", "--set constraints=[size_mb < x]: constraints[0]: "),
        ("budget={trials: x}", "--set budget={trials: x}: budget.trials: should be"),
        ("trials", "write KEY=VALUE"),
        ("a..b=1", "write KEY=VALUE"),
        ("name.x=1", "--set name.x=1: name has no 'x'"),
        ("constraints.1=x", "constraints has no 1"),
        ("budget.trials=[1", "--set budget.trials=[1:1: "),
        ("model.source=./gone", "x.yaml:3: model.config: `source` and `config` exclude each other"),
    ],
)
def test_a_wrong_override_is_named(write, override, message):
    assert message in problem(write(STUDY + "constraints:\n  - size_mb < 5\n"), override)


def test_an_error_of_a_stage_gets_the_line_of_its_field(write):
    path = write(STUDY.replace("source: data.csv", "source: data.csv\n  text: body"))
    with pytest.raises(InputError, match=r"^x\.yaml:7: data\.text: no column 'body'$"), errors_placed(path):
        raise InputError("data.text: no column 'body'")
    with pytest.raises(InputError, match=r"^x\.yaml:5: data\.label: missing$"), errors_placed(path):
        raise InputError("data.label: missing")
    with pytest.raises(InputError, match=r"^somewhere: else$"), errors_placed(path):
        raise InputError("somewhere: else")


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("data")
known = [path.split(".")[-1] for path in all_places()]
keys = st.sampled_from([*StudySpec.model_fields, *known]) | st.text(max_size=5)
sections = st.recursive(leaves, lambda v: st.lists(v, max_size=3) | st.dictionaries(keys, v, max_size=4))


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(keys, sections, max_size=6))
def test_whatever_a_file_holds_it_is_a_study_or_a_line_for_each_problem(tmp_path_factory, changes):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    study = {**yaml.safe_load(STUDY), **changes}
    path.write_text(yaml.safe_dump(study, allow_unicode=True), encoding="utf-8")
    try:
        load_spec(path)
    except InputError as error:
        assert all(line.startswith(f"{path}:") for line in str(error).splitlines())


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab:- [],{}&*!|>'\"#\n\t%@?~0.", max_size=60))
def test_whatever_text_a_file_is_the_answer_is_an_input_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "noise.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError):
        load_spec(path)


@pytest.mark.parametrize(
    ("lines", "objectives", "batch"),
    [
        ("", ["accuracy", "latency_ms"], 1),
        ("metric: f1_macro", ["f1_macro", "latency_ms"], 1),
        ("scenario: {mode: offline}", ["accuracy", "throughput"], 32),
        ("scenario: {mode: offline, batch: 4}\nobjectives: [accuracy, size_mb]", ["accuracy", "size_mb"], 4),
    ],
)
def test_what_is_traded_follows_metric_and_scenario(write, lines, objectives, batch):
    minimal = "name: n\nmodel: {source: folder}\ndata: {source: data.csv}\nbudget: {trials: 3}\n"
    spec = load_spec(write(f"{minimal}{lines}\n"))
    assert (spec.objectives, spec.scenario.batch) == (objectives, batch)
