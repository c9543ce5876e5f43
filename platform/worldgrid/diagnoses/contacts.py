"""Contacts that were imagined: does the plan's object move in the model when it does not in the simulator?

The study names hallucinated grasps as a frequent failure on Metaworld. B episodes, n frames, P patches, D latent.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from worldgrid.diagnoses import Curves, Finding, Verdict
from worldgrid.diagnoses.subject import Subject
from worldgrid.noise import generator

TITLE = "Contacts"
FRAMES, HELD = 1024, 256
"""Recorded frames that a probe is fitted to, and held-out ones it is tried on."""
RIDGE = 1e-2
"""Of the mean squared norm of what the probe reads."""
LIKED = 0.2
"""Share of episodes with an imagined contact that is worth a look; ours."""


class Thing(NamedTuple):
    """An object that contacts move."""

    columns: tuple[int, ...]
    """Numbers of the state that say where it is."""
    moved: float
    """Displacement above which it was touched, in the state's unit; ours: what a hand or disc cannot do by accident."""


THINGS = {
    "metaworld": Thing((4, 5, 6), 0.02),
    "pusht": Thing((2, 3), 10.0),
}
"""Env -> its first object (Metaworld's observation; Push-T's T): metres, pixels."""


class Probe(NamedTuple):
    """A linear map from tokens to where the object is, by ridge regression in its dual form."""

    support: NDArray[np.float64]
    """`[n, P * D]` frames it was fitted to."""
    weights: NDArray[np.float64]
    """`[n, x]`."""
    mean: NDArray[np.float64]
    place: NDArray[np.float64]

    @classmethod
    def fit(cls, tokens: NDArray[np.float64], places: NDArray[np.float64]) -> Probe:
        """From `[n, P * D]` tokens and `[n, x]` places."""
        mean, place = tokens.mean(axis=0), places.mean(axis=0)
        centred = tokens - mean
        kernel = centred @ centred.T
        damped = kernel + RIDGE * np.trace(kernel) / len(kernel) * np.eye(len(kernel))
        return cls(centred, np.linalg.solve(damped, places - place), mean, place)

    def __call__(self, tokens: NDArray[np.float64]) -> NDArray[np.float64]:
        """`[n, P * D]` -> `[n, x]`."""
        return (tokens - self.mean) @ self.support.T @ self.weights + self.place


def diagnose(subject: Subject) -> Finding:
    """How far the object moves under the first plans: read off the imagined frames, and in the simulator."""
    kind = subject.experiment.env.kind
    if kind not in THINGS:
        return Finding(TITLE, "unknown", f"Nothing is touched in env '{kind}'.")
    thing = THINGS[kind]
    probe, wrong = fit_probe(subject, thing)
    if wrong > thing.moved:
        return Finding(
            TITLE,
            "unknown",
            f"A probe of held-out latents misses the object by {wrong:.3g}: less than that would not be seen.",
            "An encoder with finer patches, or more collected episodes in which the object moves.",
            {"probe_error": wrong},
        )
    first = probe(_flat(subject.start.visual))
    imagined = np.stack([probe(_flat(part)) for part in subject.imagined.visual.split(1, dim=1)], axis=1)
    true = subject.future.states[..., list(thing.columns)]
    seen, real = (
        np.linalg.norm(places - begin[:, None], axis=2)
        for places, begin in ((imagined, first), (true[:, 1:], true[:, 0]))
    )
    return compare(seen, real, thing.moved, wrong)


def compare(seen: NDArray[np.float64], real: NDArray[np.float64], moved: float, wrong: float) -> Finding:
    """`[B, H]` displacements of the object, imagined and in the simulator, against what counts as moved."""
    touched, felt = real[:, -1] > moved, seen[:, -1] > moved
    false, missed = int((felt & ~touched).sum()), int((touched & ~felt).sum())
    n = len(touched)
    verdict: Verdict = (
        "ill" if false > 2 * LIKED * n else "watch" if false > LIKED * n or missed > LIKED * n else "sound"
    )
    sentence = (
        f"Under {n} plans the object moves in the simulator {int(touched.sum())} times; {false} times it only moves in "
        f"imagination, {missed} times only in the simulator (by more than {moved:g}, probe error {wrong:.2g})."
    )
    mend = (
        "Data in which the hand misses (collect.policy mixture of expert and uniform), proprioception, which holds the "
        "gripper (predictor.proprio), and shorter plans (mpc.execute)."
    )
    steps = list(range(1, real.shape[1] + 1))
    lines = {"imagined": (steps, seen.mean(axis=0).tolist()), "simulator": (steps, real.mean(axis=0).tolist())}
    picture = Curves("how far the object moves (mean over plans)", "model step", lines)
    numbers = {"imagined_only": false / n, "simulator_only": missed / n, "probe_error": wrong}
    return Finding(TITLE, verdict, sentence, mend if verdict != "sound" else "", numbers, [picture])


def fit_probe(subject: Subject, thing: Thing) -> tuple[Probe, float]:
    """A probe of recorded frames, and its median distance from the truth on held-out ones, in the state's unit."""
    latents, controls = subject.data.latents, subject.recordings
    states = np.concatenate([controls.controls(shard).states for shard in range(controls.shards)])
    seen, held = subject.experiment.train.split(len(latents.lengths))
    parts = []
    for trajectories, most in ((seen, FRAMES), (held, HELD)):
        rows = generator("probe").permutation(latents.starts(np.sort(trajectories), 1, 1))[:most]
        tokens = _flat(torch.from_numpy(latents.read(rows, 1, 1).latents))
        parts.append((tokens, states[rows][:, list(thing.columns)]))
    probe = Probe.fit(*parts[0])
    return probe, float(np.median(np.linalg.norm(probe(parts[1][0]) - parts[1][1], axis=1)))


def _flat(visual: torch.Tensor) -> NDArray[np.float64]:
    """`[n, 1, P, D]` -> `[n, P * D]`."""
    flat: NDArray[np.float64] = visual.flatten(1).cpu().double().numpy()
    return flat
