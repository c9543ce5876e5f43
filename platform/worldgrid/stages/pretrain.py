"""Pretrain: make the weights of an encoder that learns here. n frames, S side, F frames of the data, D latent."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors.torch import save
from torch import Tensor

from worldgrid.curve import Curve, last_values
from worldgrid.encoders import ENCODERS, WEIGHTS, Encoder
from worldgrid.envs import ENVS
from worldgrid.noise import generator, stream_seed
from worldgrid.optimisation import Optimisation
from worldgrid.representation import effective_rank, spread, time_contrastive
from worldgrid.resume import RESUME, load_state, save_state, weights_of
from worldgrid.spec import JSON, ConfigError, Spec, parse
from worldgrid.stages import Job
from worldgrid.store import write_whole
from worldgrid.trajectories import Trajectories

VERSION = 1
LOG = 10
"""Steps between lines of `metrics.jsonl`."""
SAVE = 50
"""Steps between states to resume from."""
SAMPLE = 1024
"""Frames that statistics are measured on, before learning and after it."""


class Pretrain(Spec):
    """Settings of an encoder's learning. The defaults are ours; the study's encoders come trained."""

    objective: Literal["time_contrastive"] = "time_contrastive"
    """Frames few steps apart come close, frames of different trajectories are pushed apart."""
    steps: int = Field(default=350, ge=1)
    """Steps of AdamW; the rate falls to zero on a cosine."""
    batch: int = Field(default=128, ge=2)
    """Pairs of frames per step, each from another trajectory while there are enough."""
    lr: float = Field(default=1e-3, gt=0)
    """Learning rate of the first step."""
    weight_decay: float = Field(default=0.05, ge=0)
    """On matrices and convolutions; biases and other 1-D parameters never decay."""
    temperature: float = Field(default=0.1, gt=0)
    """Of the InfoNCE loss: the unit of the latent distance."""
    reach: int = Field(default=3, ge=1)
    """Most model steps between the frames of a pair."""
    seed: int = Field(default=0, ge=0)
    """Names the first weights and the pairs."""


def run(job: Job) -> JSON:
    """Learn, or go on learning where an interrupted run stopped, and leave the weights; the same bits either way."""
    torch.set_num_threads(1)  # a constant, for it moves the last bits; two spin on a busy machine (7 x the CPU time)
    env = ENVS.parse(job.step.config["env"])
    settings = parse(Pretrain, job.step.config["pretrain"], "pretrain")
    pairs = Pairs(Trajectories(job.inputs["trajectories"]), env.frameskip, settings)
    torch.manual_seed(stream_seed("weights", settings.seed))
    encoder = ENCODERS.parse(job.step.config["encoder"]).build(env)
    sample = pairs.sample(SAMPLE)
    encoder.standardise(sample)
    _learn(encoder, pairs, settings, job)
    with torch.inference_mode():
        tokens = torch.cat([encoder.eval()(frames) for frames in sample.split(settings.batch)])
    write_whole(job.out / WEIGHTS, save(weights_of(encoder)))
    (job.out / RESUME).unlink(missing_ok=True)
    signs = {"effective_rank": effective_rank(tokens), "spread": spread(tokens)}
    return last_values(job.out / "metrics.jsonl") | signs


def _learn(encoder: Encoder, pairs: Pairs, settings: Pretrain, job: Job) -> None:
    decay = (settings.weight_decay, settings.weight_decay)
    plan = Optimisation(lr=settings.lr, schedule="cosine", weight_decay=decay)
    optimiser = plan.optimiser(encoder.train())
    done = load_state(job.out / RESUME, encoder, optimiser)
    curve = Curve(job.out / "metrics.jsonl", done)
    for step in range(done, settings.steps):
        plan.set_step(optimiser, step / settings.steps)
        anchors, positives = (encoder(frames) for frames in pairs.draw(step))
        loss = time_contrastive(anchors, positives, settings.temperature)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if (step + 1) % LOG == 0 or step + 1 == settings.steps:
            curve.write(step + 1, {"loss": loss.item(), "lr": optimiser.param_groups[0]["lr"]})
        if (step + 1) % SAVE == 0:
            save_state(job.out / RESUME, encoder, optimiser, step + 1)


class Pairs:
    """Pairs of frames of one trajectory, few model steps apart, drawn anew for every step.

    Of every trajectory one frame per model step is held in memory, so that how densely it was recorded changes nothing.
    """

    def __init__(self, source: Trajectories, frameskip: int, settings: Pretrain) -> None:
        stride = frameskip // source.keep
        lengths = -(-source.lengths // stride)
        self._settings = settings
        self._first = np.cumsum(lengths) - lengths
        self._lengths = lengths
        self._usable = np.flatnonzero(lengths > 1)
        if not len(self._usable):
            raise ConfigError(
                f"collect.steps: no trajectory has two frames a model step apart; {frameskip} and more fit"
            )
        size = source.manifest["size"]
        self._frames = torch.empty((int(lengths.sum()), size, size, 3), dtype=torch.uint8)
        kept = (trajectory.frames[::stride] for shard in source for trajectory in shard)
        for first, frames in zip(self._first, kept, strict=True):
            self._frames.numpy()[first : first + len(frames)] = frames

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """`[batch, S, S, 3]` uint8 anchors and as many frames that follow them, in pairs: a function of the step."""
        batch, reach = self._settings.batch, self._settings.reach
        stream = generator("pairs", self._settings.seed, step)
        chosen = stream.choice(self._usable, batch, replace=batch > len(self._usable))
        apart = stream.integers(1, np.minimum(reach, self._lengths[chosen] - 1), endpoint=True)
        start = self._first[chosen] + stream.integers(0, self._lengths[chosen] - apart)
        return self._take(start), self._take(start + apart)

    def sample(self, count: int) -> Tensor:
        """`[count, S, S, 3]` uint8 frames from all over the data, or all where there are fewer."""
        frames = len(self._frames)
        chosen = generator("sample", self._settings.seed).choice(frames, min(count, frames), replace=False)
        return self._take(np.sort(chosen))

    def _take(self, rows: NDArray[np.int64]) -> Tensor:
        return self._frames[torch.from_numpy(rows)]
