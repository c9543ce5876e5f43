"""How far imagined frames are from real ones, step by step, on held-out clips. B clips, H horizon, T frames."""

from __future__ import annotations

import torch
from torch import Tensor

from worldgrid.decoder import psnr
from worldgrid.diagnoses import Curves, Finding, Picture, Strip, Verdict
from worldgrid.diagnoses.subject import Subject
from worldgrid.predictors import rollout
from worldgrid.stages.decode import recorded_frames

LOST, WATCH = 1.0, 0.5
"""Error against that of a model which says that nothing moves: at 1 imagination is worth nothing; ours."""


def diagnose(subject: Subject) -> Finding:
    """Relative error by horizon: 0 is exact, 1 is what standing still would get; and frames side by side."""
    imagined, real, start = _imagine(subject)
    errors = (imagined - real).square().mean(dim=(0, 2, 3))
    still = (start - real).square().mean(dim=(0, 2, 3)).clamp_min(1e-12)
    share = (errors / still).tolist()
    planned = min(subject.horizon, len(share))
    numbers = {f"error_{step}": value for step, value in enumerate(share, start=1)}
    numbers |= {f"turn_{name}": turn(torch.cat([start, clip], dim=1)) for name, clip in _named(imagined, real)}
    steps = list(range(1, len(share) + 1))
    pictures: list[Picture] = [
        Curves(
            "rollout error, of the error of standing still",
            "steps ahead",
            {"imagined": (steps, share), "standing still": (steps, [1.0] * len(steps))},
        )
    ]
    if subject.decoder:
        quality, drawn = _draw(subject, imagined, real)
        numbers |= quality
        pictures += drawn
    at = share[planned - 1]
    verdict: Verdict = "ill" if max(share[:planned]) >= LOST else "watch" if at >= WATCH else "sound"
    sentence = (
        f"After {planned} imagined steps the error is {at:.2f} of what a model gets that says nothing moves "
        f"({share[0]:.2f} after one step)."
    )
    return Finding(
        "Rollout error", verdict, sentence, _mend(share, planned) if verdict != "sound" else "", numbers, pictures
    )


def _mend(share: list[float], planned: int) -> str:
    if share[0] >= LOST:
        return "One step is no better than none: train longer or at another train.lr, and look at `worldgrid overfit`."
    good = next((step for step, value in enumerate(share[:planned], start=1) if value >= WATCH), planned + 1) - 1
    first = f"Plan less far (mpc.horizon {good})" if good else "Train longer"
    return (
        f"{first}, replan sooner (mpc.execute), or train on its own predictions (train.rollout 2: the study gains from "
        "1 to 2 in simulation, and at 6 on real robots)."
    )


def _named(imagined: Tensor, real: Tensor) -> list[tuple[str, Tensor]]:
    return [("imagined", imagined), ("real", real)] if real.shape[1] > 1 else []


def turn(clip: Tensor) -> float:
    """Mean angle in degrees between successive steps of `[B, T, P, D]` latents: 0 on a straight line.

    Curvature as in temporal straightening (Henaff et al. 2019, arXiv 1904.04553): straight latents are easy to plan in.
    """
    steps = clip.diff(dim=1).flatten(2)
    cosines = torch.nn.functional.cosine_similarity(steps[:, 1:], steps[:, :-1], dim=2)
    return float(cosines.clamp(-1, 1).acos().rad2deg().mean())


@torch.no_grad()
def _imagine(subject: Subject) -> tuple[Tensor, Tensor, Tensor]:
    """`[B, H, P, D]` imagined and real frames, and `[B, 1, P, D]` where they begin: one real frame, as plans have."""
    horizon = subject.data.horizon
    begin = subject.clip.map(lambda z: z[:, :1])
    actions = subject.clips.actions[:, :horizon]
    imagined = rollout(subject.world_model.predictor, begin, actions, subject.world_model.context)
    return imagined.visual, subject.clip.visual[:, 1 : horizon + 1], begin.visual


def _draw(subject: Subject, imagined: Tensor, real: Tensor) -> tuple[dict[str, float], list[Picture]]:
    """Decibels by horizon of what is imagined and of the decoder alone, and the strip of the liveliest clip."""
    assert subject.decoder
    horizon, rows = imagined.shape[1], subject.data.validation[: len(imagined)]
    steps = rows[:, None] + subject.data.stride * torch.arange(horizon + 1).numpy()
    frames = torch.from_numpy(recorded_frames(subject.recordings, steps.ravel())).unflatten(0, steps.shape)
    drawn, decoded = subject.decoder.draw(imagined), subject.decoder.draw(subject.clip.visual[:, : horizon + 1])

    def quality(pictures: Tensor) -> list[float]:
        pairs = zip(pictures.unbind(1), frames[:, 1:].unbind(1), strict=True)
        return [psnr(one.float() / 255, other.float() / 255).item() for one, other in pairs]

    lines = {"imagined, decoded": quality(drawn), "true latents, decoded": quality(decoded[:, 1:])}
    numbers = {f"psnr_{step}": value for step, value in enumerate(lines["imagined, decoded"], start=1)}
    numbers |= {f"psnr_true_{step}": value for step, value in enumerate(lines["true latents, decoded"], start=1)}
    along = list(range(1, horizon + 1))
    curves = Curves(
        "likeness of frames", "steps ahead", {name: (along, line) for name, line in lines.items()}, "PSNR, dB"
    )
    lively = int((real[:, -1] - real[:, 0]).square().mean(dim=(1, 2)).argmax())
    shown = {
        "recorded": frames[lively],
        "imagined": torch.cat([decoded[lively, :1], drawn[lively]]),
        "true latents": decoded[lively],
    }
    return numbers, [
        curves,
        Strip("a held-out clip, imagined from its first frame", {n: f.numpy() for n, f in shown.items()}),
    ]
