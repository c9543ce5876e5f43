"""The pool on a cluster that grows and shrinks, with Ray's autoscaler. Draws `build/pool-autoscaling.png`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from worldgrid.store import Store

from .autoscaling import MOST, SETTINGS
from .fake_cluster import fake_cluster
from .worlds import exact_evaluation, play_alone, table_bytes

ROOT = Path(__file__).parents[1]

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Store]:
    """The time line of a whole run, and its store."""
    folder = tmp_path_factory.mktemp("autoscaling")
    command = [sys.executable, "-m", "tests.autoscaling", str(folder / "store"), str(folder / "timeline.json")]
    with fake_cluster(MOST) as environment:
        subprocess.run(command, env=environment, cwd=ROOT, check=True, timeout=500)
    said = json.loads((folder / "timeline.json").read_text())
    draw(said, ROOT / "build" / "pool-autoscaling.png")
    return said, Store(folder / "store")


@pytest.mark.parametrize("what", ["nodes at work", "workers"])
def test_workers_and_their_nodes_go_from_none_to_four_and_back(run: tuple[dict[str, Any], Store], what: str) -> None:
    counts = [now[what] for now in run[0]["timeline"]]
    assert (counts[0], max(counts), counts[-1]) == (0, MOST, 0)


def test_nodes_are_added_from_none_and_all_given_back(run: tuple[dict[str, Any], Store]) -> None:
    counts = [now["nodes"] for now in run[0]["timeline"]]
    assert (counts[0], counts[-1]) == (0, 0)
    assert max(counts) >= MOST  # Ray's autoscaler itself may start a node too many, and takes it back at once


@pytest.mark.parametrize("what", ["nodes told to go", "workers told to go"])
def test_the_killed_node_and_the_drained_one_go_with_their_workers(
    run: tuple[dict[str, Any], Store], what: str
) -> None:
    counts = [now[what] for now in run[0]["timeline"]]
    assert 1 <= max(counts) <= 2
    assert counts[-1] == 0


def test_a_node_was_killed_and_a_drained_one_was_left_in_the_middle(run: tuple[dict[str, Any], Store]) -> None:
    happened = ["asked", "node killed", "node drained", "drained node left", "played", "nodes gone"]
    assert [one["what"] for one in run[0]["events"]] == happened


def test_every_episode_is_there_once_and_equal_to_the_undisturbed_one(
    run: tuple[dict[str, Any], Store], tmp_path: Path
) -> None:
    said, store = run
    assert said["metrics"]["episodes"] == SETTINGS["evaluate"]["episodes"]
    alone = Store(tmp_path)
    awake = SETTINGS | {"planner": SETTINGS["planner"] | {"nap": 0.0}}
    expected = play_alone(alone, exact_evaluation(alone, **awake))
    assert table_bytes(store, exact_evaluation(store, **SETTINGS)) == expected


def draw(said: dict[str, Any], path: Path) -> None:
    """Nodes, workers and backlog over time, with what happened."""
    import matplotlib.pyplot as plt

    timeline = said["timeline"]
    times = [now["time"] for now in timeline]
    happened = {one["what"]: one["time"] for one in said["events"]}
    figure, (above, below) = plt.subplots(2, sharex=True, figsize=(9, 5.4), layout="constrained")
    for name, colour in (("nodes", "#0072B2"), ("workers", "#E69F00"), ("workers told to go", "#D55E00")):
        above.step(times, [now[name] for now in timeline], where="post", label=name, color=colour)
    above.fill_between(times, [now["playing"] for now in timeline], step="post", label="playing", alpha=0.2, color="k")
    below.plot(times, [now["backlog"] for now in timeline], label="episodes that wait", color="#0072B2")
    below.plot(times, [now["played"] for now in timeline], label="episodes played", color="#009E73")
    below.set_xlabel("seconds")
    for axes in (above, below):
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
        axes.axvspan(happened["node drained"], happened["drained node left"], color="#D55E00", alpha=0.15)
        for time in happened.values():
            axes.axvline(time, color="grey", linewidth=0.8, linestyle=":")
    for place, (what, time) in enumerate(happened.items()):
        side = "left" if what in ("asked", "drained node left") else "right"
        above.text(time, MOST + 0.4 + 0.5 * (place % 3), f" {what} ", fontsize=8, ha=side)
    above.set_ylim(0, MOST + 2)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)
