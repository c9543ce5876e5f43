"""Probes: each tries one thing for `worldgrid doctor` in a process of its own, which it may crash, and says one line.

`python -m worldgrid.probes env wall`: the line comes last on stdout; exit code 0 when it works, 3 when there is nothing
of the kind here, which is no failure.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from ctypes.util import find_library
from pathlib import Path

import numpy as np

from worldgrid.spec import ConfigError

ABSENT = 3
SCENE = """<mujoco><visual><global offwidth="64" offheight="64"/></visual><worldbody><light pos="0 0 3"/>
<geom type="plane" size="1 1 .1"/><geom type="sphere" size=".2" pos="0 0 .2" rgba="1 0 0 1"/></worldbody></mujoco>"""
SOFTWARE = ("llvmpipe", "softpipe", "swrast")
"""What Mesa calls itself where it draws on the CPU."""


class AbsentError(Exception):
    """There is nothing of the kind here."""


def draw(wanted: str) -> str:
    """A frame with the OpenGL that the environment names, on `gpu` or in `software`."""
    if os.environ.get("MUJOCO_GL") == "osmesa" and find_library("OSMesa") is None:
        raise AbsentError("libOSMesa is not installed")
    import mujoco
    from OpenGL.GL import GL_RENDERER, glGetString

    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    with mujoco.Renderer(model, 64, 64) as renderer:
        mujoco.mj_forward(model, data)
        renderer.update_scene(data)
        drawn = str(glGetString(GL_RENDERER).decode())
        frame = renderer.render()
    software = any(name in drawn for name in SOFTWARE)
    if wanted == "gpu" and software:
        raise AbsentError(f"no GPU draws here, {drawn} does")
    if len(np.unique(frame)) < 2:
        raise RuntimeError(f"{drawn} drew one colour only")
    return drawn


def env(kind: str) -> str:
    """A step of an environment, and frames before and after it."""
    from worldgrid.envs import ENVS

    spec = ENVS.parse({"kind": kind})
    if missing := spec.lacks():
        raise AbsentError(missing)
    if not spec.simulated:
        return "plays recordings, which `worldgrid ingest` makes"
    with closing(spec.explore([0])) as batch:
        first = batch.observe().frames
        batch.step(np.full((1, spec.action_dim), 0.1 * spec.action_limit))
        size = batch.observe().frames.shape[1]
    return f"drew {len(first) + 1} frames of {size} px and stepped"


def weights(*models: str) -> str:
    """Which pretrained encoders are in this machine's caches."""
    here = [model for model in models if _held(model)]
    if not here:
        raise AbsentError("none of the study's encoders are on this machine")
    return ", ".join(here)


def _held(model: str) -> bool:
    from worldgrid.encoders import ENCODERS

    try:
        spec = ENCODERS.parse({"kind": "vjepa" if model.startswith("vjepa") else "timm", "model": model})
        return spec.frozen(download=False) is not None
    except ConfigError:
        return False


def gpus() -> str:
    """The GPUs that PyTorch can compute on."""
    import torch

    if not torch.cuda.is_available():
        raise AbsentError("none: everything runs on CPUs")
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    total = float((torch.ones(8, 8, device="cuda") @ torch.ones(8, 8, device="cuda")).sum())
    assert total == 512, total
    return ", ".join(names)


def cluster() -> str:
    """A Ray cluster of one process on this machine, and a task in it."""
    import ray

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    answer = ray.get(ray.remote(lambda: 6 * 7).remote(), timeout=60)
    ray.shutdown()
    return f"Ray {ray.__version__} started and answered {answer}"


def mlflow(uri: str) -> str:
    """A run in the tracking server that is named, or in a new file like the one in a store."""
    from mlflow import MlflowClient
    from mlflow.version import VERSION

    if uri.startswith(("http://", "https://")):
        found = MlflowClient(uri).search_experiments(max_results=1)
        return f"MLflow {VERSION}: {uri} answered with {len(found)} experiment"
    with tempfile.TemporaryDirectory() as folder:
        client = MlflowClient(f"sqlite:///{Path(folder) / 'mlflow.db'}")
        run = client.create_run(client.create_experiment("doctor", artifact_location=Path(folder).as_uri()))
        client.log_metric(run.info.run_id, "works", 1.0)
        client.set_terminated(run.info.run_id)
    return f"MLflow {VERSION} wrote a run"


PROBES: dict[str, Callable[..., str]] = {
    "cluster": cluster,
    "draw": draw,
    "env": env,
    "gpus": gpus,
    "mlflow": mlflow,
    "weights": weights,
}

if __name__ == "__main__":
    try:
        print(PROBES[sys.argv[1]](*sys.argv[2:]), flush=True)  # noqa: T201
    except AbsentError as absent:
        print(absent, flush=True)  # noqa: T201
        sys.exit(ABSENT)
