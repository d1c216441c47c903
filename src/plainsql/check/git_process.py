"""The git program, started in a folder without the influence of hooks and of a repository's own settings."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from plainsql.errors import SettingsError

__all__ = ["git_command", "git_environment", "run_git"]

# Set by a hook, they lead to another repository than the folder's.
_HOOK_VARIABLES: Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_EXTERNAL_DIFF")
# A repository's own configuration may start programs, or change the form of a diff: none of it counts here.
_SETTINGS: Final = (
    *("core.quotePath=false", "core.fsmonitor=false", "log.showSignature=false"),
    *("diff.noprefix=false", "diff.mnemonicPrefix=false", "diff.suppressBlankEmpty=false"),
)


def git_command(folder: Path) -> list[str]:
    """Return the words of a command of git in a folder, to which those of the command are added."""
    return ["git", *(word for setting in _SETTINGS for word in ("-c", setting)), "-C", os.fspath(folder)]


def git_environment() -> dict[str, str]:
    """Return the environment of git: English messages, no lock of the index, no question to a terminal."""
    environment = {name: value for name, value in os.environ.items() if name not in _HOOK_VARIABLES}
    return environment | {
        "LC_ALL": "C",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_PAGER": "cat",
    }


def run_git(
    folder: Path, *words: str, given: bytes = b"", timeout: float | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run git to its end and return its output.

    Raises ``SettingsError`` if it is not installed, and ``subprocess.TimeoutExpired``.
    """
    try:
        return subprocess.run(
            [*git_command(folder), *words],
            input=given,
            capture_output=True,
            env=git_environment(),
            timeout=timeout,
            check=False,
        )
    except OSError:
        raise SettingsError("git is not installed", hint="install git") from None
