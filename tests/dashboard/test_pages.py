"""Every page in every state: no exception, the right words, the right controls."""

import re
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.dashboard import fill
from tests.dashboard.conftest import HOSTILE
from tuner.service.desk import Desk

APP = Path(__file__).parents[2] / "dashboard" / "app.py"


def page(name, **query):
    """Run the app on one of its pages."""
    at = AppTest.from_file(APP, default_timeout=60)
    at.switch_page(f"app_pages/{name}.py")
    for key, value in query.items():
        at.query_params[key] = value
    return at.run()


def fine(at):
    """Assert that nothing failed, also not softly."""
    assert not at.exception, at.exception
    assert not [e for e in at.error if "log says" in e.value], [e.value for e in at.error]
    return at


def words(at):
    """Return all text of a page."""
    found = [
        *at.markdown,
        *at.caption,
        *at.info,
        *at.warning,
        *at.error,
        *at.success,
        *at.title,
        *at.subheader,
    ]
    return "\n".join(str(e.value) + str(getattr(e.proto, "title", "")) for e in found)


@pytest.mark.parametrize("name", ["finished", "all-failed", "infeasible", "first-trial", "huge"])
def test_every_tab_of_a_study_in_every_state(served, name):
    at = fine(page("study", study=name, trial="0"))
    for tab in ("Growth", "Importance", "Parallel", "Trials", "Timeline", "Health", "Log"):
        at.session_state["tab"] = tab
        fine(at.run())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("finished", "95 % intervals"),
        ("finished", "dominated by less than the noise"),
        ("all-failed", "The study failed"),
        ("infeasible", "No trial meets the constraints yet"),
        ("first-trial", "One point so far"),
        ("waiting", "No worker is alive"),
        ("huge", "700 candidates of 700"),
        ("bad-engine", "failed"),
    ],
)
def test_a_study_says_what_its_state_is(served, name, said):
    assert said in words(fine(page("study", study=name)))


def test_limits_move_the_recommended_point(served):
    at = fine(page("study", study="finished"))
    before = [b.label for b in at.button if b.label.startswith("Trial")]
    at.select_slider(key="drop").set_value("0.1 pt").run()
    fine(at)
    assert [b.label for b in at.button if b.label.startswith("Trial")] != before
    at.select_slider(key="latency").set_value("0.01 ms").run()
    assert "Nothing meets your limits" in words(fine(at))


def test_the_address_holds_the_view(served):
    at = fine(page("study", study="second", latency="5.6 ms", trial="2", tab="Growth", engine="openvino"))
    assert at.selectbox(key="study").value == "second"
    assert at.select_slider(key="latency").value == "5.6 ms"
    assert at.number_input(key="trial").value == 2


@pytest.mark.parametrize("value", ["<script>", "../../etc/passwd", "x" * 10_000, "9" * 400, "-1", "nan"])
def test_a_hostile_address_does_no_harm(served, value):
    keys = (
        "trial",
        "latency",
        "drop",
        "memory",
        "size",
        "tab",
        "x",
        "y",
        "log",
        "engine",
        "format",
        "over",
        value,
    )
    fine(page("study", study="finished", **{key: value for key in keys if len(key) < 300}))
    for name in ("study", "trial", "export", "compare", "studies"):
        fine(page(name, study=value, studies=value, state=value, q=value, tag=value))


def test_an_offer_is_picked_and_leads_on(served):
    at = fine(page("study", study="finished"))
    at.button(key="pick_recommended").click().run()
    fine(at)
    assert at.number_input(key="trial").value is not None
    picked = at.number_input(key="trial").value
    fine(at.button(key="to_export").click().run())
    assert f"Export trial {picked}" in words(at)


def selected(at, key):
    """Return the trials whose rows are selected in a table."""
    rows = at.session_state[key]["selection"]["rows"]
    return [at.session_state[f"_{key}_trials"][row] for row in rows]


