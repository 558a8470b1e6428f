"""The pure functions: numbers, texts, limits, states, data of charts."""

import json
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from dashboard.text import cut, safe
from dashboard.views import limits, numbers, states
from dashboard.views.cards import best_text, candidate_text, figure, offers, row_of
from dashboard.views.compare import front_rows, fronts_chart, settings_table
from dashboard.views.ended_chart import ended_alt, ended_data, ended_spec, lanes_of
from dashboard.views.filters import choices, filtered, hosts_in
from dashboard.views.front_chart import drawn_for, front_alt, front_spec, occurring, zoomed
from dashboard.views.front_data import MOST_PALE, front_data, steps
from dashboard.views.history_chart import best_chart, volume_chart
from dashboard.views.importance_chart import importance_chart
from dashboard.views.outlook import basis_text, stages_table, time_text
from dashboard.views.palette import FORMAT_SHAPES, Palette
from dashboard.views.parallel_chart import MOST, chosen_rows, parallel_chart, parallel_data
from dashboard.views.stage_bars import OTHER, stage_bars, stage_names
from dashboard.views.tables import failures_table, log_table, position_of, trials_table
from dashboard.views.timeline_chart import (
    stage_chart,
    stage_data,
    timeline_alt,
    timeline_chart,
    timeline_data,
)
from dashboard.views.trial_charts import confusion_chart, drift_chart, percentiles, spread_chart
from dashboard.views.verdict import verdicts
from tests.dashboard.conftest import HOSTILE
from tuner.service.choosing import choose
from tuner.service.contenders import contender, subjects
from tuner.service.costs import Estimate, StageEstimate
from tuner.service.desk import Desk
from tuner.service.health import health
from tuner.service.importance import importance
from tuner.service.outlook import Outlook
from tuner.service.placing import place, rivals
from tuner.service.plot import FORMAT_MARKERS
from tuner.spec.wording import FORMATS

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
        ("server_rate", 182.34, "182\u00a0/s"),
        ("cores", 2.0, "2"),
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

    for name in ("finished", "second", "bad-engine", "infeasible", "first-trial", "two-hosts"):
        info, frame = study(desk, name)
        handle = StudyHandle.of(desk.store, desk.store.get_study(name))
        assert set(frame[frame["on_front"]]["number"]) == {row.number for row in handle.front_rows()}
        rows = {row.number: row for row in handle.rows()}
        for line in frame.itertuples():
            if line.number in rows:
                assert line.feasible == rows[line.number].feasible
                assert (None if pd.isna(line.standing) else line.standing) == rows[line.number].place
                found = rivals(frame, info.objectives, True, line.number)
                assert tuple(found) == rows[line.number].rivals
                estimate = rows[line.number].estimate("latency_ms")
                assert (estimate is None) == pd.isna(line.latency_ms)
                assert estimate is None or line.latency_ms == pytest.approx(estimate.value)
        if handle.front_rows() and name != "two-hosts":
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


def test_what_nobody_said_is_not_said_as_nan(desk):
    for name in ("bad-engine", "finished", "first-trial"):
        _, frame = study(desk, name)
        for column in ("reason", "kind", "worker", "host_name", "discard_reason"):
            assert all(value is None or isinstance(value, str) for value in frame[column]), column
    _, frame = study(desk, "bad-engine")
    assert row_of(frame, 0)["reason"] is None and "nan" not in set(trials_table(frame, "accuracy")["Reason"])


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


def test_a_tied_point_is_drawn_like_none_that_is_dominated(desk):
    _, frame = study(desk)
    points, _ = front_data(frame, "latency_ms", "accuracy", {}, None)
    tied = points[points["role"] == "tied"]
    assert set(tied["trial"]) == set(frame[frame["standing"] == "tied"]["number"]) and len(tied)
    assert tied["Verdict"].str.endswith("tied with the front: dominated by less than the noise").all()
    assert tied["spread"].all() and tied.index.max() < points.index[points["role"] == "front"].min()
    spec = front_spec("latency_ms", "accuracy", LIGHT, *occurring(points))
    assert f"{len(tied)} more are tied with it" in front_alt(points, "latency_ms", "accuracy")
    low, high = zoomed(points, "accuracy")
    assert tied["y"].between(low, high).all()
    looks = [looks_of(spec, role) for role in ("front", "tied", "dominated", "infeasible")]
    assert len(set(looks)) == 4


