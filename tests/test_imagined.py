"""Imagined rollouts in a grid's report: there where a decoder was made, absent otherwise."""

import io

import av
import numpy as np
import pytest

from tests.inspected import ready
from tests.worlds import play_alone
from worldgrid.decoding import make_decoder, open_decoder
from worldgrid.diagnoses.subject import open_subject
from worldgrid.experiment import Experiment
from worldgrid.imagined import CAPTIONS, film, rollouts
from worldgrid.ledger import read_actions
from worldgrid.replay import video
from worldgrid.report import page
from worldgrid.results import Grid, read_grid, read_recordings, video_paths
from worldgrid.stages.decode import Decode
from worldgrid.store import Store
from worldgrid.tables import make_rows

NAME = "tiny"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Grid]:
    """A finished grid of one trial."""
    store, _ = ready(tmp_path_factory.mktemp("grid"))
    (trial,) = read_grid(store, NAME).trials
    step = Experiment.parse(trial.settings).evaluations()[-1].step
    play_alone(store, step)
    store.commit(step, {}, seconds=0.0, host={})
    return store, read_grid(store, NAME)


def test_without_a_decoder_nothing_is_drawn(finished: tuple[Store, Grid]) -> None:
    store, grid = finished
    assert rollouts(store, NAME, grid.showcase) == []
    assert "Imagined and real" not in page(store, grid, make_rows(grid))


def test_with_one_the_report_shows_them_and_mlflow_gets_them(finished: tuple[Store, Grid]) -> None:
    store, grid = finished
    trial = grid.showcase
    make_decoder(store, Experiment.parse(trial.settings).latents(), Decode(steps=2, width=48, depth=1))
    shown = rollouts(store, NAME, trial)
    assert [caption for caption, _ in shown] == list(CAPTIONS.values())
    assert all(path.read_bytes().startswith(b"\x89PNG") for _, path in shown)
    assert {path for _, path in shown} <= set(video_paths(store, NAME, trial))
    before = [path.stat().st_mtime_ns for _, path in shown]
    said = page(store, grid, make_rows(grid))
    assert "Imagined and real" in said
    assert said.count('class="picture"') == 2
    assert [path.stat().st_mtime_ns for _, path in shown] == before, "made once"


def test_a_film_of_what_was_imagined_stands_between_the_episode_and_its_goal(finished: tuple[Store, Grid]) -> None:
    store, grid = finished
    trial = grid.showcase
    latents = Experiment.parse(trial.settings).latents()
    decoder = open_decoder(store, make_decoder(store, latents, Decode(steps=2, width=48, depth=1)))
    subject = open_subject(store, trial, 1, decoder=lambda latents: decoder)
    first, *_ = read_recordings(store, trial.final.key)
    actions = read_actions(store.folder(trial.final.key), first.episode, subject.experiment.env.action_dim)
    frames = film(subject, first.states, actions)
    assert len(frames) == len(first.states) == len(actions) + 1
    skip, execute = subject.experiment.env.frameskip, subject.experiment.mpc.execute
    look = execute * skip
    seen = subject.decoder.draw(subject.look(first.states[[look]]).visual)[0]
    np.testing.assert_allclose(frames[look].astype(int), seen.numpy()[0].astype(int), atol=1)
    assert all((frames[look] == frames[look + time]).all() for time in range(skip)), "a model step is shown as one"
    wide, narrow = video(subject.experiment.env, first, frames), video(subject.experiment.env, first)
    assert width(wide) > 1.4 * width(narrow)


def width(film: bytes) -> int:
    with av.open(io.BytesIO(film)) as container:
        return int(container.streams.video[0].width)
