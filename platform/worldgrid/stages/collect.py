"""Collect: play exploring episodes with a policy and record them. B episodes, T kept frames."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import ray
from pydantic import Field

from worldgrid.envs import ENVS, EnvSpec
from worldgrid.noise import stream_seed
from worldgrid.policies import POLICIES, PolicySpec
from worldgrid.spec import JSON, Spec, parse
from worldgrid.stages import Job
from worldgrid.trajectories import Trajectory, shard_name, write_manifest, write_shard

VERSION = 1


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


def read(section: object, where: str) -> Collect:
    """The settings a user wrote, with the policy's own defaults filled in."""
    collect = parse(Collect, section, where)
    policy = POLICIES.parse(collect.policy, f"{where}.policy")
    return collect.model_copy(update={"policy": policy.recipe()})


def run(job: Job) -> JSON:
    """Record every shard that is missing, as parallel tasks, then write the manifest."""
    env = ENVS.parse(job.step.config["env"])
    collect = parse(Collect, job.step.config["collect"], "collect")
    shards = -(-collect.episodes // collect.shard)
    missing = [index for index in range(shards) if not (job.out / shard_name(index)).exists()]
    remote = ray.remote(record).options(num_cpus=job.scale.cpus)
    ray.get([remote.remote(env, collect, index, job.out / shard_name(index)) for index in missing])
    dims: JSON = {"action": env.action_dim, "proprio": env.proprio_dim, "state": env.state_dim}
    manifest = write_manifest(job.out, shards=shards, keep=collect.keep, size=env.size, dims=dims)
    frames = sum(sum(part) for part in manifest["lengths"])
    return {"episodes": collect.episodes, "frames": frames, "bytes": sum(f.stat().st_size for f in os.scandir(job.out))}


def record(env: EnvSpec, collect: Collect, shard: int, path: Path) -> None:
    """Play and write one shard; its content depends on the settings and its number alone."""
    policy = POLICIES.parse(collect.policy, "collect.policy")
    first = shard * collect.shard
    episodes = range(first, min(first + collect.shard, collect.episodes))
    write_shard(path, explore(env, policy, collect, episodes))


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
