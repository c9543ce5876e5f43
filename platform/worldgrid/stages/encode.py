"""Encode: every recorded frame goes through the frozen encoder exactly once. P patches, D latent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from worldgrid.encoders import ENCODERS, Encoder
from worldgrid.envs import ENVS
from worldgrid.latents import is_encoded, write_controls, write_index, write_latents
from worldgrid.spec import JSON, ConfigError, Spec, parse
from worldgrid.stages import Job
from worldgrid.stages.spread import Work, spread, timed
from worldgrid.step import Step
from worldgrid.store import gather, write_whole
from worldgrid.trajectories import Trajectories

VERSION = 1
FEW = 8
"""Frames whose time says whether encoding is worth workers."""


class Encode(Spec):
    """Settings of the encoded data."""

    dtype: Literal["float16", "float32"] = "float16"
    """How latents are stored. float16 has 11 significant bits; the study's own training reads bf16, which has 8."""
    batch: int = Field(default=256, ge=1)
    """Frames per forward pass; part of the recipe, because shapes decide the last bits of a sum."""


def run(job: Job) -> JSON:
    """Encode every shard that is missing, on as many workers as there are, then write the index.

    `encodings_per_frame` counts how often a frame went through the encoder, over all attempts: 1 unless one was broken
    off. Tokens of a GPU differ from a CPU's in their last bits.
    """
    torch.set_num_threads(1)
    source, encoder = Trajectories(job.inputs["trajectories"]), _encoder(job)
    missing = [index for index in range(source.shards) if not is_encoded(job.out, index)]
    frames = int(source.lengths.sum())
    scale = job.scale.encode
    seconds = _seconds(encoder, source) * frames * len(missing) / source.shards if len(missing) > 1 else 0.0
    spread(partial(_shard_encoder, job), missing, seconds, cpus=scale.cpus, gpus=scale.gpus)
    write_index(
        job.out,
        keep=source.keep,
        lengths=source.manifest["lengths"],
        patches=encoder.patches,
        width=encoder.width,
    )
    gather(job.out)
    encoded = sum(_tallied(job.out, index) for index in range(source.shards))
    counted: JSON = {"frames": frames, "encodings_per_frame": encoded / frames}
    return counted | {"patches": encoder.patches, "width": encoder.width}


def _seconds(encoder: Encoder, source: Trajectories) -> float:
    """How long a frame takes, from a few black ones."""
    size, state = source.manifest["size"], source.manifest["dims"]["state"]
    shape, kind = ((size, size, 3), np.uint8) if encoder.reads == "frames" else ((state,), np.float32)
    return timed(lambda: tokens(encoder, np.zeros((FEW, *shape), kind), FEW)) / FEW


def _shard_encoder(job: Job) -> Work:
    torch.set_num_threads(1)
    encoder = _encoder(job).to("cuda" if job.scale.encode.gpus else "cpu")
    return lambda index: encode_shard(job, encoder, index)


def encode_shard(job: Job, encoder: Encoder, index: int) -> int:
    """Encode and write one shard of so many frames, each read once; what it writes depends on the step alone."""
    settings = parse(Encode, job.step.config["encode"], "encode")
    source = Trajectories(job.inputs["trajectories"])
    controls = source.controls(index)
    write_controls(job.out, index, controls.proprio, controls.states, controls.actions)
    seen = source.frames(index) if encoder.reads == "frames" else [controls.states.astype(np.float32)]
    parts = (
        tokens(encoder, batch, settings.batch).astype(settings.dtype)
        for batch in _counted(batches(seen, settings.batch), job.out, index)
    )
    write_latents(job.out, index, parts, len(controls.states))
    return len(controls.states)


def _counted(parts: Iterable[NDArray[np.generic]], out: Path, index: int) -> Iterator[NDArray[np.generic]]:
    """The same parts of a shard; what was used of them is added to its tally, even when it is broken off."""
    frames = _tallied(out, index)
    try:
        for part in parts:
            frames += len(part)
            yield part
    finally:
        write_whole(_tally(out, index), str(frames).encode())


def _tallied(out: Path, index: int) -> int:
    """How many frames of a shard went through the encoder so far, in all attempts."""
    path = _tally(out, index)
    return int(path.read_text(encoding="utf-8")) if path.exists() else 0


def _tally(out: Path, index: int) -> Path:
    return out / f"encoded-{index:05d}.txt"


def batches(parts: Iterable[NDArray[np.generic]], size: int) -> Iterator[NDArray[np.generic]]:
    """The rows of all parts in order, `size` at a time, the last time fewer."""
    held: list[NDArray[np.generic]] = []
    count = 0
    for part in parts:
        held.append(part)
        count += len(part)
        if count >= size:
            rows = np.concatenate(held)
            whole = count - count % size
            yield from (rows[at : at + size] for at in range(0, whole, size))
            held, count = [rows[whole:]], count - whole
    if count:
        yield np.concatenate(held)


def tokens(encoder: Encoder, seen: NDArray[np.generic], batch: int) -> NDArray[np.float32]:
    """`[F, ...]` frames or states -> `[F, P, D]`, on the device the encoder is on."""
    device = next((weight.device for weight in encoder.parameters()), torch.device("cpu"))
    with torch.inference_mode():
        parts = [
            encoder(torch.tensor(seen[at : at + batch], device=device)).cpu().numpy()
            for at in range(0, len(seen), batch)
        ]
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