def _encodings(spec, channel):
    return [layer["encoding"][channel] for layer in spec["layer"] if channel in layer.get("encoding", {})]


def looks_of(spec, role):
    """Return how full, how strong and how large a role is drawn."""
    found = []
    for channel in ("fillOpacity", "strokeOpacity", "size"):
        (scale,) = [e["scale"] for e in _encodings(spec, channel) if e.get("field") == "role"]
        found.append(scale["range"][scale["domain"].index(role)])
    return tuple(found)


def test_intervals_of_many_tied_points_would_hide_them(desk, monkeypatch):
    _, frame = study(desk)
    monkeypatch.setattr("dashboard.views.front_data._MOST_TIED", 0)
    points, _ = front_data(frame, "latency_ms", "accuracy", {}, None)
    assert not points[(points["role"] == "tied") & ~points["baseline"]]["spread"].any()
    assert points[points["role"] == "front"]["spread"].all()


def test_every_trial_has_a_verdict(desk):
    _, frame = study(desk)
    first = frame[frame["standing"] == "front"]["number"].iloc[0]
    made = frame.assign(
        discarded=frame["number"] == first,
        standing=frame["standing"].where(frame["number"] != 1, None),
        feasible=frame["feasible"] | (frame["number"] == 1),
    )
    found = dict(zip(made["number"], verdicts(made), strict=True))
    assert found[first] == "discarded" and found[1] == "unplaced"
    assert set(verdicts(study(desk, "all-failed")[1])) == {"failed"}
    assert set(verdicts(study(desk, "infeasible")[1])) == {"infeasible"}


def test_after_the_confirmation_the_others_are_held_against_each_other_by_the_search(desk):
    info, frame = study(desk)
    assert frame["confirmed"].any() and not frame["confirmed"].all()
    shown = frame[frame["confirmed"]]
    before = frame.assign(
        confirmed=False, **{c.removeprefix("search_"): frame[c] for c in frame if c[:7] == "search_"}
    )
    before["feasible"] = frame["search_feasible"]
    place(before, info.objectives, apart=True)
    rest = ~frame["confirmed"] & frame["feasible"]
    expected = before["standing"].where(before["standing"] != "front", "tied")
    assert frame.loc[rest, "standing"].tolist() == expected[rest].tolist()
    assert set(shown["standing"].dropna()) <= {"front", "tied", "dominated"}


def test_the_front_line_turns_at_points_that_are_better_than_all_faster_ones(desk):
    _, frame = study(desk)
    turning = frame[steps(frame, "latency_ms", "accuracy")].sort_values("latency_ms")
    assert turning["accuracy"].is_monotonic_increasing and len(turning) >= 2


def test_what_failed_has_marks_of_its_own_with_its_reason(desk):
    _, frame = study(desk, "bad-engine")
    failed = frame[frame["state"] == "failed"]
    crosses = ended_data(frame, "latency_ms", "accuracy", int(failed["number"].iloc[0]))
    assert set(crosses["trial"]) == set(failed["number"]) and crosses["picked"].sum() == 1
    assert set(crosses["Reason"]) == {"no such kernel"} and lanes_of(crosses) == ("failed",)
    spec = ended_spec(LIGHT, ("openvino",), lanes_of(crosses), "pick")
    assert "trial" in json.dumps(spec["params"]) and "Reason" in json.dumps(spec)
    assert f"{len(crosses)} failed" in ended_alt(crosses)


