"""Pretrain: make the weights of an encoder that learns here. n frames, S side, F frames of the data, A model action."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors.torch import save
from torch import Tensor, nn

from worldgrid.curve import Curve, last_values
from worldgrid.encoders import ENCODERS, WEIGHTS
from worldgrid.envs import ENVS, EnvSpec
from worldgrid.noise import generator, stream_seed
from worldgrid.optimisation import Optimisation
from worldgrid.predictors import Shapes
from worldgrid.pretexts import PRETEXTS
from worldgrid.representation import distances, effective_rank, rank_correlation, spreads
from worldgrid.resume import RESUME, load_state, save_state, weights_of
from worldgrid.spec import JSON, ConfigError, Spec, parse
from worldgrid.stages import Job
from worldgrid.store import write_whole
from worldgrid.trajectories import Trajectories
from worldgrid.world_model import Normalisation

VERSION = 1
LOG = 10
"""Steps between lines of `metrics.jsonl`."""
SAVE = 50
"""Steps between states to resume from."""
WATCH = 100
"""Steps between looks for signs of collapse."""
SAMPLE = 1024
"""Frames of the data that statistics are measured on, before learning and during it."""
UNSEEN = 256
"""Frames in no data whose latent distances are compared with true ones."""


class Pretrain(Spec):
    """Settings of an encoder's learning. The defaults are ours; the study's encoders come trained."""

    objective: JSON = Field(default={"kind": "time_contrastive"})
    """What it learns by: time_contrastive, inverse_dynamics or jepa, with their settings."""
    steps: int = Field(default=350, ge=1)
    """Steps of AdamW; the rate falls to zero on a cosine."""
    batch: int = Field(default=128, ge=2)
    """Pairs of frames per step, each from another trajectory while there are enough."""
    lr: float = Field(default=1e-3, gt=0)
    """Learning rate of the first step."""
    weight_decay: float = Field(default=0.05, ge=0)
    """On matrices and convolutions; biases and other 1-D parameters never decay."""
    seed: int = Field(default=0, ge=0)
    """Names the first weights and the pairs."""


def read(section: object, where: str) -> Pretrain:
    """The settings a user wrote, with the objective's own defaults filled in."""
    settings = parse(Pretrain, section, where)
    objective = PRETEXTS.parse(settings.objective, f"{where}.objective")
    return settings.model_copy(update={"objective": objective.recipe()})


def run(job: Job) -> JSON:
    """Learn, or go on learning where an interrupted run stopped, and leave the weights; the same bits either way."""
    torch.set_num_threads(1)  # a constant, for it moves the last bits; two spin on a busy machine (7 x the CPU time)
    env = ENVS.parse(job.step.config["env"])
    settings = read(job.step.config["pretrain"], "pretrain")
    pretext = PRETEXTS.parse(settings.objective)
    pairs = Pairs(Trajectories(job.inputs["trajectories"]), env.frameskip, settings, pretext.span)
    torch.manual_seed(stream_seed("weights", settings.seed))
    encoder = ENCODERS.parse(job.step.config["encoder"]).build(env)
    sample = pairs.sample(SAMPLE)
    encoder.standardise(sample)
    shapes = Shapes(encoder.patches, encoder.width, env.frameskip * env.action_dim, proprio=0)
    learning = nn.ModuleDict({"encoder": encoder, "pretext": pretext.build(shapes)})
    _learn(learning, pairs, settings, Watch(sample, unseen(env, settings.seed)), job)
    write_whole(job.out / WEIGHTS, save(weights_of(encoder)))
    (job.out / RESUME).unlink(missing_ok=True)
    return last_values(job.out / "metrics.jsonl")


