"""The pure functions: numbers, texts, limits, states, data of charts."""

import json
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from dashboard.text import cut, safe
from dashboard.views import limits, numbers, states
from dashboard.views.cards import best_text, candidate_text, offers, row_of
from dashboard.views.compare import front_rows, fronts_chart, settings_table
from dashboard.views.filters import filtered
from dashboard.views.front_chart import drawn_for, front_alt, front_spec, occurring, zoomed
from dashboard.views.front_data import MOST_PALE, front_data, steps
from dashboard.views.history_chart import best_chart, volume_chart
from dashboard.views.importance_chart import importance_chart
from dashboard.views.palette import Palette
from dashboard.views.parallel_chart import MOST, chosen_rows, parallel_chart, parallel_data
from dashboard.views.tables import failures_table, trials_table
from dashboard.views.timeline_chart import stage_chart, stage_data, timeline_chart, timeline_data
from dashboard.views.trial_charts import confusion_chart, drift_chart, percentiles, spread_chart
from tests.dashboard.conftest import HOSTILE
from tuner.service.choosing import choose
from tuner.service.desk import Desk
from tuner.service.health import health
from tuner.service.importance import importance

LIGHT = Palette(dark=False)


@pytest.fixture
def desk(store):
    return Desk(store)


def study(desk, name="finished"):
    return desk.trials(name)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("latency_ms", 0.36847, "0.368\u00a0ms"),
        ("accuracy", 0.96471, "96.5\u00a0%"),
        ("accuracy_drop", -0.00471, "−0.5\u00a0pt"),
        ("speedup", 65.61, "65.6×"),
        ("throughput", 2550.4, "2\u202f550\u00a0/s"),
        ("latency_ms", None, "–"),
        ("latency_ms", float("nan"), "–"),
    ],
)
def test_a_metric_has_its_unit_and_no_more_digits_than_are_known(name, value, text):
    assert numbers.metric_text(name, value) == text


def test_what_a_value_costs_against_the_baseline():
    assert numbers.against("latency_ms", 1.2, 10.0) == "−88\u00a0%"
    assert numbers.against("latency_ms", 0.13, 10.0) == "−98.7\u00a0%"
    assert numbers.against("accuracy", 0.956, 0.96) == "−0.4\u00a0pt"
    assert numbers.against("accuracy", 0.96, 0.96) == "±0.0 pt"
    assert numbers.against("throughput", 750.0, 10.0) == "75×"
    assert numbers.against("latency_ms", 1.0, None) == ""
    assert best_text(1 / 0.12, 0.004) == "−88 % latency, −0.4 pt"


def test_spans_sizes_and_moments():
    assert [numbers.span_text(s) for s in (3.21, 45, 200, 7500)] == [
        "3.2\u00a0s",
        "45\u00a0s",
        "3\u00a0min",
        "2\u00a0h 5\u00a0min",
    ]
    assert numbers.bytes_text(12_600_000) == "12.6\u00a0MB"
    at, now = datetime(2026, 11, 24, 20, 0, 5, tzinfo=UTC), datetime(2026, 11, 24, 21, tzinfo=UTC)
    assert numbers.moment_text(at, ZoneInfo("Europe/Berlin"), now) == "21:00:05"
    assert numbers.moment_text(at, numbers.zone_of("Mars/Olympus", 300)) == "24 Nov 2026, 15:00"


def test_text_from_outside_stands_for_itself():
    shown = safe(HOSTILE, 500)
    bare = re.sub(r"\\.", "", shown)  # without what is escaped
    assert not re.search(r"[<>*\[\]()$`_#]", bare)
    assert ":material" not in shown and ":red" not in shown
    assert len(safe("x" * 1_000_000)) <= 160
    assert cut("a\nb\x00c\u202e", 10) == "a b c "


