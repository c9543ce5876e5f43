"""Every diagnosis on the exact predictor of `point`, which needs no mending, and on worlds that learned nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.inspected import ready
from tests.worlds import EXACT, exact_evaluation, play_alone
from worldgrid.diagnoses import DIAGNOSES, Finding, Strip, diagnosis
from worldgrid.diagnoses.contacts import THINGS
from worldgrid.diagnoses.subject import Subject, open_subject
from worldgrid.experiment import Experiment
from worldgrid.results import Episodes, Evaluation, Trial, read_evaluation, read_plan_costs
from worldgrid.spec import ConfigError
from worldgrid.store import Store
from worldgrid.versus import find_trial


def exact_trial(store: Store, **changes: Any) -> Trial:
    """A trial of the exact predictor, as a grid's reader gives it."""
    step = exact_evaluation(store, **changes)
    epoch = step.config["epoch"]
    return Trial(
        key="trial-000000000000",
        name="exact",
        labels={},
        settings=Experiment.parse(EXACT | changes).settings(),
        steps={},
        trained=None,
        evaluations=(read_evaluation(store, step.key, epoch, 24),),
        started=True,
        tasks=None,
        error=None,
    )


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """A world that is understood: latent = position, the predictor adds the actions up."""
    store = Store(tmp_path_factory.mktemp("exact"))
    changes = {"mpc": EXACT["mpc"] | {"horizon": 2}, "planner": {"kind": "cem", "samples": 64, "iterations": 12}}
    return open_subject(store, exact_trial(store, **changes), episodes=4)


def finding(subject: Subject, name: str) -> Finding:
    return diagnosis(name)(subject)


def test_an_exact_model_keeps_what_its_plans_promise(exact: Subject) -> None:
    found = finding(exact, "promise")
    assert found.numbers["share_kept"] == pytest.approx(1.0, abs=0.01)
    lines = {label: line for picture in found.pictures for label, line in picture.lines.items()}  # type: ignore[union-attr]
    np.testing.assert_allclose(lines["imagined"][1], lines["executed"][1], atol=1e-4)


def test_where_latents_are_positions_their_distance_is_the_true_one(exact: Subject) -> None:
    found = finding(exact, "distance")
    assert found.numbers["spearman, distance"] > 0.99
    assert found.verdict == "sound"


def test_the_landscape_of_an_exact_model_is_the_true_one_with_one_valley_in_which_the_plan_lies(exact: Subject) -> None:
    found = finding(exact, "landscape")
    assert found.numbers["spearman"] > 0.7, "the true one is flat where walls stop the robot"
    assert found.numbers["valleys"] == found.numbers["true_valleys"] == 1
    assert found.numbers["cheaper_neighbours"] == 0


def test_a_search_with_time_enough_is_sound(exact: Subject) -> None:
    found = finding(exact, "planner")
    assert found.verdict == "sound"
    assert found.numbers["cost_left"] < 0.2
    assert found.numbers["spread_left"] < 0.5


def test_gradients_of_a_bowl_lead_straight_down(exact: Subject) -> None:
    numbers = finding(exact, "gradients").numbers
    assert numbers["detour"] < 1.5
    assert numbers["gradient_cosine"] > 0


def test_a_rate_that_is_far_too_small_is_called_flat(tmp_path: Path) -> None:
    store = Store(tmp_path)
    trial = exact_trial(store, planner={"kind": "gd", "iterations": 10, "lr": 1e-6, "noise": 0.0})
    found = finding(open_subject(store, trial, episodes=2), "gradients")
    assert found.verdict == "ill"
    assert found.sentence.startswith("Flat")
    assert "planner.lr" in found.mend


def test_a_rate_that_is_far_too_large_is_called_overshooting(tmp_path: Path) -> None:
    store = Store(tmp_path)
    trial = exact_trial(store, planner={"kind": "gd", "iterations": 10, "lr": 1e3, "noise": 0.0})
    found = finding(open_subject(store, trial, episodes=2), "gradients")
    assert found.sentence.startswith("Overshooting")


def test_what_cannot_be_measured_says_why(exact: Subject) -> None:
    assert finding(exact, "contacts").verdict == "unknown"
    with pytest.raises(ConfigError, match=r"the encoded data of train-\w+ are not in this store"):
        finding(exact, "rollout")


