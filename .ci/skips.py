"""Fails when a JUnit report holds a test that was skipped for a reason that does not hold on this machine."""

import os
import sys
from pathlib import Path
from xml.etree import ElementTree

CHECKOUT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("WORLDGRID_SHARED", CHECKOUT.parent / "shared"))

ALLOWED = {
    "no shared/ folder beside the checkout": not SHARED.is_dir(),
}
"""Reason of a skip -> whether it is a good one here."""


def main(reports: list[str]) -> int:
    """Print every test that should have run; 1 when there is one."""
    bad = [
        f"{test.get('classname')}.{test.get('name')}: {skip.get('message')}"
        for report in reports
        for test in ElementTree.parse(report).iter("testcase")
        for skip in test.iter("skipped")
        if skip.get("type") == "pytest.skip" and not ALLOWED.get(skip.get("message", ""))
    ]
    for line in bad:
        print(f"skipped, but should have run: {line}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
