"""What every planner promises, over the table: a row is the registration and the test. B, N, H, A as everywhere."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from worldgrid.noise import Noise
from worldgrid.planners import PLANNERS, Cost, Plan, PlannerSpec, PlanningError, Problem
from worldgrid.planners.descent import Descent
from worldgrid.spec import ConfigError

EPISODES = (7, 3, 11)
H, A = 2, 2
CHEAPER: dict[str, dict[str, Any]] = {
    "adam": {"iterations": 150},
    "gd": {"iterations": 150},
    "nevergrad": {"samples": 32, "iterations": 6},
}
"""Settings for planners that are slow with their own."""
GRADIENT = {"gd", "adam"}
ROWS = sorted(PLANNERS.members)


def planner(kind: str, **settings: Any) -> PlannerSpec:
    if kind == "nevergrad":
        pytest.importorskip("nevergrad")
    return PLANNERS.parse({"kind": kind} | CHEAPER.get(kind, {}) | settings)


def problem(cost: Cost, episodes: Sequence[int] = EPISODES, replan: int = 0) -> Problem:
    return Problem(cost, H, A, Noise(seed=5, episodes=episodes, replan=replan))


def bottoms(episodes: Sequence[int] = EPISODES) -> Tensor:
    """`[B, H, A]` where each episode's bowl is deepest: within 1 of the middle, another place for each."""
    numbers = torch.arange(H * A).reshape(H, A)
    return torch.stack([torch.sin(numbers + episode) for episode in episodes])


def bowl(episodes: Sequence[int] = EPISODES) -> Cost:
    bottom = bottoms(episodes)[:, None]
    return lambda actions: (actions - bottom).square().flatten(2).mean(dim=2)


class Watched:
    """A cost that keeps what it was asked and what it answered."""

    def __init__(self, cost: Cost) -> None:
        self.cost = cost
        self.asked: list[Tensor] = []
        self.answered: list[Tensor] = []

    def __call__(self, actions: Tensor) -> Tensor:
        costs = self.cost(actions)
        self.asked.append(actions.detach())
        self.answered.append(costs.detach())
        return costs


def assert_equal(plan: Plan, other: Plan) -> None:
    assert torch.equal(plan.actions, other.actions)
    assert torch.equal(plan.costs, other.costs)


@pytest.mark.parametrize("kind", ROWS)
def test_it_finds_the_bottom_of_a_bowl(kind: str) -> None:
    plan = planner(kind).plan(problem(bowl()))
    assert (plan.actions - bottoms()).square().mean(dim=(1, 2)).max() < 0.04


@pytest.mark.parametrize("kind", [kind for kind in ROWS if kind not in GRADIENT])
def test_it_jumps_over_a_wall_in_the_bowl(kind: str) -> None:
    def cost(actions: Tensor) -> Tensor:
        first = actions[:, :, 0, 0]
        return (first - 1.5).square() + 9 * ((first > 0.4) & (first < 0.9)) + actions.square().flatten(2).mean(dim=2)

    assert (planner(kind).plan(problem(cost)).actions[:, 0, 0] > 0.9).all()


@pytest.mark.parametrize("kind", ROWS)
def test_candidates_and_plan_stay_in_the_box(kind: str) -> None:
    far = Watched(lambda actions: (actions - 5).square().flatten(2).mean(dim=2))
    plan = planner(kind, clip=[0.3, 0.1]).plan(problem(far))
    box = torch.tensor([0.3, 0.1])
    assert all((asked.abs() <= box).all() for asked in far.asked)
    assert (plan.actions.abs() <= box).all()
    assert (plan.actions / box).mean() > 0.6, "towards the cheapest corner"


@pytest.mark.parametrize("kind", ROWS)
def test_model_calls_are_counted_exactly_and_known_beforehand(kind: str) -> None:
    watched = Watched(bowl())
    settings = planner(kind)
    plan = settings.plan(problem(watched))
    assert plan.calls == settings.calls == sum(asked.shape[1] for asked in watched.asked)


@pytest.mark.parametrize("kind", ROWS)
def test_the_costs_are_those_of_the_best_candidate_of_every_iteration(kind: str) -> None:
    watched = Watched(bowl())
    plan = planner(kind).plan(problem(watched))
    assert torch.equal(plan.costs, torch.stack([answer.amin(dim=1) for answer in watched.answered], dim=1))


@pytest.mark.parametrize("kind", ROWS)
def test_the_same_noise_gives_the_same_plan_and_the_next_replanning_step_another(kind: str) -> None:
    settings = planner(kind)
    plan = settings.plan(problem(bowl()))
    assert_equal(plan, settings.plan(problem(bowl())))
    assert not torch.equal(plan.costs, settings.plan(problem(bowl(), replan=1)).costs)


