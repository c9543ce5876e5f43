"""Keys that are pinned: a change here says that a stage computes something else, and old folders no longer count."""

from pathlib import Path

from worldgrid.grid import read_grid

EXPERIMENTS = Path(__file__).parents[1] / "experiments"


def test_the_steps_of_the_quickstarts_first_trial_are_pinned() -> None:
    trial = read_grid(EXPERIMENTS / "quickstart.yaml").trials[0]
    assert [step.key for step in trial.evaluations[-1].step.walk()] == [
        "collect-ee0f27472083",
        "pretrain-253785ef4c6c",
        "encode-a489ec350cf0",
        "train-fde4297693d2",
        "tasks-1ac17da4085e",
        "evaluate-de2bd58fe1c9",
    ]
