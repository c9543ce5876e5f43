"""The closed loop on env `point`, whose predictor is exact: what goes wrong here is the loop's or the planner's."""

from typing import ClassVar, Literal, final

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from worldgrid.encoders import ENCODERS
from worldgrid.envs.point import Point
from worldgrid.mpc import MPC, EpisodeResult, play
from worldgrid.noise import stream_seed
from worldgrid.objectives import GoalDistance
from worldgrid.planners import PLANNERS, Plan, PlannerSpec, PlanningError, Problem
from worldgrid.planners.cem import CEM
from worldgrid.predictors import Shapes
from worldgrid.predictors.point import ExactPoint
from worldgrid.spec import ConfigError, parse
from worldgrid.world_model import Normalisation, WorldModel

ENV = Point(size=16)
MEAN, STD = (0.01, -0.02), (0.05, 0.04)
EPISODES = (2, 0, 7)
TWO_PLANS = MPC(horizon=2, execute=1, steps=10, context=1)
QUICK = CEM(samples=32, iterations=4, elites=8)
BUDGETS = {
    "adam": {"iterations": 200},
    "nevergrad": {"samples": 32, "iterations": 10},
    "random": {"samples": 2000},
}


def exact() -> WorldModel:
    encoder = ENCODERS.parse({"kind": "state"}).build(ENV)
    shapes = Shapes(patches=encoder.patches, width=encoder.width, action=ENV.frameskip * 2, proprio=2)
    return WorldModel(
        encoder=encoder,
        predictor=ExactPoint(action_mean=MEAN, action_std=STD).build(shapes),
        normalisation=Normalisation(action_mean=MEAN, action_std=STD, proprio_mean=(0.0, 0.0), proprio_std=(1.0, 1.0)),
        context=1,
    )


def played(
    planner: PlannerSpec = QUICK,
    mpc: MPC = TWO_PLANS,
    episodes: tuple[int, ...] = EPISODES,
    seed: int = 0,
    norm: str = "l2",
) -> list[EpisodeResult]:
    objective = parse(GoalDistance, {"norm": norm}, "objective")
    return play(
        env=ENV,
        world_model=exact(),
        objective=objective,
        planner=planner,
        mpc=mpc,
        seed=seed,
        episodes=episodes,
        tasks=ENV.draw_tasks([stream_seed("task", seed, episode) for episode in episodes]),
    )


def assert_same(result: EpisodeResult, other: EpisodeResult) -> None:
    for name, value in vars(result).items():
        assert_array_equal(value, getattr(other, name), err_msg=name)


@final
class Ramp(PlannerSpec):
    """Plans 0, 1, 2, ... thousandths without looking; remembers how long its plans were and where they began."""

    kind: Literal["ramp"] = "ramp"
    lengths: ClassVar[list[int]] = []
    begins: ClassVar[list[torch.Tensor | None]] = []

    @property
    def calls(self) -> int:
        return 1

    def plan(self, problem: Problem) -> Plan:
        self.lengths.append(problem.horizon)
        self.begins.append(problem.begin)
        shape = (len(problem.noise.episodes), problem.horizon, problem.action)
        ramp = torch.arange(shape[1] * shape[2]).reshape(shape[1:]) / 1000
        return Plan(ramp.expand(shape), torch.zeros(shape[0], 1), 1, torch.zeros(shape[0], dtype=torch.int64))


@final
class Passing(PlannerSpec):
    """Reaches the goals `apart` away in one model step, and goes on."""

    kind: Literal["passing"] = "passing"
    apart: tuple[tuple[float, float], ...]

    @property
    def calls(self) -> int:
        return 1

    def plan(self, problem: Problem) -> Plan:
        step = (torch.tensor(self.apart) / 5).repeat(1, 5)[:, None].expand(-1, problem.horizon, -1)
        actions = exact().normalisation.standardise_actions(step)
        return Plan(actions, torch.zeros(len(step), 1), 1, torch.zeros(len(step), dtype=torch.int64))


@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("kind", sorted(PLANNERS.members))
def test_every_planner_solves_the_point(kind: str, norm: str) -> None:
    if kind == "nevergrad":
        pytest.importorskip("nevergrad")
    planner = PLANNERS.parse({"kind": kind} | BUDGETS.get(kind, {}))
    results = played(planner, norm=norm)
    assert [result.success for result in results] == [True] * 3
    assert not any(result.solved_at_start for result in results)
    assert all(result.calls == 2 * planner.calls for result in results)


def test_an_episode_plays_the_same_alone_and_in_a_batch() -> None:
    together = played()
    for row, episode in enumerate(EPISODES):
        assert_same(played(episodes=(episode,))[0], together[row])


def test_playing_twice_changes_nothing() -> None:
    for result, again in zip(played(), played(), strict=True):
        assert_same(result, again)


def test_starts_and_goals_depend_on_seed_and_episode_alone() -> None:
    cem, ramp, other = played(), played(Ramp(), MPC(steps=3)), played(seed=1)
    for result, same, different in zip(cem, ramp, other, strict=True):
        assert_array_equal(result.states[0], same.states[0])
        assert_array_equal(result.goal, same.goal)
        assert not np.array_equal(result.states[0], different.states[0])
    assert len({tuple(result.goal) for result in cem}) == len(cem)


