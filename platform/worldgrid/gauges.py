"""Gauges: live numbers of the episode pool that Prometheus scrapes from every Ray node, as `ray_worldgrid_pool_*`.

Only the pool writes them, so no series ends with a worker. `dashboards/grafana/pool.json` shows them.
"""

from __future__ import annotations

from collections.abc import Mapping

from ray.util.metrics import Counter, Gauge, Histogram

from worldgrid.spec import JSON

SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
"""Bounds of the histogram of a chunk's duration."""


class PoolGauges:
    """What one pool is doing."""

    def __init__(self) -> None:
        self._workers = Gauge("worldgrid_pool_workers", "Workers by what they do.", ("state",))
        self._backlog = Gauge("worldgrid_pool_backlog", "Episodes that nobody plays yet.")
        self._episodes = Counter("worldgrid_pool_episodes", "Episodes played.", ("outcome",))
        self._chunks = Histogram("worldgrid_pool_chunk_seconds", "How long chunks took.", list(SECONDS))
        self._idle = Counter("worldgrid_pool_idle_seconds", "Seconds that workers waited for a chunk.")
        self._scaled = Counter("worldgrid_pool_scale_events", "Workers asked for and let go.", ("direction",))
        self._returned = Counter("worldgrid_pool_returned_chunks", "Chunks to be played again.", ("reason",))
        self._aside = Counter("worldgrid_pool_set_aside_episodes", "Episodes that took down too many workers.")
        self._loads = Counter("worldgrid_pool_model_loads", "World models that workers loaded.")

    def census(self, census: Mapping[str, int], idle_seconds: float) -> None:
        """Workers by state and episodes in the `backlog`; worker-seconds without a chunk since the last call."""
        for state in ("starting", "idle", "playing"):
            self._workers.set(census[state], {"state": state})
        self._backlog.set(census["backlog"])
        if idle_seconds > 0:
            self._idle.inc(idle_seconds)

    def played(self, counts: JSON, seconds: float) -> None:
        """A chunk came back with its counts: `episodes`, `successes`, and whether its model was `loaded` for it."""
        won = counts["successes"]
        for outcome, count in (("success", won), ("failure", counts["episodes"] - won)):
            if count:
                self._episodes.inc(count, {"outcome": outcome})
        self._chunks.observe(seconds)
        if counts["loaded"]:
            self._loads.inc()

    def scaled(self, direction: str) -> None:
        """A worker was asked for (`up`) or let go (`down`)."""
        self._scaled.inc(1, {"direction": direction})

    def returned(self, reason: str) -> None:
        """A chunk has to be played again: its worker `died`, `hung`, or `left`."""
        self._returned.inc(1, {"reason": reason})

    def set_aside(self, episodes: int) -> None:
        """A chunk is not tried again."""
        self._aside.inc(episodes)
