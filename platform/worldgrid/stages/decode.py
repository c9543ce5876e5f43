"""Decode: a decoder that draws what latents say, for people to look at. No other step reads it. n frames, P patches.

Made on demand for encoded data and their frames, shared by all trials that have both in common. Facts: the study's
image decoders (jepa-wms `configs/vjepa_wm/vm2m`), which learn from encoded frames, never from predictions.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.functional import mse_loss, normalize

from worldgrid.curve import Curve, last_values
from worldgrid.decoder import HEAD, Decoder, psnr, usual_size
from worldgrid.encoders import ENCODERS
from worldgrid.envs import ENVS, Frames
from worldgrid.latents import Latents
from worldgrid.noise import generator, stream_seed
from worldgrid.optimisation import Optimisation
from worldgrid.resume import RESUME, load_state, save_state, weights_of
from worldgrid.spec import JSON, ConfigError, Spec, parse
from worldgrid.stages import Job
from worldgrid.step import Step
from worldgrid.store import write_whole
from worldgrid.training import Train
from worldgrid.trajectories import Trajectories

VERSION = 1
WEIGHTS = "decoder.safetensors"
CURVE = "metrics.jsonl"
LOG, SAVE, WATCH = 10, 100, 200
"""Steps between lines of the curve, states to resume from, and looks at held-out frames."""
HELD = 256
"""Held-out frames that a decoder is measured on."""
SAMPLE = 1024
"""Frames that the mean frame and the tokens' statistics are taken from."""
PIXELS = 10.0
"""Weight of the pixels' squared error beside the perceptual term, whose weight is 1 (study)."""


class Decode(Spec):
    """Settings of a decoder's learning."""

    steps: int = Field(default=400, ge=1)
    """Steps of AdamW (study: 50,000); ours are enough where all frames are of one scene."""
    batch: int = Field(default=32, ge=1)
    """Frames per step (study: 1024 and more)."""
    lr: float = Field(default=2e-3, gt=0)
    """Learning rate after the warm-up; it falls on a cosine to 1/500 (study: 5e-4, for decoders 60 times as large)."""
    weight_decay: float = Field(default=0.1, ge=0)
    """On matrices; biases and other 1-D parameters never decay (study: 0.1)."""
    width: int | None = Field(default=None, ge=HEAD, multiple_of=HEAD)
    """Of the transformer; null: that of the study's small decoder (384) in proportion to the frame's side."""
    depth: int | None = Field(default=None, ge=1)
    """Blocks; null: the study's small decoder (12) in proportion to the frame's side."""
    frames: int = Field(default=8192, ge=2)
    """Recorded frames it learns from, at most: drawn from all trajectories but the held-out ones, held in memory."""
    perceptual: JSON | None = None
    """A frozen encoder, {kind: timm, ...}, whose tokens drawn frames must share too (study: LPIPS with VGG)."""
    split_seed: int = Field(default=234, ge=0)
    """Which trajectories are held out: by default those that trainings hold out."""
    fraction: float = Field(default=0.9, gt=0, lt=1)
    """Share of the trajectories to learn from."""
    seed: int = Field(default=0, ge=0)
    """Names the first weights, the frames and the batches."""


def read(section: object, where: str) -> Decode:
    """The settings a user wrote, with those of the perceptual encoder filled in; raises ConfigError where it learns."""
    settings = parse(Decode, section, where)
    if settings.perceptual is None:
        return settings
    encoder = ENCODERS.parse(settings.perceptual, f"{where}.perceptual")
    if encoder.learned:
        raise ConfigError(f"{where}.perceptual: given kind '{encoder.kind}'; an encoder that needs no learning fits")
    return settings.model_copy(update={"perceptual": encoder.recipe()})


