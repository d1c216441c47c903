"""Generated code, and calls of it, checked by both type checkers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECKED = ["tests/codegen/kitchen/queries", "tests/codegen/members/queries", "tests/typing"]


@pytest.mark.timeout(300)
def test_mypy_strict_knows_the_type_of_every_call(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    # Its own cache: the workers of a run and a developer's own mypy must not write one at the same time.
    done = _run([sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path), *CHECKED])
    assert done.stdout.startswith("Success"), done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_pyright_knows_the_type_of_every_call() -> None:
    pyright = shutil.which("pyright", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if pyright is None:
        pytest.skip("pyright is not installed")
    done = _run([pyright, "--pythonpath", sys.executable, *CHECKED])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 errors" in done.stdout


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280, check=False
    )
