"""The MLflow UI and the report as a person meets them: in a real browser."""

import json
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from worldgrid import report
from worldgrid.tracking import Tracker

from .servers import free_port, serving
from .synthetic import NAME, MadeUp, make
from .tracked import runs_of

pytestmark = pytest.mark.slow
PATIENCE = 120_000
"""Milliseconds that a page may take on a busy machine."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Playwright's own Chromium, else the machine's."""
    from playwright.sync_api import Error, sync_playwright

    installed = [found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))]
    with sync_playwright() as playwright:
        for path in (None, *installed):
            try:
                opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            except Error:
                continue
            yield opened
            opened.close()
            return
    pytest.skip("no browser for playwright")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    made = make(tmp_path_factory.mktemp("browser") / "store")
    made.finish_all()
    report.write(made.store, NAME)
    return made


@pytest.fixture(scope="module")
def ui(made: MadeUp) -> Iterator[str]:
    """The address of `worldgrid ui`."""
    Tracker(made.store, NAME, uri_of(made)).sync()
    port = free_port()
    command = [sys.executable, "-m", "worldgrid.cli", "ui", "--store", str(made.store.root), "--port", str(port)]
    with serving(command, f"http://127.0.0.1:{port}/health") as address:
        yield address


def uri_of(made: MadeUp) -> str:
    return f"sqlite:///{made.store.root}/mlflow/mlflow.db"


def runs(made: MadeUp) -> tuple[Any, list[Any]]:
    """The parent's run and those of the trials, in the grid's order."""
    found = {run.data.tags.get("worldgrid.trial", "parent"): run for _, run in runs_of(uri_of(made))}
    return found["parent"], [found[trial["key"]] for trial in made.trials]


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 1500, "height": 1000})
    opened.set_default_timeout(PATIENCE)
    yield opened
    opened.close()


def test_the_runs_are_one_parent_that_opens_to_its_trials(made: MadeUp, ui: str, page: Any) -> None:
    parent, trials = runs(made)
    page.goto(f"{ui}/#/experiments/{parent.info.experiment_id}/runs")
    page.locator(".ag-root button[data-component-id*=runnamecellrenderer]").click()  # the plus before its name
    page.get_by_text(trials[0].info.run_name[:40]).first.wait_for()


def test_four_trials_compare_by_the_axes_and_the_success_rate(made: MadeUp, ui: str, page: Any) -> None:
    parent, trials = runs(made)
    chosen = json.dumps([run.info.run_id for run in trials[:4]])
    page.goto(f"{ui}/#/compare-runs?runs={chosen}&experiments={json.dumps([parent.info.experiment_id])}")
    page.get_by_text("Comparing 4 Runs").wait_for()
    for name in ("conditioning", "planner", "train.seed", "success_rate"):
        page.get_by_text(name, exact=True).first.wait_for()


def test_a_trial_shows_its_episodes_as_a_table_and_its_videos(made: MadeUp, ui: str, page: Any) -> None:
    _, trials = runs(made)
    run = trials[0].info
    page.goto(f"{ui}/#/experiments/{run.experiment_id}/runs/{run.run_id}/artifacts")
    page.get_by_text("episodes", exact=True).click()
    page.get_by_text("epoch-0002.json", exact=True).click()
    page.get_by_text("start_distance").first.wait_for()
    page.get_by_text("videos", exact=True).click()
    page.get_by_text("success-0000", exact=False).first.click()
    page.locator("video").wait_for()


def test_the_report_renders_without_an_error_and_asks_nobody(made: MadeUp, page: Any) -> None:
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    path = made.store.root / "reports" / NAME / "report.html"
    page.goto(path.as_uri())
    page.locator("h2", has_text="Trials").wait_for()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]


def test_the_table_of_trials_sorts_by_the_column_one_clicks(made: MadeUp, page: Any) -> None:
    page.goto((made.store.root / "reports" / NAME / "report.html").as_uri())
    table = page.locator("table.sortable").last
    for order in ("ascending", "descending"):
        table.locator("thead button", has_text="success").click()
        assert table.locator("th[aria-sort]").get_attribute("aria-sort") == order
        shown = table.locator("tbody tr td:nth-child(4)").evaluate_all(
            "all => all.map((one) => Number(one.dataset.value))"
        )
        assert shown == sorted(shown, reverse=order == "descending")


def test_on_paper_videos_are_their_last_pictures_and_the_grid_file_is_open(made: MadeUp, page: Any) -> None:
    page.goto((made.store.root / "reports" / NAME / "report.html").as_uri())
    page.emulate_media(media="print")
    assert page.locator(".duel .still").first.is_visible()
    assert not page.locator("video").first.is_visible()
    assert page.get_by_text("Which planner reaches more goals?").last.is_visible()


@pytest.mark.parametrize("width", [280, 400, 1500])
def test_the_report_fits_a_narrow_window(made: MadeUp, page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto((made.store.root / "reports" / NAME / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_videos_of_a_disagreement_play(made: MadeUp, page: Any) -> None:
    page.goto((made.store.root / "reports" / NAME / "report.html").as_uri())
    film = page.locator(".duel video").first
    begun = "one => new Promise((done) => { one.ontimeupdate = () => one.currentTime > 0 && done(true); one.play(); })"
    assert film.evaluate(begun)