def test_steps_of_a_slider_stand_in_the_address_and_come_back():
    for steps_ in (limits.latency_steps(27.8), limits.drop_steps(), limits.size_steps()):
        assert steps_[-1] == "any" and len(steps_) == len(set(steps_))
    assert limits.latency_steps(27.8) == limits.latency_steps(31.2)
    found = limits.limits_of(
        {"latency_ms": "5.6 ms", "accuracy_drop": "1 pt", "memory_mb": "any", "size_mb": "<b>"}
    )
    assert found == pytest.approx({"latency_ms": 5.6, "accuracy_drop": 0.01})


def test_the_front_is_the_one_of_the_command_line(desk, served):
    from tuner.service.handle import StudyHandle

    for name in ("finished", "second", "bad-engine", "infeasible", "first-trial"):
        info, frame = study(desk, name)
        handle = StudyHandle.of(desk.store, desk.store.get_study(name))
        assert set(frame[frame["on_front"]]["number"]) == {row.number for row in handle.front_rows()}
        rows = {row.number: row for row in handle.rows()}
        for line in frame.itertuples():
            if line.number in rows:
                assert line.feasible == rows[line.number].feasible
                estimate = rows[line.number].estimate("latency_ms")
                assert (estimate is None) == pd.isna(line.latency_ms)
                assert estimate is None or line.latency_ms == pytest.approx(estimate.value)
        if handle.front_rows():
            chosen = choose(frame, info.objectives, info.metric, {})
            assert chosen["recommended"] == handle.pick("fastest").number
            assert chosen["knee"] == handle.pick("knee").number
            assert chosen["most accurate"] == handle.pick("most-accurate").number


def test_the_history_ends_where_the_summary_does(desk):
    info, frame = study(desk)
    grown = desk.history(info, frame)
    known = grown["hypervolume"].dropna()
    assert known.is_monotonic_increasing and 0 < known.iloc[-1] < 1
    before_confirmation = info.summary["history"][-2]
    assert known.iloc[-1] == pytest.approx(before_confirmation, abs=0.02)


def test_a_second_look_reads_what_changed_and_only_that(desk):
    info, frame = study(desk, "first-trial")
    assert desk.trials("first-trial")[1] is frame
    desk.store.pause(info.id)
    again = desk.trials("first-trial")[1]
    assert again is not frame and again.equals(frame)
    desk.store.resume(info.id)


def test_the_front_chart_holds_no_data_in_its_spec(desk):
    info, frame = study(desk)
    chosen = choose(frame, info.objectives, info.metric, {})
    points, left_out = front_data(frame, "latency_ms", "accuracy", chosen, 3)
    made = ("latency_ms", "accuracy", LIGHT, *occurring(points), (True, False), zoomed(points, "accuracy"))
    spec = front_spec(*made)
    assert left_out == 0 and points["picked"].sum() == 1 and (points["baseline"]).sum() == 1
    assert "datasets" not in spec and "data" not in spec and front_spec(*made) is spec
    assert "trial" in json.dumps(spec["params"])
    assert f"{len(points)} trials" in front_alt(points, "latency_ms", "accuracy")


def test_the_front_line_turns_at_points_that_are_better_than_all_faster_ones(desk):
    _, frame = study(desk)
    turning = frame[steps(frame, "latency_ms", "accuracy")].sort_values("latency_ms")
    assert turning["accuracy"].is_monotonic_increasing and len(turning) >= 2


def test_a_huge_study_is_thinned_and_says_so(desk, monkeypatch):
    _, frame = study(desk, "huge")
    monkeypatch.setattr("dashboard.views.front_data.MOST_PALE", 200)
    points, left_out = front_data(frame, "latency_ms", "accuracy", {"knee": 5}, 7)
    assert left_out > 300 and len(points) + left_out == frame["accuracy"].notna().sum()
    assert {5, 7} & set(frame[frame["state"] == "complete"]["number"]) <= set(points["trial"])
    assert set(frame[frame["on_front"]]["number"]) <= set(points["trial"]) and MOST_PALE > 1000


