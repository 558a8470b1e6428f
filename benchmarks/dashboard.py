"""The dashboard: how long pages of large studies take to be drawn, and what a live refresh costs the server.

    python -m benchmarks.dashboard [--quick] [-o FILE]

1. In Chromium, on a served database: seconds from asking for a page until its last chart or table stands there, and
   the main thread's seconds in it, for a study of 1 000 and of 10 000 trials and for the list of 200 studies. It is
   drawn once before, as for a person who works with it (the browser has Streamlit's code); each figure is a median.
2. Without a browser: what the server computes for one live refresh of a running study of 1 000 trials, of which one
   changed since the last.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page
from sqlalchemy import update

from benchmarks.environment import environment
from tests.dashboard import driving, fill
from tests.dashboard.driving import READY
from tuner.store import Store
from tuner.store.columns import now
from tuner.store.models import StudyRow, TrialRow

_TABLE = ".stDataFrame canvas"
#: Above some thousand points the chart is no SVG but a canvas: it is drawn once something of a colour is on it.
_CHART = "[role=graphics-document] :is(path[aria-roledescription=point], canvas.marks)"
_COLOURED = """() => [...document.querySelectorAll('canvas.marks')].every(canvas => {
    const {width, height} = canvas;
    const parts = canvas.getContext('2d').getImageData(width / 4, height / 4, width / 2, height / 2).data;
    for (let i = 0; i < parts.length; i += 4)
        if (parts[i + 3] > 200 && Math.abs(parts[i] - parts[i + 1]) > 60) return true;
    return false;
})"""
_PAGES = {
    "1 000 trials": ("study?study=thousand", _CHART),
    "10 000 trials": ("study?study=ten-thousand", _CHART),
}
_AIM_S, _AIM_MS = 1.5, 300


def filled(home: Path, share: int) -> None:
    """Fill a home with the two large studies, and another one with a long list of studies."""
    with fill.open_store(home) as store:
        fill.huge(store, "ten-thousand", 10_000 // share)
        fill.huge(store, "thousand", 1000 // share)


def listed(home: Path, share: int) -> None:
    """Fill a home with 200 studies of 40 trials."""
    with fill.open_store(home) as store:
        for number in range(200 // share):
            fill.huge(store, f"study-{number:03}", 40, seed=number)


# -- 1. in the browser


def drawn(browser: Browser, address: str, drawn_by: str, repeats: int) -> dict[str, float]:
    """Return medians of the seconds until a page is drawn, and of the main thread's seconds meanwhile."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    took = [_once(context, address, drawn_by) for _ in range(repeats + 1)][1:]
    context.close()
    return {name: statistics.median(found[name] for found in took) for name in took[0]}


def _once(context: BrowserContext, address: str, drawn_by: str) -> dict[str, float]:
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Performance.enable")
    begin = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_selector(drawn_by, state="attached", timeout=120_000)
    page.wait_for_selector(READY, timeout=120_000)
    page.wait_for_function(_COLOURED, timeout=120_000)
    _painted(page)
    seconds = time.perf_counter() - begin
    metrics = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
    page.close()
    return {
        "drawn_s": seconds,
        "main_thread_s": metrics["TaskDuration"],
        "script_s": metrics["ScriptDuration"],
    }


def _painted(page: Page) -> None:
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")


# -- 2. a live refresh


def refresh(home: Path, repeats: int) -> float:
    """Return the milliseconds, median, in which the server draws a running study anew after one trial changed."""
    from streamlit.testing.v1 import AppTest

    os.environ["TUNER_HOME"] = str(home)
    os.environ.pop("TUNER_DB", None)
    with fill.open_store(home) as store:
        store.set_study_state(store.get_study("thousand"), "running")
        at = AppTest.from_file(str(driving.ROOT / "dashboard" / "app.py"), default_timeout=60)
        at.switch_page("app_pages/study.py")
        at.query_params["study"] = "thousand"
        at.run()
        took = [_again(at, store, number) for number in range(repeats + 2)][2:]
    assert not at.exception and not at.error, (at.exception, at.error)
    return statistics.median(took) * 1000


def _again(at: Any, store: Store, number: int) -> float:
    """Change a trial, and return the seconds that the refresh takes."""
    study = store.get_study("thousand")
    changed = {"memory_mb": 100.0 + number, "finished_at": now()}
    with store._writing() as session:
        session.execute(
            update(TrialRow).where(TrialRow.study_id == study.id, TrialRow.number == 5).values(**changed)
        )
        session.execute(update(StudyRow).where(StudyRow.id == study.id).values(updated_at=now()))
    begin = time.perf_counter()
    at.run()
    return time.perf_counter() - begin


def main() -> None:
    """Measure both, print and store them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, once")
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/dashboard.json"))
    given = parser.parse_args()
    share, repeats = (10, 1) if given.quick else (1, 5)
    found: dict[str, Any] = {"host": environment(), "load_before": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as folder:
        large, many = Path(folder) / "large", Path(folder) / "many"
        filled(large, share)
        listed(many, share)
        with driving.chromium() as browser:
            found["chromium"] = browser.version
            with driving.dashboard(large) as address:
                pages = {
                    name: drawn(browser, f"{address}/{path}", by, repeats)
                    for name, (path, by) in _PAGES.items()
                }
            with driving.dashboard(many) as address:
                pages["200 studies"] = drawn(browser, address, _TABLE, repeats)
        found["drawn"], found["refresh_ms"] = pages, refresh(large, 5 * repeats)
    _tell(found)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(found, indent=1) + "\n")
    print(f"stored: {given.output}")


def _tell(found: dict[str, Any]) -> None:
    for name, took in found["drawn"].items():
        print(
            f"{name}: drawn after {took['drawn_s']:.2f} s (aim {_AIM_S} s), main thread {took['main_thread_s']:.2f} s, "
            f"of it scripts {took['script_s']:.2f} s"
        )
    print(f"a live refresh at 1 000 trials: {found['refresh_ms']:.0f} ms of server time (aim {_AIM_MS} ms)")


if __name__ == "__main__":
    main()
