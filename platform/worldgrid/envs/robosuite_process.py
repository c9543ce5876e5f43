"""The process that robosuite runs in, and the Python that runs it. n episodes, X state, S side of a frame.

Answers are functions of their requests (see `robosuite_child.py` for its side), so a process that dies is started
again and asked again, and one process serves every batch of a task.
"""

from __future__ import annotations

import atexit
import io
import json
import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, final

import numpy as np

from worldgrid.envs import Floats
from worldgrid.spec import ConfigError

SCRIPT = Path(__file__).with_name("robosuite_child.py")
FOLDER = "WORLDGRID_ROBOSUITE"
"""Names the environment's folder, where it is not the one of the checkout."""


class Built(NamedTuple):
    """What a process builds; one process for each."""

    task: str
    camera: str | None
    size: int
    repeat: int
    state: int


class DiedError(RuntimeError):
    """The process ended instead of answering."""


def python() -> Path:
    """The interpreter that has robosuite, whether or not it is there."""
    return Path(os.environ.get(FOLDER) or Path(__file__).parents[3] / ".robosuite") / "bin" / "python"


def lacks() -> str:
    """What is missing for robosuite, and what mends it."""
    found = python()
    return "" if found.exists() else f"there is no {found}; `make robosuite` makes it, or {FOLDER} names its folder"


def ask(
    built: Built, do: Literal["start", "step", "draw"], seeds: Sequence[int] = (), arrays: Sequence[Floats] = ()
) -> Any:
    """`[n, X]` states that start or follow, or `[n, S, S, 3]` frames; raises ConfigError where it cannot be built."""
    return _process(built).ask({"do": do, "seeds": list(seeds)}, arrays)


@final
class Process:
    """robosuite with one task."""

    def __init__(self, built: Built) -> None:
        self._built = built
        self._turn = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The child's process number, while there is one."""
        return self._child.pid if self._child else None

    def ask(self, request: dict[str, Any], arrays: Sequence[Floats]) -> Any:
        """The answer; raises ConfigError, or DiedError when the child died twice."""
        with self._turn:
            try:
                return self._ask(request, arrays)
            except DiedError:
                return self._ask(request, arrays)

    def stop(self) -> None:
        """End the child, if there is one; the next request starts another."""
        if self._child:
            self._child.kill()
            self._child.communicate()
        self._child = None

    def _ask(self, request: dict[str, Any], arrays: Sequence[Floats]) -> Any:
        whole = False
        try:
            if self._child is None:
                self._start()
            self._send(request | {"shapes": [array.shape for array in arrays]}, arrays)
            shape = self._hear()["shape"]
            answer = np.empty(shape, np.float64 if len(shape) == 2 else np.uint8)
            if self._read(answer) != answer.nbytes:
                raise DiedError("the process of robosuite died")
            whole = True
        finally:
            if not whole:  # dead, or interrupted: never leave half an answer in the pipe
                self.stop()
        return answer

    def _start(self) -> None:
        if missing := lacks():
            raise ConfigError(f"env robosuite: {missing}")
        self._child = subprocess.Popen(  # noqa: S603  (our own file)
            [str(python()), "-P", str(SCRIPT), str(os.getpid())],
            env=os.environ | {"MUJOCO_GL": "egl", "LP_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # robosuite's log; what fails is an answer
        )
        self._send(self._built._asdict(), ())
        self._hear()

    def _send(self, said: dict[str, Any], arrays: Sequence[Floats]) -> None:
        assert self._child, "started before it is asked"
        requests = cast(io.BufferedWriter, self._child.stdin)
        body = b"".join(np.ascontiguousarray(array, "<f8").tobytes() for array in arrays)
        try:
            requests.write(json.dumps(said).encode() + b"\n" + body)
            requests.flush()
        except BrokenPipeError:
            raise DiedError("the process of robosuite died") from None

    def _hear(self) -> dict[str, Any]:
        assert self._child, "started before it is heard"
        line = cast(io.BufferedReader, self._child.stdout).readline()
        if not line:
            raise DiedError("the process of robosuite died")
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise ConfigError(f"env robosuite, task {self._built.task}: {said['error']}")
        return said

    def _read(self, answer: Any) -> int:
        assert self._child, "started before it is heard"
        return cast(io.BufferedReader, self._child.stdout).readinto(answer.data.cast("B"))


_processes: dict[tuple[int, Built], Process] = {}
_door = threading.Lock()


def _process(built: Built) -> Process:
    """The one of its kind in this process; a forked process gets its own."""
    with _door:
        return _processes.setdefault((os.getpid(), built), Process(built))


@atexit.register
def _stop_all() -> None:
    for (pid, _), started in _processes.items():
        if pid == os.getpid():
            started.stop()
