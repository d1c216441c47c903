"""The git repository around a project, and the files of its commits.

Files are read as objects (``git cat-file``). The work tree, its index and the list of worktrees stay as they
are, and attributes such as ``export-ignore`` change nothing.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from plainsql.check.git_process import run_git
from plainsql.errors import PlainsqlError, SettingsError

__all__ = ["Commit", "Repository"]

_FILE_MODES: Final = frozenset({"100644", "100755", "100664", "120000"})
"""The modes of files, and of symbolic links; the others are folders and submodules."""


class Commit(NamedTuple):
    """The commit that a ref names."""

    hash: str
    """The whole hash."""
    date: str
    """The day of the commit in UTC, as ``2026-01-31``."""
    subject: str


@dataclass(frozen=True, slots=True)
class Repository:
    """The repository whose work tree holds a folder."""

    top: Path
    """The top folder of the work tree."""

    @classmethod
    def around(cls, folder: Path) -> Repository:
        """Return the repository around a folder.

        Raises ``SettingsError`` if there is none, or if git is not installed or refuses to read it.
        """
        answer = _git(folder, "rev-parse", "--show-toplevel")
        if answer.returncode:
            if b"not a git repository" in answer.stderr:
                raise SettingsError(
                    f"{folder} is in no git repository",
                    hint="compare in a clone: git clone; a downloaded archive has no history",
                )
            raise _refused("the repository cannot be read", answer)
        top = os.fsdecode(answer.stdout.removesuffix(b"\n"))
        if not top:
            raise SettingsError(f"{folder} is in a git repository without a work tree", hint="clone it")
        return cls(Path(top).resolve())

    def commit(self, ref: str) -> Commit:
        """Return the commit that a ref names: a branch, a tag, a hash.

        ``REF...`` names the commit at which the current branch left ``REF``.

        Raises ``SettingsError`` if there is no such commit.
        """
        name = ref
        if ref.endswith("...") and ref != "...":
            base = _git(self.top, "merge-base", "--end-of-options", self._hash(ref[:-3], ref), "HEAD")
            if base.returncode:
                raise SettingsError(
                    f"{ref}: the current branch has no commit in common with {ref[:-3]}",
                    hint=self._shallow_hint(ref[:-3]) or f"compare with the commit itself: {ref[:-3]}",
                )
            name = base.stdout.decode().split()[0]
        found = self._hash(name, ref)
        shown = self._run("show", "--no-patch", "--no-show-signature", "--format=%ct%x00%s", found)
        seconds, _, subject = shown.decode("utf-8", "replace").rstrip("\n").partition("\0")
        return Commit(found, _day(int(seconds)), subject)

    def paths(self, commit: str, folder: str) -> list[str]:
        """Return the paths of the files of a commit below a folder, or the file of that path.

        All paths are relative to the top, with ``/``.
        """
        return [path for path, _ in self._entries(commit, [folder])]

    def read(self, commit: str, path: str) -> bytes | None:
        """Return the content of one file of a commit; ``None`` if there is no such file."""
        if not self._entries(commit, [path]):
            return None
        return self._contents(commit, [path])[0]

    def export(self, commit: str, paths: Sequence[str], folder: Path) -> list[str]:
        """Write files and folders of a commit below a folder; return the paths of files that cannot be.

        A symbolic link becomes the file that it leads to. A link to a folder and one that leads out of the
        repository are left out.
        """
        files = [path for path, _ in self._entries(commit, paths)]
        left_out: list[str] = []
        for path, content in zip(files, self._contents(commit, files), strict=True):
            if content is None or not _is_inside(path):
                left_out.append(path)
                continue
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return left_out

    def _hash(self, name: str, ref: str) -> str:
        answer = _git(self.top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if answer.returncode or not answer.stdout.strip():
            shallow = self._shallow_hint(name)
            detail = "the clone is shallow: it has a part of the history" if shallow else None
            hint = (
                shallow
                or "fetch it: git fetch --tags; or name a tag, a branch or a commit of this repository"
            )
            raise SettingsError(f"{ref}: there is no such commit", detail=detail, hint=hint)
        return answer.stdout.decode().strip()

    def _shallow_hint(self, name: str) -> str:
        answer = _git(self.top, "rev-parse", "--is-shallow-repository")
        if answer.stdout.strip() != b"true":
            return ""
        return f"fetch it: git fetch --unshallow --tags (fetch-depth: 0 of actions/checkout), then {name}"

    def _entries(self, commit: str, paths: Sequence[str]) -> list[tuple[str, str]]:
        """Return the path and the mode of each file of a commit that is one of the paths, or below it."""
        wanted = [path for path in paths if path] if all(paths) else []
        listed = self._run("ls-tree", "-r", "-z", "--full-tree", commit, "--", *wanted)
        found: list[tuple[str, str]] = []
        for entry in filter(None, listed.split(b"\0")):
            facts, _, path = entry.partition(b"\t")
            mode = facts.split()[0].decode()
            if mode in _FILE_MODES:
                found.append((os.fsdecode(path), mode))
        return found

    def _contents(self, commit: str, paths: Sequence[str]) -> list[bytes | None]:
        """Return the content of each file, links followed; ``None`` if a link leads to no file."""
        named = [path for path in paths if "\n" not in path]
        given = b"".join(os.fsencode(f"{commit}:{path}") + b"\n" for path in named)
        answer = self._run("cat-file", "--batch", "--follow-symlinks", given=given) if named else b""
        at, by_path = 0, dict[str, bytes | None]()
        for path in named:
            end = answer.index(b"\n", at)
            words = answer[at:end].split(b" ")
            at = end + 1
            by_path[path] = None
            if len(words) == 3 and len(words[0]) in (40, 64) and words[2].isdigit():  # hash, kind, bytes
                size = int(words[2])
                if words[1] == b"blob":
                    by_path[path] = answer[at : at + size]
                at += size + 1
            elif words[0] in (b"dangling", b"loop", b"notdir", b"symlink") and words[1].isdigit():
                at += int(words[1]) + 1  # the text of the link follows
        return [by_path.get(path) for path in paths]

    def _run(self, *words: str, given: bytes = b"") -> bytes:
        answer = _git(self.top, *words, given=given)
        if answer.returncode:
            raise _refused("the repository cannot be read", answer)
        return answer.stdout


def _git(folder: Path, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return run_git(folder, "--literal-pathspecs", *words, given=given)


def _refused(what: str, answer: subprocess.CompletedProcess[bytes]) -> PlainsqlError:
    first, _, rest = answer.stderr.decode("utf-8", "replace").strip().partition("\n")
    message = first.removeprefix("fatal: ") or f"git ended with {answer.returncode}"
    hint = "run the command that git names: git config --global --add safe.directory FOLDER"
    return SettingsError(f"{what}: {message}", hint=hint if "safe.directory" in rest else None)


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return ".." not in parts and not path.startswith("/") and ".git" not in parts
