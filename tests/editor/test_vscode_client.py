"""The VS Code extension: its manifest fits its program, and the program can be read."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "editors" / "vscode"


def test_the_manifest_fits_the_program() -> None:
    manifest = json.loads((FOLDER / "package.json").read_text("utf-8"))
    program = (FOLDER / manifest["main"]).read_text("utf-8")
    required = set(re.findall(r'require\("([^"]+)"\)', program))
    packages = {name.partition("/")[0] for name in required if not name.startswith("node:")}
    assert packages == {"vscode", *manifest["dependencies"]}
    assert set(manifest["engines"]) == {"vscode"}
    assert {each["command"] for each in manifest["contributes"]["commands"]} == set(
        re.findall(r'registerCommand\("([^"]+)"', program)
    )
    settings = manifest["contributes"]["configuration"]["properties"]
    assert set(re.findall(r'affectsConfiguration\("([^"]+)"\)', program)) <= set(settings)
    # It runs the migrations of the folder.
    assert manifest["capabilities"]["untrustedWorkspaces"]["supported"] is False


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_program_can_be_read() -> None:
    subprocess.run(["node", "--check", str(FOLDER / "extension.js")], check=True, capture_output=True)
