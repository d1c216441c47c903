"""The timing of the layers' operations at size, on a size that takes a moment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.layers_at_size", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.timeout(120)
def test_ten_operations_and_the_report_are_timed() -> None:
    done = run("--messages", "2000", "--calls", "3", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["messages"] == 2000
    names = [one["name"] for one in found["operations"]]
    assert len(set(names)) == len(names) == 11
    assert names[-1] == "reports.daily"
    for one in found["operations"]:
        assert 0 < one["median_ms"] <= one["p95_ms"] <= one["worst_ms"]


def test_a_size_that_is_none_is_refused() -> None:
    done = run("--messages", "10")
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected at least 1000 messages" in done.stderr
