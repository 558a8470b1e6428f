"""Studies of language models: what follows from the task, and what does not go with it."""

from pathlib import Path

import pytest

from tuner.errors import InputError
from tuner.spec.load import load_spec

ROOT = Path(__file__).parents[2]
CHAT = """name: chat
task: text-generation
model: {source: model}
data: {source: texts.csv}
budget: {trials: 5}
"""


@pytest.fixture()
def study(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "texts.csv").write_text("text,label\nhello,a\n")

    def write(more=""):
        (tmp_path / "study.yaml").write_text(CHAT + more)
        return tmp_path / "study.yaml"

    return write


def test_the_task_decides_what_is_traded_and_that_nonsense_does_not_pass(study):
    spec = load_spec(study())
    assert (spec.metric, spec.objectives) == ("perplexity", ["perplexity_increase", "latency_ms"])
    assert spec.constraints == ["agreement >= 0.25"]
    assert spec.scenario.prompt_tokens == spec.scenario.new_tokens == 64


def test_what_is_said_of_agreement_stands_and_the_floor_joins_other_constraints(study):
    said = load_spec(study('constraints: ["agreement >= 0.6"]\n'))
    assert said.constraints == ["agreement >= 0.6"]
    other = load_spec(study('constraints: ["perplexity_increase <= 3%"]\n'))
    assert other.constraints == ["perplexity_increase <= 3%", "agreement >= 0.25"]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("metric: accuracy\n", "study.yaml:6: metric: accuracy is no metric of text-generation"),
        ("scenario: {mode: offline}\n", "study.yaml:6: scenario.mode: generation is measured single-stream"),
        ("scenario: {prompt_tokens: 4}\n", "scenario.prompt_tokens: should be greater than or equal to 8"),
        ("recover: {start: larger}\n", "study.yaml:6: recover.start: language models' students are cut"),
        ("axes: {quantization: {methods: [AWQ]}}\n", "axes.quantization.methods[0]"),
        ("axes: {quantization: {kv_bits: [5]}}\n", "axes.quantization.kv_bits[0]: should be 16, 8 or 4"),
    ],
)
def test_what_does_not_go_together_is_one_line_with_the_place(study, more, problem):
    with pytest.raises(InputError) as refused:
        load_spec(study(more))
    assert problem in str(refused.value)


def test_a_language_model_is_not_trained_from_scratch(study, tmp_path):
    study().write_text(CHAT.replace("{source: model}", "{config: {model_type: llama}}"))
    with pytest.raises(InputError, match=r"model\.config: a language model is tuned"):
        load_spec(tmp_path / "study.yaml")


def test_a_classifier_needs_labels_and_has_no_perplexity(study, tmp_path):
    text = CHAT.replace("text-generation", "text-classification")
    study().write_text(text + "metric: perplexity\n")
    with pytest.raises(InputError, match="metric: perplexity is no metric of text-classification"):
        load_spec(tmp_path / "study.yaml")
    study().write_text(text.replace("texts.csv}", "texts.csv, label: null}"))
    with pytest.raises(InputError, match=r"data\.label: a classifier needs labels"):
        load_spec(tmp_path / "study.yaml")


def test_our_own_chat_study_loads():
    spec = load_spec(ROOT / "studies" / "chat.yaml")
    assert spec.task == "text-generation" and "agreement >= 0.25" in spec.constraints
