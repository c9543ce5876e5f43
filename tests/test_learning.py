"""The loss, against the study's formula written out frame by frame; and how learning is measured."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import l1_loss, mse_loss, smooth_l1_loss

from worldgrid.learning import Learning, action_sensitivity, learn, rollout_error, teacher_forced
from worldgrid.predictors import Latent, Predictor, Shapes, join
from worldgrid.predictors.point import ExactPoint
from worldgrid.predictors.transformer import Transformer
from worldgrid.spec import ConfigError

SHAPES = Shapes(patches=4, width=6, action=4, proprio=2)
CLIPS = 3


def predictor(context: int = 3, proprio: str = "feature") -> Predictor:
    torch.manual_seed(0)
    spec = Transformer(context=context, width=12, heads=2, depth=2, proprio=proprio, proprio_width=4)  # type: ignore[arg-type]
    made = spec.build(SHAPES)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made


def data(frames: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    shape = (CLIPS, frames)
    return torch.randn(*shape, 4, 6), torch.randn(*shape, 2), torch.randn(*shape, 4)


def lesson(made: Predictor, frames: int, settings: Learning, prefix: int = 0) -> Tensor:
    visual, proprio, actions = data(frames)
    return learn(made, Latent(visual, made.embed(proprio)), actions, settings, prefix).total


def cosine_loss(predicted: Tensor, target: Tensor) -> Tensor:
    lengths = predicted.norm(dim=-1) * target.norm(dim=-1)
    return (1 - (predicted * target).sum(dim=-1) / lengths).mean()


METRICS = {"mse": mse_loss, "l1": l1_loss, "smooth_l1": smooth_l1_loss, "cosine": cosine_loss}


class Formula:
    """The study's loss, frame by frame, in the slowest way: every prediction is a pass of its own."""

    def __init__(self, made: Predictor, frames: int, metric: str = "mse", window: int | None = None) -> None:
        self.predictor, self.frames, self.metric = made, frames, METRICS[metric]
        self.visual, raw, self.actions = data(frames)
        self.proprio = made.embed(raw)
        self.window = window or made.context

    def after(self, visual: list[Tensor], proprio: list[Tensor], first: int) -> tuple[Tensor, Tensor]:
        """What follows a window whose first frame is number `first` of the clip."""
        actions = self.actions[:, first : first + len(visual)]
        predicted = self.predictor(Latent(torch.stack(visual, 1), torch.stack(proprio, 1)), actions)
        return predicted.visual[:, -1], predicted.proprio[:, -1]

    def forced(self, now: int, first: int) -> tuple[Tensor, Tensor]:
        """What follows the real frames `first` to `now`."""
        return self.after(
            [self.visual[:, t] for t in range(first, now + 1)],
            [self.proprio[:, t] for t in range(first, now + 1)],
            first,
        )

    def distance(self, predicted: tuple[Tensor, Tensor], frame: int, detach: bool) -> Tensor:
        target = self.proprio[:, frame].detach() if detach else self.proprio[:, frame]
        return self.metric(predicted[0], self.visual[:, frame]) + self.metric(predicted[1], target)

    def teacher_forcing(self, detach: bool = False) -> Tensor:
        """Every output of every window of W frames."""
        starts = range(self.frames - self.predictor.context)
        outputs = [(now, first) for first in starts for now in range(first, first + self.predictor.context)]
        terms = [self.distance(self.forced(now, first), now + 1, detach) for now, first in outputs]
        return torch.stack(terms).mean()

    def rollout(self, steps: int, prefix: int, last_only: bool) -> list[Tensor]:
        """Distances at steps 2 to `steps` after frame `prefix`."""
        visual = [self.visual[:, t] for t in range(prefix + 1)]
        proprio = [self.proprio[:, t] for t in range(prefix + 1)]
        following = self.forced(prefix, max(0, prefix - self.predictor.context + 1))
        terms = []
        for step in range(2, steps + 1):
            visual.append(following[0])
            proprio.append(following[1])
            if last_only:
                visual, proprio = [frame.detach() for frame in visual], [frame.detach() for frame in proprio]
            first = max(0, len(visual) - self.window)
            following = self.after(visual[first:], proprio[first:], first)
            terms.append(self.distance(following, prefix + step, detach=True))
        return terms