def _learn(learning: nn.ModuleDict, pairs: Pairs, settings: Pretrain, watch: Watch, job: Job) -> None:
    encoder, pretext = learning["encoder"], learning["pretext"]
    decay = (settings.weight_decay, settings.weight_decay)
    plan = Optimisation(lr=settings.lr, schedule="cosine", weight_decay=decay)
    optimiser = plan.optimiser(learning)
    done = load_state(job.out / RESUME, learning, optimiser)
    curve = Curve(job.out / "metrics.jsonl", done)
    for step in range(done, settings.steps):
        plan.set_step(optimiser, step / settings.steps)
        learning.train()
        pair = pairs.draw(step)
        before, after = encoder(pair.before), encoder(pair.after)
        loss, terms = pretext(before, after, pair.actions, generator("pretext", settings.seed, step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        last = step + 1 == settings.steps
        if (step + 1) % LOG == 0 or last:
            parts = {f"loss/{name}": term.item() for name, term in terms.items()}
            signs = watch(encoder) if (step + 1) % WATCH == 0 or last else {}
            curve.write(step + 1, {"loss": loss.item(), "lr": optimiser.param_groups[0]["lr"]} | parts | signs)
        if (step + 1) % SAVE == 0:
            save_state(job.out / RESUME, learning, optimiser, step + 1)


class Pair(NamedTuple):
    """n pairs of frames, each of one trajectory."""

    before: Tensor
    """`[n, S, S, 3]` uint8."""
    after: Tensor
    """`[n, S, S, 3]` uint8."""
    actions: Tensor
    """`[n, A]` what was done from `before` on, for one model step, standardised."""


class Pairs:
    """Pairs of frames of one trajectory, few model steps apart, drawn anew for every step.

    Of every trajectory one frame per model step is held in memory, so that how densely it was recorded changes nothing.
    """

    def __init__(self, source: Trajectories, frameskip: int, settings: Pretrain, span: int) -> None:
        stride = frameskip // source.keep
        lengths = -(-source.lengths // stride)
        self._settings, self._span = settings, span
        self._first = np.cumsum(lengths) - lengths
        self._lengths = lengths
        self._usable = np.flatnonzero(lengths > 1)
        if not len(self._usable):
            raise ConfigError(
                f"collect.steps: no trajectory has two frames a model step apart; {frameskip} and more fit"
            )
        size, width = source.manifest["size"], source.manifest["dims"]["action"]
        self._frames = torch.empty((int(lengths.sum()), size, size, 3), dtype=torch.uint8)
        actions = np.zeros((len(self._frames), frameskip * width), np.float32)
        recorded = (trajectory for shard in source for trajectory in shard)
        proprio = []
        for first, length, trajectory in zip(self._first, lengths, recorded, strict=True):
            self._frames.numpy()[first : first + length] = trajectory.frames[::stride]
            done = trajectory.actions[: (length - 1) * frameskip]
            actions[first : first + length - 1] = done.reshape(length - 1, frameskip * width)
            proprio.append(trajectory.proprio)
        acted = np.delete(actions, self._first + lengths - 1, axis=0).reshape(-1, width)
        statistics = Normalisation.measure(acted, np.concatenate(proprio))
        self._actions = statistics.standardise_actions(torch.from_numpy(actions))

    def draw(self, step: int) -> Pair:
        """The `batch` pairs of a step: a function of its number."""
        batch = self._settings.batch
        stream = generator("pairs", self._settings.seed, step)
        chosen = stream.choice(self._usable, batch, replace=batch > len(self._usable))
        apart = stream.integers(1, np.minimum(self._span, self._lengths[chosen] - 1), endpoint=True)
        start = self._first[chosen] + stream.integers(0, self._lengths[chosen] - apart)
        return Pair(self._take(start), self._take(start + apart), self._actions[torch.from_numpy(start)])

    def sample(self, count: int) -> Tensor:
        """`[count, S, S, 3]` uint8 frames from all over the data, or all where there are fewer."""
        frames = len(self._frames)
        chosen = generator("sample", self._settings.seed).choice(frames, min(count, frames), replace=False)
        return self._take(np.sort(chosen))

    def _take(self, rows: NDArray[np.int64]) -> Tensor:
        return self._frames[torch.from_numpy(rows)]


class Unseen(NamedTuple):
    """n frames that are in no data, and how far apart they truly are."""

    frames: Tensor
    """`[n, S, S, 3]` uint8."""
    distances: NDArray[np.float64]
    """`[n, n]` shortest ways, in the env's unit."""


def unseen(env: EnvSpec, seed: int) -> Unseen | None:
    """Frames of states drawn for this alone; None where the env cannot tell how far apart states are."""
    none = np.empty((0, env.state_dim))
    if env.geodesic(none, none) is None:
        return None
    batch = env.explore([stream_seed("unseen", seed, index) for index in range(UNSEEN)])
    states = batch.state()
    batch.close()
    apart = env.geodesic(states, states)
    assert apart is not None
    return Unseen(torch.from_numpy(env.render(states)), apart)


class Watch:
    """Looks at an encoder for signs of collapse."""

    def __init__(self, sample: Tensor, unseen: Unseen | None) -> None:
        self._sample, self._unseen = sample, unseen

    @torch.inference_mode()
    def __call__(self, encoder: nn.Module) -> dict[str, float]:
        """How many directions the tokens of the sample use, and how far they spread: all numbers, and the least.

        Where the env can tell: how well the order of latent distances is that of true ones, which planning needs.
        """
        encoder.eval()
        tokens = _tokens(encoder, self._sample)
        each = spreads(tokens)
        signs = {
            "effective_rank": effective_rank(tokens),
            "spread": float(each.square().mean().sqrt()),
            "spread_least": float(each.min()),
        }
        if self._unseen is not None:
            there = _tokens(encoder, self._unseen.frames)
            pairs = np.triu_indices(len(there), k=1)
            apart = distances(there, there).numpy()[pairs]
            signs["geodesic_spearman"] = rank_correlation(apart, self._unseen.distances[pairs])
        return signs


def _tokens(encoder: nn.Module, frames: Tensor) -> Tensor:
    return torch.cat([encoder(part) for part in frames.split(128)])
