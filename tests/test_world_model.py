"""The world model: statistics, the sliding window, and what it tells a planner."""

import json
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from worldgrid.encoders import Encoder
from worldgrid.envs import Observation
from worldgrid.objectives import GoalDistance
from worldgrid.predictors import Latent, Predictor, Shapes, rollout
from worldgrid.predictors.point import ExactPoint
from worldgrid.predictors.transformer import Transformer
from worldgrid.spec import ConfigError, parse
from worldgrid.world_model import Normalisation, WorldModel

SHAPES = Shapes(patches=4, width=12, action=4, proprio=2)
STATISTICS = Normalisation(
    action_mean=(1.0, -2.0), action_std=(2.0, 0.5), proprio_mean=(10.0, 0.0), proprio_std=(4.0, 1.0)
)


class Corners(Encoder):
    """A frame's four quarters, each repeated to the width."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.width = 4, 12

    def forward(self, seen: Tensor) -> Tensor:
        quarters = torch.nn.functional.adaptive_avg_pool2d(seen.float().mean(dim=3), 2)
        return quarters.flatten(1)[..., None].expand(-1, -1, 12)


class Position(Encoder):
    """The state itself."""

    reads: ClassVar[Literal["frames", "state"]] = "state"

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.width = 1, 2

    def forward(self, seen: Tensor) -> Tensor:
        return seen[:, None]


def predictor(**settings: object) -> Predictor:
    torch.manual_seed(0)
    spec = Transformer(**{"width": 16, "heads": 2, "depth": 2, "proprio_width": 4} | settings)  # type: ignore[arg-type]
    made = spec.build(SHAPES)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made


def world_model(*, each: int = 0, memory: int | None = None) -> WorldModel:
    """With a predictor whose sequences are said to take `each` bytes."""
    made = predictor()
    made.footprint = lambda frames, steps=0: each  # type: ignore[method-assign]
    return WorldModel(Corners(), made, STATISTICS, context=2, memory=memory)


def observation(episodes: int) -> Observation:
    stream = np.random.default_rng(0)
    return Observation(
        frames=stream.integers(0, 256, (episodes, 8, 8, 3), dtype=np.uint8),
        proprio=stream.normal(size=(episodes, 2)).astype(np.float32),
        state=stream.normal(size=(episodes, 2)),
    )


def real(made: Predictor, frames: int, clips: int = 2) -> Latent:
    torch.manual_seed(1)
    return Latent(torch.randn(clips, frames, 4, 12), made.embed(torch.randn(clips, frames, 2)))


# Statistics


def test_actions_are_standardised_per_number_of_a_simulator_action() -> None:
    two_steps = torch.tensor([3.0, -1.0, 1.0, -2.5])
    assert STATISTICS.standardise_actions(two_steps).tolist() == [1.0, 2.0, 0.0, -1.0]


def test_restoring_undoes_standardising() -> None:
    actions = torch.randn(3, 2, 4)
    torch.testing.assert_close(STATISTICS.restore_actions(STATISTICS.standardise_actions(actions)), actions)


def test_measured_statistics_standardise_what_they_were_measured_on() -> None:
    stream = np.random.default_rng(0)
    actions, proprio = stream.normal(3, 2, (500, 2)), stream.normal(-1, 5, (400, 3))
    measured = Normalisation.measure(actions, proprio)
    for result in (
        measured.standardise_actions(torch.from_numpy(actions)),
        measured.standardise_proprio(torch.from_numpy(proprio)),
    ):
        torch.testing.assert_close(result.mean(dim=0), torch.zeros_like(result[0]), atol=1e-9, rtol=0)
        torch.testing.assert_close(result.std(dim=0, correction=0), torch.ones_like(result[0]))


def test_a_number_that_never_varies_is_left_unscaled() -> None:
    measured = Normalisation.measure(np.full((5, 1), 0.1, np.float32), np.zeros((5, 1)))
    assert (measured.action_std, measured.proprio_std) == ((1.0,), (1.0,))


def test_statistics_go_through_json() -> None:
    assert parse(Normalisation, json.loads(json.dumps(STATISTICS.recipe())), "normalisation") == STATISTICS


@pytest.mark.parametrize("change", [{"action_std": [1.0]}, {"action_std": [1.0, 0.0]}])
def test_statistics_that_cannot_standardise_are_refused(change: dict[str, list[float]]) -> None:
    with pytest.raises(ConfigError, match="fit"):
        parse(Normalisation, STATISTICS.recipe() | change, "normalisation")


# Rollouts


@pytest.mark.parametrize("context", [1, 2, 3])
@pytest.mark.parametrize("frames", [1, 3])
def test_a_rollout_sees_the_last_frames_and_nothing_else(context: int, frames: int) -> None:
    made = predictor().eval().requires_grad_(False)
    start, actions = real(made, frames), torch.randn(2, frames - 1 + 4, 4)
    visual, proprio = list(start.visual.unbind(1)), list(start.proprio.unbind(1))
    for now in range(frames - 1, frames + 3):
        window = range(max(0, now - context + 1), now + 1)
        seen = Latent(*(torch.stack([part[t] for t in window], dim=1) for part in (visual, proprio)))
        predicted = made(seen, torch.stack([actions[:, t] for t in window], dim=1))
        visual.append(predicted.visual[:, -1])
        proprio.append(predicted.proprio[:, -1])
    imagined = rollout(made, start, actions, context)
    torch.testing.assert_close(imagined.visual, torch.stack(visual[frames:], dim=1))
    torch.testing.assert_close(imagined.proprio, torch.stack(proprio[frames:], dim=1))


# What a planner is told


def test_looking_encodes_frames_and_embeds_standardised_proprioception() -> None:
    model, seen = world_model(), observation(3)
    latent = model.look(seen)
    assert latent.visual.shape == (3, 1, 4, 12)
    torch.testing.assert_close(latent.visual[:, 0], model.encoder(torch.from_numpy(seen.frames)))
    standardised = (torch.from_numpy(seen.proprio) - torch.tensor([10.0, 0.0])) / torch.tensor([4.0, 1.0])
    torch.testing.assert_close(latent.proprio, model.predictor.embed(standardised[:, None]))


def test_encoders_of_states_are_shown_states() -> None:
    exact = WorldModel(Position(), ExactPoint().build(Shapes(1, 2, 10, 2)), STATISTICS, context=1)
    seen = observation(2)
    latent = exact.look(seen)
    np.testing.assert_allclose(latent.visual[:, 0, 0].numpy(), seen.state, atol=1e-6)
    assert latent.proprio is None


def test_every_candidate_is_imagined_from_its_own_episode() -> None:
    model = world_model()
    start, actions = model.look(observation(2)), torch.randn(2, 3, 4, 4)
    imagined = model.imagine(start, actions)
    assert imagined.visual.shape == (2, 3, 4, 4, 12)
    for episode in range(2):
        for candidate in range(3):
            alone = rollout(
                model.predictor, start.map(lambda z, b=episode: z[b, None]), actions[episode, None, candidate], 2
            )
            torch.testing.assert_close(imagined.visual[episode, candidate], alone.visual[0])
            torch.testing.assert_close(imagined.proprio[episode, candidate], alone.proprio[0])


@pytest.mark.parametrize("fitting", [1, 3, 7])
def test_a_limit_on_memory_changes_nothing_but_memory(fitting: int) -> None:
    seen, actions = observation(2), torch.randn(2, 5, 3, 4)
    whole, pieces = world_model(), world_model(each=2**20 // fitting, memory=1)
    expected, imagined = whole.imagine(whole.look(seen), actions), pieces.imagine(pieces.look(seen), actions)
    torch.testing.assert_close(imagined.visual, expected.visual)
    objective = GoalDistance(proprio=0.1)
    costs = [model.cost(model.look(seen), model.look(observation(2)), objective)(actions) for model in (whole, pieces)]
    torch.testing.assert_close(costs[0], costs[1])


def test_a_cost_is_the_distance_of_each_imagined_end_from_its_goal() -> None:
    model = world_model()
    start, actions = model.look(observation(2)), torch.randn(2, 3, 4, 4)
    goal = start.map(lambda z: z.flip(0))
    ends = model.imagine(start, actions).map(lambda z: z[:, :, -1])
    visual = (ends.visual - goal.visual).square().mean(dim=(2, 3))
    proprio = (ends.proprio - goal.proprio).square().mean(dim=(2, 3))
    torch.testing.assert_close(model.cost(start, goal, GoalDistance(proprio=0.1))(actions), visual + 0.1 * proprio)


def test_gradients_of_a_cost_reach_the_actions_alone() -> None:
    model = world_model()
    start = model.look(observation(2))
    actions = torch.randn(2, 3, 4, 4, requires_grad=True)
    model.cost(start, start.map(lambda z: z.flip(0)), GoalDistance())(actions).sum().backward()
    assert actions.grad is not None
    assert actions.grad.abs().amax(dim=3).min() > 0
    assert all(parameter.grad is None for parameter in model.predictor.parameters())


def test_a_gradient_in_blocks_is_the_gradient_of_the_whole() -> None:
    seen, drawn = observation(2), torch.randn(2, 5, 3, 4)

    def gradient(model: WorldModel) -> Tensor:
        actions = drawn.clone().requires_grad_()
        cost = model.cost(model.look(seen), model.look(observation(2)), GoalDistance(proprio=0.1, norm="l1"))
        return torch.autograd.grad((cost(actions) * torch.arange(5.0)).sum(), actions)[0]

    torch.testing.assert_close(gradient(world_model(each=2**20 // 3, memory=1)), gradient(world_model()))


def test_memory_that_runs_out_while_planning_changes_neither_costs_nor_gradients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The allocator of this machine refuses, and what was imagined at once is halved until it does not."""
    seen, drawn = observation(2), torch.randn(2, 5, 3, 4)

    def planned(model: WorldModel) -> tuple[Tensor, Tensor]:
        actions = drawn.clone().requires_grad_()
        cost = model.cost(model.look(seen), model.look(observation(2)), GoalDistance())
        return cost(drawn), torch.autograd.grad(cost(actions).sum(), actions)[0]

    whole, short = world_model(), world_model()
    imagine = short.predictor.imagine

    def hungry(start: Latent, actions: Tensor, context: int) -> Latent:
        if actions.shape[0] * actions.shape[1] > 2:
            torch.empty(2**50)
        return imagine(start, actions, context)

    monkeypatch.setattr(short.predictor, "imagine", hungry)
    with pytest.warns(RuntimeWarning, match="memory ran out with 10 imagined sequences at once") as said:
        found = planned(short)
    assert len(said) == 1
    for part, expected in zip(found, planned(whole), strict=True):
        torch.testing.assert_close(part, expected)


