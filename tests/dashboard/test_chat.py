"""A language model's study in the dashboard: its own words, limits and axes; better is up."""

import pytest

from dashboard.views import limits, numbers
from dashboard.views.cards import best_text, candidate_text, figure_names, offers, row_of
from dashboard.views.compare import front_rows, fronts_chart
from dashboard.views.front_chart import front_alt, front_spec, occurring, zoomed
from dashboard.views.front_data import CHAT, front_data
from dashboard.views.launch_form import OUTDATED, changed, values
from dashboard.views.palette import Palette
from dashboard.views.tables import trials_table
from tests.cli.madeup import store_chat
from tests.dashboard.test_pages import fine, no_engines, page, words  # noqa: F401
from tuner.service.choosing import choose
from tuner.service.desk import Desk
from tuner.service.drafts import check, templates, with_value
from tuner.service.handle import StudyHandle

LIGHT = Palette(dark=False)


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A tuner's home with the study of a language model."""
    home = tmp_path_factory.mktemp("chat")
    store_chat(f"sqlite:///{home}/tuner.db")
    return home


@pytest.fixture
def chat(store):
    return Desk(store).trials("chat")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("perplexity", 21.42, "21.4"),
        ("perplexity_increase", 0.0712, "7.1\u00a0%"),
        ("agreement", 0.8583, "85.8\u00a0%"),
        ("ttft_ms", 8.6, "8.60\u00a0ms"),
        ("tokens_per_s", 203.4, "203\u00a0/s"),
        ("choice_accuracy_drop", 0.021, "2.1\u00a0pt"),
    ],
)
def test_its_metrics_have_their_units(name, value, text):
    assert numbers.metric_text(name, value) == text
    assert "()" not in numbers.SHOWN[name].title and "_" not in numbers.SHOWN[name].label


def test_perplexity_is_held_against_the_baselines():
    assert numbers.against("perplexity", 21.4, 20.0) == "+7.0\u00a0%"
    assert numbers.against("perplexity_increase", 0.07, 0.0) == ""  # it is against the baseline itself
    assert numbers.interval_text("perplexity", 21.0, 21.4, 21.8) == "21.0 to 21.8"
    assert best_text(1 / 0.12, 0.0712, "perplexity") == "−88 % latency, +7.1 % perplexity"


def test_a_limit_on_perplexity_is_a_share():
    assert limits.increase_steps()[-1] == "any"
    assert limits.limits_of({"perplexity_increase": "+10 %"}) == pytest.approx({"perplexity_increase": 0.1})


def test_its_front_is_the_one_of_the_command_line(chat, store):
    info, frame = chat
    handle = StudyHandle.of(store, store.get_study("chat"))
    assert set(frame[frame["on_front"]]["number"]) == {row.number for row in handle.front_rows()} == {0, 1, 2}
    chosen = choose(frame, info.objectives, info.metric, {})
    assert chosen["recommended"] == handle.pick("fastest").number == 2
    assert chosen["knee"] == handle.pick("knee").number
    assert chosen["most accurate"] == handle.pick("most-accurate").number == 0
    within = choose(frame, info.objectives, info.metric, {"perplexity_increase": 0.03, "ttft_ms": 5.0})
    assert within["recommended"] == within["most accurate"] == 1


def test_in_the_chart_better_is_up_and_the_hover_names_its_metrics(chat):
    _, frame = chat
    data, _ = front_data(frame, "latency_ms", "perplexity_increase", {}, None, told=CHAT)
    assert data.loc[data["trial"] == 2, "First token"].iloc[0].startswith("0.978\u00a0ms")
    assert data.loc[data["trial"] == 2, "Number format"].iloc[0] == "int4 weight-only, rtn"
    spec = front_spec("latency_ms", "perplexity_increase", LIGHT, *occurring(data), told=CHAT)
    points = next(layer for layer in spec["layer"] if "tooltip" in layer.get("encoding", {}))["encoding"]
    assert points["y"]["scale"]["reverse"] and "reverse" not in points["x"]["scale"]
    titles = {t.get("title", t["field"].removesuffix(":N")) for t in points["tooltip"]}
    assert {"First token", "Each further token", "Tokens", "Agreement", "Perplexity increase"} <= titles
    assert "Throughput" not in titles
    low, high = zoomed(data, "perplexity_increase")
    assert low < 0 and 7 < high < 41  # the pruned one, 40 % off, sits on the lower edge
    assert front_alt(data, "latency_ms", "perplexity_increase").startswith("Perplexity increase against")
    lines = fronts_chart(front_rows({"chat": frame}, "latency_ms", "perplexity_increase"), "latency_ms",
                         "perplexity_increase", LIGHT).to_dict()  # fmt: skip
    assert all(layer["encoding"]["y"]["scale"]["reverse"] for layer in lines["layer"])


