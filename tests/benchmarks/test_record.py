"""A tiny real table: recorded in two goes, with a line that a crash cut off between them."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.record import _once, record
from benchmarks.recording.journal import Journal
from benchmarks.recording.tasks import tasks
from tests.service.stub import ANATOMY, OFFERS
from tuner.backends.base import Offer
from tuner.candidate import baseline
from tuner.errors import InputError
from tuner.search.space import Space
from tuner.spec.axes import Axes
from tuner.spec.load import load_spec
from tuner.spec.model import GENERATION

SETTINGS = [
    "data.limit=200",
    "model.fine_tune.epochs=1",
    "axes.distillation.student_layers=[1, 4]",
    "axes.pruning.heads=[0.0]",
    "axes.pruning.ffn=[0.0]",
    "axes.backend.engines=[torch]",
    "axes.quantization.bits=[32]",
    "axes.parallel.threads=[2]",
    "axes.parallel.replicas=[1]",
    "recover.steps=4",
    "measure.seconds=0.5",
]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A folder with the table, and the rows that there were when the first go ended."""
    folder = tmp_path_factory.mktemp("recorded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNER_HOME", str(folder / "home"))
        patch.setenv("TUNER_QUIET", str(folder / "quiet"))
        spec = load_spec("studies/first-steps.yaml", SETTINGS)
        done, wanted = record(spec, folder, minutes=5, most=2)
        assert (done, wanted) == (2, 2 + 1 + 3)  # trials, an untrained shape, a student in three lengths
        with (folder / "first-steps.jsonl").open("a") as stream:
            stream.write('{"id": "trial:cut o')
        earlier = Journal(folder / "first-steps.jsonl").rows
        assert record(spec, folder, minutes=5) == (wanted, wanted)
    return folder, earlier


def test_what_was_done_is_not_done_again(recorded):
    folder, earlier = recorded
    rows = Journal(folder / "first-steps.jsonl").rows
    assert rows[: len(earlier)] == earlier
    assert len({row["id"] for row in rows}) == len(rows)
    assert all(row["state"] == "complete" for row in rows), [row["failure"] for row in rows]


def test_stages_are_shared_by_key_and_cost_what_making_them_took(recorded):
    rows = Journal(recorded[0] / "first-steps.jsonl").rows
    stages = [stage for row in rows for stage in row["stages"]]
    cost = {}
    for stage in stages:
        assert cost.setdefault(stage["key"], stage["seconds"]) == stage["seconds"]
        assert stage["seconds"] > 0
    trials = [row for row in rows if row["kind"] == "trial"]
    shaped = next(row for row in trials if row["candidate"]["distillation"]["student_layers"] == 1)
    assert {"shape", "recover", "build", "performance", "quality"} <= {s["name"] for s in shaped["stages"]}
    first_time = [s["key"] for s in stages if not s["hit"]]
    assert len(first_time) == len(set(first_time))


def test_the_table_holds_all_and_the_host(recorded):
    table = pq.read_table(recorded[0] / "first-steps.parquet")
    meta = json.loads(table.schema.metadata[b"tuner"])
    assert meta["host"]["cpu"]
    assert meta["host"]["versions"]["torch"]
    assert meta == json.loads((recorded[0] / "first-steps.json").read_text())
    rows = table.to_pandas()
    assert sorted(rows["kind"].unique()) == ["student", "trial", "untrained"]
    trials = rows[rows["kind"] == "trial"]
    for right, documents, accuracy in zip(
        trials["correct"], trials["documents"], trials["accuracy"], strict=True
    ):
        bits = np.unpackbits(np.frombuffer(right, np.uint8), count=int(documents))
        assert bits.mean() == pytest.approx(accuracy)
    assert (trials["latency_ms"] <= trials["latency_ms_high"]).all()


def test_a_journal_goes_on_for_its_own_study_and_host_only(tmp_path):
    def at(host="h"):
        spec = SimpleNamespace(name="s", model_dump=lambda **_: {"seed": 0})
        shop = SimpleNamespace(spec=spec, host=SimpleNamespace(fingerprint=host))
        ready = SimpleNamespace(teacher=SimpleNamespace(key="t"))
        return SimpleNamespace(shop=shop, ready=ready, once={"start": 9.0 if host == "h" else 1.0})

    journal = Journal(tmp_path / "s.jsonl")
    assert _once(journal, at(), tmp_path) == {"start": 9.0}
    journal.add({"id": "a"})
    assert _once(journal, at(), tmp_path) == {"start": 9.0}
    with pytest.raises(InputError, match="another host"):
        _once(journal, at("other"), tmp_path)


def test_the_order_gives_a_whole_table_at_any_time():
    space = Space(Axes(), ANATOMY, OFFERS, 2)
    found = tasks(space, steps=100)
    assert found[0].candidate == baseline(6, 2)
    assert len({task.id for task in found}) == len(found)
    assert {task.candidate for task in found if task.kind == "trial"} == set(space.enumerate())
    legs = [
        (t.candidate.backend.engine, t.candidate.quantization.bits) for t in found[1:] if t.kind == "trial"
    ]
    assert legs == sorted(legs, key=list(dict.fromkeys(legs)).index)  # one after the other
    students = [task for task in found if task.kind == "student"]
    assert {task.start is None for task in students} == {True, False}
    assert replace(students[0], steps=7).id != students[0].id


def test_of_a_language_model_what_takes_minutes_comes_last_and_no_student_is_asked_about():
    chat = {"task": GENERATION, "scheme": "weight-only"}
    offers = [
        ("torch", Offer("cpu", 32, task=GENERATION)),
        ("llama-cpp", Offer("cpu", 8, methods=("q8_0",), **chat)),
        ("llama-cpp", Offer("cpu", 4, methods=("gptq_20", "q4_0"), **chat)),
    ]
    quantization = {"methods": ["gptq_20", "q4_0", "q8_0"]}
    axes = Axes.model_validate({"quantization": quantization, "pruning": {"heads": [0.0], "ffn": [0.0]}})
    found = tasks(Space(axes, {**ANATOMY, "layers": 3}, offers, 2), 100, GENERATION)
    assert {task.kind for task in found} == {"trial", "untrained"}
    order = dict.fromkeys(t.candidate.quantization.method for t in found[1:] if t.kind == "trial")
    assert list(order) == ["q8_0", "q4_0", None, "gptq_20"]
    assert found[0].candidate == baseline(3, 2)
