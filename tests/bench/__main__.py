"""Prints how fast the pieces are on this machine and writes `build/bench.json`. One thread; CPU time; medians.

Absolute figures vary with the machine's load: compare the ratios of one run.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from worldgrid.envs import ENVS
from worldgrid.grid import read_grid
from worldgrid.latents import EncodedShard, Latents, write_encoded, write_index
from worldgrid.noise import Noise
from worldgrid.objectives import GoalDistance
from worldgrid.planners import Problem
from worldgrid.predictors import Latent, Shapes
from worldgrid.world_model import Normalisation, WorldModel

ROOT = Path(__file__).parents[2]
ROUNDS = 5


def rate(work: Callable[[], object], units: int) -> float:
    """Units per CPU second, the median of some rounds after one to warm up."""
    work()
    seconds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return units / max(statistics.median(seconds), 1e-9)


def rendering() -> dict[str, float]:
    """Frames per CPU second at 64 px, without GL."""
    settings = [{"kind": "point"}, {"kind": "wall"}, {"kind": "pointmaze", "renderer": "raster"}]
    made = {}
    for section in settings:
        env = ENVS.parse(section)
        states = env.explore(range(256)).state()
        made[f"render {section['kind']}, frames/s"] = rate(lambda env=env, states=states: env.render(states), 256)
    return made


def planning() -> dict[str, float]:
    """Candidate evaluations per CPU second of the quickstart's planners, 8 and 32 episodes at once."""
    made = {}
    trials = read_grid(ROOT / "experiments" / "quickstart.yaml").trials
    for trial in (trials[0], trials[1]):
        experiment = trial.experiment
        encoder = experiment.encoder.build(experiment.env)
        predictor = experiment.predictor.build(Shapes(encoder.patches, encoder.width, 10, 2))
        identity = Normalisation(
            action_mean=(0.0,) * 2, action_std=(1.0,) * 2, proprio_mean=(0.0,) * 2, proprio_std=(1.0,) * 2
        )
        world_model = WorldModel(encoder, predictor, identity, context=1)
        for episodes in (8, 32):
            start, goal = (Latent(torch.randn(episodes, 1, encoder.patches, encoder.width)) for _ in range(2))
            cost = world_model.cost(start, goal, GoalDistance())
            problem = Problem(cost, horizon=6, action=10, noise=Noise(0, range(episodes), 0))
            calls = episodes * experiment.planner.calls
            name = f"plan {experiment.planner.kind}, {episodes} episodes, candidates/s"
            made[name] = rate(lambda planner=experiment.planner, problem=problem: planner.plan(problem), calls)
    return made


def reading() -> dict[str, float]:
    """Clips of 4 frames per CPU second from memory-mapped float16 latents of ViT-S size (256 x 384)."""
    with tempfile.TemporaryDirectory() as folder:
        frames = 200
        tokens = np.zeros((frames, 256, 384), np.float16)
        plain = np.zeros((frames, 2))
        write_encoded(Path(folder), 0, EncodedShard(tokens, plain.astype(np.float32), plain, plain.astype(np.float32)))
        write_index(Path(folder), keep=1, lengths=[[frames]], patches=256, width=384)
        latents = Latents(Path(folder))
        starts = np.random.default_rng(0).integers(0, frames - 4, 64)
        return {"read clips of 4 x 256 x 384, clips/s": rate(lambda: latents.read(starts, 4, 1), 64)}


def main() -> None:
    """Measure, print, write."""
    torch.set_num_threads(1)
    figures = rendering() | planning() | reading()
    table = Table("measured", "per CPU second")
    for name, figure in figures.items():
        table.add_row(name, f"{figure:,.0f}")
    Console().print(table)
    path = ROOT / "build" / "bench.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