def test_a_picked_point_is_marked_in_table_and_log_and_a_row_picks(served):
    at = fine(page("study", study="bad-engine", tab="Trials", trial="0"))
    assert selected(at, "table") == [0]
    other = at.session_state["_table_trials"][3]
    at.button(key="pick_recommended").click().run()
    assert selected(fine(at), "table") == [at.number_input(key="trial").value]
    at = fine(page("study", study="bad-engine", tab="Trials", trial=str(other)))
    assert selected(at, "table") == [other]
    failed = next(n for n in at.session_state["_table_trials"][::-1])
    at = fine(page("study", study="bad-engine", tab="Log", trial=str(failed)))
    assert selected(at, "log_table") == [failed]


def test_a_click_is_understood_by_the_order_that_was_on_the_screen(served, monkeypatch):
    import streamlit as st

    from dashboard.components import picking

    state = {"t": {"selection": {"rows": [2]}}, "_t_trials": [5, None, 7]}
    monkeypatch.setattr(st, "session_state", state)
    picking._clicked("t")
    assert state["trial"] == 7
    state["t"]["selection"]["rows"] = [1]  # a line about no trial
    picking._clicked("t")
    assert state["trial"] == 7


def test_failed_trials_are_switched_on_with_strip_and_reasons(served):
    at = fine(page("study", study="bad-engine"))
    assert not at.dataframe
    at.toggle(key="failed").set_value(True).run()
    assert "no such kernel" in set(fine(at).dataframe[0].value["Reason"])
    at = fine(page("study", study="all-failed", failed="true"))
    assert "Failed" in "".join(t.label for t in at.toggle)


def test_the_list_shows_all_studies(served):
    at = fine(page("studies"))
    table = at.dataframe[0].value
    assert {"finished", "waiting", "huge"} <= set(table["name"])
    assert table.set_index("name").loc["finished", "Best against the baseline"].startswith("−")
    at.text_input(key="q").set_value("FINI").run()
    assert list(fine(at).dataframe[0].value["name"]) == ["finished"]


def test_an_empty_database_welcomes(tmp_path, monkeypatch, served):
    import streamlit as st

    monkeypatch.setenv("TUNER_HOME", str(tmp_path))
    st.cache_resource.clear()
    assert at_button(fine(page("studies")), "first")
    for name in ("study", "trial", "export"):
        assert "No study yet" in words(fine(page(name)))
    assert "Nothing to compare yet" in words(fine(page("compare")))
    assert "No worker is alive" in words(fine(page("system")))


def at_button(at, key):
    return next(b for b in at.button if b.key == key)


def test_a_trial_that_worked_says_no_reason_beside_others_that_failed(served):
    for name in ("study", "trial"):
        at = fine(page(name, study="bad-engine", trial="0"))
        assert "nan" not in words(at) and not at.error


def test_a_trial_with_all_that_was_measured(served):
    at = fine(page("trial", study="finished", trial="1"))
    assert "What differs from the baseline" in words(at) and "tuner run finished.yaml" in at.code[0].value
    assert "the baseline" in words(fine(page("trial", study="finished", trial="0")))
    at = fine(page("trial", study="all-failed", trial="0"))
    assert "<script>" not in words(at).replace("\\<", "")
    assert "number of a trial" in words(fine(page("trial", study="finished", trial="99999")))


def test_a_tied_trial_says_whom_it_is_tied_with(served, store):
    _, frame = Desk(store).trials("finished")
    tied = frame[frame["standing"] == "tied"]["number"].iloc[0]
    for name in ("study", "trial"):
        said = words(fine(page(name, study="finished", trial=str(tied))))
        assert re.search(r"Tied with the front:\u200b? trials? [\d, and more]+ may beat it", said), said
    at = fine(page("study", study="finished", tab="Trials"))
    shown = at.dataframe[0].value.set_index("Trial")["State"]
    assert list(dict.fromkeys(shown))[:2] == ["front", "tied"] and shown[tied] == "tied"


def test_export_offers_bundle_yaml_command_and_report(served):
    at = fine(page("export", study="finished", trial="1"))
    assert any("tuner export finished --trial 1" in c.value for c in at.code)
    assert "nothing to export" in words(fine(page("export", study="all-failed", trial="0")))


