"""Whether plans keep what they promise: imagined ends against those the simulator comes to. B episodes, H horizon."""

from __future__ import annotations

import numpy as np
import torch

from worldgrid.diagnoses import Curves, Finding, Picture, Strip, Verdict
from worldgrid.diagnoses.subject import Subject
from worldgrid.predictors import Latent

BROKEN, WATCH = 0.5, 0.8
"""Share of the promised fall in cost that execution brings; ours."""
SMALL = 0.5
"""Of the cost at the start: a plan that promises to end above it does not expect to arrive; ours."""


def diagnose(subject: Subject) -> Finding:
    """Cost at the start, promised, and kept when the whole plan is executed without looking again."""
    count = len(subject.episodes)
    every = np.arange(count)
    real = subject.look(subject.future.states[:, 1:].reshape(-1, subject.future.states.shape[-1]))
    begun = subject.distances(subject.start, every)
    promised = _by_step(subject, subject.imagined)
    kept = _by_step(subject, real.map(lambda z: z[:, 0].unflatten(0, (count, -1))))
    fall = begun - promised[:, -1]
    share = float((begun - kept[:, -1]).sum() / fall.sum()) if fall.sum() > 0 else 0.0
    left = float(promised[:, -1].sum() / begun.sum())
    verdict: Verdict = "ill" if share < BROKEN else "watch" if share < WATCH or left > SMALL else "sound"
    sentence = (
        f"Plans promise to end at {left:.0%} of the cost at the start; executed blindly they bring {share:.0%} of the "
        f"promised fall. The true distance goes from {subject.future.distances[:, 0].mean():.3g} to "
        f"{subject.future.distances[:, -1].mean():.3g}."
    )
    steps = list(range(promised.shape[1] + 1))
    lines = {
        name: (steps, [float(begun.mean()), *values.mean(axis=0).tolist()])
        for name, values in (("imagined", promised), ("executed", kept))
    }
    pictures: list[Picture] = [Curves("cost along the plan (mean over episodes)", "model step", lines)]
    if subject.decoder:
        pictures.append(_strip(subject, real))
    numbers = {"share_kept": share, "promised_cost": left, "executed_cost": float(kept[:, -1].sum() / begun.sum())}
    return Finding("Promised and kept", verdict, sentence, _mend(share, left), numbers, pictures)


def _mend(share: float, left: float) -> str:
    if share < WATCH:
        return (
            "The search finds what the model gets wrong: replan sooner (mpc.execute), plan less far (mpc.horizon), "
            "keep actions near the data (planner.clip, planner.spread), or collect data where plans go."
        )
    if left > SMALL:
        return "Plans do not arrive even in imagination: a longer mpc.horizon, more planner.samples, or nearer goals."
    return ""


def _by_step(subject: Subject, clip: Latent) -> np.ndarray:
    """`[B, H, ...]` frames -> `[B, H]` cost of each to the episode's goal."""
    rows = np.arange(len(subject.episodes))
    steps = [clip.map(lambda z, t=t: z[:, t, None]) for t in range(clip.frames)]  # type: ignore[misc]
    return np.stack([subject.distances(step, rows) for step in steps], axis=1)


def _strip(subject: Subject, real: Latent) -> Strip:
    """The first episode's plan: what happens, what was imagined, what its true latents look like."""
    assert subject.decoder
    horizon = subject.imagined.frames
    frames = subject.experiment.env.render(subject.future.states[0])
    goal = subject.experiment.env.render(subject.tasks.goals[:1])
    true = torch.cat([subject.start.visual[0], real.visual[:horizon, 0]])
    imagined = torch.cat([subject.start.visual[0], subject.imagined.visual[0]])
    drawn = {"imagined": subject.decoder.draw(imagined).numpy(), "true latents": subject.decoder.draw(true).numpy()}
    title = f"plan {subject.plan} of episode {subject.episodes[0]}, executed to its end"
    return Strip(title, {"simulator": frames} | drawn | {"goal": goal})
