"""The last commit of each file and its diff, from one run of ``git log`` for all files.

The log is read until every file has its commit, so a long history costs only its newest part.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from plainsql.check.git_process import git_command, git_environment, run_git
from plainsql.errors import SettingsError
from plainsql.review.model.sheets import FileChange

__all__ = ["FileHistory", "read_history"]

_MARK: Final = "\x1e"
_MAX_DIFF_LINES: Final = 400
_GIT_WAIT_S: Final = 60
_ESCAPE: Final = re.compile(r'\\([abtnvfr"\\]|[0-7]{3})')
_CONTROL: Final = {"a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r"}


@dataclass(frozen=True, slots=True)
class FileHistory:
    """The last changes of files."""

    changes: dict[str, FileChange] = field(default_factory=dict)
    """By the path below the root, with ``/``."""
    python: tuple[str, ...] | None = None
    """The Python files below the root that git does not ignore, sorted; ``None`` without git."""
    remark: str = ""
    """The reason why some changes are not known, in one phrase."""

    def change(self, path: str) -> FileChange:
        """Return the last change of a file; the reason if it is not known."""
        if path in self.changes:
            return self.changes[path]
        return FileChange(why_unknown=self.remark or "git does not track the file")


def read_history(root: Path, wanted: Collection[str]) -> FileHistory:
    """Return the last changes of files below ``root``; ``wanted`` are paths with ``/``.

    Without git, or outside of a repository, nothing is known, and the remark says so.
    """
    if shutil.which("git") is None:
        return FileHistory(remark="git is not installed")
    git = _Git(root)
    tracked = git.lines("ls-files", "-z", separator="\0")
    if tracked is None:
        return FileHistory(remark="the project is in no git repository")
    python = git.lines(
        *("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.py"), separator="\0"
    )
    missing = set(wanted) & set(tracked)
    folders = sorted({path.rpartition("/")[0] or "." for path in missing})
    shallow = set(git.lines("rev-parse", "--is-shallow-repository") or ()) == {"true"}
    boundary = git.boundary() if shallow else frozenset()
    changes: dict[str, FileChange] = {}
    is_cut_off = False
    with closing(git.log(folders)) as log:
        for commit, path, lines in log if missing else ():
            if path not in missing:
                continue
            missing.discard(path)
            if commit.commit in boundary:
                # All files look new in the oldest commit of a shallow clone.
                is_cut_off = True
                changes[path] = FileChange(why_unknown="the clone is shallow: the commit is older than it")
            else:
                changes[path] = replace(
                    commit, diff=tuple(lines[:_MAX_DIFF_LINES]), is_cut=len(lines) > _MAX_DIFF_LINES
                )
            if not missing:
                break
    for path in git.uncommitted(folders) & set(wanted):
        changes[path] = replace(changes.get(path, FileChange(why_unknown="not committed")), uncommitted=True)
    return FileHistory(
        changes, tuple(sorted(set(python or ()))), "the clone is shallow" if is_cut_off else ""
    )


class _Git:
    """The git program in one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def lines(self, *arguments: str, separator: str = "\n") -> list[str] | None:
        """Return the lines that a command prints; ``None`` if it fails."""
        try:
            done = run_git(self._root, *arguments, timeout=_GIT_WAIT_S)
        except (SettingsError, subprocess.TimeoutExpired):
            return None
        if done.returncode:
            return None
        return [line for line in done.stdout.decode("utf-8", "replace").split(separator) if line]

    def boundary(self) -> frozenset[str]:
        """Return the commits at which a shallow clone ends."""
        (path, *_) = self.lines("rev-parse", "--path-format=absolute", "--git-path", "shallow") or [""]
        try:
            return frozenset(Path(path).read_text("ascii").split()) if path else frozenset()
        except (OSError, UnicodeDecodeError):
            return frozenset()

    def uncommitted(self, folders: Sequence[str]) -> set[str]:
        """Return the files that differ from their last commit."""
        if not folders:
            return set()
        changed = self.lines(
            "diff", "--name-only", "-z", "--relative", "HEAD", "--", *folders, separator="\0"
        )
        return set(changed or ())

    def log(self, folders: Sequence[str]) -> Generator[tuple[FileChange, str, list[str]]]:
        """Yield each commit's change of each file, the newest first: the path, and the lines of its hunks."""
        command = [
            *git_command(self._root),
            *(
                "log",
                "--no-merges",
                "--patch",
                "--no-renames",
                "--no-ext-diff",
                "--no-textconv",
                "--no-color",
            ),
            *("--relative", "--unified=3", "--src-prefix=a/", "--dst-prefix=b/"),
            *(f"--format={_MARK}%H{_MARK}%an{_MARK}%aI{_MARK}%s", "--", *folders),
        ]
        with subprocess.Popen(
            command,
            env=git_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                assert process.stdout is not None
                texts = (line.decode("utf-8", "replace").rstrip("\n") for line in process.stdout)
                yield from _changes(texts)
            finally:
                process.kill()


def _changes(texts: Iterator[str]) -> Iterator[tuple[FileChange, str, list[str]]]:
    commit, before, path = FileChange(), "", ""
    hunks: list[str] | None = None
    for text in texts:
        if text.startswith((_MARK, "diff --git ")):
            if path:
                yield commit, path, hunks or []
            before, path, hunks = "", "", None
            if text.startswith(_MARK):
                _, hash_, author, date, subject = text.split(_MARK, 4)
                commit = FileChange(hash_, author, date, subject)
        elif hunks is None and text.startswith("--- "):
            before = _path(text[4:], "a/")
        elif hunks is None and text.startswith("+++ "):
            path = _path(text[4:], "b/") or before
        elif text.startswith("@@ ") and path:
            hunks = [*(hunks or []), text]
        elif hunks is not None and text:
            hunks.append(text)
    if path:
        yield commit, path, hunks or []


def _path(text: str, prefix: str) -> str:
    """Return the path of a line of a diff; empty for ``/dev/null``."""
    text = text.removesuffix("\t")
    if text.startswith('"') and text.endswith('"'):
        text = _ESCAPE.sub(lambda match: _CONTROL.get(match[1]) or _escaped(match[1]), text[1:-1])
    return text.removeprefix(prefix) if text.startswith(prefix) else ""


def _escaped(mark: str) -> str:
    return chr(int(mark, 8)) if mark.isdecimal() else mark
