"""Pictures of every page of the dashboard, in light and dark.

    python -m scripts.screenshots [--home HOME] [-o FOLDER]

Pages show the newest finished study of a real home, as `make demo` and `make first-steps` leave it. The states that
are designed (empty, first trial, running, all failed, nothing feasible, huge) show made-up studies.
"""

from __future__ import annotations

import argparse
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from PIL import Image
from playwright.sync_api import Browser, Page

from tests.dashboard import driving, fill
from tests.dashboard.driving import READY, Scheme, opened
from tuner.service.overview import state_of

_CHART, _TABLE = "[role=graphics-document] :is(svg, canvas.marks)", ".stDataFrame"
_TABS = {"Growth": _CHART, "Importance": _CHART, "Parallel": _CHART, "Trials": _TABLE,
         "Timeline": _CHART, "Health": "[role=tabpanel]", "Log": "[role=tabpanel]"}  # fmt: skip


@dataclass(frozen=True)
class Shot:
    """One picture: its name, the address below the server's, and what stands there once the page is drawn."""

    name: str
    path: str
    drawn: str


def page_shots(study: str, others: list[str], trial: int) -> list[Shot]:
    """Return a picture for each page, and for each tab of a study."""
    about, many = f"study={study}", "&".join(f"studies={name}" for name in [study, *others])
    tabs = [Shot(f"study-{t.lower()}", f"study?{about}&trial={trial}&tab={t}", d) for t, d in _TABS.items()]
    return [
        Shot("studies", "", _TABLE),
        Shot("launch", "launch", ".st-key-launch button:enabled"),
        Shot("study", f"study?{about}&trial={trial}", _CHART),
        *tabs,
        Shot("trial", f"trial?{about}&trial={trial}", ".stCode"),
        Shot("compare", f"compare?{many}", _CHART),
        Shot("export", f"export?{about}&trial={trial}", ".st-key-download_bundle a"),
        Shot("system", "system", _TABLE),
    ]


_STATES = [
    Shot("state-first-trial", "study?study=first-trial", _CHART),
    Shot("state-running", "study?study=running", _CHART),
    Shot("state-all-failed", "study?study=all-failed", ".stAlert"),
    Shot("state-nothing-feasible", "study?study=infeasible", _CHART),
    Shot("state-huge", "study?study=huge", _CHART),
    Shot("state-several", "", _TABLE),
]


def shoot(browser: Browser, address: str, shots: list[Shot], folder: Path) -> None:
    """Take pictures in both schemes."""
    for scheme in get_args(Scheme):
        for shot in shots:
            with opened(browser, f"{address}/{shot.path}", scheme, patience_s=120) as page:
                page.wait_for_selector(shot.drawn)
                _save(page, folder / f"{shot.name}-{scheme}.png")
                print(f"{shot.name}-{scheme}", flush=True)


def _save(page: Page, path: Path) -> None:
    """Save the whole page: it scrolls inside a window of its own, which is made as high as what it holds."""
    for _ in range(2):  # a higher window may draw more
        page.wait_for_selector(READY)
        page.wait_for_function("document.querySelector('[data-testid=stSkeleton]') === null")
        page.wait_for_load_state("networkidle")
        high = page.locator("[data-testid=stMainBlockContainer]").evaluate(
            "e => e.scrollHeight + e.offsetTop"
        )
        page.set_viewport_size({"width": 1440, "height": min(max(int(high) + 60, 600), 3000)})
    page.evaluate("new Promise(done => setTimeout(done, 700))")  # charts grow into their place
    page.wait_for_function(
        "document.querySelector('[data-stale=true]') === null"
    )  # in the middle of a refresh
    page.screenshot(path=path, animations="disabled")
    Image.open(path).convert("RGB").save(
        path, optimize=True
    )  # all colours: the legend must tell engines apart


@contextmanager
def lively(home: Path) -> Iterator[None]:
    """Fill a home with made-up studies in every state, one of which a made-up worker goes on with."""
    with fill.open_store(home) as store:
        fill.ran(store, "finished", 24, tags=["news"])
        fill.all_failed(store, "all-failed", "the compiler ended with 1: undefined symbol _ZN3c105ErrorE")
        fill.infeasible(store, "infeasible")
        fill.huge(store, "huge", 2000)
        fill.ran(store, "first-trial", 10, once=True)
        store.pause(store.get_study("first-trial"))
        fill.begun(store, "running", 30, 12)
    command = [sys.executable, "-m", "tests.service.stub", "--db", f"sqlite:///{home}/tuner.db"]
    process = subprocess.Popen([*command, "--name", "worker-1", "--seconds", "600"], cwd=driving.ROOT)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def copied(home: Path, to: Path) -> None:
    """Copy a home's database: pictures must not change it."""
    source = sqlite3.connect(f"file:{home / 'tuner.db'}?mode=ro", uri=True)
    with closing(source), closing(sqlite3.connect(to / "tuner.db")) as target:
        source.backup(target)


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, default=Path(".demo"), help="that of a finished study (.demo)")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/dashboard"))
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    with driving.chromium() as browser, tempfile.TemporaryDirectory() as folder:
        _pages(browser, given.home, _made(folder, "real"), given.output)
        with driving.dashboard(_made(folder, "empty")) as address:
            shoot(browser, address, [Shot("state-empty", "", ".st-key-first button")], given.output)
        states = _made(folder, "states")
        with lively(states), driving.dashboard(states) as address:
            shoot(browser, address, _STATES, given.output)


def _made(folder: str, name: str) -> Path:
    path = Path(folder) / name
    path.mkdir()
    return path


def _pages(browser: Browser, home: Path, copy: Path, output: Path) -> None:
    copied(home, copy)
    with fill.open_store(copy) as store:
        finished = [line for line in store.standings() if line.state == "finished"]
        study, others = finished[0].name, [line.name for line in finished[1:3]]
        if not others:  # Compare needs two: a made-up one beside the only real one
            fill.ran(store, "another", 12)
            others = ["another"]
        trial = _best(store.get_study(study).summary)
    with driving.running(copy, "worker", "--name", "worker-1"), driving.dashboard(copy) as address:
        _wait_for_worker(copy)
        shoot(browser, address, page_shots(study, others, trial), output)


def _wait_for_worker(home: Path) -> None:
    """A worker asks the engines what they can do before it is there."""
    deadline = time.monotonic() + 120
    with fill.open_store(home) as store:
        while not any(w.name == "worker-1" and state_of(w) == "alive" for w in store.workers()):
            assert time.monotonic() < deadline, "no worker came"
            time.sleep(0.2)


def _best(summary: Mapping[str, object]) -> int:
    front = summary["front"]
    assert isinstance(front, list)
    return int(front[0])


if __name__ == "__main__":
    main()
