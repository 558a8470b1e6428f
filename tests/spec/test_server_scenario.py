"""The server scenario in a study file: what it demands, what follows from it, and what does not fit it."""

from pathlib import Path

import pytest

from tuner.errors import InputError
from tuner.spec.load import load_spec
from tuner.spec.model import StudySpec
from tuner.spec.wording import asked_text, drawn_across, loaded

STUDY = Path(__file__).parents[2] / "studies" / "server.yaml"
CHAT, QUICKSTART = STUDY.with_name("chat.yaml"), STUDY.with_name("quickstart.yaml")


def plain(**scenario):
    return {
        "name": "s",
        "model": {"config": {"model_type": "bert"}},
        "data": {"source": "x"},
        "scenario": {"mode": "server", **scenario},
        "budget": {"trials": 1},
    }


def test_the_cheapest_configuration_that_holds_fifty_a_second():
    spec = load_spec(STUDY)
    assert spec.constraints == ["accuracy_drop <= 0.01", "server_p99_ms <= 30"]
    assert spec.objectives == ["cores", "memory_mb"]
    assert (
        asked_text(spec.scenario.model_dump(), spec.metric) == "50 requests/s, p99 within 30 ms, 128 tokens"
    )
    assert drawn_across(spec.objectives, spec.scenario.model_dump()) == "server_p99_ms"


def test_what_is_traded_follows_from_the_rate():
    given, largest = (StudySpec.model_validate(plain(rate=rate, p99_ms=20)) for rate in (80, "max"))
    assert given.objectives == ["accuracy", "cores"]
    assert largest.objectives == ["accuracy", "server_rate"]
    assert given.axes.parallel.max_batch == [1, 4, 16]
    assert loaded(largest.scenario.model_dump()) == ("server_rate", "server_p99_ms", "cores")


def test_a_bound_that_the_study_writes_itself_stands():
    spec = StudySpec.model_validate({**plain(rate=80, p99_ms=20), "constraints": ["server_p99_ms <= 10"]})
    assert spec.constraints == ["server_p99_ms <= 10"]


def test_a_stored_study_reads_back():
    spec = load_spec(STUDY)
    assert StudySpec.model_validate(spec.to_plain()) == spec


def test_other_scenarios_keep_their_candidates():
    spec = load_spec(QUICKSTART)
    assert spec.axes.parallel.max_batch is None
    assert loaded(spec.scenario.model_dump()) == ()
    assert drawn_across(spec.objectives, spec.scenario.model_dump()) == "latency_ms"


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        (STUDY, "scenario.rate=null", r"scenario\.rate: .*needs `rate`"),
        (STUDY, "scenario.p99_ms=null", r"scenario\.p99_ms: .*`p99_ms`"),
        (STUDY, "scenario.rate=fast", r"scenario\.rate: .*'max', not 'fast'"),
        (STUDY, "scenario.rate=0.5", r"scenario\.rate"),
        (STUDY, "scenario.batch=4", r"scenario\.batch: a request is one document"),
        (STUDY, "scenario.wait_ms=30", r"scenario\.wait_ms: .*leaves nothing"),
        (STUDY, "scenario.mode=single-stream", r"scenario\.rate: belongs to `mode: server`"),
        (QUICKSTART, "objectives=[accuracy, server_rate]", r"objectives: server_rate is measured"),
        (QUICKSTART, "constraints=[server_p99_ms <= 5]", r"constraints: server_p99_ms is"),
        (QUICKSTART, "axes.parallel.max_batch=[4]", r"axes\.parallel\.max_batch: only the server"),
        (CHAT, "scenario={mode: server, rate: 2, p99_ms: 900}", r"scenario\.mode: the server scenario is of text"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(file, change, said):
    with pytest.raises(InputError, match=said):
        load_spec(file, [change])
