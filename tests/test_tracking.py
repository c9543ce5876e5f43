"""The store in MLflow: what is written, that it is written once, and that it can be written again."""

import json
import shutil
import time
from pathlib import Path

import pytest

from worldgrid import report
from worldgrid.results import write_failures
from worldgrid.served import serve, tracking_uri
from worldgrid.spec import ConfigError
from worldgrid.store import Store
from worldgrid.tracking import Tracker, catch_up

from .synthetic import BATCH, EPISODES, EPOCHS, NAME, MadeUp, make
from .tracked import content, models_of, of_trial, registered, runs_of, steps


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with MLflow's schema, which takes seconds to make."""
    made = make(tmp_path_factory.mktemp("schema"))
    Tracker(made.store, NAME)
    return made.store.root / "mlflow" / "mlflow.db"


@pytest.fixture
def made(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> MadeUp:
    """A store whose grid has been asked for, with its own MLflow database."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    made = make(tmp_path / "store")
    made.ask()
    (made.store.root / "mlflow").mkdir()
    shutil.copy(empty_database, made.store.root / "mlflow" / "mlflow.db")
    return made


@pytest.fixture
def second_server(tmp_path: Path, empty_database: Path) -> str:
    """The address of another, empty server."""
    shutil.copy(empty_database, tmp_path / "second.db")
    return f"sqlite:///{tmp_path / 'second.db'}"


def test_a_grid_is_one_parent_with_a_child_per_trial(made: MadeUp) -> None:
    Tracker(made.store, NAME).sync()
    runs = [run for _, run in runs_of(tracking_uri(made.store))]
    (parent,) = [run for run in runs if "worldgrid.trial" not in run.data.tags]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert {run.info.run_name for run in children} == {", ".join(trial["labels"].values()) for trial in made.trials}
    assert len(children) == len(made.trials) == len(runs) - 1
    assert {run.info.status for run in runs} == {"RUNNING"}


def test_params_are_the_axes_by_name_and_all_settings_by_path(made: MadeUp) -> None:
    Tracker(made.store, NAME).sync()
    _, run = of_trial(tracking_uri(made.store), made.trials[1])
    assert run.data.params["planner"] == "cem"
    assert run.data.params["train.seed"] == "1"
    assert run.data.params["train.lr"] == "0.0005"
    assert run.data.params["train.proprio"] == "false"
    assert run.data.params["env.kind"] == "point"


def test_tags_lead_to_the_folders_of_the_store(made: MadeUp) -> None:
    Tracker(made.store, NAME).sync()
    trial = made.trials[0]
    _, run = of_trial(tracking_uri(made.store), trial)
    assert run.data.tags["worldgrid.step.train"] == trial["steps"]["train"]
    assert run.data.tags["worldgrid.step.evaluate.epoch-0002"] == trial["evaluations"][0]["key"]


def test_curves_grow_line_by_line_while_training_goes_on(made: MadeUp) -> None:
    tracker, trial, uri = Tracker(made.store, NAME), made.trials[0], tracking_uri(made.store)
    seen = []
    for first, last in ((0, 3), (3, 3), (3, 8)):
        made.learn(trial["steps"]["train"], first, last)
        tracker.sync()
        seen.append(steps(uri, trial, "loss"))
    assert seen == [[0, 10, 20], [0, 10, 20], [0, 10, 20, 30, 40, 50, 60, 70]]


def test_a_writer_that_starts_over_writes_nothing_twice(made: MadeUp) -> None:
    trial, uri = made.trials[0], tracking_uri(made.store)
    made.learn(trial["steps"]["train"], 0, 3)
    Tracker(made.store, NAME).sync()
    made.learn(trial["steps"]["train"], 3, 5)
    Tracker(made.store, NAME).sync()
    assert steps(uri, trial, "loss") == [0, 10, 20, 30, 40]


def test_trials_that_share_a_training_share_its_curve(made: MadeUp) -> None:
    made.learn(made.trials[0]["steps"]["train"], 0, 3)
    Tracker(made.store, NAME).sync()
    cem, gd = made.trials[0], made.trials[2]
    assert cem["steps"]["train"] == gd["steps"]["train"]
    assert steps(tracking_uri(made.store), gd, "loss") == steps(tracking_uri(made.store), cem, "loss")


def test_the_success_rate_runs_along_while_chunks_land_in_any_order(made: MadeUp) -> None:
    tracker, trial, uri = Tracker(made.store, NAME), made.trials[0], tracking_uri(made.store)
    seen = []
    for first in (BATCH, 0):
        made.play(trial, first, first + BATCH)
        tracker.sync()
        seen.append(steps(uri, trial, "running_success_rate"))
    made.finish(trial)
    tracker.sync()
    assert seen == [[], [BATCH, 2 * BATCH]]
    assert steps(uri, trial, "running_success_rate") == [BATCH, 2 * BATCH, EPISODES]


def test_a_finished_trial_has_its_rate_with_interval_and_its_episodes(made: MadeUp) -> None:
    trial, uri = made.trials[0], tracking_uri(made.store)
    made.finish(trial)
    Tracker(made.store, NAME).sync()
    client, run = of_trial(uri, trial)
    metrics = run.data.metrics
    assert run.info.status == "FINISHED"
    assert metrics["success_rate_low"] < metrics["success_rate"] < metrics["success_rate_high"]
    assert steps(uri, trial, "success_rate") == [EPOCHS]
    text = Path(client.download_artifacts(run.info.run_id, "episodes/epoch-0002.json")).read_text()
    table = json.loads(text)
    assert len(table["data"]) == EPISODES
    assert sum(row[table["columns"].index("success")] for row in table["data"]) == metrics["successes"]


def test_a_checkpoint_is_a_model_with_the_metrics_of_every_trial_that_planned_with_it(made: MadeUp) -> None:
    made.finish_all()
    Tracker(made.store, NAME).sync()
    found = models_of(tracking_uri(made.store))
    assert len(found) == 4
    train = made.trials[0]["steps"]["train"]
    status, _, tags, metrics = found[f"{train}-epoch-{EPOCHS:04d}"]
    assert (status, tags["worldgrid.epoch"]) == ("READY", str(EPOCHS))
    assert sum(name == "success_rate" for name, _, _ in metrics) == 2


def test_the_models_of_the_baseline_and_of_the_best_choice_say_so(made: MadeUp) -> None:
    made.finish_all()
    Tracker(made.store, NAME).sync()
    found = models_of(tracking_uri(made.store))
    roles = {name: tags.get("worldgrid.role", "") for name, (_, _, tags, _) in found.items()}
    baselines = {f"{made.trials[place]['steps']['train']}-epoch-{EPOCHS:04d}" for place in (0, 1)}
    assert {name for name, role in roles.items() if "baseline" in role} == baselines
    assert sum("best" in role for role in roles.values()) == 2


def test_the_first_of_the_baseline_and_of_the_best_are_registered_by_alias(made: MadeUp) -> None:
    made.finish(made.trials[0])
    tracker, uri = Tracker(made.store, NAME), tracking_uri(made.store)
    tracker.sync()
    assert registered(uri) == {}  # half a grid has no best
    made.finish_all()
    tracker.sync()
    held = {name: tags.get("worldgrid.role", "") for name, (_, _, tags, _) in models_of(uri).items()}
    baseline = f"{made.trials[0]['steps']['train']}-epoch-{EPOCHS:04d}"
    found = registered(uri)
    assert found["baseline"] == baseline
    assert "best" in held[found["best"]]


def test_what_is_registered_is_registered_once(made: MadeUp) -> None:
    made.finish_all()
    for _ in range(2):
        Tracker(made.store, NAME).sync()
    made.ask(question="Another wording?")
    Tracker(made.store, NAME).sync()
    client, _ = next(runs_of(tracking_uri(made.store)))
    assert len(client.search_model_versions(f"name = '{NAME}'")) == len(set(registered(client.tracking_uri).values()))


def test_a_finished_trial_says_what_it_took(made: MadeUp) -> None:
    made.finish_all()
    Tracker(made.store, NAME).sync()
    _, run = of_trial(tracking_uri(made.store), made.trials[0])
    assert run.data.metrics["worker_hours"] == pytest.approx(2 * 90 / 3600)
    assert run.data.metrics["gpu_hours"] == 0


def test_data_sets_are_inputs_of_the_runs_that_used_them(made: MadeUp) -> None:
    made.finish_all()
    Tracker(made.store, NAME).sync()
    _, run = of_trial(tracking_uri(made.store), made.trials[0])
    data = {one.dataset.name: (one.dataset.digest, one.tags[0].value) for one in run.inputs.dataset_inputs}
    assert data == {"point collect": ("000000000000", "training"), "point tasks": ("222222222222", "evaluation")}


def test_a_run_says_how_it_came_about(made: MadeUp) -> None:
    made.finish_all()
    Tracker(made.store, NAME).sync()
    _, run = of_trial(tracking_uri(made.store), made.trials[0])
    assert run.data.tags["worldgrid.command"].startswith(f"worldgrid run {NAME}.yaml train.lr=5e-4 'planner=")
    assert run.data.tags["mlflow.source.git.commit"] == "abc"
    assert run.data.tags["worldgrid.packages"] == "torch 2.15.0"


def test_the_load_of_the_machine_is_under_mlflows_own_names(made: MadeUp) -> None:
    train, uri = made.trials[0]["steps"]["train"], tracking_uri(made.store)
    (made.store.workspace(train) / "system.jsonl").write_text(
        '{"step": 7, "time": 1.0, "system/cpu_utilization_percentage": 55.0}\n'
    )
    Tracker(made.store, NAME).sync()
    assert steps(uri, made.trials[0], "system/cpu_utilization_percentage") == [7]


def test_a_server_that_does_not_answer_loses_nothing_and_is_one_line(
    made: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    said = catch_up(made.store, NAME, "http://127.0.0.1:9")
    assert "\n" not in said
    assert said.endswith(f"nothing is lost: `worldgrid track {NAME}` writes the rest")


def test_a_failed_trial_says_why_and_goes_on_when_it_is_run_again(made: MadeUp) -> None:
    trial, uri = made.trials[0], tracking_uri(made.store)
    write_failures(made.store, NAME, {trial["key"]: "out of memory"})
    Tracker(made.store, NAME).sync()
    _, before = of_trial(uri, trial)
    write_failures(made.store, NAME, {})
    made.finish(trial)
    Tracker(made.store, NAME).sync()
    _, after = of_trial(uri, trial)
    assert (before.info.status, before.data.tags["worldgrid.error"]) == ("FAILED", "out of memory")
    assert (after.info.status, after.info.run_id) == ("FINISHED", before.info.run_id)
    assert "worldgrid.error" not in after.data.tags


def test_a_stopped_grid_goes_on_in_the_same_runs(made: MadeUp) -> None:
    uri = tracking_uri(made.store)
    Tracker(made.store, NAME).close()
    stopped = {run.info.run_id: run.info.status for _, run in runs_of(uri)}
    Tracker(made.store, NAME).sync()
    again = {run.info.run_id: run.info.status for _, run in runs_of(uri)}
    assert stopped.keys() == again.keys()
    assert (set(stopped.values()), set(again.values())) == ({"KILLED"}, {"RUNNING"})


def test_the_parent_carries_the_table_the_report_and_the_answer(made: MadeUp) -> None:
    made.finish_all()
    report.write(made.store, NAME)
    Tracker(made.store, NAME).sync()
    status, _, _, _, tags, _, _, _, files = content(tracking_uri(made.store))["parent"]
    assert status == "FINISHED"
    assert files.keys() == {"grid.yaml", "trials.csv", "trials.md", "choices.csv", "reproduce.json", "report.html"}
    assert files["report.html"] == (made.store.root / "reports" / NAME / "report.html").read_bytes()
    assert "planner: cem beats gd" in tags["mlflow.note.content"]


def test_the_baseline_carries_its_two_videos(made: MadeUp) -> None:
    made.finish_all()
    Tracker(made.store, NAME).sync()
    report.write(made.store, NAME)
    Tracker(made.store, NAME).sync()
    said = content(tracking_uri(made.store))
    videos = {key: sum(name.startswith("videos/") for name in said[key][-1]) for key in said if key != "models"}
    assert [key for key, count in videos.items() if count] == [made.trials[0]["key"]]
    assert videos[made.trials[0]["key"]] == 2


def test_a_replay_into_an_empty_server_equals_what_was_written_live(made: MadeUp, second_server: str) -> None:
    tracker = Tracker(made.store, NAME)
    tracker.sync()
    for place, trial in enumerate(made.trials):
        made.learn(trial["steps"]["train"], 0, 0)
        made.play(trial, 0, BATCH)
        if place % 3 == 0:
            tracker.sync()
        made.finish(trial)
    tracker.sync()
    report.write(made.store, NAME)
    tracker.sync()
    Tracker(made.store, NAME, second_server).sync()
    live, replayed = content(tracking_uri(made.store)), content(second_server)
    assert live.keys() == replayed.keys() == {"parent", "models", *(trial["key"] for trial in made.trials)}
    for key in live:
        assert live[key] == replayed[key], key


def test_a_second_writing_of_a_finished_grid_changes_nothing_and_is_quick(made: MadeUp) -> None:
    made.finish_all()
    uri = tracking_uri(made.store)
    Tracker(made.store, NAME).sync()
    before, ids = content(uri), {run.info.run_id for _, run in runs_of(uri)}
    again = Tracker(made.store, NAME)
    begun = time.process_time()
    again.sync()
    assert time.process_time() - begun < 0.5
    assert content(uri) == before
    assert {run.info.run_id for _, run in runs_of(uri)} == ids


def test_a_changed_grid_is_a_new_submission_with_all_its_trials(made: MadeUp) -> None:
    uri = tracking_uri(made.store)
    Tracker(made.store, NAME).sync()
    made.ask(trials=made.trials[:3])
    Tracker(made.store, NAME).sync()
    assert sum(1 for _ in runs_of(uri)) == (8 + 1) + (3 + 1)


def test_a_deleted_experiment_comes_back(made: MadeUp) -> None:
    uri = tracking_uri(made.store)
    Tracker(made.store, NAME).sync()
    client, run = next(runs_of(uri))
    client.delete_experiment(run.info.experiment_id)
    Tracker(made.store, NAME).sync()
    assert sum(1 for _ in runs_of(uri)) == 8 + 1


def test_a_server_that_runs_elsewhere_is_not_served_again(made: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://tracking.example")
    with pytest.raises(ConfigError, match=r"open https://tracking\.example"):
        serve(made.store, 5000)


def test_the_environment_names_the_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://tracking.example")
    assert tracking_uri(Store(tmp_path)) == "https://tracking.example"