def test_a_trial_given_up_with_both_metrics_is_crossed_where_it_stands(desk):
    _, frame = study(desk)
    frame = frame.assign(state=frame["state"].where(frame["number"] != 3, "pruned"))
    without, _ = front_data(frame, "latency_ms", "accuracy", {}, None)
    points, _ = front_data(frame, "latency_ms", "accuracy", {}, None, pruned=True)
    assert 3 not in set(without["trial"])
    assert points.set_index("trial").loc[3, "role"] == "pruned"
    assert ended_data(frame, "latency_ms", "accuracy", None).empty
    assert ended_data(frame, "latency_ms", "energy_j", None)["state"].tolist() == ["pruned"]


def test_the_hover_of_a_point_has_the_whole_candidate(desk):
    _, frame = study(desk)
    points, _ = front_data(frame, "latency_ms", "accuracy", {}, None)
    spec = json.dumps(front_spec("latency_ms", "accuracy", LIGHT, *occurring(points)))
    for field in (
        "Candidate",
        "Layers",
        "Heads removed",
        "FFN removed",
        "Number format",
        "Group size",
        "Threads × replicas",
        "engine",
        "Fixed shape",
        "Host",
    ):
        assert f'"field": {json.dumps(field)}' in spec and field in points


def test_the_log_says_which_trial_a_line_is_about(desk):
    info, frame = study(desk, "bad-engine")
    table = log_table(frame, desk.events(info, 50), info.created, UTC, desk.now())
    failed = table[table["What"] == "failed"]
    assert set(failed["Trial"]) == set(frame.loc[frame["state"] == "failed", "number"])
    assert position_of([None, 4, 4], 4) == 1 and position_of([None, 4], 5) is None
    assert position_of([None], None) is None


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
        timeline_chart(bars, stage_bars(bars, desk.stages(list(bars["id"]))), LIGHT, 3, "pick"),
        timeline_chart(bars, bars.iloc[:0], LIGHT, 3, "pick"),
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


def test_stages_lie_inside_their_trial_with_cache_hits_and_the_running_one(desk):
    at = pd.Timestamp("2026-11-24 10:00:00")
    seconds = pd.Timedelta(seconds=1)
    bars = pd.DataFrame(
        {
            "trial": [1, 2],
            "id": ["a", "b"],
            "worker": "w",
            "state": ["complete", "running"],
            "label": HOSTILE,
            "start": [at, at + 10 * seconds],
            "end": [at + 10 * seconds, at + 15 * seconds],
        }
    )
    stages = pd.DataFrame(
        [
            ("a", "shape", True, 0.0),
            ("a", "build", False, 4.0),
            ("a", "performance", False, 3.0),
            ("b", "build", False, 2.0),
            ("b", "performance", False, 0.0),
        ],
        columns=["id", "stage", "hit", "seconds"],
    )
    rows = stage_bars(bars, stages)
    first, second = rows[rows["trial"] == 1], rows[rows["trial"] == 2]
    assert list(first["stage"]) == ["shape", "build", "performance", OTHER]
    assert list(first["hit"]) == [True, False, False, False] and first["took"].iloc[0] == "found in the cache"
    assert first["start"].iloc[1] == at and first["end"].iloc[-1] == at + 10 * seconds
    assert second["end"].iloc[-1] == at + 15 * seconds and second["took"].iloc[-1] == "3.0\u00a0s so far"
    assert stage_names(rows) == ["shape", "build", "performance", OTHER]
    assert "1 of them still runs" in timeline_alt(bars, rows) and "1 stages came" in timeline_alt(bars, rows)
    assert stage_bars(bars, stages.iloc[:0]).empty


def test_the_timeline_shows_more_than_a_hundred_trials(desk):
    _, frame = study(desk, "huge")
    bars = timeline_data(frame, datetime.now(UTC), UTC, 300)
    assert len(bars) == 300 and len(stage_bars(bars, desk.stages(list(bars["id"])))) >= 300


