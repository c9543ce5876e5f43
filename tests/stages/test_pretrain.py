"""Making an encoder from recorded frames."""

import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch

from worldgrid.encoders import ENCODERS, WEIGHTS
from worldgrid.envs import ENVS, Env, Floats
from worldgrid.envs.wall import Wall
from worldgrid.resume import RESUME
from worldgrid.scale import Scale
from worldgrid.spec import JSON, ConfigError
from worldgrid.stages import Job
from worldgrid.stages.collect import read as read_collect
from worldgrid.stages.collect import record
from worldgrid.stages.pretrain import Pair, Pairs, Pretrain, read, run, unseen
from worldgrid.step import Step
from worldgrid.trajectories import Trajectories, Trajectory, shard_name, write_manifest, write_shard

ENV = {"kind": "wall", "size": 16}
ENCODER = {"kind": "contrastive", "channels": [8, 16], "blocks": 1, "latent": 4}


def recorded(folder: Path, keep: int = 5, steps: int = 30) -> Path:
    collect = read_collect(
        {"episodes": 20, "steps": steps, "keep": keep, "policy": {"kind": "drift"}, "shard": 10}, "collect"
    )
    for shard in range(2):
        record(ENVS.parse(ENV), collect, shard, folder / shard_name(shard))
    write_manifest(folder, shards=2, keep=keep, size=16, dims={"action": 2, "proprio": 2, "state": 2})
    return folder


@pytest.fixture(scope="module")
def trajectories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("trajectories"))


def pretrained(trajectories: Path, out: Path, **settings: Any) -> JSON:
    pretrain = read({"steps": 30, "batch": 16} | settings, "pretrain").recipe()
    out.mkdir(exist_ok=True)
    return run(
        Job(
            Step("pretrain", 1, {"env": ENV, "encoder": ENCODER, "pretrain": pretrain}), _in(trajectories), out, Scale()
        )
    )


def _in(trajectories: Path) -> dict[str, Path]:
    return {"trajectories": trajectories}


def curve(out: Path) -> list[JSON]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "time"} for line in lines]


def test_the_loss_falls_far_below_guessing(trajectories: Path, tmp_path: Path) -> None:
    metrics = pretrained(trajectories, tmp_path, steps=100, lr=3e-3)
    losses = [line["loss"] for line in curve(tmp_path)]
    assert losses[-1] < 0.75 * np.log(16) < losses[0] * 1.5
    assert metrics["loss"] == losses[-1]


SIGNS = {"effective_rank", "spread", "spread_least", "geodesic_spearman"}
OBJECTIVES = [
    {"kind": "time_contrastive"},
    {"kind": "inverse_dynamics", "hidden": 16},
    {"kind": "jepa", "regulariser": "sigreg", "width": 24, "depth": 1},
    {"kind": "jepa", "regulariser": "vicreg", "width": 24, "depth": 1},
]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda one: "-".join(v for v in one.values() if type(v) is str))
def test_no_objective_lets_features_collapse(trajectories: Path, tmp_path: Path, objective: JSON) -> None:
    metrics = pretrained(trajectories, tmp_path, objective=objective)
    assert metrics.keys() >= SIGNS | {"loss", "lr"}
    assert 1.0 < metrics["effective_rank"] <= 4 * 4
    assert metrics["spread"] >= metrics["spread_least"] > 0.01
    assert -1 <= metrics["geodesic_spearman"] <= 1


def test_frames_that_are_all_the_same_show_in_every_sign(tmp_path: Path) -> None:
    """A dot that does not move is what a collapsed encoder sees."""
    still = tmp_path / "still"
    still.mkdir()
    frames, zeros = np.zeros((5, 16, 16, 3), np.uint8), np.zeros((5, 2))
    one = Trajectory(0, frames, zeros.astype(np.float32), zeros, np.zeros((20, 2), np.float32))
    write_shard(still / shard_name(0), [one, one._replace(episode=1)])
    write_manifest(still, shards=1, keep=5, size=16, dims={"action": 2, "proprio": 2, "state": 2})
    metrics = pretrained(still, tmp_path / "out", steps=2, batch=2)
    assert metrics["effective_rank"] == metrics["spread_least"] == 0.0


def test_unseen_frames_are_of_the_whole_space_and_come_with_true_distances() -> None:
    env = ENVS.parse(ENV)
    found = unseen(env, seed=0)
    assert found is not None
    assert found.frames.shape[1:] == (16, 16, 3)
    apart = found.distances
    assert apart.shape == (len(found.frames),) * 2
    assert np.isfinite(apart).all()
    assert apart.max() > 50  # pixels, around the wall


