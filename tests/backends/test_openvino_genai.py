"""OpenVINO GenAI beyond the suite: several conversations at once, prompt lookup, cache precision, what it counts."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from tuner.backends.base import BuildRequest
from tuner.backends.generating_agreement import texts
from tuner.backends.registry import backends
from tuner.candidate import Quantization
from tuner.runtime.drafting import DRAFT
from tuner.runtime.loader import load_session
from tuner.runtime.openvino_genai_batch import looked_up, wanted

sys.path.insert(0, str(Path(__file__).parent))
from tiny_language_model import checkpoint

NEW = 16


def build(source, rows, cache, out):
    """Build with a cache of 16 bits: with fewer, what is read in one pass and in two sees other numbers."""
    out.mkdir(exist_ok=True)
    (cache / "shared").mkdir(exist_ok=True)
    asked = Quantization(kv_bits=16)
    request = BuildRequest(source, asked, "cpu", None, 48, rows, cache / "shared", task="text-generation")
    backends()["openvino-genai"].build(request, out)


@pytest.fixture(scope="module")
def artefact(model, rows, workdir, tmp_path_factory):
    out = tmp_path_factory.mktemp("genai")
    build(model, rows, workdir, out)
    return out


@pytest.fixture(scope="module")
def prompts(rows):
    """Texts of several lengths; the rule makes them repeat themselves, so that lookup has something to find."""
    return [row[: 10 + 3 * number].tolist() for number, row in enumerate(texts(rows))][:8]


@pytest.fixture(scope="module")
def alone(artefact, prompts):
    session = load_session(artefact, 1)
    return [list(session.stream(prompt, NEW)) for prompt in prompts]


def together(session, prompts):
    """Return the answers of all prompts in one batch, and who said something in which order."""
    batch = session.batch(len(prompts))
    numbers = [batch.add(prompt, NEW) for prompt in prompts]
    found, order = {number: [] for number in numbers}, []
    while said := batch.step():
        for one in said:
            found[one.number].append(one.token)
            order.append(numbers.index(one.number))
    return [found[number] for number in numbers], order


def test_answers_together_are_those_alone(artefact, prompts, alone):
    session = load_session(artefact, 1)
    found, order = together(session, prompts)
    assert found == alone
    assert order == list(range(len(prompts))) * NEW  # one token of each, and so on
    batch = session.batch(1)
    batch.add([5], 1)
    with pytest.raises(ValueError, match="all 1 slots"):
        batch.add([5], 1)
    with pytest.raises(ValueError, match="more than the 96"):
        session.batch(1).add([5] * 90, 10)


def test_who_chooses_tokens_shares_a_batch_with_who_does_not(artefact, prompts, alone):
    session = load_session(artefact, 1)
    batch, found = session.batch(4), {}

    def fail(logits):
        raise ArithmeticError("chosen badly")

    ways = [None, lambda logits: int(np.argmax(logits)), lambda logits: int(np.argmax(logits)), fail]
    numbers = [batch.add(prompts[i % 3], NEW, (), way) for i, way in enumerate(ways)]
    while said := batch.step():
        for one in said:
            found.setdefault(one.number, []).append(one.error or one.token)
    assert [found[number] for number in numbers[:3]] == alone[:3]
    assert [type(one) for one in found[numbers[3]]] == [ArithmeticError]


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
    foretold = []
    for prompt in prompts:
        batch = session.batch(1)
        answer = batch._requests[batch.add(prompt, NEW)]
        while batch._requests:
            drafted = answer.drafted()
            draft = looked_up(answer._known, drafted) if drafted else []
            tokens = [said.token for said in batch.step()]
            right = next((i for i, t in enumerate(draft) if tokens[i : i + 1] != [t]), len(draft))
            foretold.append(right == len(tokens) - 1)
    assert all(foretold)
    assert len(foretold) > NEW


def test_a_question_amid_answers_that_nobody_hears_any_more(artefact, prompts, alone):
    session = load_session(artefact, 1)
    left = session.stream(prompts[2], NEW)
    next(left)
    assert list(session.stream(prompts[0], NEW)) == alone[0]
    assert (
        list(session.stream(prompts[1], NEW, stop=(alone[1][3],))) == alone[1][: alone[1].index(alone[1][3])]
    )
    assert not session.pipeline.has_non_finished_requests()
    batch = session.batch(2)
    gone, kept = batch.add(prompts[2], NEW), batch.add(prompts[1], NEW)
    heard = batch.step()
    batch.drop(gone)
    heard += [said for _ in range(NEW) for said in batch.step()]
    assert [said.token for said in heard if said.number == kept] == alone[1]
    assert not session.pipeline.has_non_finished_requests()


def test_the_precision_of_the_cache_is_the_pipelines_too(artefact, prompts, tmp_path):
    sizes = {}
    for bits in (16, None, 4):
        out = shutil.copytree(artefact, tmp_path / str(bits))
        described = json.loads((out / "artefact.json").read_text())
        (out / "artefact.json").write_text(json.dumps({**described, "kv_bits": bits}))
        session = load_session(out, 1)
        assert len(list(session.stream(prompts[-1], NEW))) == NEW
        sizes[bits] = session.pipeline.get_metrics().cache_size_in_bytes
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
def drafting(artefact, rows, tmp_path_factory):
    """The artefact with a student that has learnt nothing."""
    student, out = tmp_path_factory.mktemp("untrained"), tmp_path_factory.mktemp("drafting") / "artefact"
    shutil.copytree(artefact, out)
    build(checkpoint(student, steps=0), rows, student, out / DRAFT)
    return out


def test_a_student_that_knows_the_answers_drafts_them(drafting, prompts, alone, tmp_path):
    out = shutil.copytree(drafting, tmp_path / "artefact")
    for name in ("openvino_model.xml", "openvino_model.bin"):
        shutil.copyfile(out / "model" / name, out / DRAFT / "model" / name)
    session = load_session(out, 1)
    session.draft = "student"
    assert [list(session.stream(prompt, NEW)) for prompt in prompts] == alone
    assert session.drafts.accepted == session.drafts.drafted > 0
    assert together(session, prompts)[0] == alone


def test_what_is_counted_is_what_the_engine_measures(drafting, prompts, alone):
    """The drafts of a student that has learnt nothing are wrong; the answers are not."""
    session = load_session(drafting, 1)
    session.draft = "student"
    assert [list(session.stream(prompt, NEW)) for prompt in prompts] == alone
    assert session.drafts.accepted < 0.5 * session.drafts.drafted
    ours = dict(vars(session.drafts))
    list(session.stream(prompts[0], NEW))
    given = ov.Tensor(np.array([prompts[0]]))
    (result,) = session.pipeline.generate([given], [wanted(NEW, "student")])
    measured = result.extended_perf_metrics
    assert measured.get_num_draft_tokens() == session.drafts.drafted - ours["drafted"]
    assert measured.get_num_accepted_tokens() == session.drafts.accepted - ours["accepted"]