def decoding(latents: Step, settings: Decode) -> Step:
    """The step that makes a decoder for the encoded data of `latents`; raises ConfigError without frozen weights."""
    config: JSON = {"env": latents.config["env"], "decode": settings.recipe()}
    frozen = ENCODERS.parse(settings.perceptual).frozen() if settings.perceptual else None
    if frozen:
        config["weights"] = frozen.content
    inputs = {"latents": latents, "trajectories": latents.inputs["trajectories"]}
    return Step("decode", VERSION, config, inputs, str(frozen.path) if frozen else None)


def run(job: Job) -> JSON:
    """Learn, or go on learning where an interrupted run stopped; the same bits either way, on a CPU.

    The metrics are of held-out frames: `psnr` of what is drawn, `psnr_mean_frame` of the mean frame, which a decoder
    must beat, and `perceptual`, the mean squared difference of unit tokens, where an encoder for it is given.
    """
    torch.set_num_threads(1)
    settings = read(job.step.config["decode"], "decode")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    latents, source = Latents(job.inputs["latents"]), Trajectories(job.inputs["trajectories"])
    seen, held = (Pictures.draw(latents, source, part, settings.seed, most) for part, most in _parts(latents, settings))
    torch.manual_seed(stream_seed("weights", settings.seed))
    decoder = _build(job.step.config, latents, source.manifest["size"])
    decoder.standardise(seen.tokens(slice(0, SAMPLE)), seen.frames[:SAMPLE])
    _learn(decoder.to(device), seen, held, Loss(job.step, device), job)
    write_whole(job.out / WEIGHTS, save(weights_of(decoder)))
    (job.out / RESUME).unlink(missing_ok=True)
    return last_values(job.out / CURVE)


def load_decoder(config: JSON, folder: Path, latents: Latents) -> Decoder:
    """The finished decoder in the folder of a step with this config, frozen, in eval mode on the CPU."""
    weights = load_file(folder / WEIGHTS)
    decoder = _build(config, latents, len(weights["mean"]))
    decoder.load_state_dict(weights)
    return decoder.eval().requires_grad_(False)


def recorded_frames(source: Trajectories, rows: NDArray[np.int64]) -> Frames:
    """`[n, S, S, 3]` kept frames by their numbers, counted over all shards; a trajectory is in memory at a time."""
    size = source.manifest["size"]
    found, first = np.empty((len(rows), size, size, 3), np.uint8), 0
    for index, lengths in enumerate(source.manifest["lengths"]):
        last = first + sum(lengths)
        if ((rows >= first) & (rows < last)).any():
            for length, frames in zip(lengths, source.frames(index), strict=True):
                wanted = (rows >= first) & (rows < first + length)
                found[wanted] = frames[rows[wanted] - first]
                first += length
        first = last
    return found


def _build(config: JSON, latents: Latents, side: int) -> Decoder:
    settings, (width, depth) = parse(Decode, config["decode"], "decode"), usual_size(side)
    return Decoder(latents.patches, latents.width, side, settings.width or width, settings.depth or depth)


def _parts(latents: Latents, settings: Decode) -> list[tuple[NDArray[np.int64], int]]:
    """Trajectories to learn from and those held out, each with how many frames are drawn of them."""
    split = Train(split_seed=settings.split_seed, fraction=settings.fraction).split(len(latents.lengths))
    return list(zip(split, (settings.frames, HELD), strict=True))


class Pictures(NamedTuple):
    """n recorded frames, which are in memory, and their tokens, which are read when they are asked for."""

    latents: Latents
    rows: NDArray[np.int64]
    """`[n]` the frames' numbers, counted over all shards."""
    frames: Tensor
    """`[n, S, S, 3]` uint8."""

    @classmethod
    def draw(
        cls, latents: Latents, source: Trajectories, trajectories: NDArray[np.int64], seed: int, most: int
    ) -> Pictures:
        """At most so many frames of these trajectories, in an order drawn from `seed`."""
        rows = latents.starts(np.sort(trajectories), 1, 1)
        chosen = generator("pictures", seed).permutation(rows)[:most]
        if not len(chosen):
            raise ConfigError("decode.fraction: leaves no trajectory on one side; more trajectories or another fits")
        return cls(latents, chosen, torch.from_numpy(recorded_frames(source, chosen)))

    def tokens(self, which: slice | NDArray[np.int64]) -> Tensor:
        """`[m, P, D]` tokens of some of them."""
        return torch.from_numpy(self.latents.read(self.rows[which], 1, 1).latents[:, 0])