@pytest.mark.parametrize("kind", ROWS)
def test_an_episode_is_planned_the_same_alone_and_in_a_batch(kind: str) -> None:
    settings = planner(kind)
    together = settings.plan(problem(bowl()))
    for row, episode in enumerate(EPISODES):
        alone = settings.plan(problem(bowl([episode]), episodes=[episode]))
        assert torch.equal(alone.actions[0], together.actions[row])
        assert torch.equal(alone.costs[0], together.costs[row])


@pytest.mark.parametrize("kind", ROWS)
def test_a_search_that_begins_at_the_bottom_asks_about_it_first(kind: str) -> None:
    watched = Watched(bowl())
    planner(kind, spread=0.01, **({"min_spread": 0.01} if kind == "mppi" else {})).plan(
        replace(problem(watched), begin=bottoms())
    )
    assert (watched.asked[0] - bottoms()[:, None]).abs().max() < 0.1


@pytest.mark.parametrize("kind", sorted(GRADIENT))
def test_a_descent_begins_at_a_warm_start_itself(kind: str) -> None:
    watched = Watched(bowl())
    planner(kind, starts=3).plan(replace(problem(watched), begin=bottoms()))
    assert torch.equal(watched.asked[0][:, 0], bottoms())
    assert (watched.asked[0][:, 1:] - bottoms()[:, None]).std() > 0.5


@pytest.mark.parametrize("kind", ROWS)
def test_a_search_that_begins_outside_the_box_begins_at_its_edge(kind: str) -> None:
    watched = Watched(bowl())
    planner(kind, clip=[0.3]).plan(replace(problem(watched), begin=torch.full((3, H, A), 5.0)))
    assert all((asked.abs() <= 0.3).all() for asked in watched.asked)


@pytest.mark.parametrize("kind", ROWS)
def test_a_plan_has_no_history(kind: str) -> None:
    plan = planner(kind).plan(problem(bowl()))
    assert not plan.actions.requires_grad
    assert not plan.costs.requires_grad


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("broken", [torch.nan, torch.inf, -torch.inf])
def test_candidates_without_a_finite_cost_never_lead(kind: str, broken: float) -> None:
    def cost(actions: Tensor) -> Tensor:
        """A bowl that cannot be asked about on one side."""
        return (actions + 1).square().flatten(2).mean(dim=2).where(actions[:, :, 0, 0] < 0.5, broken)

    several = {"starts": 8} if kind in GRADIENT else {}
    watched = Watched(cost)
    plan = planner(kind, **several).plan(problem(watched))
    assert (plan.actions[:, 0, 0] < 0.5).all()
    assert plan.rejected.sum() > 0
    assert plan.costs.isfinite().all()
    assert torch.equal(plan.rejected, sum((~answer.isfinite()).sum(dim=1) for answer in watched.answered))


@pytest.mark.parametrize("kind", ROWS)
def test_an_episode_without_any_finite_cost_is_named(kind: str) -> None:
    def cost(actions: Tensor) -> Tensor:
        return bowl()(actions) + torch.tensor([0.0, torch.nan, 0.0])[:, None]

    with pytest.raises(PlanningError, match=r"^episode 3, plan 4, iteration 0: none of \d+ candidates has a finite"):
        planner(kind).plan(problem(cost, replan=4))


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"iterations": 0}, "planner.iterations: given 0; input should be greater than or equal to 1"),
        ({"iterations": 2.5}, "planner.iterations: given 2.5; a whole number fits"),
        ({"spread": 0}, "planner.spread: given 0; input should be greater than 0"),
        ({"spread": -0.5}, "planner.spread: given -0.5; input should be greater than 0"),
        ({"clip": [0.1, 0]}, "planner.clip.1: given 0; input should be greater than 0"),
        ({"clip": []}, "planner.clip: given []; tuple should have at least 1 item"),
        ({"iteration": 3}, "has no 'iteration'; did you mean 'iterations'?"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(kind: str, settings: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as error:
        planner(kind, **settings)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ROWS)
def test_limits_that_do_not_divide_an_action_are_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=r"planner.clip: given 3 limits; .* a model action has 2 numbers"):
        planner(kind, clip=[0.1, 0.1, 0.1]).plan(problem(bowl()))


def test_the_gradient_planners_are_the_ones_we_think() -> None:
    assert {kind for kind in ROWS if issubclass(PLANNERS.member(kind), Descent)} == GRADIENT
