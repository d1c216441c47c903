"""Generated code, and calls of it, checked by both type checkers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECKED = ["tests/codegen/kitchen/queries", "tests/codegen/members/queries", "tests/typing"]
WRONG = sorted(f"{path.relative_to(ROOT)}" for path in (ROOT / "tests/wrong_lines").glob("*.py"))
"""Each is a wrong use; the comments above a wrong line hold the texts of its errors."""


@pytest.mark.timeout(300)
def test_mypy_strict_knows_every_call_and_refuses_each_wrong_line(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    # Its own cache: the workers of a run and a developer's own mypy must not write one at the same time.
    done = _run([sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path), *CHECKED, *WRONG])
    found = re.findall(r"^(.+?):(\d+): error: (.*)$", done.stdout, re.MULTILINE)
    _compare("mypy", [(path, int(line), text) for path, line, text in found], done.stdout + done.stderr)


@pytest.mark.timeout(300)
def test_pyright_knows_every_call_and_refuses_each_wrong_line(tmp_path: Path) -> None:
    pyright = shutil.which("pyright", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if pyright is None:
        pytest.skip("pyright is not installed")
    # Elsewhere: the project's settings exclude the folder, also if it is named.
    for path in WRONG:
        shutil.copy(ROOT / path, tmp_path)
    done = _run([pyright, "--pythonpath", sys.executable, *CHECKED, str(tmp_path)])
    # The details of an error are on the lines below it.
    found = re.findall(r"^ +(/.+?):(\d+):\d+ - error: (.*(?:\n[ \xa0]{4,}.*)*)", done.stdout, re.MULTILINE)
    paths = {str(tmp_path / Path(path).name): path for path in WRONG}
    errors = [(paths.get(path) or path, int(line), str(text)) for path, line, text in found]
    _compare("pyright", errors, done.stdout + done.stderr)


def _compare(checker: str, errors: list[tuple[str, int, str]], output: str) -> None:
    """Each wrong line has an error with its text, and no other line has one."""
    expected: dict[tuple[str, int], str] = {}
    for path in WRONG:
        lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
        wanted = ""
        for number, line in enumerate(lines, 1):
            if line.lstrip().startswith(f"# refused by {checker}: "):
                wanted = line.partition(": ")[2]
            elif wanted and not line.lstrip().startswith("#"):
                expected[path, number] = wanted
                wanted = ""
        assert any(known == path for known, _ in expected), f"{path} has no wrong line for {checker}"
    assert {(path, line) for path, line, _ in errors} == expected.keys(), output
    for place, wanted in expected.items():
        found = [error for path, line, error in errors if (path, line) == place]
        assert any(wanted in error for error in found), (place, wanted, found)


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280, check=False
    )
