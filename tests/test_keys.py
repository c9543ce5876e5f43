"""Keys that are pinned: a change here says that a stage computes something else, and old folders no longer count."""

from pathlib import Path

from worldgrid.grid import read_grid

EXPERIMENTS = Path(__file__).parents[1] / "experiments"


def test_the_steps_of_the_quickstarts_first_trial_are_pinned() -> None:
    trial = read_grid(EXPERIMENTS / "quickstart.yaml").trials[0]
    assert [step.key for step in trial.evaluations[-1].step.walk()] == [
        "collect-ee0f27472083",
        "pretrain-30634a9f58f4",
        "encode-4fa259563b61",
        "train-b37d0fb391c7",
        "evaluate-0f5af51a5dc0",
    ]
