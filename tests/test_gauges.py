"""The pool's live numbers: what the dashboard asks for exists, and a real Prometheus has an answer to all of it."""

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
import yaml

from worldgrid.pool import Pool
from worldgrid.scale import Evaluate
from worldgrid.store import Store

from .test_pool import worker_pids
from .worlds import exact_evaluation

ROOT = Path(__file__).parents[1]
SCRAPES = ROOT / "dashboards" / "prometheus.yaml"
DASHBOARD = json.loads((ROOT / "dashboards" / "grafana" / "pool.json").read_text())
QUERIES = {
    f"{panel['title']}: {target['legendFormat']}": target["expr"].replace("$__rate_interval", "1m")
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
}


def test_the_dashboard_asks_only_for_what_the_pool_exports() -> None:
    exported = set(re.findall(r'"(worldgrid_pool_\w+)"', (ROOT / "platform/worldgrid/gauges.py").read_text()))
    asked = {name for query in QUERIES.values() for name in re.findall(r"ray_(worldgrid_pool_\w+)", query)}
    assert {re.sub(r"_(total|bucket|count)$", "", name) for name in asked} == exported


def test_panels_do_not_overlap_and_every_one_says_what_it_shows() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert all(panel["title"] and panel["description"] for panel in DASHBOARD["panels"])


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Prometheus: the machine's own, or Debian's package unpacked into a temporary folder."""
    if there := shutil.which("prometheus"):
        return there
    folder = tmp_path_factory.mktemp("prometheus")
    fetch = "apt-get download prometheus && dpkg -x prometheus_*.deb ."
    if subprocess.run(fetch, check=False, shell=True, cwd=folder, capture_output=True).returncode:
        pytest.skip("no prometheus")
    return str(folder / "usr" / "bin" / "prometheus")


@pytest.fixture
def prometheus(cluster: None, program: str, tmp_path: Path) -> Iterator[str]:
    """The address of a Prometheus that scrapes this test's cluster with our configuration, once a second."""
    targets = [f"{node['NodeManagerAddress']}:{node['MetricsExportPort']}" for node in ray.nodes()]
    nodes = tmp_path / "nodes.json"
    nodes.write_text(json.dumps([{"labels": {"job": "ray"}, "targets": targets}]))  # as Ray writes it
    config = yaml.safe_load(SCRAPES.read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    config["scrape_configs"][0]["file_sd_configs"][0]["files"] = [str(nodes)]
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = {"config.file": tmp_path / "prometheus.yaml", "storage.tsdb.path": tmp_path / "data"}
    command = [program, *(f"--{name}={value}" for name, value in options.items()), f"--web.listen-address={address}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield address
    process.terminate()
    process.wait()


def ask(address: str, query: str) -> list[Any]:
    url = f"http://{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return list(json.load(answer)["data"]["result"])
    except OSError:  # it is not up yet
        return []


@pytest.mark.slow
@pytest.mark.ray
def test_prometheus_has_an_answer_to_every_query_of_the_dashboard(prometheus: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    planner = {"kind": "tests.sleeping:Sleeping", "nap": 0.5}
    step = exact_evaluation(store, planner=planner, evaluate={"episodes": 600, "batch": 4, "seed": 1})
    pool = ray.remote(Pool).options(num_cpus=0).remote(store, Evaluate(workers=(0, 2), cpus=0.1))
    pool.play.remote(step)
    missing, deadline = set(QUERIES), time.monotonic() + 400
    killed = False
    while missing and time.monotonic() < deadline:
        if not killed and ray.get(pool.tallies.remote()).get(step.key, {"episodes": 0})["episodes"] > 40:
            psutil.Process(worker_pids(pool)[0]).kill()
            killed = True
        missing = {title for title in missing if not ask(prometheus, QUERIES[title])}
        time.sleep(1)
    ray.kill(pool)
    assert missing == set()
