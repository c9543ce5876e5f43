"""Findings on made-up results of which it is known what they say."""

from collections.abc import Mapping

import numpy as np
import pytest

from worldgrid.findings import FINDINGS, Claim
from worldgrid.results import Episodes, Evaluation, Grid, Trial
from worldgrid.store import Done
from worldgrid.verdicts import Judgement, judge, pairs_of

N = 96
SEEDS = ("0", "1")


def episodes(rate: float, name: str) -> Episodes:
    """N start/goal pairs, so many of them reached."""
    rng = np.random.default_rng([ord(letter) for letter in name])
    success = np.zeros(N, bool)
    success[rng.permutation(N)[: round(rate * N)]] = True
    whole, zero = np.arange(N, dtype=np.int64), np.zeros(N)
    return Episodes(whole, whole + 1000, success, success, zero > 0, zero, zero, whole, whole)


def trial(labels: Mapping[str, str], rate: float, error: float, env: Mapping[str, object]) -> Trial:
    name = ",".join(f"{axis}={label}" for axis, label in labels.items())
    key = f"{env['kind']},{name}"
    done = Done(key, {}, {"validation/rollout_error_6": error}, 1.0, 1.0, {})
    settings = {
        "env": dict(env),
        "encoder": {"kind": "contrastive"},
        "predictor": {"kind": "transformer", "conditioning": "adaln", "proprio": "none"},
        "objective": {"norm": labels.get("norm", "l2")},
        "planner": {"kind": labels.get("planner", "cem")},
        "mpc": {},
        "train": {"seed": int(labels["train.seed"]), "rollout": 1},
        "evaluate": {"goals": "random_state"},
    }
    played = (Evaluation(1, f"evaluate-{key}", N, done, episodes(rate, key)),)
    steps = {"train": f"train-{key}", "encode": "encode-0"}
    return Trial(f"trial-{key}", name, labels, settings, steps, done, played, True, None, None)


def grid(axis: str, rates: Mapping[str, float], env: str = "wall", errors: Mapping[str, float] | None = None) -> Grid:
    """A grid of one axis and two seeds; an error is the same for all labels unless given."""
    place = {"kind": env, "frameskip": 5}
    trials = tuple(
        trial({axis: label, "train.seed": seed}, rate, (errors or {}).get(label, 1.0), place)
        for label, rate in rates.items()
        for seed in SEEDS
    )
    return Grid(f"{axis}-{env}", "?", "", (), 0.0, {}, {axis: list(rates), "train.seed": list(SEEDS)}, trials)


def verdict(number: int, *grids: Grid) -> Judgement:
    return judge(grids)[number - 1]


def test_a_choice_that_should_be_better_and_is_reproduces() -> None:
    found = verdict(5, grid("proprio", {"on": 0.9, "off": 0.4}))
    assert (found.verdict, len(found.told)) == ("reproduced", 1)


def test_a_choice_that_should_be_better_and_is_worse_contradicts() -> None:
    assert verdict(5, grid("proprio", {"on": 0.4, "off": 0.9})).verdict == "contradicted"


def test_a_small_lead_is_undecided() -> None:
    assert verdict(5, grid("proprio", {"on": 0.62, "off": 0.58})).verdict == "undecided"


def test_nothing_measured_is_said_to_be_so() -> None:
    assert {one.verdict for one in judge([grid("proprio", {"off": 0.5})])} == {"not measured"}


def test_no_gain_is_reproduced_by_a_loss_and_contradicted_by_a_lead() -> None:
    assert verdict(9, grid("size", {"S": 0.9, "L": 0.6})).verdict == "reproduced"
    assert verdict(9, grid("size", {"S": 0.5, "L": 0.9})).verdict == "contradicted"


def test_no_gain_is_undecided_while_the_interval_holds_a_gain() -> None:
    assert verdict(9, grid("size", {"S": 0.5, "L": 0.5})).verdict == "undecided"


def test_one_contradicted_claim_contradicts_its_finding() -> None:
    walls = grid("proprio", {"on": 0.9, "off": 0.4})
    mazes = grid("proprio", {"on": 0.4, "off": 0.9}, env="pointmaze")
    found = verdict(5, walls, mazes)
    assert found.verdict == "contradicted"
    assert "1 reproduced, 1 contradicted" in found.sentence


def test_claims_stay_in_their_place() -> None:
    rates = {"cem": 0.4, "gd": 0.9}
    assert verdict(2, grid("planner", rates, env="metaworld")).verdict == "reproduced"
    assert verdict(2, grid("planner", rates, env="wall")).verdict == "contradicted"


def test_trials_of_another_frameskip_are_of_no_place() -> None:
    made = grid("proprio", {"on": 0.9, "off": 0.4}, env="metaworld")
    for one in made.trials:
        one.settings["env"]["frameskip"] = 1
    assert verdict(5, made).verdict == "not measured"


def test_two_grids_that_share_trials_count_them_once() -> None:
    made = grid("proprio", {"on": 0.9, "off": 0.4})
    assert len(pairs_of([made, made], Claim("proprio", "on", "better", "off", "wall"))) == len(SEEDS)


def test_a_lower_error_with_less_success_is_an_example_that_loss_is_not_success() -> None:
    rates = {"K=1": 0.9, "K=2": 0.4}
    against = verdict(11, grid("rollout", rates, errors={"K=1": 2.0, "K=2": 1.0}))
    assert (against.verdict, len(against.told)) == ("reproduced", 1)
    along = verdict(11, grid("rollout", rates, errors={"K=1": 1.0, "K=2": 2.0}))
    assert along.verdict == "undecided"
    assert "1 differ in success: 0 against the order of their errors, 1 with it" in along.sentence


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda one: str(one.number))
def test_a_finding_has_claims_or_says_why_not(finding) -> None:
    assert finding.claims or finding.open or finding.number == 11


def test_findings_are_numbered_as_in_the_study() -> None:
    assert [one.number for one in FINDINGS] == list(range(1, 13))
