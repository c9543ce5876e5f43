"""A worker of the episode pool: a Ray actor that plays chunks, some at once: while one plans, others' simulators step.

World models reach it through Ray's object store: loaded once, fetched once per node, their weights shared by the node's
workers. Told to leave (by the pool, or SIGTERM), it hands its chunks back at their next plan.
"""

from __future__ import annotations

import faulthandler
import io
import os
import pickle
import signal
import tempfile
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray import cloudpickle

from worldgrid.backlog import model_name
from worldgrid.spec import JSON
from worldgrid.step import Step
from worldgrid.store import Store

if TYPE_CHECKING:
    from worldgrid.world_model import WorldModel

MODELS = 4
"""World models a worker keeps."""
CONTROL = 2
"""Calls a worker answers while it plays as many chunks as it may."""


class HandedBackError(RuntimeError):
    """The worker was told to leave and did not finish its chunk."""


class Turn:
    """Planning of one process: one chunk at a time, and none once it was told to leave."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leaving = False

    def leave(self) -> None:
        """Let nobody in any more."""
        self._leaving = True

    def __enter__(self) -> None:
        self._lock.acquire()
        if self._leaving:
            self._lock.release()
            raise HandedBackError

    def __exit__(self, *error: object) -> None:
        self._lock.release()


class Models:
    """The world models used last, by name."""

    def __init__(self, most: int = MODELS) -> None:
        self._most = most
        self._held: OrderedDict[str, Any] = OrderedDict()
        self._door = threading.Lock()

    def names(self) -> list[str]:
        """What is held, the one used last at the end."""
        return list(self._held)

    def get(self, name: str, load: Callable[[], Any]) -> Any:
        """A model, loaded if it is not there; the one that was not used for longest makes room."""
        with self._door:
            if name not in self._held:
                self._held[name] = load()
                while len(self._held) > self._most:
                    self._held.popitem(last=False)
            self._held.move_to_end(name)
            return self._held[name]


def egl_environment(gpus: Sequence[int | str]) -> dict[str, str]:
    """Lets simulators draw on the GPU on which the planner computes, where it is known by its number."""
    return {"MUJOCO_EGL_DEVICE_ID": str(gpus[0])} if gpus and str(gpus[0]).isdecimal() else {}


class Worker:
    """Plays chunks and commits their files."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._models = Models()
        self._turn = Turn()
        gpus = ray.get_gpu_ids()
        self._device = "cuda" if gpus else "cpu"
        signal.signal(signal.SIGTERM, lambda *_: self.leave())
        for name, value in egl_environment(gpus).items():
            os.environ.setdefault(name, value)

    def arrive(self) -> JSON:
        """Get ready to play, and say where: node, process number, the file that takes what it prints (on Linux)."""
        import worldgrid.stages.evaluate  # noqa: F401  (torch: seconds that no chunk should be charged for)

        said = Path("/proc/self/fd/2")
        log = str(said.readlink()) if said.exists() else ""
        return {"node": ray.get_runtime_context().get_node_id(), "pid": os.getpid(), "log": log}

    def play(self, step: Step, chunk: range, world_model: list[ray.ObjectRef[Any]]) -> JSON:
        """Play a chunk and commit its file. Raises HandedBackError when it is told to leave meanwhile."""
        from worldgrid.stages import evaluate  # late: the pool must not need torch

        name, before = model_name(step), self._models.names()
        model = self._models.get(name, lambda: unpack(ray.get(world_model[0]), self._device))
        counts = evaluate.play_chunk(step, model, chunk, self._store, self._turn)
        return counts | {"models": self._models.names(), "loaded": name not in before}

    def leave(self) -> None:
        """Take no further plan; what is under way is handed back."""
        self._turn.leave()

    def stacks(self) -> str:
        """What every thread is doing, for the log of a chunk that hangs."""
        with tempfile.TemporaryFile() as file:
            faulthandler.dump_traceback(file)
            file.seek(0)
            return file.read().decode()


@ray.remote(num_cpus=0, max_retries=3)
def load(step: Step, store: Store) -> tuple[bytes, list[NDArray[np.uint8]]]:
    """The world model of an evaluation, packed; its place in the object store is where every worker takes it from."""
    from worldgrid.stages import evaluate

    return pack(evaluate.load_world_model(step, store))


def pack(world_model: WorldModel) -> tuple[bytes, list[NDArray[np.uint8]]]:
    """A world model as its structure and the bytes of its tensors, which Ray shares between processes."""
    import torch

    arrays: list[NDArray[np.uint8]] = []

    class Pickler(cloudpickle.CloudPickler):
        def persistent_id(self, value: object) -> tuple[int, torch.dtype, torch.Size] | None:
            if type(value) is not torch.Tensor or not value.numel():
                return None
            arrays.append(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
            return len(arrays) - 1, value.dtype, value.shape

    structure = io.BytesIO()
    Pickler(structure).dump(world_model)  # type: ignore[no-untyped-call]
    return structure.getvalue(), arrays


def unpack(packed: tuple[bytes, list[NDArray[np.uint8]]], device: str) -> WorldModel:
    """The world model that was packed, on a device; on the CPU its weights are shared and may not be written to."""
    import torch

    structure, arrays = packed

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, said: tuple[int, torch.dtype, torch.Size]) -> torch.Tensor:
            index, dtype, shape = said
            return torch.from_numpy(arrays[index]).view(dtype).view(shape).to(device)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        world_model: WorldModel = Unpickler(io.BytesIO(structure)).load()
    return world_model
