"""Stand-ins for sbatch, srun and scontrol that start real processes on this machine: all nodes of an allocation are it.

`sbatch` sends a job its `--signal` as soon as a file exists that SLURM_STANDIN_NEAR names (a pattern): so the limit is
near at the same place on any machine. It holds the job to that limit, and starts it again when it asks to be queued
again; then without one. Called as `python slurm.py sbatch|srun|scontrol ...`.
"""

from __future__ import annotations

import glob
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

JOB = "77"


def sbatch(words: list[str]) -> int:
    """Run a batch script to its end, again as often as it is queued again; the last exit status."""
    options, script = take(words)
    given = dict(re.findall(r"(?m)^#SBATCH --([a-z-]+)=?(\S*)", Path(script[0]).read_text())) | options
    name, _, before = given["signal"].removeprefix("B:").partition("@")
    folder, restarts = Path(os.environ["SLURM_STANDIN"]), 0
    while True:
        nodes = ",".join(f"node{index}" for index in range(int(given["nodes"])))
        shared = {"SLURM_JOB_ID": JOB, "SLURM_JOB_NODELIST": nodes, "SLURM_RESTART_COUNT": str(restarts)}
        shared["SLURM_CPUS_PER_TASK"] = given["cpus-per-task"]
        job = subprocess.Popen(["bash", *script], env=os.environ | shared, start_new_session=True)
        if restarts == 0 and near(job):
            job.send_signal(getattr(signal, f"SIG{name}"))
            try:
                job.wait(float(before))
            except subprocess.TimeoutExpired:
                os.killpg(job.pid, signal.SIGKILL)  # the limit
        job.wait()
        if not (folder / "requeue").exists():
            return job.returncode
        (folder / "requeue").unlink()
        restarts += 1


def near(job: subprocess.Popen[bytes]) -> bool:
    """Wait until a job's limit is near; False where the job ends before."""
    while not glob.glob(os.environ["SLURM_STANDIN_NEAR"]):
        if job.poll() is not None:
            return False
        time.sleep(0.1)
    return True


def srun(words: list[str]) -> int:
    """Start a command once per task, hand every signal on, and wait for all."""
    options, command = take(words)
    nodes = os.environ["SLURM_JOB_NODELIST"].split(",")
    chosen = [node for node in nodes if node != options.get("exclude")][: int(options.get("nodes", len(nodes)))]
    chosen = options["nodelist"].split(",") if "nodelist" in options else chosen
    tasks = [subprocess.Popen(command, env=os.environ | {"SLURMD_NODENAME": node}) for node in chosen]

    def hand_on(number: int, _: object) -> None:
        for task in tasks:
            task.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, hand_on)
    return max(abs(task.wait()) for task in tasks)


def scontrol(words: list[str]) -> int:
    """`show hostnames LIST` and `requeue JOB`."""
    if words[0] == "requeue":
        assert words[1] == JOB
        (Path(os.environ["SLURM_STANDIN"]) / "requeue").write_text(str(time.time()))
    else:
        sys.stdout.write("\n".join(words[-1].split(",")) + "\n")
    return 0


def take(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Options in front, and the command after them."""
    options: dict[str, str] = {}
    while words and words[0].startswith("--"):
        name, _, value = words.pop(0)[2:].partition("=")
        options[name] = value
    return options, words


if __name__ == "__main__":
    sys.exit({"sbatch": sbatch, "srun": srun, "scontrol": scontrol}[sys.argv[1]](sys.argv[2:]))
