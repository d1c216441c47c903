"""The findings that the settings allow: ``[tool.plainsql.allow]``, by patterns of files."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from plainsql.analysis.distribution.findings import DISTRIBUTION_FINDINGS
from plainsql.analysis.findings.definer_findings import SCHEMA_FINDINGS
from plainsql.analysis.findings.schema_lints import SCHEMA_LINTS
from plainsql.check.problems import FINDINGS, Problem
from plainsql.check.release.release_findings import RELEASE_FINDINGS
from plainsql.errors import Place, SettingsError
from plainsql.migrate.trace.hazards import HAZARDS
from plainsql.setting_tables import SettingsFile
from plainsql.settings import Project

__all__ = ["AllowedFindings", "matches"]

_EXAMPLE: Final = 'for example "reports/**" = "unbounded: reports read whole tables"'
_FOUND_APART: Final = (*RELEASE_FINDINGS, *HAZARDS, *DISTRIBUTION_FINDINGS)
"""The findings of `check --release`, of `migrate trace` and of `check --distributed`."""
_ENTRY: Final = re.compile(r"\s*([\w-]+)\s*:\s*(\S.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Allowance:
    """One finding that is allowed in the files of a pattern."""

    pattern: str
    finding: str
    reason: str
    place: Place

    def covers(self, paths: Iterable[str]) -> bool:
        """Return whether one of the forms of a file's path fits the pattern."""
        return any(matches(path, self.pattern) for path in paths)

    def problem(self, message: str, hint: str) -> Problem:
        place = self.place
        return Problem("allow", place.path, place.line, place.column, message, None, hint, place.excerpt)


class AllowedFindings:
    """The allowances of a project's settings, and which of them were needed."""

    def __init__(self, project: Project) -> None:
        """Read the table.

        Raises ``SettingsError`` if a value is neither a string nor a list of strings.
        """
        self._sql = project.sql
        self._folders = [_whole(project.sql_folder), _whole(project.root)]
        file = SettingsFile(project.root / "pyproject.toml")
        self._allowances = [
            _allowance(pattern, entry, file)
            for pattern, value in project.allow.items()
            for entry in _entries(pattern, value, file)
        ]
        self._used: set[_Allowance] = set()

    def without_allowed(self, problems: Iterable[Problem]) -> list[Problem]:
        """Return the problems that no setting allows, in the same order."""
        return [problem for problem in problems if not self._allows(problem)]

    def reason_for(self, finding: str, path: str) -> str | None:
        """Return the reason why a finding is allowed in a file; ``None`` if it is not."""
        needed = self._needed(finding, path)
        return next((each.reason for each in self._allowances if each in needed), None)

    def _allows(self, problem: Problem) -> bool:
        return bool(self._needed(problem.name, problem.path))

    def _needed(self, finding: str, path: str) -> set[_Allowance]:
        named = [each for each in self._allowances if each.finding == finding and each.reason]
        forms = self._forms(path) if named else ()
        needed = {each for each in named if each.covers(forms)}
        self._used |= needed
        return needed

    def problems(
        self, files: Collection[str], refused: Collection[str], *, lint: bool = False
    ) -> Iterator[Problem]:
        """Yield a problem for each allowance that is wrong, or allows nothing.

        ``files`` are the files of queries. The findings of those in ``refused`` are not known. Without
        ``lint``, the lints of the schema are not known.
        """
        forms = {path: self._forms(path) for path in files}
        for each in self._allowances:
            if (wrong := self._mistake(each)) is not None:
                yield each.problem(*wrong)
                continue
            # Other commands and options find them.
            if each.finding in _FOUND_APART:
                continue
            if each.finding in SCHEMA_LINTS and not lint:
                continue
            covered = [path for path in files if each.covers(forms[path])]
            if not covered and each not in self._used and each.finding in FINDINGS:
                hint = f"patterns are relative to {self._sql} or to the project, and ** is any folders"
                if any(each.covers(map(_folder, forms[path])) for path in files):
                    hint = f"it is a folder: write {each.pattern.rstrip('/')}/**"
                yield each.problem(f"no file matches {each.pattern!r}", hint)
            elif each not in self._used and not set(covered) & set(refused):
                message = f"allows {each.finding!r} in {each.pattern}, where it is not found"
                yield each.problem(message, "remove it")

    def _mistake(self, allowance: _Allowance) -> tuple[str, str] | None:
        known = (*FINDINGS, *SCHEMA_FINDINGS, *SCHEMA_LINTS, *_FOUND_APART)
        if allowance.finding not in known:
            close = difflib.get_close_matches(allowance.finding, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"the findings are {', '.join(known)}"
            return f"there is no finding {allowance.finding!r}", hint
        if not allowance.reason:
            return (
                f"the reason why {allowance.finding} is allowed in {allowance.pattern} is missing",
                f'write "{allowance.finding}: the reason"',
            )
        return None

    def _forms(self, path: str) -> tuple[str, ...]:
        """Return a path as patterns may write it: below the SQL folder, and below the project."""
        whole = _whole(path)
        return tuple(
            whole.relative_to(folder).as_posix() for folder in self._folders if whole.is_relative_to(folder)
        )


def _whole(path: str | Path) -> Path:
    """Return an absolute path without ``..``; links are kept, as the user writes them."""
    return Path(os.path.normpath(Path.cwd() / path))


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def matches(path: str, pattern: str) -> bool:
    """Return whether a path fits a pattern, both with ``/``.

    ``*``, ``?`` and ``[…]`` match within a name, ``**`` matches any number of folders.
    """
    return _matches(path.split("/"), pattern.removeprefix("./").rstrip("/").split("/"))


def _matches(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_matches(parts[skip:], patterns[1:]) for skip in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], patterns[0]) and _matches(parts[1:], patterns[1:])


def _entries(pattern: str, value: Any, file: SettingsFile) -> list[str]:
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, list) or not entries or not all(isinstance(each, str) for each in entries):
        kinds: dict[type, str] = {list: "a list with other values", dict: "a table"}
        got = "an empty list" if entries == [] else kinds.get(type(value), type(value).__name__)
        raise SettingsError(
            f"{pattern!r} in [tool.plainsql.allow]: expected a string or a list of strings, got {got}",
            place=file.place(pattern),
            hint=_EXAMPLE,
        )
    return list(entries)


def _allowance(pattern: str, entry: str, file: SettingsFile) -> _Allowance:
    found = _ENTRY.fullmatch(entry)
    name, reason = (found[1], found[2].strip()) if found else (entry.strip().rstrip(":").rstrip(), "")
    return _Allowance(pattern, name, reason, file.place(pattern, entry))