class Silent(Wall):
    """A wall that cannot tell distances, and may not be asked for frames."""

    def geodesic(self, first: Floats, second: Floats) -> None:
        """Cannot tell."""

    def explore(self, seeds: Sequence[int]) -> Env:
        raise AssertionError("nothing is rendered for a distance that nobody knows")


def test_where_the_env_cannot_tell_distances_nothing_is_drawn() -> None:
    assert unseen(Silent(size=16), seed=0) is None


def test_the_curve_has_a_line_every_ten_steps_and_signs_of_collapse_every_hundred(
    trajectories: Path, tmp_path: Path
) -> None:
    pretrained(trajectories, tmp_path, steps=115)
    assert [line["step"] for line in curve(tmp_path)] == [*range(10, 120, 10), 115]
    assert {line["step"] for line in curve(tmp_path) if line.keys() == {"step", "loss", "lr"} | SIGNS} == {100, 115}
    assert all(line.keys() >= {"step", "loss", "lr"} for line in curve(tmp_path))


def test_the_parts_of_a_loss_are_in_the_curve(trajectories: Path, tmp_path: Path) -> None:
    pretrained(trajectories, tmp_path, steps=1, objective={"kind": "inverse_dynamics"})
    (line,) = curve(tmp_path)
    assert line.keys() >= {"loss/action", "loss/variance", "loss/covariance"}


