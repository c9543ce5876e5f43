"""Which chunk comes next."""

from typing import Any

import pytest

from worldgrid.backlog import LEAD, Backlog, model_name, trial_name
from worldgrid.experiment import Experiment
from worldgrid.ledger import chunks
from worldgrid.step import Step

from .worlds import EXACT


def evaluation(*, samples: int = 32, epoch: int = 1, epochs: int = 1, seed: int = 3, weights: float = 0.05) -> Step:
    """Another number of samples makes another trial with the same model; another epoch another model of the trial."""
    sections = EXACT | {
        "planner": {"kind": "cem", "samples": samples},
        "predictor": EXACT["predictor"] | {"action_std": [weights, weights]},
        "train": {"epochs": epochs},
        "evaluate": {"episodes": 40, "batch": 2, "seed": seed, "epochs": epochs},
    }
    return Experiment.parse(sections).evaluations()[epoch - 1].step


def waiting(*steps: Step, priority: int = 0) -> Backlog:
    backlog = Backlog()
    for step in steps:
        backlog.add(step, chunks(step), priority)
    return backlog


def taken(backlog: Backlog, times: int, held: Any = ()) -> list[Step]:
    return [given[0] for _ in range(times) if (given := backlog.take(held))]


def test_chunks_of_one_evaluation_come_in_order_and_each_once() -> None:
    step = evaluation()
    backlog = waiting(step)
    played = [given[1] for _ in range(len(chunks(step)) + 1) if (given := backlog.take())]
    assert played == chunks(step)
    assert (len(backlog), backlog.episodes) == (0, 0)


def test_trials_take_turns() -> None:
    one, two, three = (evaluation(samples=samples) for samples in (10, 20, 30))
    assert taken(waiting(one, two, three), 6) == [one, two, three] * 2


def test_a_trial_with_many_checkpoints_gets_no_more_than_another() -> None:
    many = [evaluation(samples=10, epoch=epoch, epochs=5) for epoch in range(1, 6)]
    other = evaluation(samples=20)
    assert taken(waiting(*many, other), 20).count(other) == 10


def test_who_comes_later_is_not_owed_what_others_had() -> None:
    first, later = evaluation(samples=10), evaluation(samples=20)
    backlog = waiting(first)
    taken(backlog, 10)
    backlog.add(later, chunks(later))
    assert abs(taken(backlog, 8).count(later) - 4) <= 1


def test_a_worker_stays_with_the_model_it_holds_for_a_while_only() -> None:
    mine, other = evaluation(weights=0.05), evaluation(weights=0.06)
    given = taken(waiting(mine, other), 2 * LEAD, held=[model_name(mine)])
    assert given[:LEAD] == [mine] * LEAD
    assert other in given


def test_urgent_evaluations_come_first() -> None:
    usual, urgent = evaluation(samples=10), evaluation(samples=20)
    backlog = waiting(usual)
    backlog.add(urgent, chunks(urgent), priority=1)
    assert set(taken(backlog, len(chunks(urgent)))) == {urgent}


def test_a_chunk_that_is_given_back_is_next() -> None:
    step = evaluation()
    backlog = waiting(step)
    _, chunk = backlog.take() or pytest.fail("nothing waits")
    backlog.give_back(step, chunk)
    assert backlog.take() == (step, chunk)


def test_what_is_dropped_does_not_wait() -> None:
    one, two = evaluation(samples=10), evaluation(samples=20)
    backlog = waiting(one, two)
    backlog.drop(one)
    assert set(taken(backlog, 100)) == {two}


def test_tasks_and_planners_share_a_model_and_checkpoints_share_a_trial() -> None:
    first, last = (evaluation(epoch=epoch, epochs=2) for epoch in (1, 2))
    assert model_name(evaluation(samples=10)) == model_name(evaluation(samples=20, seed=4))
    assert model_name(first) != model_name(last)
    assert trial_name(first) == trial_name(last)
    assert trial_name(evaluation(samples=10)) != trial_name(evaluation(samples=20))
