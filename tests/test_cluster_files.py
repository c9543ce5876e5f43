"""The files of cluster/: valid by the schemas of those who read them, pinned, and open to nobody from outside."""

import json
import re
import shlex
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer.main
import yaml

from worldgrid.cli import app

ROOT = Path(__file__).parents[1]
CLUSTER = ROOT / "cluster"
SCHEMAS = Path(__file__).parent / "schemas"
MANIFESTS = [*sorted((CLUSTER / "kuberay").glob("*.yaml")), CLUSTER / "services" / "kubernetes.yaml"]
TEXTS = [path for path in sorted(CLUSTER.rglob("*")) if path.is_file()]


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def schema(name: str) -> dict[str, Any]:
    return json.loads((SCHEMAS / name).read_text())


@cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema(name))
    return jsonschema.Draft202012Validator(schema(name))


@pytest.fixture
def aws() -> dict[str, Any]:
    return documents(CLUSTER / "aws.yaml")[0]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_a_manifest_is_what_kubernetes_and_kuberay_take(path: Path) -> None:
    for document in documents(path):
        validator("kubernetes.json").validate(document)


def test_a_misspelt_field_of_a_manifest_is_refused() -> None:
    cluster = documents(CLUSTER / "kuberay" / "cluster.yaml")[0]
    cluster["spec"]["workerGroupSpecs"][0]["maxReplica"] = 2
    with pytest.raises(jsonschema.ValidationError, match="maxReplica"):
        validator("kubernetes.json").validate(cluster)


def test_the_compose_file_is_valid() -> None:
    validator("compose.json").validate(documents(CLUSTER / "services" / "compose.yaml")[0])


def test_every_volume_and_service_that_the_compose_file_names_is_there() -> None:
    compose = documents(CLUSTER / "services" / "compose.yaml")[0]
    for service in compose["services"].values():
        assert set(service.get("depends_on", ())) <= set(compose["services"])
        for mount in service.get("volumes", ()):
            source = mount.partition(":")[0]
            if source.startswith("."):
                assert (CLUSTER / "services" / source).resolve().exists(), mount
            elif not source.startswith(("/", "$")):
                assert source in compose["volumes"], mount


