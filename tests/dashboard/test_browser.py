"""A person's way through the dashboard, in Debian's Chromium, on a real server, database and worker."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

sync_api = pytest.importorskip("playwright.sync_api")

from tests.dashboard import driving, fill  # noqa: E402
from tests.dashboard.driving import READY, opened  # noqa: E402

expect = sync_api.expect
#: ms for a study's next step: patience costs nothing on a quick machine.
PATIENCE = 600_000
CHART = "[role=graphics-document] svg"
#: Every page, and what stands there once it is drawn.
PAGES = {
    "": ".stDataFrame",
    "launch": ".st-key-launch button:enabled",
    "study?study=filled": CHART,
    "study?study=filled&tab=Growth": CHART,
    "study?study=filled&tab=Importance": CHART,
    "study?study=filled&tab=Parallel": CHART,
    "study?study=filled&tab=Trials": ".stDataFrame",
    "study?study=filled&tab=Timeline": CHART,
    "study?study=filled&tab=Health": "[role=tabpanel]",
    "study?study=filled&tab=Log": "[role=tabpanel]",
    "trial?study=filled&trial=1": ".stCode",
    "export?study=filled&trial=1": ".st-key-download_bundle a",
    "compare?studies=filled&studies=other": CHART,
    "system": ".stDataFrame",
}

pytestmark = [
    pytest.mark.alone,  # a worker measures, and a browser draws: beside others both would only wait
    pytest.mark.timeout(2400),
    pytest.mark.skipif(
        driving.BROWSER is None and os.environ.get("CI") != "true", reason="there is no Chromium here"
    ),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def address(home):
    """A served dashboard on a database with two finished studies, and a worker that waits for the next."""
    with fill.open_store(home) as store:
        fill.ran(store, "filled", 12)
        fill.ran(store, "other", 8, sampler="random", seed=3)
    with driving.running(home, "worker", "--name", "browser-worker"), driving.dashboard(home) as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    with driving.chromium() as found:
        yield found


#: What makes first-steps shorter still.
SHORTER = {
    "limit: 1000": "limit: 600",
    "measure:\n  seconds: 2": "measure:\n  seconds: 0.5",
}


def launch(page, address, name, trials):
    """Launch first-steps from the launch page: its name, size and engines by the form, the rest in its text."""
    page.goto(f"{address}/launch")
    page.locator(".st-key-template_first-steps button").click()
    field, text = page.locator(".st-key-f_name input"), page.locator(".st-key-yaml textarea")
    expect(field).to_have_value("first-steps")
    shorter = text.input_value()
    for before, after in SHORTER.items():
        shorter = shorter.replace(before, after)
    text.fill(shorter)
    text.press("Control+Enter")
    page.locator(".st-key-f_engines").get_by_text("torch", exact=True).click()
    expect(text).to_have_value(re.compile(r"limit: 600(?s:.*)engines: \[onnxruntime\](?s:.*)seconds: 0.5"))
    page.locator(".st-key-f_trials input").fill(str(trials))
    page.locator(".st-key-f_trials input").press("Enter")
    expect(text).to_have_value(re.compile(f"trials: {trials}"))
    field.fill(name)
    field.press("Enter")
    expect(text).to_have_value(re.compile(f"name: {name}"))
    button = page.locator(".st-key-launch button")
    expect(button).to_be_enabled(timeout=PATIENCE)
    button.click()
    page.wait_for_url(re.compile(rf"/study\?.*study={name}"))


def points(page, least):
    """Wait until the front's chart says that it shows so many trials."""
    count = "Number((document.querySelector('.st-key-front_chart [role=graphics-document]')?.ariaLabel"
    page.wait_for_function(f"{count}.match(/of (\\d+) trials/) ?? [])[1] ?? 0) >= {least}", timeout=PATIENCE)


def click_point(page, trial):
    """Click a trial's point in the chart."""
    page.locator(f".st-key-front_chart path[aria-label*='Trial: {trial};']").click()


def is_picked(page, trial):
    """Wait until a trial is the picked one, in the panel and in the address."""
    expect(page.locator(".st-key-trial input")).to_have_value(str(trial))
    page.wait_for_url(re.compile(rf"[?&]trial={trial}(&|$)"))