def test_the_folder_holds_a_frozen_encoder_to_build(trajectories: Path, tmp_path: Path) -> None:
    pretrained(trajectories, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {WEIGHTS, "metrics.jsonl"}
    env = ENVS.parse(ENV)
    encoder = ENCODERS.parse(ENCODER).build(env, tmp_path)
    assert not any(weight.requires_grad for weight in encoder.parameters())
    tokens = encoder(torch.from_numpy(env.render(env.tasks([0, 1]).state())))
    assert not torch.equal(tokens[0], tokens[1])


def test_a_seed_names_the_weights_to_the_bit(trajectories: Path, tmp_path: Path) -> None:
    for name, seed, threads in (("one", 0, 1), ("again", 0, 2), ("other", 1, 1)):
        torch.rand(3)  # torch's random state and threads are nothing to it
        torch.set_num_threads(threads)
        pretrained(trajectories, tmp_path / name, seed=seed)
    one, again, other = ((tmp_path / name / WEIGHTS).read_bytes() for name in ("one", "again", "other"))
    assert one == again
    assert one != other


@contextmanager
def interrupted_when_there(path: Path) -> Iterator[None]:
    """Ctrl-C at whatever is being done soon after a file has appeared."""

    def look(number: int, frame: FrameType | None) -> None:
        if path.exists():
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("objective", [OBJECTIVES[0], OBJECTIVES[2]], ids=lambda one: one["kind"])
def test_interrupted_and_resumed_is_uninterrupted_to_the_bit(
    trajectories: Path, tmp_path: Path, objective: JSON
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    metrics = pretrained(trajectories, whole, steps=105, objective=objective)
    with interrupted_when_there(parts / RESUME):
        pretrained(trajectories, parts, steps=105, objective=objective)
    assert not (parts / WEIGHTS).exists()
    assert pretrained(trajectories, parts, steps=105, objective=objective) == metrics
    assert (parts / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
    assert curve(parts) == curve(whole)


def numbered(folder: Path, lengths: list[int], keep: int) -> Trajectories:
    """Frames whose first two pixels say of which trajectory and simulator step they are, and actions that do so."""
    written = []
    for episode, length in enumerate(lengths):
        frames = np.zeros((length, 2, 2, 3), np.uint8)
        frames[:, 0, 0, 0], frames[:, 0, 0, 1] = episode, np.arange(length) * keep
        controls = (
            np.zeros((length, 1), np.float32),
            np.zeros((length, 1)),
            1000 * episode + np.arange((length - 1) * keep, dtype=np.float32)[:, None],
        )
        written.append(Trajectory(episode, frames, *controls))
    write_shard(folder / shard_name(0), written)
    write_manifest(folder, shards=1, keep=keep, size=2, dims={"action": 1, "proprio": 1, "state": 1})
    return Trajectories(folder)


def pairs_of(source: Trajectories, frameskip: int, span: int = 3, batch: int = 4) -> Pairs:
    return Pairs(source, frameskip, Pretrain(batch=batch), span)


def drawn(pairs: Pairs, steps: int = 50) -> list[tuple[int, int, int, int]]:
    """Trajectory and simulator step of both frames."""

    def places(draw: Pair) -> list[tuple[int, int, int, int]]:
        both = zip(draw.before, draw.after, strict=True)
        return [(*before[0, 0, :2].tolist(), *after[0, 0, :2].tolist()) for before, after in both]

    return [place for step in range(steps) for place in places(pairs.draw(step))]


def test_pairs_are_frames_of_one_trajectory_1_to_span_model_steps_apart(tmp_path: Path) -> None:
    found = drawn(pairs_of(numbered(tmp_path, [9, 1, 3, 7], keep=2), 4, span=2, batch=3))
    assert all(one == other for one, _, other, _ in found)
    assert {one for one, *_ in found} == {0, 2, 3}  # trajectory 1 has no pair
    assert {after - before for _, before, _, after in found} == {4, 8}
    assert {(before, after) for one, before, _, after in found if one == 2} == {(0, 4)}


def test_the_pairs_of_a_step_are_of_different_trajectories(tmp_path: Path) -> None:
    pairs = pairs_of(numbered(tmp_path, [5, 5, 5, 5], keep=1), 1)
    assert all(set(pairs.draw(step).before[:, 0, 0, 0].tolist()) == {0, 1, 2, 3} for step in range(9))


def test_the_actions_of_a_pair_are_those_of_the_model_step_after_its_first_frame(tmp_path: Path) -> None:
    pairs = pairs_of(numbered(tmp_path, [9, 1, 4, 7], keep=2), 4, span=1)
    first = pairs.draw(0)
    scale = (first.actions[:, 3] - first.actions[:, 0]).mean() / 3  # of one simulator step, standardised
    for step in range(20):
        pair = pairs.draw(step)
        begun = 1000 * pair.before[:, 0, 0, 0].float() + pair.before[:, 0, 0, 1].float()
        apart = (pair.actions[:, :1] - pair.actions[:, :1].T) / scale
        torch.testing.assert_close(apart, begun[:, None] - begun, rtol=1e-3, atol=0.1)
        torch.testing.assert_close(pair.actions[:, 1:] - pair.actions[:, :-1], scale.expand(4, 3), rtol=1e-2, atol=0)


def test_actions_are_standardised(trajectories: Path) -> None:
    pairs = pairs_of(Trajectories(trajectories), 5, span=1, batch=20)
    actions = torch.cat([pairs.draw(step).actions for step in range(20)]).unflatten(1, (5, 2)).flatten(0, 1)
    torch.testing.assert_close(actions.mean(dim=0), torch.zeros(2), rtol=0, atol=0.1)
    torch.testing.assert_close(actions.std(dim=0), torch.ones(2), rtol=0, atol=0.1)


def test_how_densely_it_was_recorded_changes_nothing(tmp_path: Path) -> None:
    dense, sparse = tmp_path / "dense", tmp_path / "sparse"
    for folder, keep in ((dense, 1), (sparse, 5)):
        folder.mkdir()
        pretrained(recorded(folder, keep=keep), folder / "out", steps=3)
    assert (dense / "out" / WEIGHTS).read_bytes() == (sparse / "out" / WEIGHTS).read_bytes()


def test_trajectories_too_short_for_a_pair_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"collect.steps: no trajectory .* 5 and more fit") as error:
        pretrained(recorded(tmp_path, keep=1, steps=4), tmp_path / "out")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        ({"kind": "contrastive"}, "unknown pretrain.objective 'contrastive'; did you mean 'time_contrastive'?"),
        ("jepa", "pretrain.objective: given 'jepa'; a section fits"),
        ({"weight": 1.0}, "a section with a kind fits: {kind: inverse_dynamics|jepa|time_contrastive}"),
        ({"kind": "jepa", "temperature": 0.1}, "pretrain.objective: JEPA has no 'temperature'"),
        ({"kind": "jepa", "regulariser": "vicref"}, "pretrain.objective.regulariser: given 'vicref'"),
    ],
)
def test_an_objective_that_is_not_there_is_refused_in_one_line(objective: object, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        read({"objective": objective}, "pretrain")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_the_objectives_own_defaults_are_part_of_the_recipe() -> None:
    assert read({}, "pretrain").recipe()["objective"] == {"kind": "time_contrastive", "temperature": 0.1, "reach": 3}