def test_planning_in_bfloat16_is_close_and_costs_stay_float32() -> None:
    exact, rough = world_model(), WorldModel(Corners(), predictor(), STATISTICS, context=2, precision="bfloat16")
    start, actions = exact.look(observation(2)), torch.randn(2, 3, 4, 4)
    costs = [model.cost(start, start.map(lambda z: z.flip(0)), GoalDistance())(actions) for model in (exact, rough)]
    assert costs[1].dtype == torch.float32
    assert not torch.equal(*costs)
    torch.testing.assert_close(costs[1], costs[0], rtol=0.1, atol=0.0)


def test_a_streaming_model_plans_with_the_frames_it_was_trained_with() -> None:
    made = predictor(window="streaming", context=3)
    with pytest.raises(ConfigError, match=r"mpc.context: given 2; predictor.context \(3\) fits"):
        WorldModel(Corners(), made, STATISTICS, context=2)


def test_a_world_model_is_frozen() -> None:
    model = world_model()
    assert not model.predictor.training
    assert not any(parameter.requires_grad for parameter in model.predictor.parameters())


def test_actions_that_lead_to_the_goal_cost_nothing() -> None:
    exact = WorldModel(Position(), ExactPoint().build(Shapes(1, 2, 10, 2)), STATISTICS, context=1)
    start, goal = Latent(torch.zeros(1, 1, 1, 2)), Latent(torch.tensor([[[[1.0, 2.0]]]]))
    actions = torch.zeros(1, 2, 2, 10)
    actions[0, 1, 0, :2], actions[0, 1, 1, 8:] = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    costs = exact.cost(start, goal, GoalDistance())(actions)
    torch.testing.assert_close(costs, torch.tensor([[2.5, 0.0]]))
