"""OpenVINO GenAI beyond the suite: several conversations at once, prompt lookup, cache precision, what it counts."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import openvino as ov
import openvino_genai as genai
import pytest

from tuner.backends.base import BuildRequest, Student
from tuner.backends.generating_agreement import texts
from tuner.backends.registry import backends
from tuner.candidate import Quantization
from tuner.runtime.loader import load_session

sys.path.insert(0, str(Path(__file__).parent))
from tiny_language_model import checkpoint

NEW = 16


@pytest.fixture(scope="module")
def artefact(model, rows, workdir, tmp_path_factory):
    """Its cache keeps 16 bits: with fewer, what is read in one pass sees other numbers than what is read in two."""
    out = tmp_path_factory.mktemp("genai")
    request = BuildRequest(
        model, Quantization(kv_bits=16), "cpu", None, 48, rows, workdir, task="text-generation"
    )
    backends()["openvino-genai"].build(request, out)
    return out


@pytest.fixture(scope="module")
def prompts(rows):
    """Texts of several lengths; the rule makes them repeat themselves, so that lookup has something to find."""
    return [row[: 10 + 3 * number].tolist() for number, row in enumerate(texts(rows))][:8]


@pytest.fixture(scope="module")
def alone(artefact, prompts):
    session = load_session(artefact, 1)
    return [list(session.stream(prompt, NEW)) for prompt in prompts]


def test_answers_together_are_those_alone(artefact, prompts, alone):
    session, found = load_session(artefact, 1), [[] for _ in prompts]
    order = []
    for who, token in session.stream_together(prompts, NEW):
        found[who].append(token)
        order.append(who)
    assert found == alone
    assert order[: len(prompts)] == list(range(len(prompts)))  # one token of each, and so on
    with pytest.raises(ValueError, match="at most 64"):
        session.stream_together([[5]] * 65, 1)
    with pytest.raises(ValueError, match="more than the 96"):
        session.stream_together([[5], [5] * 90], 10)


def test_lookup_changes_no_answer_and_counts_what_was_drafted(artefact, prompts, alone):
    session = load_session(artefact, 1)
    session.draft = "lookup"
    assert [list(session.stream(prompt, NEW)) for prompt in prompts] == alone
    assert 0 < session.drafts.accepted <= session.drafts.drafted
    steps = NEW * len(prompts) - session.drafts.accepted
    assert steps < NEW * len(prompts)


def test_lookup_is_what_the_engine_drafts(artefact, prompts):
    """GenAI does not say what it drafts: what we count has to foretell what each step accepts."""
    session = load_session(artefact, 1)
    session.draft = "lookup"
    from tuner.runtime.openvino_genai_session import _looked_up

    foretold = []
    for prompt in prompts:
        (answer,) = session._begin([prompt], NEW)
        while answer.left:
            drafted = answer.drafted("lookup")
            draft = _looked_up(answer._known, drafted) if drafted else []
            session._made.step()
            tokens = answer.read()
            right = next((i for i, t in enumerate(draft) if tokens[i : i + 1] != [t]), len(draft))
            foretold.append(right == len(tokens) - 1)
    assert all(foretold)
    assert len(foretold) > NEW


def test_a_question_amid_answers_that_nobody_hears_any_more(artefact, prompts, alone):
    session = load_session(artefact, 1)
    left = session.stream_together(prompts[:3], NEW)
    next(left)
    assert list(session.stream(prompts[0], NEW)) == alone[0]
    del left
    assert (
        list(session.stream(prompts[1], NEW, stop=(alone[1][3],))) == alone[1][: alone[1].index(alone[1][3])]
    )
    assert not session._made.has_non_finished_requests()


def test_the_precision_of_the_cache_is_the_pipelines_too(artefact, prompts, tmp_path):
    sizes = {}
    for bits in (16, None, 4):
        out = shutil.copytree(artefact, tmp_path / str(bits))
        described = json.loads((out / "artefact.json").read_text())
        (out / "artefact.json").write_text(json.dumps({**described, "kv_bits": bits}))
        session = load_session(out, 1)
        assert len(list(session.stream(prompts[-1], NEW))) == NEW
        sizes[bits] = session._made.get_metrics().cache_size_in_bytes
    assert len(set(sizes.values())) == 3
    assert (
        max(sizes.values()) == sizes[16]
    )  # of heads as narrow as these the scales weigh more than the numbers


def test_the_ir_is_one_that_genai_reads(artefact):
    ir = ov.Core().read_model(artefact / "model" / "openvino_model.xml")
    names = {port.get_any_name() for port in ir.inputs}
    assert names == {"input_ids", "attention_mask", "position_ids", "beam_idx"}


def test_an_answer_chosen_by_the_caller_sees_the_same_model(artefact, prompts, alone):
    session = load_session(artefact, 1)
    chosen = list(session.stream(prompts[0], NEW, choose=lambda logits: int(np.argmax(logits))))
    assert chosen == alone[0]


@pytest.fixture(scope="module")
def drafting(model, rows, workdir, tmp_path_factory):
    """An artefact with a student that has learnt nothing."""
    student, out = tmp_path_factory.mktemp("untrained"), tmp_path_factory.mktemp("drafting")
    cache = student / "cache"
    cache.mkdir()
    request = BuildRequest(
        model, Quantization(kv_bits=16), "cpu", None, 48, rows, workdir, task="text-generation",
        student=Student("student-1", checkpoint(student, steps=0), cache),
    )  # fmt: skip
    backends()["openvino-genai"].build(request, out)
    return out


def test_a_student_that_knows_the_answers_drafts_them(drafting, prompts, alone, tmp_path):
    out = shutil.copytree(drafting, tmp_path / "artefact")
    for kind in ("xml", "bin"):
        name = f"openvino_model.{kind}"
        shutil.copyfile(out / "model" / name, out / "model" / "student-1" / name)
    session = load_session(out, 1)
    session.draft = "student-1"
    assert [list(session.stream(prompt, NEW)) for prompt in prompts] == alone
    assert session.drafts.accepted == session.drafts.drafted > 0
    found = [[] for _ in prompts]
    for who, token in session.stream_together(prompts, NEW):
        found[who].append(token)
    assert found == alone


def test_what_is_counted_is_what_the_engine_measures(drafting, prompts, alone):
    """The drafts of a student that has learnt nothing are wrong; the answers are not."""
    session = load_session(drafting, 1)
    session.draft = "student-1"
    assert [list(session.stream(prompt, NEW)) for prompt in prompts] == alone
    assert session.drafts.accepted < 0.5 * session.drafts.drafted
    ours = dict(vars(session.drafts))
    list(session.stream(prompts[0], NEW))
    wanted = genai.GenerationConfig(
        max_new_tokens=NEW, ignore_eos=True, eos_token_id=0, do_sample=False, num_assistant_tokens=4
    )
    (result,) = session._made.generate([ov.Tensor(np.array([prompts[0]]))], [wanted])
    measured = result.extended_perf_metrics
    assert measured.get_num_draft_tokens() == session.drafts.drafted - ours["drafted"]
    assert measured.get_num_accepted_tokens() == session.drafts.accepted - ours["accepted"]
