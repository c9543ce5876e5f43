"""Encode: every recorded frame goes through the frozen encoder exactly once. P patches, D latent."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from pydantic import Field

from worldgrid.encoders import ENCODERS, Encoder
from worldgrid.envs import ENVS
from worldgrid.latents import EncodedShard, is_encoded, write_encoded, write_index
from worldgrid.spec import JSON, ConfigError, Spec, parse
from worldgrid.stages import Job
from worldgrid.step import Step
from worldgrid.trajectories import Trajectories, Trajectory

VERSION = 1


class Encode(Spec):
    """Settings of the encoded data."""

    dtype: Literal["float16", "float32"] = "float16"
    """How latents are stored. float16 has 11 significant bits; the study's own training reads bf16, which has 8."""
    batch: int = Field(default=256, ge=1)
    """Frames per forward pass; part of the recipe, because shapes decide the last bits of a sum."""


def run(job: Job) -> JSON:
    """Encode every shard that is missing, as parallel tasks, then write the index."""
    source = Trajectories(job.inputs["trajectories"])
    missing = [index for index in range(source.shards) if not is_encoded(job.out, index)]
    remote = ray.remote(encode_shard).options(num_cpus=job.scale.cpus)
    ray.get([remote.remote(job, index) for index in missing])
    encoder = _encoder(job)
    write_index(
        job.out,
        keep=source.keep,
        lengths=source.manifest["lengths"],
        patches=encoder.patches,
        width=encoder.width,
    )
    return {"frames": int(source.lengths.sum()), "patches": encoder.patches, "width": encoder.width}


def encode_shard(job: Job, index: int) -> None:
    """Encode and write one shard; what it writes depends on the step alone."""
    torch.set_num_threads(1)
    settings = parse(Encode, job.step.config["encode"], "encode")
    encoder = _encoder(job)
    source = Trajectories(job.inputs["trajectories"])
    trajectories = source.shard(index)
    seen = np.concatenate([_seen(encoder, trajectory) for trajectory in trajectories])
    shard = EncodedShard(
        tokens(encoder, seen, settings.batch).astype(settings.dtype),
        np.concatenate([trajectory.proprio for trajectory in trajectories]),
        np.concatenate([trajectory.states for trajectory in trajectories]),
        np.concatenate([_by_frame(trajectory, source.keep) for trajectory in trajectories]),
    )
    write_encoded(job.out, index, shard)


def tokens(encoder: Encoder, seen: NDArray[np.generic], batch: int) -> NDArray[np.float32]:
    """`[F, ...]` frames or states -> `[F, P, D]`."""
    with torch.inference_mode():
        parts = [encoder(torch.from_numpy(seen[at : at + batch])).numpy() for at in range(0, len(seen), batch)]
    return np.concatenate(parts)


def load_encoder(step: Step, pretrained: Path | None) -> Encoder:
    """The encoder a step names, in eval mode on the CPU, with the weights of the folder of a `pretrain` step, if any.

    Weights from outside are read where the grid found them or, on a machine without them there, where the encoder's
    settings say; raises ConfigError when they are not the ones of the step's key.
    """
    spec, env = ENCODERS.parse(step.config["encoder"]), ENVS.parse(step.config["env"])
    if "weights" not in step.config:
        return spec.build(env, pretrained)
    place = Path(step.frozen) if step.frozen and Path(step.frozen).exists() else None
    found = spec.frozen(place)
    if found is None or found.content != step.config["weights"]:
        wanted, where = step.config["weights"][:12], found.path if found else "none"
        raise ConfigError(f"encoder: the weights on this machine ({where}) are not those of {step.key} ({wanted}...)")
    return spec.build(env, found.path)


def _encoder(job: Job) -> Encoder:
    return load_encoder(job.step, job.inputs.get("weights"))


def _seen(encoder: Encoder, trajectory: Trajectory) -> NDArray[np.generic]:
    return trajectory.frames if encoder.reads == "frames" else trajectory.states.astype(np.float32)


def _by_frame(trajectory: Trajectory, keep: int) -> NDArray[np.float32]:
    rows = trajectory.actions.reshape(len(trajectory.frames) - 1, keep * trajectory.actions.shape[1])
    return np.concatenate([rows, np.zeros_like(rows[:1])])
