"""`make bench`: how fast the pieces are on this machine, as tables and in `build/bench.json`.

One thread; CPU time; medians. Absolute figures vary with the machine's load: compare the ratios of one run. Words on
the command line choose: `python -m tests.bench quickstart streaming` runs the cases whose names hold one of them.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from tests.bench import engine, pool
from tests.bench.data import data
from tests.bench.envs import env_rows
from tests.bench.plans import CASES, Case, measure
from worldgrid.latents import EncodedShard, Latents, write_encoded, write_index

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


def pieces(console: Console) -> dict[str, float]:
    """What is neither planning nor learning."""
    figures = env_rows() | reading() | data()
    table = Table("measured", "per CPU second")
    for name, figure in figures.items():
        table.add_row(name, f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}")
    console.print(table)
    return figures


def planning(console: Console, cases: Sequence[Case]) -> dict[str, Any]:
    """The reference path against the fast one."""
    table = Table("planning", "reference", "fast", "faster", "target", "difference", "over floor", "memory")
    rows = {}
    for case in cases:
        row = rows[case.name] = measure(case)
        numbers = [f"{row['reference_s']:.3f} s", f"{row['fast_s']:.3f} s", f"{row['speedup']:.2f}x", f"{case.target}x"]
        difference = "a variant" if row["difference"] is None else f"{row['difference']:.0e}"
        floor = f"{row['over_floor']:.2f}x" if "over_floor" in row else ""
        memory = f"{row['memory']:.2f}x" if row.get("memory") else ""
        table.add_row(case.name, *numbers, difference, floor, memory)
        console.print(f"{case.name}: {row['speedup']:.2f}x, target {case.target}x")
    console.print(table)
    return rows


def main() -> None:
    """Measure, print, write."""
    torch.set_num_threads(1)
    words, console = sys.argv[1:], Console()
    chosen = [case for case in CASES if not words or any(word in case.name for word in words)]
    figures: dict[str, Any] = {"planning": planning(console, chosen)} if chosen else {}
    if not words or "pieces" in words:
        figures |= pieces(console)
    if not words or "pool" in words:
        figures |= pool.show(console)
    if not words or "engine" in words:
        figures |= engine.show(console)
    path = ROOT / "build" / "bench.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