def test_cards_tables_and_figures_are_of_generation(chat):
    info, frame = chat
    chosen = choose(frame, info.objectives, info.metric, {})
    first = offers(frame, chosen, info.metric)[0]
    assert [f.label for f in first.figures] == ["Latency", "Perplexity", "First token", "Size on disk"]
    assert first.figures[1].change == "+7.1\u00a0%" and first.figures[1].better is False
    assert "int4 weights (rtn), onnxruntime-genai" in candidate_text(row_of(frame, 2))
    table = trials_table(frame, info.metric)
    assert list(table.columns[2:8]) == [
        "Speedup (×)", "Latency (ms)", "Perplexity", "Perplexity increase (%)", "Memory (MB)", "Size on disk (MB)",
    ]  # fmt: skip
    assert "rtn" in list(table["Method"])
    assert {"ttft_ms", "tpot_ms", "tokens_per_s", "agreement"} <= set(figure_names(info.metric))


def test_every_page_shows_it(served):
    at = fine(page("study", study="chat", trial="2"))
    for tab in ("Growth", "Importance", "Parallel", "Trials", "Timeline", "Health", "Log"):
        at.session_state["tab"] = tab
        fine(at.run())
    for name in ("studies", "trial", "export", "compare"):
        fine(page(name, study="chat", studies="chat", trial="2"))
    labels = {m.label for m in fine(page("trial", study="chat", trial="2")).metric}
    assert {"Perplexity", "Perplexity increase", "Agreement", "First token", "Each further token"} <= labels


def test_limits_are_of_an_answers_time_and_perplexity(served):
    at = fine(page("study", study="chat"))
    sliders = {s.label for s in at.select_slider}
    assert {"First token within", "Whole answer within", "Perplexity at most", "Memory at most"} <= sliders
    at.select_slider(key="increase").set_value("+3 %").run()
    assert "Trial 1" in [b.label for b in fine(at).button]
    at.select_slider(key="ttft").set_value("0.01 ms").run()
    assert "Nothing meets your limits" in words(fine(at))


# -- launching


def edited(text, key, value):
    place, new = changed(key, value, check(text).data)
    return with_value(text, place, new)


def test_the_form_shows_a_chat_study_and_writes_its_constraints():
    text = templates()["chat"]
    shown = values(check(text).data, ("openvino", "onnxruntime-genai", "torch"))
    assert (shown["f_task"], shown["f_drop"], shown["f_latency"]) == ("text-generation", 10.0, None)
    assert (shown["f_prompt"], shown["f_answer"], shown["f_clients"]) == (64, 64, 1)
    text = edited(edited(text, "f_drop", 5.0), "f_ttft", 80.0)
    constraints = check(text).data["constraints"]
    assert constraints[0] == "ttft_ms <= 80" and "perplexity_increase <= 0.05" in constraints
    assert "agreement >= 0.25" in constraints  # what the form does not show stays


def test_another_task_begins_with_its_own_words():
    text = templates()["quickstart"]
    for place in OUTDATED["f_task"]:
        text = with_value(text, place, None)
    found = check(edited(text, "f_task", "text-generation")).data
    assert found["task"] == "text-generation" and not {"metric", "objectives", "constraints"} & set(found)
    assert values(found, ())["f_drop"] is None


def test_the_launch_page_asks_for_a_language_models_limits(served, no_engines):  # noqa: F811
    at = fine(page("launch"))
    at.text_area(key="yaml").set_value(templates()["chat"]).run()
    labels = {n.label for n in fine(at).number_input}
    assert {"Perplexity increase at most (%)", "First token within (ms)", "Tokens asked", "Clients"} <= labels
    at.selectbox(key="f_task").set_value("text-classification").run()
    labels = {n.label for n in fine(at).number_input}
    assert {"Accuracy drop at most (pt)", "Batch", "Tokens"} <= labels and "Clients" not in labels


def test_the_launch_page_asks_a_server_for_its_rate_and_its_percentile(served, no_engines):  # noqa: F811
    at = fine(page("launch"))
    at.text_area(key="yaml").set_value(templates()["quickstart"]).run()
    assert "99 of 100 within (ms)" not in {n.label for n in fine(at).number_input}
    at.selectbox(key="f_mode").set_value("server").run()
    assert "rate" in " ".join(
        c.value for c in fine(at).caption
    )  # said below the field, before anything is started
    at.text_input(key="f_rate").set_value("max").run()
    at.number_input(key="f_p99").set_value(30.0).run()
    scenario = check(fine(at).text_area(key="yaml").value).data["scenario"]
    assert (scenario["mode"], scenario["rate"], scenario["p99_ms"]) == ("server", "max", 30.0)
    at.text_input(key="f_rate").set_value("50").run()
    assert check(at.text_area(key="yaml").value).data["scenario"]["rate"] == 50
    at.selectbox(key="f_mode").set_value("single-stream").run()
    assert not {"rate", "p99_ms"} & set(check(fine(at).text_area(key="yaml").value).data["scenario"])