def test_cards_say_what_an_offer_costs(desk):
    info, frame = study(desk)
    chosen = choose(frame, info.objectives, info.metric, {"latency_ms": 5.0})
    found = offers(frame, chosen, info.metric)
    assert found[0].trial is not None and found[0].figures[0].change.startswith("−")
    assert row_of(frame, found[0].trial)["latency_ms"] <= 5.0
    assert "layer" in candidate_text(row_of(frame, 0)) and "fp32" in candidate_text(row_of(frame, 0))
    none = offers(frame, choose(frame, info.objectives, info.metric, {"latency_ms": 1e-6}), info.metric)
    assert [offer.trial for offer in none] == [None, None, None]


def test_what_a_point_costs_is_held_against_the_baseline_of_its_own_host(desk):
    _, frame = study(desk, "two-hosts")
    base = frame[frame["is_baseline"]].iloc[0]
    other = frame[(frame["host"] != base["host"]) & (frame["state"] == "complete")].iloc[0]
    latency = figure("latency_ms", other, base)
    percent = (1 / other["speedup"] - 1) * 100
    number = float(latency.change.replace("−", "-").replace("+", "").split("\u00a0")[0])
    assert number == pytest.approx(percent, abs=0.6)
    assert figure("throughput", other, base).change == ""
    assert figure("accuracy", other, base).change.endswith("pt")


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


def test_the_outlook_says_what_it_stands_on():
    stages = (
        StageEstimate("build", 20, 6, 6.0, 7.0, 8.0, 12, "this model"),
        StageEstimate("recover", 9, 17, 0.0, 0.0, 0.0, 0, "nothing known"),
    )
    found = Estimate((120.0, 300.0), stages, ("recover",), True)
    expected = Outlook(900, 20, (120.0, 300.0), (), None, found, capped=True)
    assert time_text(expected) == "2\u00a0min to 5\u00a0min"
    assert "12 stage runs" in basis_text(expected) and "recover" in basis_text(expected)
    table = stages_table(expected).set_index("Stage")
    assert table.loc["build", "From the cache"] == 6 and table.loc["recover", "A run takes"] == "unknown"
    unknown = Outlook(900, 20, None, ())
    assert time_text(unknown) == "unknown yet" and "Nothing comparable" in basis_text(unknown)
    assert stages_table(unknown).empty and time_text(Outlook(9, 2, (60.0, 60.0), ())) == "at most 60\u00a0s"


def test_health_says_which_axis_to_widen_and_which_host_is_noisy(desk):
    info, frame = study(desk)
    ends = {"ffn": 0.9, "heads": 0.0, "student_layers": 6}
    front = frame["on_front"] & ~frame["is_baseline"]
    assert front.sum() >= 2
    spec = {
        **info.spec,
        "axes": {**info.spec["axes"], "pruning": {"heads": [0.0, 0.5], "ffn": [0.0, 0.5, 0.9]}},
    }
    at_end = frame.assign(**{name: frame[name].where(~front, value) for name, value in ends.items()})
    titles = {card.title: card for card in health(at_end, spec)}
    assert "axes.pruning.ffn allows. Widen it." in titles["The best points sit at the end of ffn"].text
    assert "The best points sit at the end of heads" not in titles
    shaky = frame.assign(latency_ms_high=frame["latency_ms"] * 1.5, latency_ms_low=frame["latency_ms"] * 0.5)
    assert any(card.title == "stub is noisy" and "50%" in card.text for card in health(shaky, info.spec))
    assert not any("noisy" in card.title for card in health(frame, info.spec))


def test_a_study_on_several_hosts_has_a_line_for_each_and_a_filter(desk):
    _, frame = study(desk, "two-hosts")
    together, _ = front_data(frame, "latency_ms", "accuracy", {}, None)
    apart, _ = front_data(frame, "latency_ms", "accuracy", {}, None, apart=True)
    assert together["line"].nunique() == 1 and apart[apart["step"]]["line"].nunique() == 2
    assert apart["step"].sum() >= together["step"].sum()
    kept = filtered(frame, [], [], False, hosts_in(frame)[:1])
    assert hosts_in(frame) == ["fast", "slow"] and set(kept[~kept["is_baseline"]]["host_name"]) == {"fast"}


