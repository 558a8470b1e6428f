"""The picture of the front."""

from dataclasses import replace

import pytest
from madeup import int8, store_chat, store_served, store_study
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tuner.candidate import Pruning
from tuner.errors import TunerError
from tuner.service import api
from tuner.service.plot import _short, _xy, draw, drawn
from tuner.service.plot_labels import lane, packed, place_labels
from tuner.service.report import report_html


@pytest.fixture
def study(home):
    store_study(f"sqlite:///{home}/tuner.db")
    return api.load("made-up")


def test_a_png_is_written(study, tmp_path):
    file = study.plot(tmp_path / "deep" / "front.png")
    assert file.read_bytes().startswith(b"\x89PNG") and file.stat().st_size > 20_000


def test_a_label_names_only_what_was_pruned(study):
    assert _short(replace(study.row(3), candidate=int8(1))) == "1 layer, int8, openvino"
    half = int8(2).model_copy(update={"pruning": Pruning(ffn=0.5)})
    assert _short(replace(study.row(3), candidate=half)) == "2 layers, int8, openvino\n−50% FFN"


def test_the_points_that_matter_carry_a_name(study):
    content = drawn(study)
    assert {row.number: name for row, name in content.labels} == {
        3: "fastest", 1: "knee and best whole model", 0: "baseline",
    }  # fmt: skip
    assert content.floor == pytest.approx(0.94)  # the baseline's 0.95 less the tolerated drop
    assert [row.number for row in content.front] == [3, 2, 1, 0]


@pytest.mark.parametrize("constraints", [["latency_ms <= 0.001"], ["accuracy >= 0.9"], []])
def test_any_study_can_be_drawn(home, tmp_path, constraints):
    store_study(f"sqlite:///{home}/tuner.db", "other", constraints)
    assert api.load("other").plot(tmp_path / "x.png").exists()


def test_a_study_without_trials_can_be_drawn(home, tmp_path):
    from tuner.store import Store

    spec = {
        "name": "empty", "metric": "accuracy", "objectives": ["accuracy", "latency_ms"], "constraints": [],
        "scenario": {"batch": 1, "sequence_length": "data"},
    }  # fmt: skip
    with Store.open() as store:
        store.create_study(spec)
    assert api.load("empty").plot(tmp_path / "x.png").exists()


def test_a_place_that_cannot_be_written(study, tmp_path):
    with pytest.raises(TunerError, match="cannot be written"):
        study.plot(tmp_path)


def test_labels_do_not_overlap_and_stay_inside():
    wanted, widths = [-20.0, 10.0, 380.0, 390.0], [100.0, 80.0, 120.0, 90.0]
    lefts = packed(wanted, widths, 0.0, 500.0)
    ends = [left + width for left, width in zip(lefts, widths, strict=True)]
    assert lefts[0] >= 0 and ends[-1] <= 500
    assert all(end < left for end, left in zip(ends, lefts[1:], strict=False))


@pytest.mark.parametrize("count", [1, 3, 5, 8])
def test_labels_that_one_row_cannot_hold_take_more(count):
    figure = Figure(figsize=(10, 6.2))
    axes = figure.add_axes((0.1, 0.1, 0.7, 0.7))
    name = "fastest and best whole model  8.25×\n30 layers, int4 weights (gptq_20), llama-cpp"
    labels = [(1.0 + 0.1 * number, 0.5, name) for number in range(count)]
    axes.set(xlim=(0, 8), ylim=(0, 1))
    share = lane(figure, axes, labels)
    place_labels(figure, axes, labels)
    FigureCanvasAgg(figure).draw()
    boxes, inside = [text.get_window_extent() for text in axes.texts], axes.get_window_extent()
    assert len(boxes) == 2 * count
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    lowest = inside.y1 - share * inside.height
    assert all(inside.x0 <= box.x0 and box.x1 <= inside.x1 and lowest <= box.y0 for box in boxes)


def test_of_a_language_model_less_perplexity_is_up(home, tmp_path):
    store_chat(f"sqlite:///{home}/tuner.db")
    study = api.load("chat")
    content = drawn(study)
    assert content.plane.up == "perplexity_increase" and content.floor == pytest.approx(-0.1)
    assert "64 tokens asked, 32 answered" in content.caption
    figure = draw(content)
    axes = figure.axes[0]
    FigureCanvasAgg(figure).draw()
    assert axes.get_ylabel() == "perplexity increase, % (less is up) on the test split"
    labels = [text.get_text() for text in axes.get_yticklabels()]
    shown = [float(text) for text in labels]
    assert 0 in shown and shown == sorted(shown, reverse=True)  # from below to above
    heights = {row.number: _xy(row, content.plane)[1].value for row in content.front}
    assert heights[0] > heights[1] > heights[2]
    page = report_html(study, 2)
    assert (
        "Perplexity increase against latency" in page
        and "First token" in page
        and "7.1 % (6.1 to 8.1)" in page
    )


@pytest.mark.parametrize(
    ("rate", "across"),
    [(50.0, "99th percentile of latency under load"), ("max", "largest rate, requests a second")],
)
def test_the_server_scenario_is_drawn_across_its_load(home, rate, across):
    """The best stands left, by percentile or by rate; a line that only grew is drawn as far as it was seen."""
    store_served(f"sqlite:///{home}/tuner.db", rate)
    study = api.load("server")
    content = drawn(study)
    figure = draw(content)
    axes = figure.axes[0]
    FigureCanvasAgg(figure).draw()
    assert axes.get_xlabel().startswith(across)
    places = {row.number: _xy(row, content.plane)[0] for row in content.rows}
    assert places[3].value < places[2].value < places[1].value < places[0].value
    assert places[0].high < 1e5
    if rate == "max":
        shown = [
            (at, float(text.get_text()))
            for at, text in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
        ]
        assert all(value == pytest.approx(1e3 / at, rel=1e-3) for at, value in shown)
    page = report_html(study, 0)
    assert "p99 under load" in page and "over 200 ms" in page
    assert ("Largest rate" in page) == (rate == "max")


def test_the_front_of_a_server_study_says_what_it_carries(home, capsys, monkeypatch):
    from tuner.cli.table import print_front

    monkeypatch.setenv("COLUMNS", "220")
    store_served(f"sqlite:///{home}/tuner.db", "max")
    study = api.load("server")
    print_front(study, study.rows(), everything=True)
    said = capsys.readouterr().out
    for heading in ("requests/s", "p99 ms", "cores"):
        assert heading in said
    assert "116 ±6" in said and "over 200" in said
    assert study.pick("cheapest").number in (2, 3)
