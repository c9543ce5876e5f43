"""Collect: play exploring episodes with a policy and record them. B episodes, T kept frames."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from worldgrid.envs import ENVS, EnvSpec
from worldgrid.noise import stream_seed
from worldgrid.policies import POLICIES, PolicySpec
from worldgrid.spec import JSON, ConfigError, Spec, parse
from worldgrid.stages import Job
from worldgrid.stages.spread import Work, spread, timed
from worldgrid.step import Step
from worldgrid.store import gather
from worldgrid.trajectories import Trajectory, shard_name, write_manifest, write_shard

VERSION = 1
INGESTED = 1
"""Version of ingested steps: raised when what a reader makes of a source changes."""


class Collect(Spec):
    """Settings of the data a study learns from."""

    episodes: int = Field(default=2000, ge=2)
    """Trajectories to record (paper: 1,920 for Wall, 2,000 for PointMaze)."""
    steps: int = Field(default=50, ge=1)
    """Simulator steps of each (paper: 50 for Wall, 100 for PointMaze)."""
    keep: int = Field(default=1, ge=1)
    """Simulator steps between recorded frames; must divide the frameskip (paper: 1, every frame)."""
    policy: JSON = Field(default={"kind": "uniform"})
    """What moves the robot."""
    seed: int = Field(default=0, ge=0)
    """Names the episodes: starts and the policy's noise."""
    shard: int = Field(default=250, ge=1)
    """Trajectories in one file; the unit of work and of resuming."""


class Ingested(Spec):
    """Recorded episodes from outside, as a grid names them; `worldgrid ingest` prints this section.

    What they hold must fit the trial: `worldgrid.ingest` checks it before anything runs.
    """

    kind: Literal["ingested"] = "ingested"
    reader: JSON
    """The settings of the member of `sources/` that read them."""
    source: str = Field(pattern="^[0-9a-f]{64}$")
    """SHA-256 of the manifest of what was read: every file's path and content."""

    keep: ClassVar[int] = 1
    """Every frame of a recording is kept."""
    steps: ClassVar[int] = sys.maxsize
    """How long they are, the store knows."""

    def step(self) -> Step:
        """The finished step that `worldgrid ingest` leaves in a store; it needs no other."""
        return Step("collect", INGESTED, {"collect": self.recipe()})


def read(section: object, where: str) -> Collect | Ingested:
    """The settings a user wrote, with the policy's own defaults filled in."""
    if isinstance(section, Mapping) and "kind" in section:
        return parse(Ingested, section, where)
    collect = parse(Collect, section, where)
    policy = POLICIES.parse(collect.policy, f"{where}.policy")
    return collect.model_copy(update={"policy": policy.recipe()})


def run(job: Job) -> JSON:
    """Record every shard that is missing, on as many workers as there are, then write the manifest."""
    if "env" not in job.step.config:
        raise ConfigError(f"collect: {job.step.key} is not in this store; `worldgrid ingest` puts it there")
    env = ENVS.parse(job.step.config["env"])
    collect = parse(Collect, job.step.config["collect"], "collect")
    shards = -(-collect.episodes // collect.shard)
    missing = [index for index in range(shards) if not (job.out / shard_name(index)).exists()]
    seconds = _seconds(env, collect) * len(missing) if len(missing) > 1 else 0.0
    spread(partial(_recorder, env, collect, job.out), missing, seconds, cpus=job.scale.cpus)
    gather(job.out)
    dims: JSON = {"action": env.action_dim, "proprio": env.proprio_dim, "state": env.state_dim}
    manifest = write_manifest(job.out, shards=shards, keep=collect.keep, size=env.size, dims=dims)
    written = sum((job.out / shard_name(index)).stat().st_size for index in range(shards))
    return {"episodes": collect.episodes, "frames": manifest["counts"]["frames"], "bytes": written}


def _seconds(env: EnvSpec, collect: Collect) -> float:
    """How long one shard takes, from its first two kept frames."""
    few = collect.model_copy(update={"steps": collect.keep})
    first = range(min(collect.shard, collect.episodes))
    policy = POLICIES.parse(collect.policy, "collect.policy")
    return timed(lambda: explore(env, policy, few, first)) / 2 * (collect.steps // collect.keep + 1)


def _recorder(env: EnvSpec, collect: Collect, out: Path) -> Work:
    return lambda shard: record(env, collect, shard, out / shard_name(shard))


def record(env: EnvSpec, collect: Collect, shard: int, path: Path) -> int:
    """Play and write one shard of so many trajectories; its content depends on the settings and its number alone."""
    policy = POLICIES.parse(collect.policy, "collect.policy")
    first = shard * collect.shard
    episodes = range(first, min(first + collect.shard, collect.episodes))
    write_shard(path, explore(env, policy, collect, episodes))
    return len(episodes)


def explore(env: EnvSpec, policy: PolicySpec, collect: Collect, episodes: range) -> list[Trajectory]:
    """Play the named episodes as one batch."""
    seeds = [stream_seed("explore", collect.seed, episode) for episode in episodes]
    batch, mover = env.explore(seeds), policy.start(env, seeds)
    try:
        kept, actions = [batch.observe()], []
        for time in range(collect.steps // collect.keep * collect.keep):
            action = mover.act(batch.state(), time).astype(np.float32)
            batch.step(action.astype(np.float64))
            actions.append(action)
            if (time + 1) % collect.keep == 0:
                kept.append(batch.observe())
    finally:
        batch.close()
    return [
        Trajectory(
            episode,
            np.stack([seen.frames[row] for seen in kept]),
            np.stack([seen.proprio[row] for seen in kept]),
            np.stack([seen.state[row] for seen in kept]),
            np.stack([action[row] for action in actions]),
        )
        for row, episode in enumerate(episodes)
    ]
