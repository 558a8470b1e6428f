"""A student drafts for real models on each engine that can: the answer is the one without it, token for token."""

import shutil

import pytest

from tests.tiny_chat import LIVELY, built_artefact
from tuner.runtime.loader import load_session

MOST = 40
PROMPTS = [[5, 9, 200, 31], list(range(40, 75)), [7, 7, 8, 7, 7, 8, 7]]


@pytest.fixture(
    scope="module", params=["torch", "llama-cpp", pytest.param("openvino", marks=pytest.mark.slow)]
)
def pairs(request, tmp_path_factory):
    """An artefact that has itself as its student, and one whose student is another model, which is mostly wrong."""
    pytest.importorskip({"llama-cpp": "llama_cpp"}.get(request.param, request.param))
    made = [
        built_artefact(tmp_path_factory.mktemp(name), request.param, num_hidden_layers=layers, **LIVELY)[0]
        for name, layers in (("model", 2), ("other", 1))
    ]
    for student in made:
        shutil.copytree(
            made[0], tmp_path_factory.getbasetemp() / f"pair-{request.param}-{student.parent.name}"
        )
    found = sorted(tmp_path_factory.getbasetemp().glob(f"pair-{request.param}-*"))
    for pair, student in zip(found, made, strict=True):
        shutil.copytree(student, pair / "draft")
    return found


@pytest.mark.parametrize(("which", "least", "highest"), [(0, 0.95, 1.0), (1, 0.0, 0.3)])
def test_a_students_drafts_change_nothing(pairs, which, least, highest):
    plain, drafting = load_session(pairs[which], 1), load_session(pairs[which], 1)
    drafting.draft = "student"
    for prompt in PROMPTS:
        answer = list(plain.stream(prompt, MOST))
        assert list(drafting.stream(prompt, MOST)) == answer
        stop = answer[MOST // 2]
        assert list(drafting.stream(prompt, MOST, (stop,))) == answer[: answer.index(stop)]
    counts = drafting.drafts
    assert counts.drafted > 5 and least <= counts.accepted / counts.drafted <= highest


def test_lookup_changes_nothing_either(pairs):
    plain, drafting = load_session(pairs[0], 1), load_session(pairs[0], 1)
    drafting.draft = "lookup"
    for prompt in PROMPTS:
        assert list(drafting.stream(prompt, MOST)) == list(plain.stream(prompt, MOST))
    assert drafting.drafts.drafted > 0


def test_whoever_chooses_is_asked_for_every_token(pairs):
    session = load_session(pairs[0], 1)
    session.draft, seen = "student", []

    def second(logits):
        seen.append(logits.shape)
        return int(logits.argsort()[-2])

    assert len(list(session.stream(PROMPTS[0], 5, choose=second))) == 5 == len(seen)
