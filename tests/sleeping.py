"""Members of families that take their time, or the worker with them: how tests and measurements load the pool."""

import os
import signal
import time
from typing import Literal

from worldgrid.envs import Floats
from worldgrid.envs.point import Point
from worldgrid.planners import Plan, PlannerSpec, Problem
from worldgrid.planners.search import Search


class SleepingPoint(Point):
    """Env `point` whose simulator needs `nap` seconds for a step, and no processor."""

    kind: str = "tests.sleeping:SleepingPoint"
    nap: float = 0.01

    def advance(self, states: Floats, actions: Floats) -> Floats:
        """As `point`, later."""
        time.sleep(self.nap)
        return super().advance(states, actions)


class Sleeping(PlannerSpec):
    """The better of two random candidates, after `nap` seconds without a processor."""

    kind: str = "tests.sleeping:Sleeping"
    nap: float = 0.05

    @property
    def calls(self) -> int:
        """Two."""
        return 2

    def plan(self, problem: Problem) -> Plan:
        """Sleep, then draw."""
        time.sleep(self.nap)
        search = Search(problem)
        search.price(search.normal(0, self.calls))
        return search.plan(search.best)


class Deadly(Sleeping):
    """Takes its process down, or never returns, when it plans for `episode`."""

    kind: str = "tests.sleeping:Deadly"
    nap: float = 0.0
    episode: int = 5
    how: Literal["dies", "hangs"] = "dies"

    def plan(self, problem: Problem) -> Plan:
        """As long as it lasts."""
        if self.episode in problem.noise.episodes:
            if self.how == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(10_000)
        return super().plan(problem)
