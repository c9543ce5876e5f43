"""Learning: what a predictor is trained to make small, and how well it has learned.

B clips, T frames, W context, K rollout steps, A model action, P patches, D latent. The loss is that of the
study as coded (jepa-wms `app/vjepa_wm/train.py` and `video_wm.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cosine_similarity, l1_loss, mse_loss, smooth_l1_loss

from worldgrid.predictors import Latent, Predictor, advance, join, rollout
from worldgrid.spec import ConfigError, Spec


class Learning(Spec):
    """Settings of the loss: teacher forcing, and for K > 1 rollouts that leave from a predicted frame."""

    rollout: int = Field(default=2, ge=1)
    """K: how many steps ahead predictions are compared; 1 is teacher forcing alone (paper: 2; 6 in v3 on DROID)."""
    rollout_prefix: Literal["random", "first", "all"] = "random"
    """The frame of a clip that rollouts leave from: one drawn for the batch, the first, or all (paper: random)."""
    rollout_window: int | None = Field(default=None, ge=1)
    """Frames the predictor sees in rollouts; null: its context (paper: 3, also where the context is 5 or 7)."""
    rollout_backprop: int | None = Field(default=1, ge=1)
    """Predictions that a rollout's gradient runs through before its history is cut: 1 is the last prediction alone
    (paper); null: never cut, full back-propagation (V-JEPA 2-AC)."""
    metric: Literal["mse", "l1", "smooth_l1", "cosine"] = "mse"
    """How predictions are compared, averaged over clips, frames, tokens and numbers (paper: mse; l1 in V-JEPA 2-AC)."""
    weighting: Literal["code", "sum"] = "code"
    """1/(K+1) for teacher forcing and 1/K for each rollout step, as the study is coded; or 1 each, as it is written."""
    proprio_weight: float = Field(default=1.0, ge=0)
    """Weight of embedded proprioception, where the predictor has it (paper: 1; 0 in V-JEPA 2-AC)."""
    proprio_detached: bool = False
    """Whether teacher forcing leaves its proprioceptive target untrained, as DINO-WM does (paper: no)."""

    def needed_frames(self, context: int) -> int:
        """T: the shortest clips this loss can use (paper: 4 for W = 3 and K = 2; 8 for W = 7 and K = 6)."""
        return max(context, self.rollout) + 1

    def draw_prefix(self, stream: np.random.Generator, frames: int) -> int:
        """The frame rollouts leave from in clips of T frames; the first unless `rollout_prefix` is random."""
        return int(stream.integers(frames - self.rollout)) if self.rollout_prefix == "random" else 0

    def rollout_context(self, predictor: Predictor) -> int:
        """Frames this predictor sees in rollouts; raises ConfigError where it is not made for as many."""
        window = self.rollout_window or predictor.context
        if window > predictor.context or (predictor.streaming and window != predictor.context):
            fits = "the same as" if predictor.streaming else "at most"
            raise ConfigError(
                f"train.rollout_window: given {window}; {fits} predictor.context ({predictor.context}) fits"
            )
        return window


@dataclass(frozen=True)
class Lesson:
    """A loss and what it is made of."""

    total: Tensor
    """What to minimise."""
    terms: dict[str, Tensor]
    """`visual_1` to `visual_K` and `proprio_1` to `proprio_K`: distances by step, unweighted, without history."""


def learn(predictor: Predictor, clip: Latent, actions: Tensor, settings: Learning, prefix: int) -> Lesson:
    """The loss of B clips of T real frames and their `[B, T, A]` standardised actions; rollouts leave from `prefix`.

    Proprioception is embedded by the predictor as it is now, with gradients. Row t of the actions is taken in frame t;
    the last row leads out of the clip and is not looked at.
    """
    assert clip.frames >= settings.needed_frames(predictor.context), "clips too short for this loss"
    forced, target = teacher_forced(predictor, clip, actions)
    target = target.detach() if settings.proprio_detached else target
    distances = _distances(forced, target, settings.metric)[None]
    if settings.rollout > 1:
        prefixes = range(clip.frames - settings.rollout) if settings.rollout_prefix == "all" else [prefix]
        rollouts = [_rolled_out(predictor, clip, actions, settings, first=first, forced=forced) for first in prefixes]
        distances = torch.cat([distances, torch.stack(rollouts).mean(dim=0)])
    total = (distances * _weights(settings, distances)).sum()
    return Lesson(total, _terms(distances.detach()))


def teacher_forced(predictor: Predictor, clip: Latent, actions: Tensor) -> tuple[Latent, Latent]:
    """One-step predictions in every window of W real frames and the frames they are of, `[B * (T - W), W, ...]` each.

    With T = W + 1 there is one window. The study feeds all T frames and throws the last output away, which is equal.
    A streaming predictor sees all but the last frame as one window.
    """
    frames = _forced_frames(predictor, clip)
    window = clip.map(lambda z: _windows(z[:, :-1], frames))
    predicted: Latent = predictor(window, _windows(actions[:, :-1], frames))
    return predicted, clip.map(lambda z: _windows(z[:, 1:], frames))


def _forced_frames(predictor: Predictor, clip: Latent) -> int:
    return clip.frames - 1 if predictor.streaming else min(predictor.context, clip.frames - 1)


def _windows(frames: Tensor, context: int) -> Tensor:
    """`[B, T, ...]` -> `[B * (T - W + 1), W, ...]`, every run of W frames, clip after clip."""
    return frames.unfold(1, context, 1).movedim(-1, 2).flatten(0, 1)


def _rolled_out(
    predictor: Predictor, clip: Latent, actions: Tensor, settings: Learning, *, first: int, forced: Latent
) -> Tensor:
    """`[K - 1, 1 or 2]` distances 2 to K steps after real frame `first`, going on from its one-step prediction."""
    window = max(0, first - _forced_frames(predictor, clip) + 1)
    successor = forced.map(lambda z: z.unflatten(0, (len(actions), -1))[:, window, first - window, None])
    imagined = join(clip.map(lambda z: z[:, : first + 1]), successor)
    context, distances = settings.rollout_context(predictor), []
    for step in range(2, settings.rollout + 1):
        if settings.rollout_backprop is not None and (step - 1) % settings.rollout_backprop == 0:
            imagined = imagined.detach()
        following = advance(predictor, imagined, actions, context)
        target = _frame(clip, first + step).detach()
        distances.append(_distances(following, target, settings.metric))
        imagined = join(imagined, following)
    return torch.stack(distances)


def _frame(clip: Latent, index: int) -> Latent:
    return clip.map(lambda z: z[:, index, None])


def _cosine(predicted: Tensor, target: Tensor) -> Tensor:
    return 1 - cosine_similarity(predicted, target, dim=-1).mean()


_METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": mse_loss,
    "l1": l1_loss,
    "smooth_l1": smooth_l1_loss,
    "cosine": _cosine,
}


def _distances(predicted: Latent, target: Latent, metric: str) -> Tensor:
    """`[1]` of the visual tokens, or `[2]` with embedded proprioception."""
    pairs = [(predicted.visual, target.visual)]
    if predicted.proprio is not None and target.proprio is not None:
        pairs.append((predicted.proprio, target.proprio))
    return torch.stack([_METRICS[metric](*pair) for pair in pairs])


def _weights(settings: Learning, distances: Tensor) -> Tensor:
    """`[K, 1 or 2]`, the weight of every distance."""
    count = settings.rollout
    steps = [1.0] * count if settings.weighting == "sum" else [1 / (count + 1)] + [1 / count] * (count - 1)
    kinds = [1.0, settings.proprio_weight][: distances.shape[1]]
    return distances.new_tensor(steps)[:, None] * distances.new_tensor(kinds)


def _terms(distances: Tensor) -> dict[str, Tensor]:
    kinds = ("visual", "proprio")[: distances.shape[1]]
    return {f"{kind}_{step + 1}": distances[step, k] for step in range(len(distances)) for k, kind in enumerate(kinds)}


@torch.no_grad()
def rollout_error(predictor: Predictor, clip: Latent, actions: Tensor, context: int, start: int = 1) -> Tensor:
    """`[T - start]` mean squared error of the visual tokens by steps ahead, when the first `start` frames are real.

    One real frame is how plans begin; the study validates with 3.
    """
    imagined = rollout(predictor, clip.map(lambda z: z[:, :start]), actions[:, :-1], context)
    return (imagined.visual - clip.visual[:, start:]).square().flatten(2).mean(dim=(0, 2))


@torch.no_grad()
def action_sensitivity(predictor: Predictor, clip: Latent, actions: Tensor) -> float:
    """How many times larger the one-step error is when every clip gets the next one's actions.

    About 1 means that actions are ignored; infinite where predictions are exact.
    """
    predicted, target = teacher_forced(predictor, clip, actions)
    misled, _ = teacher_forced(predictor, clip, actions.roll(1, dims=0))
    return float(mse_loss(misled.visual, target.visual) / mse_loss(predicted.visual, target.visual))