def slide(page, key, *presses):
    """Move a slider by keys."""
    thumb = page.locator(f".st-key-{key}").get_by_role("slider")
    for press in presses:
        thumb.press(press)


def front_trials(page):
    """Return the numbers of the trials on the front, as the chart tells them."""
    told = page.locator(".st-key-front_chart path[aria-label*='role: front;']").evaluate_all(
        "found => found.map(e => e.ariaLabel)"
    )
    return [int(re.search(r"Trial: (\d+);", text)[1]) for text in told]


def test_launch_watch_choose_and_export(browser, address, tmp_path):
    with opened(browser, address) as page:
        launch(page, address, "watched", 4)
        points(page, 1)
        click_point(page, 0)
        is_picked(page, 0)
        points(page, 2)  # nothing was loaded anew: the chart grew where it stands
        is_picked(page, 0)
        expect(page.locator(".st-key-study_state")).to_contain_text("finished", timeout=PATIENCE)

        slide(page, "latency", "Home")
        nothing = page.get_by_text("Nothing meets your limits").first
        expect(nothing).to_be_visible()
        slide(page, "latency", "End")
        expect(nothing).to_be_hidden()
        slide(page, "drop", "ArrowLeft", "ArrowLeft")
        page.wait_for_url(re.compile(r"drop=7(\+|%20)pt"))
        picked = front_trials(page)[-1]
        click_point(page, picked)
        is_picked(page, picked)
        deep = page.url
        exported(page, picked, tmp_path)

    with opened(browser, deep) as page:  # a fresh browser shows the same view
        is_picked(page, picked)
        expect(page.locator(".st-key-drop").get_by_role("slider")).to_have_attribute("aria-valuetext", "7 pt")
        points(page, 2)


def exported(page, trial, folder):
    """Export the picked point: its bundle answers, and its report holds its picture."""
    for key, path in (("to_trial", "trial"), ("to_export", "export")):
        page.locator(f".st-key-{key} button").click()
        page.wait_for_url(re.compile(rf"/{path}\?.*trial={trial}"))
    with page.expect_download(timeout=PATIENCE) as fetched:
        page.locator(".st-key-download_bundle a").click()
    fetched.value.save_as(folder / "bundle.zip")
    zipfile.ZipFile(folder / "bundle.zip").extractall(folder)
    program = next(folder.glob(f"watched-trial-{trial}/predict.py"))
    command = [sys.executable, str(program), "The striker scored twice as the champions won the cup final."]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    assert re.match(r"(sports|business)\s+[\d.]+", done.stdout), done.stdout
    with page.expect_download() as fetched:
        page.locator(".st-key-download_report button").click()
    report = Path(fetched.value.path()).read_text()
    assert "data:image/png;base64," in report and "watched" in report


def test_stop_in_mid_run(browser, address):
    with opened(browser, address) as page:
        launch(page, address, "halted", 8)
        points(page, 1)
        page.locator(".st-key-study_stop").get_by_role("button", name="Stop").click()
        expect(page.locator(".st-key-study_state")).to_contain_text("stopped", timeout=PATIENCE)
        expect(page.locator(".st-key-study_resume").get_by_role("button")).to_be_visible()


def test_every_page_is_dark_in_the_dark(browser, address):
    with opened(browser, address, scheme="dark") as page:
        for path, drawn in PAGES.items():
            page.goto(f"{address}/{path}")
            page.wait_for_selector(drawn)
            page.wait_for_selector(READY)
            ground = page.locator("[data-testid=stApp]").evaluate("e => getComputedStyle(e).backgroundColor")
            assert max(_rgb(ground)) < 60, (path, ground)
            inks = page.locator("svg.marks :is(.role-axis-label, .role-axis-title) text").evaluate_all(
                "found => found.map(e => getComputedStyle(e).fill)"
            )
            assert all(max(_rgb(ink)) > 110 for ink in inks), (path, inks)
            assert "log says" not in page.inner_text("body"), path


def _rgb(colour):
    return [int(part) for part in re.findall(r"\d+", colour)[:3]]