def test_the_spread_names_the_percentiles():
    told = json.dumps(spread_chart([1.0, 1.1, 1.2, 5.0], [10.0, 11.0], LIGHT).to_dict())
    assert all(f"{q}th percentile" in told for q in (90, 95, 99)) and "median" in told


def test_filter_keeps_the_baseline(desk):
    _, frame = study(desk)
    kept = filtered(frame, ["openvino"], ["int8"], False)
    assert kept["is_baseline"].sum() == 1 and set(kept[~kept["is_baseline"]]["engine"]) <= {"openvino"}


def test_formats_of_the_same_width_are_told_apart(desk):
    _, frame = study(desk)
    frame = frame.assign(scheme=frame["scheme"].mask(frame["is_baseline"], "tf32"))
    assert frame["bits"].eq(32).sum() > 1  # others are fp32
    assert choices(frame)[1][:2] == ["fp32", "tf32"]
    kept = filtered(frame, [], ["fp32"], False)
    assert set(kept[~kept["is_baseline"]]["bits"]) == {32}
    points, _ = front_data(frame, "latency_ms", "accuracy", {}, None)
    assert set(points.loc[points["baseline"], "format"]) == {"tf32"}
    assert candidate_text(row_of(frame, 0)).split(", ")[1] == "tf32"


def test_every_number_format_has_a_shape_and_a_marker_of_its_own():
    for looks in (FORMAT_SHAPES, FORMAT_MARKERS):
        assert set(looks) == set(FORMATS) and len(set(looks.values())) == len(FORMATS)


def test_each_host_of_a_study_has_a_front_and_a_history_of_its_own(desk):
    info, frame = study(desk, "two-hosts")
    found = desk.subjects()
    assert found["finished"].host is None and "two-hosts" in found
    parts = {name: contender(info, frame, found[f"two-hosts on {name}"]) for name in ("fast", "slow")}
    for name, each in parts.items():
        assert set(each.frame["host_name"]) == {name} and each.frame["on_front"].any()
        assert set(each.frame[each.frame["on_front"]]["number"]) <= set(frame[frame["on_front"]]["number"])
        assert 0 < each.hypervolume < 1 and len(each.grown) == (each.frame["state"] == "complete").sum()
    assert parts["slow"].baseline_ms == 3 * parts["fast"].baseline_ms
    speedups = {name: each.frame["speedup"].max() for name, each in parts.items()}
    assert all(1 < s < 100 for s in speedups.values())


def test_a_front_of_all_hosts_is_taken_apart_where_hardware_is_a_choice(desk):
    info, frame = study(desk, "two-hosts")
    chosen = frame.copy()
    place(chosen, info.objectives, apart=False)
    assert (chosen["rank"] == 1).sum() <= (frame["rank"] == 1).sum()
    each = contender(info, chosen, desk.subjects()["two-hosts on slow"])
    assert each.frame["on_front"].any()  # though nothing of it is on the front of all


def test_hosts_of_one_name_are_told_apart():
    measured = [("a", "f" * 64, "box"), ("a", "e" * 64, "box"), ("b", "f" * 64, "box")]
    assert list(subjects(["a", "b"], measured)) == ["a", "a on box ffffffff", "a on box eeeeeeee", "b"]


def test_only_differences_are_shown(desk):
    specs = {name: desk.info(name).spec for name in ("finished", "second")}
    short, full = settings_table(specs, True), settings_table(specs, False)
    assert 0 < len(short) < len(full) and "seed" in set(short["Field"])


def test_many_points_are_drawn_on_a_canvas():
    assert drawn_for({}, 30) == {}
    assert drawn_for({}, 1000)["usermeta"]["embedOptions"]["renderer"] == "canvas"
