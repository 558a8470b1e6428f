"""The chat tables: what the stored figures say, in the order and the words that a reader looks for."""

from __future__ import annotations

import json

import pytest

from benchmarks.report import _ROOT
from benchmarks.reporting.chat import chat, chat_load

RESULTS = _ROOT / "benchmarks" / "results"


@pytest.fixture
def stored():
    return json.loads((RESULTS / "chat.json").read_text())


def cells(text):
    """Return the table's rows below its head, as lists of cells."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_all_runs_stand_there_the_fastest_first(stored):
    rows = cells(chat(stored))
    assert len(rows) == len(stored["runs"])
    fastest = min(stored["runs"], key=lambda run: run["metrics"]["latency_ms"]["value"])
    assert f"`{fastest['label']}`" in rows[0][0]
    speeds = [float(row[6].split("x")[0]) for row in rows]
    assert speeds == sorted(speeds, reverse=True)
    assert [row for row in rows if row[6].startswith("1.0x")][-1] == rows[-1]  # the baseline


def test_a_figure_is_shown_with_its_interval_and_unit(stored):
    run = stored["runs"][0]
    run["names"], run["share_of_bandwidth"] = ["the fastest within 3%"], 0.437
    run["metrics"] |= {
        "perplexity_increase": {"value": 0.0773, "low": 0.059, "high": 0.0971},
        "agreement": {"value": 0.8666, "low": 0.79, "high": 0.94},
        "ttft_ms": {"value": 81.26, "low": 80.0, "high": 83.0},
        "tpot_ms": {"value": 6.62, "low": 6.5, "high": 6.7},
        "latency_ms": {"value": 498.4, "low": 470.0, "high": 520.0},
        "speedup": {"value": 8.23, "low": 7.84, "high": 8.64},
    }
    (found,) = cells(chat({**stored, "runs": [run]}))
    assert found[0] == f"**the fastest within 3%** `{run['label']}`"
    assert found[1:] == [
        "+7.7 % (+5.9 to +9.7)", "87 % (79 to 94)", "81 ms", "6.6 ms", "498 ms", "8.2x (7.8 to 8.6)", "44%",
    ]  # fmt: skip


def test_what_was_not_measured_is_a_dash(stored):
    run = stored["runs"][0]
    kept = {name: run["metrics"][name] for name in ("latency_ms", "speedup")}
    bare = {**run, "names": [], "share_of_bandwidth": None, "metrics": {**kept, "agreement": None}}
    (found,) = cells(chat({**stored, "runs": [bare]}))
    assert found[0] == f"`{run['label']}`" and found[1:5] == ["–"] * 4 and found[7] == "–"


def test_it_says_what_was_asked_where_and_when(stored):
    text, scenario = chat(stored), stored["spec"]["scenario"]
    assert f"Prompt {scenario['prompt_tokens']} tokens, {scenario['new_tokens']} new ones" in text
    assert stored["host"]["cpu"] in text and stored["when"] in text


def test_load_says_errors_and_memory():
    stored = json.loads((RESULTS / "chat-load.json").read_text())
    stored |= {"clients": 8, "answers": 191, "errors": ["one", "two"], "seconds": 61.7}
    stored["memory_mb"] = {"start": 293.6, "half": 294.2, "end": 301.0}
    text = chat_load(stored)
    assert "8 clients for 62 s" in text and "191 answers, 2 errors" in text
    assert "memory 294 MB before, 294 MB half way, 301 MB at the end" in text
