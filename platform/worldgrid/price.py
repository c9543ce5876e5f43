"""Price: what a grid costs before it runs: steps, FLOPs, hours, bytes, and what sharing saves. It starts nothing.

How long a step takes comes from finished steps of its stage in the store; where there are none, from its FLOPs at the
rate of this machine's matrix product, which is the least it can take.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from worldgrid.grid import Grid
from worldgrid.host import SPENT
from worldgrid.scale import Scale
from worldgrid.sizes import step_bytes
from worldgrid.spec import ConfigError
from worldgrid.step import Step
from worldgrid.store import Store
from worldgrid.workload import Work, work


@dataclass(frozen=True)
class Estimate:
    """What one stage of a grid costs."""

    stage: str
    steps: int
    """Distinct steps."""
    new: int
    """Those that are not in the store."""
    apart: int
    """Steps if no trial shared any."""
    flops: float
    """Of the new steps."""
    hours: float | None
    """Worker-hours of the new steps; None where nothing tells."""
    hours_apart: float | None
    """Worker-hours of all steps if no trial shared any."""
    bytes: int
    """To be written, at most."""
    source: str
    """Where the hours come from."""


@dataclass(frozen=True)
class Price:
    """What a grid costs."""

    trials: int
    cached: int
    """Trials whose result is in the store."""
    episodes: int
    """Planning episodes still to be played."""
    stages: Sequence[Estimate]
    gpu_hours: float
    """Worker-hours of stages that reserve GPUs, times their GPUs."""
    cost: float
    """The GPU-hours at their price."""
    longest: float
    """Hours of the longest chain of new steps: no cluster is faster."""

    @property
    def hours(self) -> float:
        """Worker-hours of all new steps whose time is known."""
        return sum(stage.hours or 0.0 for stage in self.stages)

    @property
    def hours_apart(self) -> float:
        """Worker-hours if every trial ran alone in an empty store."""
        return sum(stage.hours_apart or 0.0 for stage in self.stages)

    @property
    def unknown(self) -> list[str]:
        """Stages with new steps whose time nothing tells."""
        return [stage.stage for stage in self.stages if stage.hours is None and stage.new]


class _Rates:
    """Worker-seconds per measure of work, by stage."""

    def __init__(self, store: Store, scale: Scale, flops_per_second: float | None) -> None:
        self._store = store
        self._scale = scale
        self._given = flops_per_second
        self._known: dict[tuple[str, str], list[tuple[float, float]]] = {}
        self._steps: dict[str, Step | None] = {}
        for key in store.every_key():
            self._learn(key)

    def _learn(self, key: str) -> None:
        done, step = self._store.done(key), self._rebuilt(key)
        if done is None or step is None or (measure := work(step, self._store).measure) <= 0:
            return
        took = done.host.get(SPENT, {}).get("worker_seconds", done.seconds * workers(step, self._scale))
        for env in {_env(step), ""}:
            self._known.setdefault((step.stage, env), []).append((measure, took))

    def _rebuilt(self, key: str) -> Step | None:
        """A finished step again, as far as the store has what it stood on."""
        if key not in self._steps:
            done = self._store.done(key)
            inputs = {name: self._rebuilt(needed) for name, needed in done.recipe["inputs"].items()} if done else {}
            there = {name: step for name, step in inputs.items() if step}
            whole = done and len(there) == len(inputs)
            recipe = done.recipe if done else {}
            self._steps[key] = Step(recipe["stage"], recipe["version"], recipe["config"], there) if whole else None
        return self._steps[key]

    def seconds(self, step: Step, done: Work) -> tuple[float | None, str]:
        """Worker-seconds of a step that computes so much, and where that comes from."""
        for env in (_env(step), ""):
            if past := self._known.get((step.stage, env)):
                rate = sum(seconds for _, seconds in past) / sum(measure for measure, _ in past)
                return done.measure * rate, f"{len(past)} finished steps"
        if done.flops and self._given:
            return done.flops / self._given, f"FLOPs at {self._given:.1e} a second"
        if done.flops:
            return done.flops / matmul_rate(), f"FLOPs at {matmul_rate():.1e} a second, at least"
        return None if done.units else 0.0, "nothing tells"


def _env(step: Step) -> str:
    return str(step.config.get("env", {}).get("kind", ""))


@lru_cache(maxsize=1)
def matmul_rate() -> float:
    """FLOPs per second of a matrix product of this machine, one thread or the GPU: the best of a few."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = 8192 if device.type == "cuda" else 512
    left = torch.ones(size, size, device=device)
    best = float("inf")
    for _ in range(4):
        began = time.perf_counter()
        (left @ left).sum().item()
        best = min(best, time.perf_counter() - began)
    return 2.0 * size**3 / best