def test_compare_and_system(served):
    at = page("compare")
    at.multiselect(key="studies").set_value(["finished", "second"]).run()
    assert "Settings" in words(fine(at)) and "Only differences" in [t.label for t in at.toggle]
    at = fine(page("system"))
    assert "revision" in [m.value.split()[0] for m in at.metric]


def test_compare_one_study_on_its_hosts(served):
    at = fine(page("compare", studies=["two-hosts on fast", "two-hosts on slow"]))
    assert at.multiselect(key="studies").value == ["two-hosts on fast", "two-hosts on slow"]
    table = at.dataframe[0].value.set_index("Study")
    assert (table["On the front"] > 0).all() and table["Tied"].ge(0).all()
    assert table.loc["two-hosts on fast", "Baseline"] == "40.0\u00a0ms"
    assert table.loc["two-hosts on slow", "Baseline"] == "120\u00a0ms"
    assert table["Hypervolume (%)"].notna().all() and "different hosts" in words(at)
    settings = at.dataframe[1].value.set_index("Field")
    assert settings.loc["host.name"].tolist() == ["fast", "slow"] and "seed" not in settings.index


def test_compare_says_which_hardware(served):
    at = fine(page("compare", studies=["priced on fast", "priced on slow"]))
    table = at.dataframe[0].value.set_index("Study")
    assert table["Least cost of a million requests"].str.len().gt(1).all()
    said = words(at)
    assert "**Fastest**: priced on fast" in said and "**Cheapest**: priced on slow" in said
    assert "EUR for a million requests" in said and "× less than the next" in said


def test_system_tells_the_real_size_of_the_cache_and_what_is_free(served):
    entry = served / "cache" / "build" / ("k" * 64)
    entry.mkdir(parents=True, exist_ok=True)
    (entry / "model.bin").write_bytes(bytes(3_210_000))
    at = fine(page("system"))
    shown = {m.label: (m.value, m.delta) for m in at.metric}
    assert shown["Artefacts on this host"][0] == "3.21\u00a0MB" and "built on all hosts" in str(shown)
    assert shown["Cache of this host"][1].endswith("free")
    assert any("artefacts" in set(t.value.get("What", ())) for t in at.dataframe)


@pytest.fixture
def no_engines(monkeypatch):
    """The launch page without asking the engines of this machine, which takes seconds."""
    from tests.service.stub import OFFERS
    from tuner.service.outlook import Abilities

    found = Abilities("this machine", list(OFFERS), 2)
    monkeypatch.setattr("tuner.service.outlook.abilities", lambda store: found)
    monkeypatch.setattr("dashboard.components.launch_outlook.abilities", lambda store: found)


def test_form_and_text_are_two_views_of_one_study(served, no_engines):
    at = fine(page("launch"))
    at.button(key="template_first-steps").click().run()
    at.number_input(key="f_trials").set_value(3).run()
    fine(at)
    assert (
        "trials: 3" in at.text_area(key="yaml").value
        and "# fields of a transformers" in at.text_area(key="yaml").value
    )
    at.text_area(key="yaml").set_value(at.text_area(key="yaml").value.replace("trials: 3", "trials: 5")).run()
    assert fine(at).number_input(key="f_trials").value == 5


def test_an_error_stands_at_its_field_and_line(served, no_engines):
    at = fine(page("launch"))
    text = at.text_area(key="yaml").value.replace("bits: [32, 16, 8, 4]", "bits: [7]")
    at.text_area(key="yaml").set_value(text).run()
    assert "should be 32, 16, 8, 4, 3 or 2" in words(fine(at)).replace("\\", "")
    assert at.button(key="launch").disabled


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- 1",
        "name: [",
        "a: &a [*a]",
        "x" * 90_000,
        "name: !!python/object/apply:os.system ['id']",
        "\x00",
    ],
)
def test_hostile_text_is_refused_in_words(served, no_engines, text):
    at = fine(page("launch"))
    at.text_area(key="yaml").set_value(text).run()
    assert fine(at).button(key="launch").disabled