class Loss:
    """How far drawn frames are from real ones."""

    def __init__(self, step: Step, device: torch.device) -> None:
        self._encoder: nn.Module | None = None
        if perceptual := step.config["decode"]["perceptual"]:
            spec = ENCODERS.parse(perceptual)
            frozen = spec.frozen(Path(step.frozen) if step.frozen and Path(step.frozen).exists() else None)
            if frozen and frozen.content != step.config["weights"]:
                raise ConfigError(f"decode.perceptual: the weights in {frozen.path} are not those of {step.key}")
            network = spec.build(ENVS.parse(step.config["env"]), frozen.path if frozen else None)
            self._encoder = network.to(device).eval().requires_grad_(False)

    def __call__(self, drawn: Tensor, real: Tensor) -> Tensor:
        """`[n, S, S, 3]` frames and their originals, both 0 to 1 -> scalar, to be made small."""
        pixels = PIXELS * mse_loss(drawn, real)
        return pixels if self._encoder is None else pixels + self.perceptual(drawn, real)["perceptual"]

    def perceptual(self, drawn: Tensor, real: Tensor) -> dict[str, Tensor]:
        """Mean over tokens of the squared difference of unit tokens, by name; empty without an encoder.

        LPIPS (arXiv 1801.03924) without its learned weights and with one layer's features.
        """
        if self._encoder is None:
            return {}
        first, second = (normalize(self._encoder(255 * frames), dim=-1) for frames in (drawn, real))
        return {"perceptual": (first - second).square().sum(dim=-1).mean()}


def _learn(decoder: Decoder, seen: Pictures, held: Pictures, loss: Loss, job: Job) -> None:
    settings = parse(Decode, job.step.config["decode"], "decode")
    decay = (settings.weight_decay, settings.weight_decay)
    plan = Optimisation(lr=settings.lr, schedule="cosine", final_lr=1 / 500, warmup=0.04, weight_decay=decay)
    optimiser, device = plan.optimiser(decoder), decoder.mean.device
    done = load_state(job.out / RESUME, decoder, optimiser)
    curve = Curve(job.out / CURVE, done)
    for step in range(done, settings.steps):
        plan.set_step(optimiser, step / settings.steps)
        stream = generator("decode", settings.seed, step)
        batch = np.sort(stream.choice(len(seen.rows), min(settings.batch, len(seen.rows)), replace=False))
        real = seen.frames[torch.from_numpy(batch)].to(device) / 255
        total = loss(decoder.train()(seen.tokens(batch).to(device)), real)
        optimiser.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimiser.step()
        last = step + 1 == settings.steps
        if (step + 1) % LOG == 0 or last:
            signs = measure(decoder, held, loss) if (step + 1) % WATCH == 0 or last else {}
            curve.write(step + 1, {"loss": total.item(), "lr": optimiser.param_groups[0]["lr"]} | signs)
        if (step + 1) % SAVE == 0:
            save_state(job.out / RESUME, decoder, optimiser, step + 1)


@torch.inference_mode()
def measure(decoder: Decoder, held: Pictures, loss: Loss) -> dict[str, float]:
    """What a decoder makes of frames it did not learn from, in decibels, beside what its mean frame would be worth."""
    device = decoder.eval().mean.device
    real = held.frames.to(device) / 255
    drawn = torch.cat([decoder(part.to(device)) for part in held.tokens(slice(None)).split(64)]).clamp(0, 1)
    values = {"psnr": psnr(drawn, real), "psnr_mean_frame": psnr(decoder.mean.expand_as(real), real)}
    return {name: value.item() for name, value in (values | loss.perceptual(drawn, real)).items()}
