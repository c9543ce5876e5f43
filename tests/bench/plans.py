"""Planning, the reference path against the fast one: time, numbers, memory, and how much of the machine is used.

One thread; CPU time; the two paths take turns in one run, medians. Every case says the target it is held against.
"""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.utils.flop_counter import FlopCounterMode

from tests.bench import reference
from worldgrid.encoders import ENCODERS
from worldgrid.envs import ENVS
from worldgrid.objectives import GoalDistance
from worldgrid.predictors import Latent, Shapes
from worldgrid.predictors.transformer import CausalTransformer, Transformer
from worldgrid.world_model import Normalisation, WorldModel

STUDY = Shapes(patches=256, width=384, action=10, proprio=4)
SMALL = Shapes(patches=64, width=192, action=10, proprio=4)
TINY = Shapes(patches=16, width=64, action=10, proprio=4)
QUICKSTART = Shapes(patches=4, width=32, action=10, proprio=2)
QUICKSTART_SETTINGS = {"width": 64, "depth": 2, "heads": 4, "context": 1, "proprio": "none", "residual": True}


@dataclass(frozen=True)
class Case:
    """One comparison."""

    name: str
    shapes: Shapes
    candidates: int
    target: float
    """How many times faster the fast path shall be."""
    settings: dict[str, Any] = field(default_factory=dict)
    context: int = 2
    horizon: int = 6
    episodes: int = 1
    gradient: bool = False
    compiled: bool = False
    streaming: bool = False
    rounds: int = 3


CASES = [  # 8 of the study's 300 candidates: time grows with them, and so does the reference's memory, but not ours
    Case("study, W 2", STUDY, 8, 1.25, rounds=2),
    Case("study, W 3", STUDY, 8, 1.5, context=3, rounds=2),
    Case("study, feature, W 2", STUDY, 8, 1.25, {"conditioning": "feature"}, rounds=2),
    Case("study, streaming, W 2", STUDY, 8, 1.7, streaming=True, rounds=2),
    Case("64 x 192, N 300", SMALL, 300, 1.8, {"width": 192, "heads": 8}, rounds=1),
    Case("64 x 192, N 300, compiled", SMALL, 300, 1.8, {"width": 192, "heads": 8}, compiled=True, rounds=1),
    Case("64 x 192, N 300, streaming", SMALL, 300, 2.8, {"width": 192, "heads": 8}, streaming=True, rounds=1),
    Case("16 x 64, N 64", TINY, 64, 1.0, {"width": 64, "heads": 4}),
    Case("16 x 64, N 64, compiled", TINY, 64, 2.5, {"width": 64, "heads": 4}, compiled=True),
    Case("64 x 192, gradient", SMALL, 1, 2.0, {"width": 192, "heads": 8}, gradient=True),
    Case("study, gradient", STUDY, 1, 2.0, gradient=True, rounds=1),
    Case("quickstart, 16 episodes, cem", QUICKSTART, 64, 3.0, QUICKSTART_SETTINGS, context=1, episodes=16),
    Case("quickstart, 16 episodes, gradient", QUICKSTART, 1, 3.0, QUICKSTART_SETTINGS, 1, episodes=16, gradient=True),
]


def predictor(case: Case) -> CausalTransformer:
    """Random weights: time does not depend on them, and what is imagined stays finite."""
    torch.manual_seed(0)
    spec = Transformer(**{"context": max(case.context, 1)} | case.settings)
    return spec.build(case.shapes).eval()


def fast(case: Case, made: CausalTransformer) -> WorldModel:
    """The case's world model as planners are given it; a streaming one has the same weights."""
    if case.streaming:
        spec = made.spec.model_copy(update={"window": "streaming"})
        streaming = spec.build(case.shapes)
        streaming.load_state_dict(made.state_dict())
        made = streaming
    ones, zeros = (1.0,) * 2, (0.0,) * 2
    identity = Normalisation(action_mean=zeros, action_std=ones, proprio_mean=zeros, proprio_std=ones)
    encoder = ENCODERS.parse({"kind": "state"}).build(ENVS.parse({"kind": "point"}))
    return WorldModel(encoder, made, identity, context=case.context, compiled=case.compiled)