def test_a_started_worker_is_awaited(served, no_engines, monkeypatch):
    monkeypatch.setattr("dashboard.components.workers.start_worker", lambda role: 1234)
    at = fine(page("launch"))
    at_button(at, "start_worker").click().run()
    assert "signs on in some seconds" in words(fine(at))


def test_ten_megabytes_and_a_bomb_in_the_text_are_refused_in_words(served, no_engines):
    bomb = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
    at = fine(page("launch"))
    for text in ("x" * 10_000_000, bomb, "name: " + "n" * 1_000_000):
        at.text_area(key="yaml").set_value(text).run()
        assert fine(at).button(key="launch").disabled
        assert all(len(caption.value) < 2000 for caption in at.caption)


@pytest.fixture
def marked(store):
    """A study whose every text from outside is hostile: reasons, tags, notes, names of worker and host."""
    from tests.service.stub import OFFERS, stub_host
    from tuner.service.requires import capabilities

    study = fill.ran(store, "marked", 4, tags=[HOSTILE], host=stub_host(HOSTILE))
    store.add_event("remark", HOSTILE, study)
    store.discard_trial(study, 1, HOSTILE)
    able = capabilities(stub_host(HOSTILE), OFFERS, {HOSTILE: HOSTILE})
    worker = store.sign_on(HOSTILE[:90], 1, able, stub_host(HOSTILE))
    yield study
    store.sign_off(worker)
    store.delete_study(store.get_study("marked"))


MARKUP = re.compile(r"<img|\*\*bold|\]\(javascript|:material/home|:red\[x")


def test_hostile_notes_names_and_tags_stand_for_themselves(served, marked):
    for name, query in (
        ("studies", {}),
        ("study", {"study": "marked", "trial": "1", "tab": "Log"}),
        ("study", {"study": "marked", "tab": "Health"}),
        ("study", {"study": "marked", "tab": "Timeline"}),
        ("trial", {"study": "marked", "trial": "1"}),
        ("export", {"study": "marked", "trial": "1"}),
        ("compare", {"studies": ["marked", "finished"]}),
        ("launch", {"clone": "marked"}),
        ("system", {}),
    ):
        at = fine(page(name, **query))
        read = words(at) + "".join(f"{m.label}{m.value}{m.delta}" for m in at.metric)
        assert not MARKUP.search(re.sub(r"\\.", "", read).replace("\u200b", "\0")), (name, read)


def test_launch_submits_and_opens_the_study(served, no_engines, store):
    at = fine(page("launch"))
    model, data = "{config: {model_type: bert, num_hidden_layers: 2}}", "{source: owner/data, format: hub}"
    text = f"name: launched\nmodel: {model}\ndata: {data}\nbudget: {{trials: 2}}\n"
    at.text_area(key="yaml").set_value(text).run()
    fine(at).button(key="launch").click().run()
    fine(at)
    assert store.get_study("launched").state == "queued"
    store.delete_study(store.get_study("launched").id)


def test_a_viewer_sees_no_controls(served, monkeypatch, no_engines):
    monkeypatch.setenv("TUNER_DASHBOARD_ROLE", "viewer")
    at = fine(page("study", study="waiting"))
    assert not [b for b in at.button if b.label in ("Pause", "Stop", "Cancel", "Delete")]
    assert fine(page("launch")).button(key="launch").disabled


def test_pause_and_resume_from_the_page(served, store):
    at = fine(page("study", study="waiting"))
    at_button(at, "study_pause").click().run()
    assert store.get_study("waiting").state == "paused"
    at_button(fine(at), "study_resume").click().run()
    assert store.get_study("waiting").state == "queued"


def test_the_dashboard_imports_no_engine(served):
    import subprocess

    names = ("components.study_body", "components.studies_body", "components.launch_outlook", "downloads")
    imports = ", ".join(f"dashboard.{name}" for name in names)
    code = f"import sys, {imports}; print([m for m in ('torch', 'optuna') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