def gradients(made: Predictor, total: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(total, list(made.parameters())))


# The formula

COMBINATIONS = [
    # K, W, T, prefix
    (1, 3, 4, 0),
    (2, 3, 4, 0),
    (2, 3, 4, 1),
    (3, 3, 4, 0),
    (6, 7, 8, 1),
    (6, 3, 8, 1),
    (2, 1, 4, 1),
    (3, 2, 6, 2),
]


@pytest.mark.parametrize(("steps", "context", "frames", "prefix"), COMBINATIONS)
def test_the_loss_and_its_gradient_are_those_of_the_formula(steps: int, context: int, frames: int, prefix: int) -> None:
    made = predictor(context)
    formula = Formula(made, frames)
    expected = formula.teacher_forcing() / (steps + 1)
    expected = expected + sum(formula.rollout(steps, prefix, last_only=True)) / steps
    total = lesson(made, frames, Learning(rollout=steps), prefix)
    torch.testing.assert_close(total, expected, rtol=1e-6, atol=1e-6)
    for mine, theirs in zip(gradients(made, total), gradients(made, expected), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_full_back_propagation_has_the_same_value_and_the_gradient_of_the_whole_chain() -> None:
    made = predictor()
    cut, full = Learning(rollout=3), Learning(rollout=3, rollout_backprop=None)
    formula = Formula(made, 4)
    expected = formula.teacher_forcing() / 4 + sum(formula.rollout(3, 0, last_only=False)) / 3
    totals = [lesson(made, 4, settings) for settings in (cut, full)]
    torch.testing.assert_close(totals[0], totals[1])
    chain, last = gradients(made, totals[1]), gradients(made, totals[0])
    for mine, theirs in zip(chain, gradients(made, expected), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
    assert any(not torch.allclose(one, two, rtol=1e-2) for one, two in zip(chain, last, strict=True))


def test_truncation_behind_the_last_step_is_full_back_propagation() -> None:
    made = predictor()
    long, full = (lesson(made, 4, Learning(rollout=3, rollout_backprop=n)) for n in (3, None))
    for one, two in zip(gradients(made, long), gradients(made, full), strict=True):
        torch.testing.assert_close(one, two)


def test_truncation_at_two_lies_between_the_last_step_and_the_whole_chain() -> None:
    made = predictor()
    last, two, full = (gradients(made, lesson(made, 4, Learning(rollout=3, rollout_backprop=n))) for n in (1, 2, None))
    assert any(not torch.allclose(one, other, rtol=1e-2) for one, other in zip(two, last, strict=True))
    assert any(not torch.allclose(one, other, rtol=1e-2) for one, other in zip(two, full, strict=True))


def test_all_prefixes_are_averaged() -> None:
    made = predictor()
    each = [lesson(made, 6, Learning(rollout=3), prefix) for prefix in range(3)]
    torch.testing.assert_close(lesson(made, 6, Learning(rollout=3, rollout_prefix="all")), torch.stack(each).mean())


@pytest.mark.parametrize("metric", METRICS)
def test_predictions_are_compared_by_the_named_metric(metric: str) -> None:
    made = predictor()
    settings = Learning(rollout=1, metric=metric)  # type: ignore[arg-type]
    torch.testing.assert_close(lesson(made, 4, settings), Formula(made, 4, metric).teacher_forcing() / 2)


def test_rollouts_may_see_fewer_frames_than_teacher_forcing() -> None:
    made = predictor(context=5)
    formula = Formula(made, 6, window=2)
    expected = formula.teacher_forcing() / 3 + formula.rollout(2, 3, last_only=True)[0] / 2
    torch.testing.assert_close(lesson(made, 6, Learning(rollout_window=2), prefix=3), expected)


def test_rollouts_may_not_see_more_frames_than_the_predictor_is_made_for() -> None:
    with pytest.raises(ConfigError, match=r"train.rollout_window: given 4; at most predictor.context \(3\) fits"):
        lesson(predictor(), 4, Learning(rollout_window=4))


def streaming(context: int = 2) -> Predictor:
    torch.manual_seed(0)
    spec = Transformer(context=context, width=12, heads=2, depth=2, proprio_width=4, window="streaming")
    return spec.build(SHAPES)


def test_a_streaming_predictor_is_forced_over_the_whole_clip() -> None:
    made, (visual, proprio, actions) = streaming(), data(5)
    clip = Latent(visual, made.embed(proprio))
    predicted, target = teacher_forced(made, clip, actions)
    whole = made(clip.map(lambda z: z[:, :-1]), actions[:, :-1])
    torch.testing.assert_close(predicted.visual, whole.visual)
    assert torch.equal(target.visual, visual[:, 1:])


def test_a_streaming_predictor_rolls_out_behind_all_it_has_seen() -> None:
    made, (visual, proprio, actions) = streaming(), data(5)
    clip = Latent(visual, made.embed(proprio))
    whole = made(clip.map(lambda z: z[:, :-1]), actions[:, :-1])
    gone_on = join(clip.map(lambda z: z[:, :3]), whole.map(lambda z: z[:, 2:3]).detach())
    second = made(gone_on, actions[:, :4]).map(lambda z: z[:, -1])
    expected = mse_loss(second.visual, visual[:, 4]), mse_loss(second.proprio, clip.proprio[:, 4])
    terms = learn(made, clip, actions, Learning(rollout=2), prefix=2).terms
    torch.testing.assert_close((terms["visual_2"], terms["proprio_2"]), expected)


def test_a_streaming_predictor_rolls_out_with_its_own_context() -> None:
    with pytest.raises(ConfigError, match=r"rollout_window: given 1; the same as predictor.context \(2\) fits"):
        lesson(streaming(), 4, Learning(rollout_window=1))


def test_the_written_loss_is_a_plain_sum() -> None:
    made = predictor()
    formula = Formula(made, 4)
    expected = formula.teacher_forcing() + sum(formula.rollout(3, 0, last_only=True))
    torch.testing.assert_close(lesson(made, 4, Learning(rollout=3, weighting="sum")), expected)


def test_terms_add_up_to_the_loss() -> None:
    made = predictor()
    visual, proprio, actions = data(4)
    settings = Learning(rollout=2, proprio_weight=0.5)
    result = learn(made, Latent(visual, made.embed(proprio)), actions, settings, prefix=1)
    assert set(result.terms) == {"visual_1", "proprio_1", "visual_2", "proprio_2"}
    first, second = (result.terms[f"visual_{h}"] + 0.5 * result.terms[f"proprio_{h}"] for h in (1, 2))
    torch.testing.assert_close(result.total.detach(), first / 3 + second / 2)


def test_without_proprioception_only_patches_are_compared() -> None:
    made = predictor(proprio="none")
    visual, _, actions = data(4)
    result = learn(made, Latent(visual), actions, Learning(rollout=1), prefix=0)
    windows = made(Latent(visual[:, :3]), actions[:, :3])
    torch.testing.assert_close(result.total, mse_loss(windows.visual, visual[:, 1:]) / 2)


@pytest.mark.parametrize("detached", [False, True])
def test_a_detached_target_does_not_train_the_embedding(detached: bool) -> None:
    made = predictor()
    total = lesson(made, 4, Learning(rollout=1, proprio_detached=detached))
    expected = gradients(made, Formula(made, 4).teacher_forcing(detached) / 2)
    for mine, theirs in zip(gradients(made, total), expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_the_last_action_of_a_clip_is_not_looked_at() -> None:
    made = predictor()
    visual, proprio, actions = data(4)
    clip, other = Latent(visual, made.embed(proprio)), actions.clone()
    other[:, -1] += 100.0
    first, second = (learn(made, clip, given, Learning(rollout=3), 0).total for given in (actions, other))
    assert torch.equal(first, second)


# Clips and prefixes


@pytest.mark.parametrize(("context", "steps", "frames"), [(3, 1, 4), (3, 2, 4), (7, 6, 8), (3, 6, 7), (1, 1, 2)])
def test_clips_are_as_long_as_context_and_rollout_need(context: int, steps: int, frames: int) -> None:
    assert Learning(rollout=steps).needed_frames(context) == frames


def test_random_prefixes_leave_room_for_the_rollout() -> None:
    settings = Learning(rollout=2)
    drawn = {settings.draw_prefix(np.random.default_rng(seed), frames=4) for seed in range(50)}
    assert drawn == {0, 1}


def test_a_first_prefix_is_the_first_frame() -> None:
    settings = Learning(rollout_prefix="first")
    assert {settings.draw_prefix(np.random.default_rng(seed), frames=8) for seed in range(20)} == {0}


# Measures


def test_the_rollout_error_of_an_exact_predictor_is_zero_at_every_step() -> None:
    exact = ExactPoint(context=1).build(Shapes(1, 2, 2, 2))
    actions = torch.randn(3, 5, 2)
    path = torch.cat([torch.zeros(3, 1, 2), actions[:, :-1].cumsum(dim=1)], dim=1)[:, :, None]
    errors = rollout_error(exact, Latent(path), actions, context=1)
    torch.testing.assert_close(errors, torch.zeros(4), atol=1e-10, rtol=0)


def test_the_rollout_error_grows_with_what_is_missed_at_every_step() -> None:
    exact = ExactPoint(context=1).build(Shapes(1, 2, 2, 2))
    still = Latent(torch.zeros(3, 5, 1, 2))
    errors = rollout_error(exact, still, torch.ones(3, 5, 2), context=1, start=2)
    torch.testing.assert_close(errors, torch.tensor([1.0, 4.0, 9.0]))


def test_a_predictor_that_ignores_actions_is_not_sensitive_to_them() -> None:
    made = predictor(proprio="none")
    torch.nn.init.zeros_(made.action.weight)
    visual, _, actions = data(4)
    assert action_sensitivity(made, Latent(visual), actions) == pytest.approx(1.0)


def test_a_predictor_that_uses_actions_is_sensitive_to_them() -> None:
    exact = ExactPoint(context=1).build(Shapes(1, 2, 2, 2))
    actions = torch.randn(8, 4, 2)
    path = torch.cat([torch.zeros(8, 1, 2), actions[:, :-1].cumsum(dim=1)], dim=1)[:, :, None]
    noisy = Latent(path + 0.01 * torch.randn_like(path))
    assert action_sensitivity(exact, noisy, actions) > 100


# Learning


def dynamics(clips: int) -> tuple[Latent, Tensor]:
    """Clips in which the numbers of a frame move on by one place and the action is added."""
    frames, actions = [torch.randn(clips, 4)], torch.randn(clips, 3, 2)
    for time in range(2):
        frames.append(frames[-1].roll(1, dims=1) + torch.cat([actions[:, time], -actions[:, time]], dim=1))
    return Latent(torch.stack(frames, dim=1)[:, :, None]), actions


def test_ten_small_batches_are_learned_by_heart() -> None:
    torch.manual_seed(0)
    shapes = Shapes(patches=1, width=4, action=2, proprio=1)
    made = Transformer(context=2, width=32, heads=2, depth=1, proprio="none", positions="learned").build(shapes)
    batches, passes = [dynamics(clips=4) for _ in range(10)], 40
    optimiser = torch.optim.Adam(made.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=passes * len(batches))
    history = []
    for _ in range(passes):
        losses = []
        for clip, actions in batches:
            optimiser.zero_grad()
            total = learn(made, clip, actions, Learning(rollout=2), prefix=0).total
            total.backward()
            optimiser.step()
            schedule.step()
            losses.append(total.item())
        history.append(sum(losses))
    assert history[-1] < 0.01 * history[0]