def test_the_recorded_actions_lead_to_the_recorded_states() -> None:
    for result in played():
        batch = ENV.tasks([result.seed])
        assert_array_equal(batch.state()[0], result.states[0])
        for action, state in zip(result.actions, result.states[1:], strict=True):
            batch.step(action[None].astype(np.float64))
            assert_array_equal(batch.state()[0], state)
        assert (result.distance, result.success) == (batch.distance()[0], batch.success()[0])


def test_a_result_has_the_shapes_it_promises() -> None:
    result = played()[0]
    assert (result.episode, result.plans, result.calls, result.rejected) == (2, 2, 2 * QUICK.calls, 0)
    assert (result.states.shape, result.states.dtype) == ((11, 2), np.float64)
    assert (result.actions.shape, result.actions.dtype) == ((10, 2), np.float32)
    assert result.goal.shape == (2,)
    assert len(result.first_costs) == len(result.last_costs) == 2
    assert result.last_costs[0] < result.first_costs[0]
    assert result.start_distance == pytest.approx(np.hypot(*(result.states[0] - result.goal)))


def test_a_model_action_becomes_the_simulator_actions_in_it() -> None:
    result = played(Ramp(), MPC(horizon=2, execute=2, steps=10, context=1))[0]
    ramp = np.arange(20).reshape(10, 2) / 1000
    assert_allclose(result.actions, ramp * STD + MEAN, rtol=1e-5)


@pytest.mark.parametrize(
    ("mpc", "lengths"),
    [
        (MPC(), [6]),
        (MPC(horizon=6, execute=3, steps=99), [6, 6, 6, 6, 6, 5, 2]),
        (MPC(horizon=6, execute=2, steps=30), [6, 4, 2]),
        (MPC(horizon=6, execute=6, steps=31), [6, 1]),
    ],
)
def test_the_last_plans_are_as_long_as_the_steps_left(mpc: MPC, lengths: list[int]) -> None:
    Ramp.lengths.clear()
    result = played(Ramp(), mpc)[0]
    assert Ramp.lengths == lengths
    assert len(result.actions) == mpc.steps


def test_a_warm_start_begins_at_what_the_plan_before_left_over() -> None:
    Ramp.begins.clear()
    played(Ramp(), MPC(horizon=4, execute=1, steps=15, context=1, warm_start=True))
    first, second, third = Ramp.begins
    assert first is None
    ramp = torch.arange(30).reshape(3, 10) / 1000
    assert torch.equal(second, ramp[1:].expand(3, 2, 10)), "15 steps left are 3 model steps, then 2, then 1"
    assert torch.equal(third, ramp[1:2].expand(3, 1, 10))


def test_a_warm_start_is_the_mean_action_where_the_plan_before_ended() -> None:
    Ramp.begins.clear()
    played(Ramp(), MPC(horizon=4, execute=3, steps=100, context=1, warm_start=True))
    assert Ramp.begins[1] is not None
    assert torch.equal(Ramp.begins[1][0, 0], torch.arange(30, 40) / 1000)
    assert not Ramp.begins[1][:, 1:].any()


def test_starts_are_cold_unless_asked_for() -> None:
    Ramp.begins.clear()
    played(Ramp(), MPC(horizon=4, execute=1, steps=15, context=1))
    assert Ramp.begins == [None] * 3


def test_a_warm_start_changes_the_key_and_a_cold_one_goes_without_saying() -> None:
    assert "warm_start" not in MPC().recipe()
    warm = MPC(execute=2, warm_start=True)
    assert parse(MPC, warm.recipe(), "mpc") == warm


def test_a_warm_start_after_whole_plans_is_refused() -> None:
    with pytest.raises(ConfigError, match="warm_start with execute < horizon fits; both are 6"):
        parse(MPC, {"warm_start": True}, "mpc")


def test_each_plan_has_its_own_noise() -> None:
    first, second = (result.first_costs for result in played(PLANNERS.parse({"kind": "random"}), episodes=(0, 1)))
    assert len({*first, *second}) == 4


def test_passing_through_the_goal_is_not_success() -> None:
    starts = played(Ramp(), MPC(steps=1))
    apart = tuple(tuple((result.goal - result.states[0]).tolist()) for result in starts)
    results = played(Passing(apart=apart), MPC(horizon=2, execute=2, steps=10))
    assert [(result.success, result.ever_success) for result in results] == [(False, True)] * 3


@pytest.mark.parametrize("broken", ["encoder", "predictor"])
def test_a_network_that_gives_no_finite_numbers_is_named(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = exact()
    network: torch.nn.Module = getattr(model, broken)
    network.register_forward_hook(
        lambda _, given, result: (
            result * torch.nan if isinstance(result, torch.Tensor) else result.map(lambda z: z * torch.nan)
        )
    )
    monkeypatch.setattr(f"{__name__}.exact", lambda: model)
    with pytest.raises(PlanningError, match=rf"^{broken}: episode 2, plan 0, iteration 0: none of 32 candidates"):
        played()


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"horizon": 3}, "mpc: .*execute <= horizon fits; execute is 6, horizon 3"),
        ({"horizon": 0}, "mpc.horizon: given 0; input should be greater than or equal to 1"),
        ({"memory": 0}, "mpc.memory: given 0; input should be greater than or equal to 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, int], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        parse(MPC, settings, "mpc")


def test_the_defaults_are_the_studys() -> None:
    study = {"horizon": 6, "execute": 6, "steps": 30, "context": 2, "precision": "float32"}
    assert MPC().recipe() == study | {"memory": None, "compile": False}