def test_every_chart_is_a_valid_spec(desk):
    info, frame = study(desk)
    grown = desk.history(info, frame)
    bars = timeline_data(frame, datetime.now(UTC), UTC)
    rows = chosen_rows(frame, 1.0, 3)
    charts = [
        volume_chart(grown, "Trials", LIGHT, 3),
        best_chart(grown, "latency_ms", "Time", LIGHT, None),
        importance_chart(importance(frame, "latency_ms"), LIGHT),
        parallel_chart(parallel_data(rows, ["accuracy", "latency_ms"], True, 3), LIGHT, "pick"),
        timeline_chart(bars, LIGHT, 3, "pick"),
        stage_chart(stage_data(desk.stage_costs(info)), LIGHT),
        spread_chart([1.0, 1.1, 1.2, 5.0], [10.0, 11.0], LIGHT),
        drift_chart([1.0, 1.1, 1.2], [], LIGHT),
        confusion_chart([[5, 0], [1, 4]], [HOSTILE, "b"], LIGHT),
        fronts_chart(
            front_rows({"a": frame, "b": frame}, "speedup", "accuracy"), "speedup", "accuracy", LIGHT
        ),
    ]
    for chart in charts:
        assert chart.to_dict()["mark" if "mark" in chart.to_dict() else "layer"]
    assert len(rows) <= MOST and percentiles([1.0, 2.0, 3.0])["Median"] == 2.0


def test_cards_say_what_an_offer_costs(desk):
    info, frame = study(desk)
    chosen = choose(frame, info.objectives, info.metric, {"latency_ms": 5.0})
    found = offers(frame, chosen, info.metric)
    assert found[0].trial is not None and found[0].figures[0].change.startswith("−")
    assert row_of(frame, found[0].trial)["latency_ms"] <= 5.0
    assert "layer" in candidate_text(row_of(frame, 0)) and "fp32" in candidate_text(row_of(frame, 0))
    none = offers(frame, choose(frame, info.objectives, info.metric, {"latency_ms": 1e-6}), info.metric)
    assert [offer.trial for offer in none] == [None, None, None]


def test_tables_hold_hostile_reasons_as_plain_text(desk):
    _, frame = study(desk, "all-failed")
    assert "<script>" in failures_table(frame)["Reason"].iloc[0]
    assert trials_table(frame, "accuracy")["State"].iloc[0] == "failed"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("finished", "ok"),
        ("all-failed", "failed"),
        ("infeasible", "infeasible"),
        ("first-trial", "first"),
        ("waiting", "waiting"),
    ],
)
def test_each_state_has_its_notice(desk, name, kind):
    info, frame = study(desk, name)
    found = states.notice(info.state, frame, info.spec, info.meta, workers=0)
    assert found.kind == kind
    assert kind == "ok" or (found.title and found.text)
    if kind == "infeasible":
        assert "The nearest is trial" in found.text and "accuracy" in found.text


def test_health_names_the_engine_that_always_fails_and_the_constraint_nobody_meets(desk):
    info, frame = study(desk, "bad-engine")
    assert any(card.title == "openvino always fails" for card in health(frame, info.spec))
    info, frame = study(desk, "infeasible")
    assert any("Nobody meets" in card.title for card in health(frame, info.spec))


def test_filter_keeps_the_baseline(desk):
    _, frame = study(desk)
    kept = filtered(frame, ["openvino"], ["int8"], False)
    assert kept["is_baseline"].sum() == 1 and set(kept[~kept["is_baseline"]]["engine"]) <= {"openvino"}


def test_only_differences_are_shown(desk):
    specs = {name: desk.info(name).spec for name in ("finished", "second")}
    short, full = settings_table(specs, True), settings_table(specs, False)
    assert 0 < len(short) < len(full) and "seed" in set(short["Field"])


def test_many_points_are_drawn_on_a_canvas():
    assert drawn_for({}, 30) == {}
    assert drawn_for({}, 1000)["usermeta"]["embedOptions"]["renderer"] == "canvas"