def test_the_plans_are_those_that_were_played(tmp_path: Path) -> None:
    """The recorded costs of the first iterations are those of the plans made again, the first one and later ones."""
    store = Store(tmp_path)
    trial = exact_trial(store)
    step = Experiment.parse(EXACT).evaluations()[-1].step
    play_alone(store, step)
    recorded = read_plan_costs(store, step.key)
    assert recorded
    for number in range(2):
        plan, watched = open_subject(store, trial, episodes=3, plan=number).search
        torch.testing.assert_close(plan.costs[:, 0], torch.from_numpy(recorded[0][:3, number]).float())
        assert watched.elites.shape == watched.spreads.shape == (3, 4)
    with pytest.raises(ConfigError, match=r"plan 2: the episodes of trial .* have 2, 0 to 1"):
        open_subject(store, trial, episodes=3, plan=2)


def test_replanning_with_an_exact_model_does_no_harm(tmp_path: Path) -> None:
    store = Store(tmp_path)
    subject = open_subject(store, exact_trial(store), episodes=3)
    with pytest.raises(ConfigError, match="episodes 0 to 2 were not played yet"):
        finding(subject, "replanning")
    play_alone(store, subject.evaluation)
    found = finding(subject, "replanning")
    assert found.verdict != "ill"
    assert found.numbers["distance_played"] < subject.future.distances[:, 0].mean()


WORLDS = {
    "wall, cem": {},
    "point, gd": {
        "env": {"kind": "point", "size": 32},
        "collect": {"episodes": 30, "steps": 30, "keep": 5},
        "planner": {"kind": "gd", "iterations": 4},
    },
    "pusht, mppi, proprio": {
        "env": {"kind": "pusht", "size": 32},
        "collect": {"episodes": 30, "steps": 30, "keep": 5},
        "predictor": {"kind": "transformer", "width": 32, "depth": 1, "heads": 4, "context": 2, "proprio": "feature"},
        "planner": {"kind": "mppi", "samples": 16, "iterations": 2, "elites": 4},
    },
}


@pytest.fixture(scope="module", params=WORLDS)
def untrained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """Worlds whose predictors learned nothing, over envs and planners."""
    store, key = ready(tmp_path_factory.mktemp("grid"), **WORLDS[request.param])
    subject = open_subject(store, find_trial(store, key), episodes=2)
    play_alone(store, subject.evaluation)
    return subject


@pytest.mark.parametrize("name", DIAGNOSES)
def test_every_diagnosis_finds_something_to_say(untrained: Subject, name: str) -> None:
    found = finding(untrained, name)
    assert found.sentence.endswith((".", "found."))
    assert bool(found.mend) == (found.verdict in ("watch", "ill")) or found.verdict == "unknown"
    assert all(isinstance(value, float) for value in found.numbers.values())


def test_objects_are_followed_where_a_probe_sees_them(untrained: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = untrained.experiment.env.kind
    if kind not in THINGS:
        assert finding(untrained, "contacts").sentence == f"Nothing is touched in env '{kind}'."
        return
    monkeypatch.setitem(THINGS, kind, THINGS[kind]._replace(moved=1e4))
    found = finding(untrained, "contacts")
    assert found.verdict == "sound"
    assert found.numbers["probe_error"] < 1e4
    assert found.pictures


def test_a_predictor_that_learned_nothing_is_found_out(untrained: Subject) -> None:
    assert finding(untrained, "rollout").verdict == "ill"


def test_a_checkpoint_that_is_not_evaluated_is_refused(untrained: Subject) -> None:
    with pytest.raises(ConfigError, match=r"epoch 9: trial .* evaluates 1"):
        open_subject(untrained.store, untrained.trial, 1, epoch=9)


def test_a_trial_of_another_version_is_refused(untrained: Subject) -> None:
    none = np.empty(0)
    old = Evaluation(1, "evaluate-000000000000", 1, None, Episodes(*[none] * 9))
    trial = Trial(**{**vars(untrained.trial), "evaluations": (old,)})
    with pytest.raises(ConfigError, match="was run by another version of worldgrid"):
        open_subject(untrained.store, trial, 1)


def test_a_trial_without_its_training_is_refused(tmp_path: Path, untrained: Subject) -> None:
    with pytest.raises(ConfigError, match=r"its step train-.* is not finished"):
        open_subject(Store(tmp_path), untrained.trial, 1)


def test_without_a_decoder_there_are_no_strips(untrained: Subject) -> None:
    pictures = [*finding(untrained, "rollout").pictures, *finding(untrained, "promise").pictures]
    assert pictures
    assert not any(isinstance(picture, Strip) for picture in pictures)


def test_an_unknown_diagnosis_is_refused_with_what_is_close() -> None:
    with pytest.raises(ConfigError, match="unknown diagnosis 'landscap'; did you mean 'landscape'"):
        diagnosis("landscap")