def workers(step: Step, scale: Scale) -> int:
    """Workers that share one step, at most."""
    return scale.train.workers[1] if step.stage == "train" else 1


def gpus(stage: str, scale: Scale) -> float:
    """GPUs that a worker of a stage reserves."""
    return {"train": scale.train.gpus, "encode": scale.encode.gpus, "evaluate": scale.evaluate.gpus}.get(stage, 0.0)


def price(grid: Grid, store: Store, *, gpu_hour: float = 0.0, flops_per_second: float | None = None) -> Price:
    """What is left to pay of a grid, at `gpu_hour` for an hour of a GPU.

    `flops_per_second` is what one worker sustains, for stages of which the store has no finished step; measured on this
    machine unless given.
    """
    rates = _Rates(store, grid.scale, flops_per_second)
    steps = grid.steps()
    new = [step for step in steps if store.done(step.key) is None]
    fresh, computed = {step.key for step in new}, {step.key: work(step, store) for step in steps}
    took = {step.key: rates.seconds(step, computed[step.key]) for step in steps}
    apart: dict[str, list[Step]] = {}
    for trial in grid.trials:
        alone = {step.key: step for one in trial.evaluations for step in one.step.walk()}
        for step in alone.values():
            apart.setdefault(step.stage, []).append(step)
    stages = []
    for stage, every in apart.items():
        distinct = [step for step in steps if step.stage == stage]
        missing = [step for step in distinct if step.key in fresh]
        estimate = Estimate(
            stage=stage,
            steps=len(distinct),
            new=len(missing),
            apart=len(every),
            flops=sum(computed[step.key].flops for step in missing),
            hours=_hours([took[step.key][0] for step in missing]),
            hours_apart=_hours([took[step.key][0] for step in every]),
            bytes=sum(step_bytes(step, store) for step in missing),
            source=", ".join(dict.fromkeys(took[step.key][1] for step in missing)) or "in the store",
        )
        stages.append(estimate)
    gpu_hours = sum((one.hours or 0.0) * gpus(one.stage, grid.scale) for one in stages)
    return Price(
        trials=len(grid.trials),
        cached=sum(all(one.step.key not in fresh for one in trial.evaluations) for trial in grid.trials),
        episodes=sum(step.config["evaluate"]["episodes"] for step in new if step.stage == "evaluate"),
        stages=stages,
        gpu_hours=gpu_hours,
        cost=gpu_hours * gpu_hour,
        longest=_longest(new, {key: seconds or 0.0 for key, (seconds, _) in took.items()}, grid.scale) / 3600,
    )


def _hours(seconds: Sequence[float | None]) -> float | None:
    known = [one for one in seconds if one is not None]
    return sum(known) / 3600 if len(known) == len(seconds) else None


def _longest(new: Sequence[Step], seconds: dict[str, float], scale: Scale) -> float:
    """Seconds of the longest chain, its trainings on all their workers, its evaluations on all of the pool."""
    ends: dict[str, float] = {}
    for step in new:  # inputs come first
        side_by_side = scale.evaluate.workers[1] if step.stage == "evaluate" else workers(step, scale)
        before = max((ends.get(needed.key, 0.0) for needed in step.inputs.values()), default=0.0)
        ends[step.key] = before + seconds[step.key] / side_by_side
    return max(ends.values(), default=0.0)


_UNITS = {"s": 1 / 3600, "m": 1 / 60, "h": 1.0, "d": 24.0}


def read_budget(text: str) -> float:
    """`200h`, `30m`, `2d` -> hours; raises ConfigError."""
    try:
        return float(text[:-1]) * _UNITS[text[-1:]]
    except (ValueError, KeyError):
        raise ConfigError(f"budget: given '{text}'; a number with s, m, h or d fits, like 200h") from None


def check_budget(found: Price, budget: float) -> None:
    """Raises ConfigError where a grid takes more worker-hours than the budget (hours), or nobody can say."""
    if found.hours > budget:
        raise ConfigError(
            f"budget: given {budget:g} h; the grid takes {found.hours:.1f} worker-hours "
            "(`worldgrid show FILE --price` says where); a smaller grid or a larger budget fits"
        )
    if found.unknown:
        raise ConfigError(
            f"budget: nothing tells how long {', '.join(found.unknown)} takes here; one trial without a budget would"
        )
