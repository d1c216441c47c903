"""The baseline of a project: a file of the findings that were there before, which ``check`` accepts.

Each line is one finding, without its line number, so that a statement may move. A finding that is there twice
has two lines. The lines are sorted: two branches that change different ones merge.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from plainsql.analysis.findings.definer_findings import SCHEMA_FINDINGS
from plainsql.analysis.findings.schema_lints import SCHEMA_LINTS
from plainsql.check.problems import FINDINGS, WRONG_WHEN_CACHED, Problem
from plainsql.errors import Place, SettingsError, printable
from plainsql.files import replace_file
from plainsql.settings import Project

__all__ = ["Baseline", "Checked"]

_HEADER: Final = "# Findings that plainsql check accepts. Write it with --update-baseline."
_LINE: Final = re.compile(r"\S.*: .+ \[[a-z-]+\]")


@dataclass(frozen=True, slots=True)
class Checked:
    """The files whose findings a check knows."""

    only: Collection[str] | None
    """Their paths below the project, or ``None`` for all but ``refused``."""
    refused: Collection[str]
    """The paths of files and folders with errors: their findings are not known."""
    folders: Collection[str] = ()
    """The folders of the database that was checked, in a project with several; else none."""

    lint: bool = True
    """False if the lints of the schema are not known."""

    def knows(self, line: str) -> bool:
        """Return whether a finding of the baseline would have been found."""
        if any(line.startswith((f"{path}: ", f"{path}/")) for path in self.refused):
            return False
        if self.folders and not line.startswith(
            tuple(f"{each}{end}" for each in self.folders for end in "/:")
        ):
            return False
        if not self.lint and line.rpartition(" [")[2].removesuffix("]") in SCHEMA_LINTS:
            return False
        return self.only is None or any(line.startswith(f"{path}: ") for path in self.only)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of the file, and its number."""

    text: str
    number: int


class Baseline:
    """The lines of a baseline, which may not exist yet."""

    def __init__(self, file: Path, project: Project) -> None:
        """The paths of the lines are relative to the folder of the project."""
        self.file = file
        self._shown = _relative(file, Path.cwd())
        self._root = project.root
        several = (project.sql_folder, project.schema_path) if project.databases else ()
        self._folders = {_relative(folder, project.root) for folder in several}
        self._entries: list[_Entry] = []

    def read(self, *, update: bool = False) -> None:
        """Read the file. With ``update``, it may be missing, and hold the marks of a merge.

        Raises ``SettingsError`` if it is missing or no baseline.
        """
        try:
            lines = self.file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            if update:
                return
            raise SettingsError(
                f"{self._shown}: there is no such file",
                hint=f"write it: plainsql check --baseline {self._shown} --update-baseline",
            ) from None
        except UnicodeDecodeError:
            lines = ["no text"]
        if lines and not lines[0].startswith(("# Findings that plainsql check accepts", "<<<<<<<")):
            raise SettingsError(
                "this file is no baseline: its first line is another",
                place=Place(self._shown, 1),
                hint="name a file of its own, for example plainsql-baseline.txt",
            )
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            if _LINE.fullmatch(line):
                self._entries.append(_Entry(line, number))
            elif not update:
                raise SettingsError(
                    "expected a finding, path: message [name]",
                    place=Place(self._shown, number, 1, line),
                    hint=f"write it again: plainsql check --baseline {self._shown} --update-baseline",
                )

    def checked(self, only: Collection[Path], errors: Iterable[Problem], *, lint: bool = False) -> Checked:
        """Return the files whose findings are known after a check of ``only``, or of all files without it.

        ``lint`` says whether the lints of the schema were among them.
        """
        paths = {_relative(path, self._root) for path in only}
        refused = {_relative(Path(error.path), self._root) for error in errors}
        return Checked(paths or None, refused, self._folders, lint)

    def new(self, problems: Iterable[Problem]) -> list[Problem]:
        """Return the problems that the file does not hold, errors among them, in the same order."""
        left = Counter(entry.text for entry in self._entries)
        found = []
        for problem in problems:
            text = self._text(problem) if _may_be_accepted(problem) else ""
            if left[text] > 0:
                left[text] -= 1
            else:
                found.append(problem)
        return found

    def fixed(self, problems: Iterable[Problem], checked: Checked) -> list[Problem]:
        """Return a problem for each line whose finding is gone."""
        left = Counter(map(self._text, filter(_may_be_accepted, problems)))
        gone = []
        for entry in self._entries:
            if left[entry.text] > 0:
                left[entry.text] -= 1
            elif checked.knows(entry.text):
                gone.append(entry)
        hint = f"remove the line, or run plainsql check --baseline {self._shown} --prune-baseline"
        return [
            Problem("baseline", self._shown, entry.number, 1, "this finding is gone", None, hint, entry.text)
            for entry in gone
        ]

    def update(self, problems: Iterable[Problem], checked: Checked, *, add: bool) -> str:
        """Write the findings, and return a line that says what was written.

        With ``add``, the new ones are added. Lines of files that were not checked, or have errors, are kept.
        """
        before = Counter(entry.text for entry in self._entries)
        found = Counter(map(self._text, filter(_may_be_accepted, problems)))
        kept = Counter({text: count for text, count in before.items() if not checked.knows(text)})
        after = kept | (found if add else found & before)
        lines = sorted(after.elements())
        with replace_file(self.file) as file:
            file.write("".join(f"{line}\n" for line in (_HEADER, *lines)).encode())
        self._entries = [_Entry(line, number) for number, line in enumerate(lines, 2)]
        added, removed = (after - before).total(), (before - after).total()
        count = f"{len(lines)} finding{'' if len(lines) == 1 else 's'}"
        return f"wrote {self._shown}: {count}, {added} added, {removed} removed"

    def _text(self, problem: Problem) -> str:
        message = printable(problem.message.replace("\n", " ").replace("\t", " "))
        return f"{printable(_relative(Path(problem.path), self._root))}: {message} [{problem.name}]"


def _may_be_accepted(problem: Problem) -> bool:
    return (
        problem.name in (FINDINGS.keys() | SCHEMA_FINDINGS.keys() | SCHEMA_LINTS.keys()) - WRONG_WHEN_CACHED
    )


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()
