"""The report: one page that needs nothing but itself."""

import base64
import csv
import io
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import av
import pytest

from worldgrid.report import write
from worldgrid.results import write_failures

from .large import NAME as LARGE
from .large import make_large
from .synthetic import BATCH, EPISODES, NAME, STEPS, MadeUp, make

VOID = {"meta", "link", "br", "img", "input", "hr", "use", "path"}


class Page(HTMLParser):
    """Checks that tags close in order, and keeps what refers to something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.videos: list[bytes] = []
        self.ids: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.refer(tag, dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.refer(tag, dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def refer(self, tag: str, attributes: dict[str, str | None]) -> None:
        self.references += [
            attributes[name] or "" for name in ("src", "href", "xlink:href", "data", "poster") if name in attributes
        ]
        self.ids += [attributes["id"] or ""] if "id" in attributes else []
        if tag == "video":
            self.videos.append(base64.b64decode((attributes["src"] or "").partition("base64,")[2]))


@pytest.fixture(scope="module")
def page(made: MadeUp) -> str:
    return write(made.store, NAME).read_text(encoding="utf-8")


def test_the_page_is_whole_and_refers_to_nothing_outside(page: str) -> None:
    parsed = Page(page)
    assert parsed.open == []
    assert all(reference.startswith(("#", "data:")) for reference in parsed.references)
    assert not re.search(r"https?://|url\((?!#)|@import", page)


def test_names_in_the_page_stand_once_and_what_is_referred_to_is_there(page: str) -> None:
    parsed = Page(page)
    assert len(parsed.ids) == len(set(parsed.ids))
    inside = {reference[1:] for reference in parsed.references if reference.startswith("#")}
    assert inside | set(re.findall(r"url\(#([^)]*)\)", page)) <= set(parsed.ids)


def test_every_trial_and_every_step_stands_in_the_page(page: str, made: MadeUp) -> None:
    for trial in made.trials:
        for name in (trial["key"], trial["steps"]["train"], trial["evaluations"][0]["key"]):
            assert name in page


def test_the_page_says_the_question_and_the_answer(page: str) -> None:
    assert "Which planner reaches more goals?" in page
    assert "planner: cem beats gd by" in page
    assert "<strong>cem is better than gd" in page
    assert "adaln and feature: no difference at this n" in page


def test_what_a_user_wrote_is_shown_as_text(page: str) -> None:
    assert "&lt;b&gt;not bold&lt;/b&gt;" in page
    assert "<b>not bold</b>" not in page


def test_videos_play_every_state_of_a_success_a_failure_and_four_disagreements(page: str) -> None:
    films = Page(page).videos
    assert len(films) == 2 + 2 * 4
    for film in films:
        with av.open(io.BytesIO(film)) as container:
            assert sum(1 for _ in container.decode(video=0)) == STEPS + 1


def test_the_page_tells_how_to_run_it_again_and_where_it_ran(page: str) -> None:
    assert f"worldgrid run {NAME}.yaml train.lr=5e-4" in page
    assert "packages.torch" in page


def test_the_same_store_gives_the_same_page(page: str, made: MadeUp) -> None:
    assert write(made.store, NAME).read_text(encoding="utf-8") == page


def test_the_csv_has_every_trial_with_its_interval(page: str, made: MadeUp) -> None:
    path = made.store.root / "reports" / NAME / "trials.csv"
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    assert [row["trial"] for row in rows] == [trial["key"] for trial in made.trials]
    for row in rows:
        assert float(row["success_rate_low"]) < float(row["success_rate"]) < float(row["success_rate_high"])
        assert row["verdict"] == ("worse" if row["planner"] == "gd" else row["verdict"])
        assert (float(row["planning_worker_seconds"]), row["gpu_hours"]) == (90.0, "0.0")
        assert float(row["worker_hours"]) == pytest.approx(2 * 90 / 3600)  # trained and planned


def test_a_half_finished_grid_is_reported_as_far_as_it_is(tmp_path: Path) -> None:
    made = make(tmp_path)
    made.ask()
    done, playing, failed, *_ = made.trials
    made.finish(done)
    made.learn(playing["steps"]["train"], 0, 5)
    made.play(playing, 0, BATCH)
    write_failures(made.store, NAME, {failed["key"]: "the <disk> is full"})
    page = write(made.store, NAME).read_text(encoding="utf-8")
    assert Page(page).open == []
    assert "1 of 8 trials finished" in page
    assert f"planning, {BATCH} of {EPISODES} episodes" in page
    assert "the &lt;disk&gt; is full" in page


def test_a_grid_that_has_not_begun_has_a_report_too(tmp_path: Path) -> None:
    made = make(tmp_path)
    made.ask(baseline={})
    page = write(made.store, NAME).read_text(encoding="utf-8")
    assert Page(page).open == []
    assert "No trial has finished yet." in page


def test_the_page_pools_seeds_into_choices(page: str) -> None:
    assert "<h2>Choices</h2>" in page
    assert page.index("<h2>Choices</h2>") < page.index("<h2>Axis by axis</h2>") < page.index("<h2>Trials</h2>")


def test_every_number_has_its_command(page: str, made: MadeUp) -> None:
    for trial in made.trials:
        seed = trial["labels"]["train.seed"]
        assert f"worldgrid run {NAME}.yaml train.lr=5e-4" in page
        assert f"train.seed={seed}</code>" in page


def test_the_page_says_what_a_trial_changes_in_the_baseline(page: str) -> None:
    assert "<code>planner.kind: cem → gd</code>" in page


def test_the_random_floor_stands_beside_each_number(page: str) -> None:
    assert page.count(">10.0 %</td>") == 8
    assert "10.0 % by random actions" in page


def test_a_predictor_that_ignores_its_actions_is_called_out(tmp_path: Path) -> None:
    made = make(tmp_path)
    made.finish_all()
    deaf, listening = (made.trials[place]["steps"]["train"] for place in (0, 1))
    made.done(deaf, 100, {"validation/action_sensitivity": 1.02})
    made.done(listening, 100, {"validation/action_sensitivity": 3.0})
    page = write(made.store, NAME).read_text(encoding="utf-8")
    assert f"The predictor of {deaf} ignores its actions: its error is 1.02 times" in page
    assert f"The predictor of {listening}" not in page


def test_another_grid_stands_beside_this_one(made: MadeUp) -> None:
    page = write(made.store, NAME, against=NAME).read_text(encoding="utf-8")
    assert f"<h2>Against {NAME}</h2>" in page
    assert Page(page).open == []
    write(made.store, NAME)


@pytest.mark.slow
def test_a_thousand_trials_are_a_page_that_opens(tmp_path: Path) -> None:
    store = make_large(tmp_path, seeds=1)
    begun = time.process_time()
    page = write(store, LARGE)
    assert time.process_time() - begun < 30
    assert page.stat().st_size < 15e6
    assert Page(page.read_text(encoding="utf-8")).open == []
