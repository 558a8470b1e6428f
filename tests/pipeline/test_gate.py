"""A candidate that is given up early, cut from a larger student, or run by XLA: on a tiny real study."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from benchmarks.recording.place import opened
from tuner.candidate import Backend, Distillation, Pruning, baseline
from tuner.metrics import Estimate
from tuner.pipeline.evaluate import Evaluation, evaluate
from tuner.pipeline.gate import GivenUp
from tuner.pipeline.shaping import checkpoint_for, larger_student
from tuner.spec.load import load_spec

SETTINGS = [
    "data.limit=300",
    "model.fine_tune.epochs=1",
    "axes.backend.engines=[onnxruntime]",  # whose serving children start ten times as fast as those that import torch
    "axes.quantization.bits=[32]",
    "axes.parallel.threads=[1]",
    "recover.steps=4",
    "measure.seconds=0.2",
]


@dataclass
class OneGate:
    """Says what it is told to say; `heard` are how many answers it was shown."""

    first: bool = False
    refusal: str | None = None
    enough_at: int = 10**9
    heard: list[int] = field(default_factory=list)
    shown: list[np.ndarray] = field(default_factory=list)

    def looks_first(self):
        return self.first

    def refuses(self, performance):
        assert performance["ratio"]["value"] > 0
        return self.refusal

    def watches(self):
        return True

    def order(self, base):
        return np.random.default_rng(3).permutation(len(base))

    def gives_up(self, performance, base, order, correct):
        self.heard.append(len(correct))
        self.shown.append(correct)
        if len(correct) < self.enough_at:
            return None
        return "beaten", {"accuracy": Estimate.exact(float(correct.mean()))}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNER_HOME", str(folder / "home"))
        patch.setenv("TUNER_QUIET", str(folder / "quiet"))
        with opened(load_spec("studies/first-steps.yaml", SETTINGS), folder / "home") as found:
            yield found


@pytest.fixture
def tried(place):
    """Evaluate a narrow shape of its own, so that nothing of it is in the cache."""

    def call(number, gate):
        shapes = [c for c in place.space.enumerate() if c.student[0] < 4 and c.student[1:3] != (0.0, 0.0)]
        distinct = list({c.student: c for c in shapes}.values())
        return evaluate(place.shop, place.ready, place.bench, distinct[number], gate)

    return call


def names(found):
    return [stage.name for stage in found.stages]


def test_what_is_refused_is_never_trained(tried):
    found = tried(0, OneGate(first=True, refusal="too slow"))
    assert isinstance(found, GivenUp)
    assert (found.kind, found.reason, dict(found.quality)) == ("gate", "too slow", {})
    assert "recover" not in names(found) and "quality" not in names(found)
    assert {"shape", "build", "performance"} <= set(names(found))


def test_what_is_let_through_is_trained_built_and_measured_again(tried):
    gate = OneGate(first=True)
    found = tried(1, gate)
    assert isinstance(found, Evaluation)
    assert names(found).count("build") == names(found).count("performance") == 2
    assert names(found).count("quality") == 1 and "recover" in names(found)
    assert gate.heard == [32]  # of 60 documents; when all are answered nobody is asked


def test_answers_in_parts_are_the_same_answers(tried):
    gate = OneGate()
    watched, plain = tried(2, gate), tried(2, None)
    assert watched.correct == plain.correct and watched.quality == plain.quality
    order = gate.order(np.zeros(len(plain.correct)))
    assert (np.array(plain.correct)[order[:32]] == gate.shown[0]).all()
    assert gate.heard == [32]


def test_a_trial_on_xla_goes_through_everything(place):
    """Cut, recovered, built as StableHLO, measured beside the baseline, and judged."""
    form = {
        "distillation": Distillation(student_layers=1),
        "backend": Backend(engine="xla", fixed_shape=True),
    }
    candidate = baseline(place.ready.layers, 1).model_copy(update=form)
    found = evaluate(place.shop, place.ready, place.bench, candidate, None)
    assert isinstance(found, Evaluation)
    assert {"shape", "recover", "build", "performance", "quality"} <= set(names(found))
    assert found.performance["ratio"]["value"] > 0 and len(found.correct) == 60
    assert {"accuracy", "accuracy_drop"} <= set(found.quality)


def test_enough_is_enough_and_nothing_is_kept_of_it(tried):
    found = tried(3, OneGate(enough_at=32))
    assert isinstance(found, GivenUp) and found.kind == "subset"
    assert names(found)[-1] == "subset" and "quality" not in names(found)
    again = tried(3, None)
    assert not next(stage for stage in again.stages if stage.name == "quality").hit
    assert next(stage for stage in again.stages if stage.name == "recover").hit


def test_a_narrow_student_is_cut_from_the_larger_whole_one(place):
    spec, narrow = (
        place.shop.spec,
        next(c for c in place.space.enumerate() if c.student == (1, 0.5, 0.5, False)),
    )
    recover = spec.recover.model_copy(update={"start": "larger", "share": 0.5})
    shop = replace(place.shop, spec=spec.model_copy(update={"recover": recover}))
    shop.take_runs()
    found = checkpoint_for(shop, place.ready, narrow)
    assert [run.name for run in shop.take_runs()].count("recover") == 2  # the larger one's, and its own
    plain = checkpoint_for(place.shop, place.ready, narrow)
    assert plain.key != found.key

    def size(entry):
        return (entry.path / "model.safetensors").stat().st_size

    assert size(plain) == size(found)


@pytest.mark.parametrize(
    ("student", "larger"),
    [
        ((1, 0.5, 0.5), (2, 0.0, 0.0)),
        ((2, 0.5, 0.0), (3, 0.0, 0.0)),
        ((3, 0.5, 0.0), None),  # the next larger one is the teacher
        ((1, 0.0, 0.0), None),  # whole students come from the teacher
    ],
)
def test_which_student_a_narrow_one_is_cut_from(student, larger):
    settings = ["axes.distillation.student_layers=[1, 2, 3, 4]", "recover.start=larger"]
    spec = load_spec("studies/first-steps.yaml", settings)
    layers, heads, ffn = student
    candidate = baseline(4, 1).model_copy(
        update={
            "distillation": Distillation(student_layers=layers),
            "pruning": Pruning(heads=heads, ffn=ffn),
        }
    )
    found = larger_student(spec, 4, candidate)
    assert (None if found is None else found.student[:3]) == larger
    teacher = spec.model_copy(update={"recover": spec.recover.model_copy(update={"start": "teacher"})})
    assert larger_student(teacher, 4, candidate) is None