def test_the_aws_file_is_what_ray_up_takes(aws: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import fillout_defaults, validate_config

    validate_config(fillout_defaults(aws))


def test_train_and_evaluate_have_groups_of_their_own_that_start_from_zero(aws: dict[str, Any]) -> None:
    groups = aws["available_node_types"]
    assert [groups[name]["min_workers"] for name in ("train", "evaluate")] == [0, 0]
    assert groups["head"]["resources"] == {"CPU": 0, "GPU": 0}
    assert groups["train"]["resources"]["train"] == groups["evaluate"]["resources"]["evaluate"] == 1000
    assert groups["evaluate"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert sum(groups[name]["max_workers"] for name in ("train", "evaluate")) == aws["max_workers"]


@pytest.mark.parametrize("name", ["cluster.yaml", "job.yaml"])
def test_the_groups_on_kubernetes_offer_the_same_resources(name: str) -> None:
    spec = documents(CLUSTER / "kuberay" / name)[0]["spec"]
    spec = spec.get("rayClusterSpec", spec)
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["autoscalerOptions"]["version"] == "v2"
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    offered = [json.loads(json.loads(group["rayStartParams"]["resources"])) for group in spec["workerGroupSpecs"]]
    assert offered == [{"train": 1000}, {"evaluate": 1000}]
    assert [group["minReplicas"] for group in spec["workerGroupSpecs"]] == [0, 0]


def test_the_job_runs_on_the_same_pods_as_the_standing_cluster() -> None:
    standing = documents(CLUSTER / "kuberay" / "cluster.yaml")[0]["spec"]
    alone = documents(CLUSTER / "kuberay" / "job.yaml")[0]["spec"]["rayClusterSpec"]
    assert alone["workerGroupSpecs"] == standing["workerGroupSpecs"]
    assert alone["autoscalerOptions"] == standing["autoscalerOptions"]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_pods_run_as_nobody_special(path: Path) -> None:
    text = json.dumps(documents(path))
    for pod in re.findall(r'"spec": {[^{}]*"restartPolicy"', text):
        assert "hostNetwork" not in pod
    assert '"privileged": true' not in text
    assert text.count('"runAsNonRoot": true') == text.count('"containers"')


@pytest.mark.parametrize("name", ["iam-node.json", "iam-head.json"])
def test_a_policy_allows_no_wildcard_action(name: str) -> None:
    policy = json.loads((CLUSTER / name).read_text())
    assert policy["Version"] == "2012-10-17"
    for statement in policy["Statement"]:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert statement["Effect"] == "Allow"
        assert not [action for action in actions if "*" in action]
        assert statement["Resource"] != "*" or "Condition" in statement


def test_nodes_may_touch_nothing_but_the_store() -> None:
    statements = json.loads((CLUSTER / "iam-node.json").read_text())["Statement"]
    assert {statement["Resource"] for statement in statements} == {
        "arn:aws:s3:::BUCKET",
        "arn:aws:s3:::BUCKET/PREFIX/*",
    }


@pytest.mark.parametrize("path", sorted((ROOT / "dashboards" / "grafana").glob("*.json")), ids=lambda path: path.name)
def test_a_dashboard_loads_and_has_an_identity_of_its_own(path: Path) -> None:
    board = json.loads(path.read_text())
    assert board["uid"]
    assert board["title"]
    assert board["panels"]
    places = [panel["id"] for panel in board["panels"]]
    assert len(places) == len(set(places))


@pytest.mark.parametrize("name", ["grafana-sources.yaml", "grafana-dashboards.yaml"])
def test_grafanas_provisioning_is_of_its_version(name: str) -> None:
    assert documents(CLUSTER / "services" / name)[0]["apiVersion"] == 1


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, continued lines joined and comments left out."""
    lines = [line for line in (CLUSTER / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def test_the_image_is_pinned_and_runs_as_a_user() -> None:
    """Rules of hadolint: DL3006/7 (a tag), DL3002 (last user), DL3020 (COPY), DL3025 (CMD as JSON)."""
    found = instructions()
    assert re.fullmatch(r"\S+:\d+\.\d+\.\d+\S*", found[0][1])
    assert [rest for word, rest in found if word == "USER"][-1] == "ray"
    assert not [word for word, _ in found if word == "ADD"]
    commands = [rest for word, rest in found if word in ("CMD", "ENTRYPOINT")]
    assert all(isinstance(json.loads(rest), list) for rest in commands)


def test_the_image_keeps_no_package_lists() -> None:
    """Rules of hadolint: DL3008 apart (Debian drops old versions), DL3009, DL3014, DL3015, DL3042, DL3004 (no sudo)."""
    runs = [rest for word, rest in instructions() if word == "RUN"]
    for run in runs:
        assert "sudo" not in run
        if "apt-get install" in run:
            assert "--yes" in run
            assert "--no-install-recommends" in run
            assert "rm -rf /var/lib/apt/lists/*" in run
        for installer in ("pip install", "uv pip install"):
            for call in re.findall(rf"(?<!uv ){installer}[^&;]*", run):
                assert "--no-cache" in call or "--no-deps" in call, call


def test_the_image_has_no_secret_in_it() -> None:
    for word, rest in instructions():
        if word in ("ENV", "ARG"):
            assert not re.search(r"(?i)(token|password|secret|key)\w*=(?!token\b)\S", rest), rest


def test_every_copied_file_is_sent_to_the_builder() -> None:
    kept = {line[1:] for line in (CLUSTER / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied = {name for word, rest in instructions() if word == "COPY" for name in rest.split()[1:-1]}
    assert copied == kept
    assert all((ROOT / name).exists() for name in kept)


def test_the_pins_for_the_cpu_leave_out_pytorch_and_cuda_and_nothing_else() -> None:
    program = re.search(r"awk '([^']+)'", (CLUSTER / "Dockerfile").read_text())
    assert program
    lock = ROOT / "requirements.lock"
    kept = subprocess.run(["awk", program[1], str(lock)], capture_output=True, text=True, check=True).stdout
    names = [set(re.findall(r"(?m)^([a-z0-9.-]+)==", text)) for text in (lock.read_text(), kept)]
    assert {"torch", "torchvision", "triton", "nvidia-nccl-cu13"} <= names[0] - names[1]
    assert all(re.match(r"torch|triton|nvidia-|cuda-", name) for name in names[0] - names[1])
    assert len(re.findall("--hash=", kept)) > len(names[1])


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_a_file_says_what_it_is_and_carries_no_secret(path: Path) -> None:
    text = path.read_text()
    if path.suffix != ".json":
        assert text.startswith("#")
    assert not re.search(r"AKIA[0-9A-Z]{16}|-----BEGIN", text)
    assert not re.search(r"(?i)(password|secret|token)\w*['\"]?: *['\"]?[0-9a-f]{16}", text)


def test_the_files_name_this_version_and_rays() -> None:
    for name in ("kuberay/cluster.yaml", "kuberay/job.yaml"):
        assert f"rayVersion: {version('ray')}" in (CLUSTER / name).read_text()
    for path in [*MANIFESTS, CLUSTER / "aws.yaml", CLUSTER / "services" / "compose.yaml"]:
        assert set(re.findall(r"image: worldgrid:([0-9.]+)", path.read_text())) == {version("worldgrid")}, path.name


def test_what_listens_beyond_loopback_is_behind_a_door() -> None:
    """0.0.0.0 stands only where a pod or a container network and, in front of it, a token or a proxy guard it."""
    found = {path.name for path in TEXTS if path.suffix != ".md" and "0.0.0.0" in path.read_text()}
    assert found == {"compose.yaml", "cluster.yaml", "job.yaml"}


def test_the_page_names_files_that_are_there() -> None:
    page = (CLUSTER / "README.md").read_text()
    for name in re.findall(r"\]\(([^)]+)\)", page):
        assert (CLUSTER / name).exists(), name
    assert page.count("validated, not run") >= 3


def commands() -> list[str]:
    """What the page tells a user to type, but for what is not ours."""
    return re.findall(r"(?m)^worldgrid .*$", (CLUSTER / "README.md").read_text())


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_page_is_one_of_the_command_line(line: str) -> None:
    command, words = typer.main.get_command(app), shlex.split(line, comments=True)[1:]
    while isinstance(command, typer.core.TyperGroup):
        command = command.commands[words.pop(0)]
    assert command.make_context("worldgrid", words)
