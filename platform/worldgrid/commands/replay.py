"""`worldgrid replay TRIAL [EPISODES]`: videos of played episodes beside their goals. Nothing is planned again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def replay(
    trial: Annotated[str, typer.Argument(help="A trial's key (or its beginning), as `worldgrid show` prints it.")],
    episodes: Annotated[list[int] | None, typer.Argument(help="Numbers of episodes; else --first of each.")] = None,
    *,
    first: Annotated[int, typer.Option("--first", min=1, help="How many successes and how many failures.")] = 1,
    epoch: Annotated[int | None, typer.Option("--epoch", help="Which checkpoint; the last one by default.")] = None,
    imagined: Annotated[bool, typer.Option("--imagined", help="Also what was imagined, drawn by a decoder.")] = False,
    out: Annotated[Path, typer.Option("--out", help="Folder of the videos.")] = Path("replays"),
    store: Annotated[str, typer.Option("--store", envvar="WORLDGRID_STORE", help="Folder of the store.")] = "store",
) -> None:
    """Render played episodes as videos: what happened on the left, the goal on the right."""
    from worldgrid.decoding import find_decoder, open_decoder
    from worldgrid.diagnoses.subject import open_subject
    from worldgrid.envs import ENVS
    from worldgrid.imagined import film
    from worldgrid.ledger import read_actions
    from worldgrid.replay import evaluation_of, firsts, named, video
    from worldgrid.results import read_recordings
    from worldgrid.spec import ConfigError
    from worldgrid.store import Store, write_whole
    from worldgrid.versus import find_trial

    there = Store(store)
    found = find_trial(there, trial)
    evaluation = evaluation_of(found, epoch)
    recordings = read_recordings(there, evaluation.key)
    chosen = named(recordings, episodes) if episodes else firsts(recordings, first)
    env, subject = ENVS.parse(found.settings["env"]), None
    if imagined:
        done = find_decoder(there, found.steps.get("encode", ""))
        if done is None:
            raise ConfigError(f"trial {found.key}: has no decoder yet; `worldgrid decode {found.key}` makes one")
        decoder = open_decoder(there, done)
        subject = open_subject(there, found, 1, epoch=evaluation.epoch, decoder=lambda latents: decoder)
    for recording in chosen:
        path = out / f"{evaluation.key}-{recording.episode:04d}-{'success' if recording.success else 'failure'}.mp4"
        beside = None
        if subject:
            actions = read_actions(there.folder(evaluation.key), recording.episode, env.action_dim)
            beside = film(subject, recording.states, actions)
        write_whole(path, video(env, recording, beside))
        print(path)  # noqa: T201
    if not chosen:
        print(f"{evaluation.key}: no episode was played yet")  # noqa: T201
