"""Imagined rollouts beside real ones, in reports, MLflow and videos: where a decoder was made, never otherwise.

S simulator steps, X state, a simulator action, H model steps, side of frames as everywhere.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from worldgrid.decoding import find_decoder, open_decoder
from worldgrid.diagnoses import diagnosis
from worldgrid.diagnoses.subject import Subject, open_subject
from worldgrid.drawings import draw
from worldgrid.envs import Floats, Frames
from worldgrid.results import Trial, report_folder
from worldgrid.spec import ConfigError
from worldgrid.store import Store, write_whole

CAPTIONS = {
    "rollout": "A held-out clip as recorded, as imagined from its first frame, and its true latents; both decoded.",
    "likeness": "How like the recorded ones such frames are, by steps ahead: where the lines part, imagination errs.",
}
"""What is drawn, and what it shows."""


def rollouts(store: Store, name: str, trial: Trial) -> list[tuple[str, Path]]:
    """Captions and PNGs for the report of a grid, made once for each decoder; none before the trial has finished."""
    done = find_decoder(store, trial.steps["encode"]) if trial.finished and "encode" in trial.steps else None
    if done is None:
        return []
    folder = report_folder(store, name) / "videos"
    paths = {kind: folder / f"{kind}-{done.key}-{trial.final.key}.png" for kind in CAPTIONS}
    if not all(path.exists() for path in paths.values()):
        try:
            subject = open_subject(store, trial, episodes=1, decoder=lambda latents: open_decoder(store, done))
            _, likeness, strip = diagnosis("rollout")(subject).pictures
        except ConfigError:
            return []  # run by another version: its report is written without
        write_whole(paths["rollout"], draw(strip))
        write_whole(paths["likeness"], draw(likeness))
    return [(CAPTIONS[kind], path) for kind, path in paths.items()]


def film(subject: Subject, states: Floats, actions: NDArray[np.float32]) -> Frames:
    """`[S + 1, ...]` frames as the world model imagined an episode of `[S + 1, X]` states and `[S, a]` actions.

    Wherever the episode was planned anew it looks at the real frame and imagines what was then executed; a model step
    is shown until the next. Nothing is planned again.
    """
    assert subject.decoder
    env, model = subject.experiment.env, subject.world_model
    skip, execute = env.frameskip, subject.experiment.mpc.execute
    looks = np.arange(0, len(actions), execute * skip)
    start = subject.look(states[looks])
    whole = np.zeros((len(looks) * execute * skip, actions.shape[1]), np.float32)
    whole[: len(actions)] = actions
    steps = torch.from_numpy(whole.reshape(len(looks), 1, execute, skip * actions.shape[1])).to(subject.device)
    future = model.imagine(start, model.normalisation.standardise_actions(steps)).visual[:, 0]
    drawn = subject.decoder.draw(torch.cat([start.visual, future], dim=1)).numpy()
    times = np.arange(len(states))
    look = np.minimum(times // (execute * skip), len(looks) - 1)
    frames: Frames = drawn[look, (times - looks[look]) // skip]
    return frames
