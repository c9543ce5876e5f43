"""Pretrain: make the weights of an encoder that learns here. F frames, S frame side, P patches, D latent."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors.torch import save
from torch import Tensor

from worldgrid.curve import Curve, last_values
from worldgrid.encoders import ENCODERS
from worldgrid.encoders.contrastive import WEIGHTS, ContrastiveEncoder
from worldgrid.envs import ENVS
from worldgrid.noise import generator, stream_seed
from worldgrid.representation import effective_rank, time_contrastive
from worldgrid.resume import RESUME, load_state, save_state, weights_of
from worldgrid.spec import JSON, Spec, parse
from worldgrid.stages import Job
from worldgrid.store import write_whole
from worldgrid.trajectories import Trajectories

VERSION = 1
THREADS = 2
"""Fixed, because it decides the last bits of sums: the same weights on one core or on many."""
_EVERY = 50
"""Steps between states to resume from."""
_LOG = 10


class Pretrain(Spec):
    """Settings of an encoder's learning."""

    objective: Literal["time_contrastive"] = "time_contrastive"
    """Frames few steps apart come close, frames of other trajectories are pushed away."""
    steps: int = Field(default=350, ge=1)
    """Steps of AdamW on a cosine to zero."""
    batch: int = Field(default=128, ge=2)
    """Pairs of frames per step, each from another trajectory while there are enough."""
    lr: float = Field(default=1e-3, gt=0)
    """Peak learning rate."""
    weight_decay: float = Field(default=0.05, ge=0)
    """On matrices only."""
    temperature: float = Field(default=0.1, gt=0)
    """Of the InfoNCE loss, in units of the latent distance."""
    reach: int = Field(default=3, ge=1)
    """Most model steps between the frames of a pair."""
    seed: int = Field(default=0, ge=0)
    """Weights and pairs."""


def run(job: Job) -> JSON:
    """Learn, or go on learning, and leave the frozen weights."""
    torch.set_num_threads(THREADS)
    env = ENVS.parse(job.step.config["env"])
    settings = parse(Pretrain, job.step.config["pretrain"], "pretrain")
    source = Trajectories(job.inputs["trajectories"])
    pairs = _Pairs(source, env.frameskip // source.keep, settings)
    torch.manual_seed(stream_seed("weights", settings.seed))
    encoder = ENCODERS.parse(job.step.config["encoder"]).build(env)
    assert isinstance(encoder, ContrastiveEncoder)
    encoder.standardise(pairs.sample(4 * settings.batch))
    _learn(encoder.train(), pairs, settings, job)
    with torch.inference_mode():
        rank = effective_rank(encoder.eval()(pairs.sample(1024)))
    write_whole(job.out / WEIGHTS, save(weights_of(encoder)))
    (job.out / RESUME).unlink(missing_ok=True)
    return last_values(job.out / "metrics.jsonl") | {"effective_rank": rank}


class _Pairs:
    """Frames of one trajectory, few model steps apart, drawn anew for every step."""

    def __init__(self, source: Trajectories, stride: int, settings: Pretrain) -> None:
        self._frames = torch.from_numpy(np.concatenate([trajectory.frames for shard in source for trajectory in shard]))
        self._lengths = source.lengths
        self._first = np.cumsum(self._lengths) - self._lengths
        self._stride = stride
        self._settings = settings

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """`[n, S, S, 3]` anchors and positives of a step."""
        batch, reach = self._settings.batch, self._settings.reach
        rng = generator("pairs", self._settings.seed, step)
        long = np.flatnonzero(self._lengths > self._stride)
        chosen = rng.choice(long, batch, replace=batch > len(long))
        apart = rng.integers(1, np.minimum(reach, (self._lengths[chosen] - 1) // self._stride) + 1) * self._stride
        start = self._first[chosen] + rng.integers(0, self._lengths[chosen] - apart)
        return self._take(start), self._take(start + apart)

    def sample(self, count: int) -> Tensor:
        """`[n, S, S, 3]` frames from all over the data, for statistics."""
        rng = generator("sample", self._settings.seed)
        return self._take(np.sort(rng.choice(len(self._frames), min(count, len(self._frames)), replace=False)))

    def _take(self, rows: NDArray[np.int64]) -> Tensor:
        return self._frames[torch.from_numpy(rows)]


def _learn(encoder: ContrastiveEncoder, pairs: _Pairs, settings: Pretrain, job: Job) -> None:
    weights = list(encoder.parameters())
    groups = [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=settings.lr)
    done = load_state(job.out / RESUME, encoder, optimiser)
    curve = Curve(job.out / "metrics.jsonl", done)
    for step in range(done, settings.steps):
        rate = settings.lr * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
        for group in optimiser.param_groups:
            group["lr"] = rate
        anchors, positives = (encoder(frames) for frames in pairs.draw(step))
        loss = time_contrastive(anchors, positives, settings.temperature)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if (step + 1) % _LOG == 0 or step + 1 == settings.steps:
            curve.write(step + 1, {"epoch": 1, "loss": float(loss.detach()), "lr": rate})
        if (step + 1) % _EVERY == 0:
            save_state(job.out / RESUME, encoder, optimiser, step + 1)
