"""What CI makes of the answer of the service of known vulnerabilities."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHECKED = {"name": "numpy", "version": "2.4.0", "vulns": []}
UNKNOWN = {"name": "mine", "skip_reason": "not found"}

Judge = Callable[..., tuple[list[str], int]]


@pytest.fixture(scope="module")
def judge() -> Judge:
    return runpy.run_path(str(Path(__file__).parents[1] / ".ci" / "audit.py"))["judge"]


def vulnerable(*mended: str) -> dict[str, Any]:
    return {"name": "old", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": list(mended)}]}


def test_a_vulnerability_that_a_newer_version_mends_fails(judge: Judge) -> None:
    lines, status = judge([CHECKED, vulnerable("1.1", "2.0")])
    assert lines == ["audited: 2 of 2 packages", "old 1.0: PYSEC-1; mended in: 1.1, 2.0"]
    assert status == 1


def test_a_vulnerability_that_nothing_mends_is_only_told(judge: Judge) -> None:
    assert judge([vulnerable()]) == (["audited: 1 of 1 packages", "old 1.0: PYSEC-1; mended in: nothing yet"], 0)


def test_what_the_service_does_not_know_counts_as_not_audited(judge: Judge) -> None:
    assert judge([CHECKED, UNKNOWN]) == (["audited: 1 of 2 packages"], 0)
    assert judge([UNKNOWN]) == (["not audited: the service knows none of 1 packages"], 0)


def test_a_service_that_is_away_fails_nothing(judge: Judge) -> None:
    assert judge([], "no way there") == (["not audited: no way there"], 0)
