"""Every grid file of the checkout expands, and the study's arithmetic holds."""

from collections import Counter
from pathlib import Path

import pytest

from worldgrid.findings import FINDINGS
from worldgrid.grid import read_grid
from worldgrid.series import Series, read_series

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
FILES = sorted(EXPERIMENTS.rglob("*.yaml"))
ONCE = "evaluate.epochs=1"
"""One checkpoint instead of the last ten: ten times less to count."""
SMALL = [path for path in FILES if "small" in path.parts or path.parent == EXPERIMENTS]


def stages(series: Series) -> Counter[str]:
    """Distinct steps by stage."""
    return Counter(step.stage for step in series.whole.steps())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(EXPERIMENTS)))
def test_a_grid_file_expands_and_asks_a_question(path: Path) -> None:
    grid = read_grid(path, [ONCE], without_weights=True)
    assert grid.question
    assert grid.trials


@pytest.mark.parametrize("path", SMALL, ids=lambda path: str(path.relative_to(EXPERIMENTS)))
def test_what_runs_here_needs_no_weights_from_outside(path: Path) -> None:
    assert read_grid(path).trials


def test_every_checkpoint_that_the_study_pools_is_published() -> None:
    grid = read_grid(EXPERIMENTS / "paper" / "base.yaml", without_weights=True)
    assert {trial.labels["data"]: len(trial.evaluations) for trial in grid.trials} == {
        **dict.fromkeys(("wall", "maze", "pusht"), 10),
        "metaworld": 30,
        "droid": 17,
    }


@pytest.mark.parametrize("variant", ["as_published", "controlled"])
def test_the_grids_of_the_study_are_its_121_trainings(variant: str) -> None:
    assert (
        stages(read_series(EXPERIMENTS / "paper", [ONCE, f"variant={variant}"], without_weights=True))["train"] == 121
    )


def test_one_place_of_the_study_is_24_trainings() -> None:
    assert stages(read_series(EXPERIMENTS / "paper", [ONCE, "data=wall"], without_weights=True))["train"] == 24


def test_the_small_study_shares_its_frames_its_encoder_and_its_base() -> None:
    found = stages(read_series(EXPERIMENTS / "paper" / "small"))
    assert found == {"collect": 2, "pretrain": 5, "encode": 6, "train": 50, "tasks": 2, "evaluate": 78}


def test_the_small_study_stands_on_the_quickstarts_data_and_encoder() -> None:
    small, first = (
        {step.key for step in read_grid(path).trials[0].training.walk() if step.stage != "train"}
        for path in (EXPERIMENTS / "paper" / "small" / "base.yaml", EXPERIMENTS / "quickstart.yaml")
    )
    assert small == first


def test_confounds_are_in_the_published_variant_alone() -> None:
    published, controlled = (
        {
            trial.labels["size"]: trial.experiment.encoder
            for trial in read_grid(
                EXPERIMENTS / "paper" / "size.yaml", ["data=wall", f"variant={name}"], without_weights=True
            ).trials
        }
        for name in ("as_published", "controlled")
    )
    assert {label: one.image_norm for label, one in published.items()} == {
        "S": "half",
        "B": "imagenet",
        "L": "imagenet",
    }
    assert {one.image_norm for one in controlled.values()} == {"imagenet"}


def test_every_claim_of_a_finding_names_labels_that_a_grid_has() -> None:
    series = [
        read_series(EXPERIMENTS / "paper", [ONCE], without_weights=True),
        read_series(EXPERIMENTS / "paper" / "small"),
    ]
    axes: dict[str, list[set[str]]] = {}
    for grid in (grid for one in series for grid in one.grids):
        for axis, points in grid.axes.items():
            axes.setdefault(axis, []).append({point.label for point in points})
    claims = [claim for finding in FINDINGS for claim in finding.claims]
    unknown = [one for one in claims if not any({one.first, one.second} <= labels for labels in axes.get(one.axis, []))]
    assert unknown == []
