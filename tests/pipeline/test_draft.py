"""A student that drafts, through the real stages: cut, recovered, built, put beside its model, measured, exported."""

import json

import pytest

from tests.tiny_chat import LIVELY, WORDS, checkpoint
from tuner.candidate import Candidate
from tuner.export.bundle import write_bundle
from tuner.hardware import this_host
from tuner.measure.client import Serving
from tuner.measure.performance import Placed, measure_together, response_plan
from tuner.pipeline.cache import Cache
from tuner.pipeline.drafting import drafter
from tuner.pipeline.evaluate import build_candidate
from tuner.pipeline.jobs import Jobs
from tuner.pipeline.prepare import prepare
from tuner.pipeline.quality import answers
from tuner.pipeline.workshop import Workshop, job_limits
from tuner.runtime.answering import Chat
from tuner.service.exporting import content_of, measured_sources
from tuner.spec.model import StudySpec


def candidate(engine="llama-cpp", **changes):
    who = {
        "engine": engine,
        "draft": "student",
        "draft_layers": 2,
        "draft_ffn": 0.0,
        "draft_bits": 32,
        **changes,
    }
    return Candidate.model_validate({"distillation": {"student_layers": 4}, "backend": who})


def test_a_drafting_student_is_a_candidate_of_its_own():
    pytest.importorskip("llama_cpp")
    found = drafter(candidate(draft_bits=4, draft_ffn=0.25), this_host())
    assert found.student == (2, 0.0, 0.25) and found.backend.draft is None
    assert (found.quantization.bits, found.quantization.method) == (4, "q4_0")
    wanted = candidate(draft_bits=4, draft_ffn=0.25)
    assert "student-2L-f25%-4b" in wanted.label()
    assert Candidate.model_validate(wanted.canonical()) == wanted


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("draft")
    checkpoint(folder / "model", num_hidden_layers=4, **LIVELY)
    lines = [json.dumps({"text": f"{WORDS[0]} {i} " * (12 + i % 3), "label": str(i % 2)}) for i in range(40)]
    (folder / "texts.jsonl").write_text("\n".join(lines))
    spec = StudySpec.model_validate(
        {
            "name": "draft",
            "task": "text-generation",
            "model": {"source": str(folder / "model"), "max_length": 64},
            "data": {"source": str(folder / "texts.jsonl")},
            "scenario": {"prompt_tokens": 120, "new_tokens": 12},
            "asked": {"documents": 2, "prompts": 2, "new_tokens": 6, "questions": 0},
            "recover": {"steps": 2, "batch_size": 2, "calibration_samples": 8},
            "budget": {"trials": 1},
        }
    )
    host = this_host()
    with Jobs(job_limits(spec.limits, host), folder / "jobs") as jobs:
        yield Workshop(spec, Cache(folder / "cache"), jobs, host)


@pytest.mark.slow
def test_from_the_study_to_the_bundle(shop, tmp_path):
    pytest.importorskip("llama_cpp")
    ready, wanted = prepare(shop), candidate()
    plain = wanted.model_copy(update={"backend": type(wanted.backend)(engine="llama-cpp")})
    alone = build_candidate(shop, ready, plain)
    shop.take_runs()
    pair = build_candidate(shop, ready, wanted)
    assert [run.name for run in shop.take_runs()] == ["build", "draft", "build"]
    assert (pair.path / "draft" / "model.gguf").stat().st_size < (pair.path / "model.gguf").stat().st_size
    assert (pair.path / "model.gguf").stat().st_ino == (alone.path / "model.gguf").stat().st_ino

    judged = answers(shop, ready, alone, "validation")
    assert answers(shop, ready, pair, "validation").key == judged.key  # its answers are the model's own

    plan = response_plan(ready.data.path / "prompts.npz", shop.spec.scenario)
    with Serving(alone.path, 1, shop.host.cores) as reference:
        subjects = [Placed(pair.path, 1, 1, "student")]
        found = measure_together(subjects, reference, plan, precision=0.5, seconds=2.0)[0].to_json()
    assert 0 <= found["details"]["acceptance_rate"]["value"] <= 1

    sources = measured_sources(shop.cache.root, pair.key)
    report = {"study": "draft", "trial": 0, "candidate": wanted.canonical(), "confirmed": False, "metrics": {},
              "search_metrics": {}, "baseline_ms": 1.0, "spec": shop.spec.to_plain(), "host": {"cpu": "x"},
              "scenario": shop.spec.scenario.model_dump()}  # fmt: skip
    bundle = write_bundle(content_of(sources, wanted, shop.spec.to_plain(), report), tmp_path / "bundle")
    session = Chat.read(bundle).load()
    assert session.draft == "student" and (bundle / "artefact" / "draft" / "artefact.json").exists()
    stored = json.loads((bundle / "check.json").read_text())["prompts"][0]
    assert list(session.stream(stored["prompt"], len(stored["tokens"]))) == stored["tokens"]
    assert session.drafts.drafted >= 0 and (bundle / "runtime" / "drafting.py").exists()
