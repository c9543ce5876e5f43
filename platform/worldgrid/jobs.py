"""Jobs: grids that run on a cluster, over Ray Jobs. What a job computes lies in the store, so every one can be resumed.

A submission (a grid with its content) may be several jobs one after another: `planners-0123456789ab`, then `...-2`.
"""

from __future__ import annotations

import asyncio
import getpass
import logging
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldgrid.clusters import Cluster
from worldgrid.parcel import Parcel
from worldgrid.spec import ConfigError, suggest

GRID, SUBMISSION, CONTENT, BY = "worldgrid.grid", "worldgrid.submission", "worldgrid.content", "worldgrid.by"
"""Metadata of our jobs."""
ENDED = ("STOPPED", "SUCCEEDED", "FAILED")
POLL_SECONDS = 1.0
FORGETS = "a head that was restarted forgets its jobs; `worldgrid submit` again goes on from the store"
"""Ray keeps the table of jobs in the head's memory."""
STOP_SECONDS = 60.0
"""A job that is told to stop is gone by then: Ray kills it after 3 s (`RAY_JOB_STOP_WAIT_TIME_S`)."""


@dataclass(frozen=True)
class Run:
    """One job."""

    id: str
    grid: str
    submission: str
    content: str
    """Digest of what was sent for it."""
    by: str
    state: str
    """PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED."""
    began: float | None
    ended: float | None
    """Unix times."""
    message: str

    @property
    def open(self) -> bool:
        """Whether it has not come to its end."""
        return self.state not in ENDED


class Jobs:
    """The jobs of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        """Raises ConfigError in one line where the cluster cannot be used from here."""
        import ray
        from ray.job_submission import JobSubmissionClient

        for name in ("ray", "ray.dashboard.modules.dashboard_sdk"):  # they tell of every upload and of its files
            logging.getLogger(name).setLevel(logging.WARNING)
        cluster.check(ray.__version__)
        self.cluster = cluster
        with self._speaking():
            self._client = JobSubmissionClient(cluster.address, headers=cluster.headers())

    def every(self) -> list[Run]:
        """All grids that were submitted, the newest first."""
        with self._speaking():
            found = [_run(job) for job in self._client.list_jobs() if (job.metadata or {}).get(GRID)]
        return sorted(found, key=lambda run: run.began or time.time(), reverse=True)

    def latest(self, name: str) -> Run:
        """The newest job of a grid, a submission or a job's own name; raises ConfigError where there is none."""
        runs = self.every()
        found = [run for run in runs if name in (run.grid, run.submission, run.id)]
        if not found:
            known = suggest(name, {run.grid for run in runs}) or f"; {FORGETS}"
            raise ConfigError(f"{self.cluster.address} has no job '{name}'{known}")
        return found[0]

    def of(self, parcel: Parcel) -> list[Run]:
        """The jobs of a parcel's submission, the newest first."""
        return [run for run in self.every() if run.submission == parcel.submission]

    def submit(self, parcel: Parcel, earlier: int) -> str:
        """Start a parcel's grid, which `earlier` jobs did not bring to its end; the new job's name."""
        name = parcel.submission if not earlier else f"{parcel.submission}-{earlier + 1}"
        words = ["python", "-m", "worldgrid.cli", "run", parcel.file, *parcel.grid.overrides]
        metadata = {
            GRID: parcel.grid.name,
            SUBMISSION: parcel.submission,
            CONTENT: parcel.content,
            BY: getpass.getuser(),
        }
        return self._start(name, parcel, [*words, "--store", self.cluster.store], metadata)

    def ask(self, parcel: Parcel, module: str, words: list[str], seconds: float) -> str:
        """What a module prints that runs on the cluster with the parcel's files; it leaves no job behind."""
        name = f"{module.rpartition('.')[2]}-{time.time_ns()}"
        self._start(name, parcel, ["python", "-m", module, *words], {})
        try:
            state = self._wait(name, seconds)
            with self._speaking():
                printed: str = self._client.get_job_logs(name)
        finally:
            self.stop(name)
            with self._speaking():
                self._client.delete_job(name)
        if state == "SUCCEEDED":
            return printed
        last = (printed.strip() or "it printed nothing").splitlines()[-1]
        raise ConfigError(f"cluster {self.cluster.address}: cannot run worldgrid there ({state.lower()}): {last}")

    def stop(self, name: str) -> str:
        """Stop a job and wait until it is; how it ended."""
        with self._speaking():
            if str(self._client.get_job_status(name)) not in ENDED:
                self._client.stop_job(name)
        return self._wait(name, STOP_SECONDS)

    def logs(self, name: str) -> str:
        """What a job's driver printed so far."""
        with self._speaking():
            printed: str = self._client.get_job_logs(name)
        return printed

    def follow(self, name: str, show: Callable[[str], None]) -> None:
        """Show what a job's driver prints, until it ends."""

        async def tail() -> None:
            async for lines in self._client.tail_job_logs(name):
                show(lines)

        with self._speaking():
            asyncio.run(tail())

    def _start(self, name: str, parcel: Parcel, words: list[str], metadata: Mapping[str, str]) -> str:
        environment = {"MLFLOW_TRACKING_URI": self.cluster.tracking} if self.cluster.tracking else {}
        if parcel.source:
            environment["PYTHONPATH"] = "platform"
        with tempfile.TemporaryDirectory(prefix="worldgrid-") as folder:
            parcel.lay_out(Path(folder))
            with self._speaking():
                started: str = self._client.submit_job(
                    entrypoint=shlex.join(words),
                    submission_id=name,
                    metadata=dict(metadata),
                    runtime_env={"working_dir": folder, "env_vars": environment},
                )
        return started

    def _wait(self, name: str, seconds: float) -> str:
        deadline = time.monotonic() + seconds
        while True:
            with self._speaking():
                state = str(self._client.get_job_status(name))
            if state in ENDED or time.monotonic() > deadline:
                return state
            time.sleep(POLL_SECONDS)

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """What Ray's client raises of the far side, in one line."""
        try:
            yield
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ConfigError(f"cluster {self.cluster.address}: {reason}") from None


def _run(job: Any) -> Run:
    said, began, ended = job.metadata, job.start_time, job.end_time
    return Run(
        id=job.submission_id,
        grid=said[GRID],
        submission=said.get(SUBMISSION, ""),
        content=said.get(CONTENT, ""),
        by=said.get(BY, ""),
        state=str(job.status.value),
        began=began / 1000 if began else None,
        ended=ended / 1000 if ended else None,
        message=" ".join((job.message or "").split())[:200],
    )
