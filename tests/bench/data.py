"""How fast data become clips: encoding, reading latents, and what it would cost to decode and encode them every time.

The study's shapes: 100 frames of 224 px in an H.264 video, ViT-S of DINOv2 with random weights, clips of 4 frames, the
AdaLN predictor of depth 6. What is decoded is written as the official loader does it: the whole video is decoded and
transformed, then 4 frames are kept (jepa-wms `app/plan_common/datasets`). One thread, CPU time.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import av
import numpy as np
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from worldgrid.encoders import ENCODERS, Encoder
from worldgrid.envs import ENVS
from worldgrid.latents import EncodedShard, Latents, write_encoded, write_index
from worldgrid.learning import Learning, learn
from worldgrid.predictors import PREDICTORS, Latent, Shapes
from worldgrid.stages.encode import tokens

FRAMES, SIZE, CLIP, BATCH = 100, 224, 4, 2
CONTEXT, ACTION, PROPRIO = 3, 10, 4


def cpu_seconds(work: Callable[[], object], rounds: int) -> float:
    """The median of some rounds."""
    seconds = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return median(seconds)


def data() -> dict[str, float]:
    """Rates per CPU second, and how many times less the cached way costs in the same run."""
    with tempfile.TemporaryDirectory() as folder:
        encoder, video, latents, step = _encoder(Path(folder)), _video(), _latents(Path(folder)), _training_step()
        drawn = iter(np.random.default_rng(0).integers(0, FRAMES - CLIP, (1000, BATCH)))

        def cached() -> Tensor:
            return torch.from_numpy(latents.read(next(drawn), CLIP, 1).latents)

        def encoded() -> Tensor:
            clips = np.concatenate([_official_clip(video, int(start)) for start in next(drawn)])
            return torch.from_numpy(tokens(encoder, clips, len(clips))).unflatten(0, (BATCH, CLIP))

        step(cached())  # warm
        frames = _official_clip(video, 0)
        encode = cpu_seconds(lambda: tokens(encoder, frames, CLIP), 3)
        fetch, make = cpu_seconds(cached, 51), cpu_seconds(encoded, 3)
        fast, slow = cpu_seconds(lambda: step(cached()), 3), cpu_seconds(lambda: step(encoded()), 3)
        return {
            "encode ViT-S at 224 px, frames/s": CLIP / encode,
            "clips from float16 latents, clips/s": BATCH / fetch,
            "clips decoded and encoded from video, clips/s": BATCH / make,
            "a clip from latents, times less CPU": make / fetch,
            "training step of 2 clips from latents, steps/s": 1 / fast,
            "training step of 2 clips from video, steps/s": 1 / slow,
            "training step from latents, times less CPU": slow / fast,
        }


def _encoder(folder: Path) -> Encoder:
    """DINOv2-S, with random weights."""
    path = folder / "model.safetensors"
    save_file(timm.create_model("vit_small_patch14_dinov2", pretrained=False, num_classes=0).state_dict(), path)
    section = {"kind": "timm", "model": "dinov2_vits14", "checkpoint": str(path)}
    return ENCODERS.parse(section).build(ENVS.parse({"kind": "wall", "size": SIZE}))


def _video() -> bytes:
    """A dot that moves over a textured ground."""
    ground = np.random.default_rng(0).integers(0, 256, (14, 14, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height = stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        for time_step in range(FRAMES):
            picture = ground.copy()
            picture[2 * time_step : 2 * time_step + 20, 100:120] = (255, 0, 0)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def _official_clip(video: bytes, start: int) -> NDArray[np.uint8]:
    """`[4, S, S, 3]`: all of the video decoded and put into the range of 0 to 1, of which 4 frames are kept."""
    with av.open(io.BytesIO(video)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    scaled = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(255)
    kept = scaled[start : start + CLIP].mul(255).round().byte()
    return kept.permute(0, 2, 3, 1).contiguous().numpy()


def _latents(folder: Path) -> Latents:
    noise = np.random.default_rng(0).standard_normal((FRAMES, 256, 384)).astype(np.float16)
    proprio, states = np.zeros((FRAMES, PROPRIO), np.float32), np.zeros((FRAMES, PROPRIO))
    write_encoded(folder, 0, EncodedShard(noise, proprio, states, np.zeros((FRAMES, ACTION), np.float32)))
    write_index(folder, keep=1, lengths=[[FRAMES]], patches=256, width=384)
    return Latents(folder)


def _training_step() -> Callable[[Tensor], None]:
    """Loss, gradients and update of the study's predictor."""
    section = {"kind": "transformer", "conditioning": "adaln", "depth": 6, "context": CONTEXT, "proprio": "none"}
    predictor = PREDICTORS.parse(section).build(Shapes(256, 384, ACTION, PROPRIO))
    optimiser = torch.optim.AdamW(predictor.parameters(), lr=5e-4)
    actions = torch.randn(BATCH, CLIP, ACTION)

    def step(latents: Tensor) -> None:
        optimiser.zero_grad()
        learn(predictor, Latent(latents), actions, Learning(), prefix=0).total.backward()
        optimiser.step()

    return step
