"""Prints the known vulnerabilities of the locked packages; fails for those that a newer version mends.

Asks OSV by pip-audit, which uv runs in an environment of its own. Where the service cannot be reached, or knows none of
the packages, a line says so and nothing fails: `python .ci/audit.py UV LOCK`.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PROGRAM = "pip-audit==2.10.1"


def ask(uv: str, lock: str) -> tuple[list[dict[str, Any]], str]:
    """What the service says of every package; none, and why, where it says nothing."""
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "audit.json"
        options = ["--disable-pip", "--vulnerability-service=osv", "--progress-spinner=off", "--format=json"]
        command = [uv, "tool", "run", PROGRAM, *options, f"--requirement={lock}", f"--output={said}"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if said.exists():
            return json.loads(said.read_text())["dependencies"], ""
    return [], (ended.stderr.strip() or "it says nothing").splitlines()[-1][:160]


def judge(packages: list[dict[str, Any]], reason: str = "") -> tuple[list[str], int]:
    """Lines to print, and the exit status."""
    known = [package for package in packages if "skip_reason" not in package]
    if not known:
        return [f"not audited: {reason or f'the service knows none of {len(packages)} packages'}"], 0
    lines, status = [f"audited: {len(known)} of {len(packages)} packages"], 0
    for package in known:
        for found in package["vulns"]:
            mended = ", ".join(found["fix_versions"])
            lines.append(f"{package['name']} {package['version']}: {found['id']}; mended in: {mended or 'nothing yet'}")
            status = 1 if mended else status
    return lines, status


if __name__ == "__main__":
    lines, status = judge(*ask(*sys.argv[1:]))
    print("\n".join(lines))
    sys.exit(status)