def paths(case: Case) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """What one iteration of a planner asks of the model, both ways: costs, or gradients."""
    peer, own = predictor(case), predictor(case)
    world_model = fast(case, own)
    shape, patches, width = (case.episodes, 1), case.shapes.patches, case.shapes.width
    raw = torch.randn(*shape, case.shapes.proprio)
    with torch.no_grad():
        start = Latent(torch.randn(*shape, patches, width), own.embed(raw))
        goal = Latent(torch.randn(*shape, patches, width), own.embed(raw))
    actions = torch.randn(case.episodes, case.candidates, case.horizon, case.shapes.action)
    once = reference.gradient_iteration if case.gradient else reference.sampling_iteration
    cost = world_model.cost(start, goal, GoalDistance())

    def slow() -> Tensor:
        one = [
            once(
                peer,
                start.map(lambda z, e=e: z[e, None]),
                goal.map(lambda z, e=e: z[e, None]),
                actions[e],
                case.context,
            )
            for e in range(case.episodes)
        ]
        return torch.stack(one)

    def quick() -> Tensor:
        if not case.gradient:
            with torch.no_grad():
                return cost(actions)
        chosen = actions.detach().requires_grad_()
        return torch.autograd.grad(cost(chosen).sum(), chosen)[0]

    return slow, quick


def measure(case: Case) -> dict[str, Any]:
    """One row of the table. The first run of each path warms up, counts, and is compared."""
    works = dict(zip(("reference", "fast"), paths(case), strict=True))
    first = {name: watched(work) for name, work in works.items()}
    if case.compiled:
        works["fast"]()  # what was compiled while FLOPs were counted is compiled anew without
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(case.rounds):
        for name in sorted(works, reverse=turn % 2 == 0):
            began = time.process_time()
            works[name]()
            seconds[name].append(time.process_time() - began)
    median = {name: statistics.median(seconds[name]) for name in works}
    peer, own = first["reference"], first["fast"]
    row = {
        "reference_s": median["reference"],
        "fast_s": median["fast"],
        "speedup": median["reference"] / median["fast"],
        "target": case.target,
        "difference": None if case.streaming else float((own.result - peer.result).norm() / peer.result.norm()),
        "calls_per_s": case.episodes * case.candidates / median["fast"],
        "memory": own.memory / peer.memory if own.memory and peer.memory else None,
    }
    if not case.compiled:  # what is compiled is not counted
        rate = matmul_rate(case)
        row |= {
            "reference_gflop": peer.flops / 1e9,
            "fast_gflop": own.flops / 1e9,
            "matmul_gflops": rate / 1e9,
            "over_floor": median["fast"] * rate / own.flops,
        }
    return row


class Watched(NamedTuple):
    """One run of a path."""

    result: Tensor
    flops: float
    """Of matrix products and attention, as torch counts them."""
    memory: int | None
    """Bytes resident at the worst moment above those before; None where the kernel (not Linux) does not tell."""


def watched(work: Callable[[], Tensor]) -> Watched:
    """Run a path once."""
    clear, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    before = None
    if clear.exists():
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # give back what earlier work left
        clear.write_text("5")  # forget the peak so far
        before = _resident(status, "VmRSS")
    with FlopCounterMode(display=False) as counter:
        result = work()
    memory = None if before is None else max(_resident(status, "VmHWM") - before, 2**20)
    return Watched(result, float(counter.get_total_flops()), memory)


def matmul_rate(case: Case) -> float:
    """FLOP per CPU second of the widest product of a block, on 16 sequences' tokens."""
    width = case.settings.get("width", 384)
    tokens = torch.randn(min(16, case.candidates) * case.context * case.shapes.patches, width)
    weight, bias, times = torch.randn(4 * width, width), torch.randn(4 * width), []
    repeats = max(1, int(2e9 / (8 * tokens.numel() * width)))
    for _ in range(7):
        began = time.process_time()
        for _ in range(repeats):
            linear(tokens, weight, bias)
        times.append((time.process_time() - began) / repeats)
    return 8 * tokens.numel() * width / statistics.median(times)


def _resident(status: Path, name: str) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])
