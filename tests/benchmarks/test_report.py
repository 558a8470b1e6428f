"""The docs' tables: they are what the stored results say, and nothing else is touched."""

from __future__ import annotations

import json

import pytest

from benchmarks.report import _ROOT, PAGES, SECTIONS, written

RESULTS = _ROOT / "benchmarks" / "results"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_what_the_results_say(page):
    text = (_ROOT / page).read_text()
    assert written(text, RESULTS) == text, "run: python -m benchmarks.report"


def test_every_section_has_its_result_and_stands_in_a_page():
    pages = "".join((_ROOT / page).read_text() for page in PAGES)
    for name, (file, _) in SECTIONS.items():
        assert (RESULTS / file).exists(), file
        assert f"<!-- table: {name} -->" in pages


def test_plots_that_a_page_shows_are_there():
    import re

    for page in PAGES:
        folder = (_ROOT / page).parent
        for shown in re.findall(r"!\[[^\]]*\]\(([^)h][^)]*)\)", (_ROOT / page).read_text()):
            assert (folder / shown).exists(), shown


def test_another_figure_is_another_page(tmp_path):
    stored = json.loads((RESULTS / "fidelity.json").read_text())
    stored["repeatability"]["raw"]["max_over_min"] = 12.34
    (tmp_path / "fidelity.json").write_text(json.dumps(stored))
    text = "a\n<!-- table: fidelity -->\nold\n<!-- end -->\nb\n<!-- table: peers -->\nkept\n<!-- end -->\n"
    found = written(text, tmp_path)
    assert "12.34" in found and "old" not in found
    assert found.startswith("a\n") and found.endswith("b\n<!-- table: peers -->\nkept\n<!-- end -->\n")
