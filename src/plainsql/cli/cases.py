"""``plainsql test``: the cases of queries on seeded data, compared with committed files."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

import msgspec
from cyclopts import Parameter

from plainsql import statements
from plainsql.cli.case_runner import Case, CaseRunner, cases_of, needs_no_arguments, open_runner
from plainsql.cli.exit_codes import FINDINGS, FINE
from plainsql.cli.number_range import NumberRange
from plainsql.cli.project import load_project
from plainsql.errors import PlainsqlError, SettingsError, printable
from plainsql.result_tests.placeholders import placeholder_paths, volatile_paths, with_placeholders
from plainsql.result_tests.result_file import (
    CaseResult,
    ResultFileError,
    is_result_file,
    parse_results,
    render_results,
)
from plainsql.result_tests.result_folder import ResultFolder
from plainsql.result_tests.row_differences import TOLERANCE
from plainsql.settings import Project
from plainsql.statements import Statement
from plainsql.statements.header import close_match

__all__ = ["cases"]

_FLAG = Parameter(negative=(), show_default=False)
_TOLERANCE = NumberRange("a number", 0, 1, "1e-6")
_WILDCARDS: Final = "*?["
_LIKENESS: Final = 0.6

State = Literal["failed", "refused", "missing", "unreadable", "stale", "leftover", "new", "changed", "same"]
_FAILURES: Final = ("failed", "missing", "refused", "stale", "unreadable", "leftover")


class CaseReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The state of one case, or of a file of results."""

    query: str = ""
    case: str = ""
    state: State
    place: str
    """The place of the example, or the file of results."""
    message: str = ""
    differences: tuple[str, ...] = ()
    hint: str = ""

    def __str__(self) -> str:
        lines = [f"{self.place}: {self.message} [{self.state}]"]
        lines += [f"  {each}" for each in self.differences]
        lines += [f"HINT: {self.hint}"] if self.hint else []
        return "\n".join(lines)


def cases(
    *queries: str,
    update: Annotated[bool, _FLAG] = False,
    tolerance: Annotated[float, Parameter(validator=_TOLERANCE)] = TOLERANCE,
    json: Annotated[bool, _FLAG] = False,
) -> int:
    """Run the examples of queries on seeded data, and compare their rows with the committed files.

    A case is an example: line of a query's header. The cases run on a database of their own, with the
    migrations and the SQL that the setting seed names; each is undone.

    Exits with 0 if all results are the expected ones, 1 if one is not, 2 if it could not run.

    Parameters
    ----------
    queries
        Only these: a query's name, its file, or a pattern such as 'shop.orders.*'. A query that needs no
        arguments gets a case without an example if its name is given with --update.
    update
        Write the results that came back as the expected ones, and remove those of cases that are gone.
    tolerance
        The difference of two floats that counts as none: relative, and absolute for numbers below 1.
    json
        Print JSON: one array with the state of each case.
    """
    began = time.perf_counter()
    project = load_project()
    run = _Run(project, update=update, tolerance=tolerance)
    run.run(queries)
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(run.reports)).decode() + "\n")
    else:
        for report in run.reports:
            if report.state in _FAILURES:
                print(f"{printable(str(report))}\n")
        for line in run.written:
            print(printable(line))
        print(f"{_summary(run.reports)}, {time.perf_counter() - began:.1f} s")
    return FINDINGS if any(each.state in _FAILURES for each in run.reports) else FINE


def _summary(reports: Sequence[CaseReport]) -> str:
    counts = Counter(each.state for each in reports)
    number = sum(count for state, count in counts.items() if state not in ("stale", "unreadable", "leftover"))
    if not reports:
        return "no cases"
    shown = ", ".join(f"{counts[state]} {state}" for state in get_args(State) if counts[state])
    return f"{shown}: {number} {'case' if number == 1 else 'cases'}"


class _Run:
    """One run of the command on one project."""

    def __init__(self, project: Project, *, update: bool, tolerance: float) -> None:
        self.reports: list[CaseReport] = []
        self.written: list[str] = []
        self._project = project
        self._update = update
        self._tolerance = tolerance
        self._folder = ResultFolder(project.results_folder, project.sql_folder)

    def run(self, words: Sequence[str]) -> None:
        catalog = list(statements.load(self._project.sql_folder).values())
        chosen = _chosen(catalog, words)
        named = {word for word in words if not any(mark in word for mark in _WILDCARDS)}
        tested = [
            (each, cases)
            for each in chosen
            if (cases := self._cases(each, named=bool(named) and _is_named(each, named)))
        ]
        if tested:
            with open_runner(self._project) as runner:
                for statement, cases in tested:
                    self._test(runner, statement, cases)
        if not words:
            self._leftovers([self._folder.file(each.path) for each, _ in tested])

    def _cases(self, statement: Statement, *, named: bool) -> list[Case]:
        file = self._folder.file(statement.path)
        cases = cases_of(statement, without_example=file.exists() or (named and self._update))
        if named and not cases:
            raise SettingsError(
                f"{statement.name} has no cases",
                hint=f"write its results with --update {statement.name}"
                if needs_no_arguments(statement)
                else "write an example into its header, such as: example: id = 42",
            )
        return cases

    def _test(self, runner: CaseRunner, statement: Statement, cases: Sequence[Case]) -> None:
        file = self._folder.file(statement.path)
        shown, update = os.path.relpath(file), f"plainsql test --update {statement.name}"
        text = self._folder.read(file)
        expected: dict[str, CaseResult] = {}
        problem = None
        if text is not None:
            if not is_result_file(text):
                message = "expected a file that plainsql wrote, got another"
                self._report("unreadable", shown, message, statement, hint="move the file")
                return
            try:
                expected = parse_results(text)
            except ResultFileError as error:
                problem = f"{shown}:{error.line}:{error.column}"
                if not self._update:
                    self._report(
                        "unreadable", problem, str(error), statement, hint=f"write it again: {update}"
                    )
                    return
        results: dict[str, CaseResult] = {}
        for case in cases:
            found = self._run_case(runner, statement, case, expected.get(case.name), shown)
            if found is not None:
                results[case.name] = found
        gone = [name for name in expected if name not in {case.name for case in cases}]
        if not self._update:
            for name in gone:
                message = f"the case {name!r} is no example of {statement.name}"
                self._report("stale", shown, message, statement, case=name, hint=f"remove it: {update}")
            return
        new = render_results(statement.name, results)
        if results and (problem or gone or results != expected or text is None):
            self._folder.write(file, new)
            self.written.append(f"wrote {shown}")

    def _run_case(
        self, runner: CaseRunner, statement: Statement, case: Case, expected: CaseResult | None, shown: str
    ) -> CaseResult | None:
        """Report a case, and return the result to write; that of the file if it holds."""
        name = f"{statement.name}, {case.name}"
        try:
            found = runner.run(statement, case)
            comparison = replace(found.comparison, tolerance=self._tolerance)
            differences = comparison.differences(expected, found.result) if expected is not None else []
            if expected is not None and not differences:
                self._report("same", str(case.place), "", statement, case=case.name)
                return expected
            if self._update:
                paths = volatile_paths(found.result, runner.run(statement, case).result)
                paths |= placeholder_paths(expected) if expected is not None else set()
                state: State = "new" if expected is None else "changed"
                self._report(state, str(case.place), "", statement, case=case.name)
                return with_placeholders(found.result, paths)
        except PlainsqlError as error:
            self.reports.append(
                CaseReport(
                    query=statement.name,
                    case=case.name,
                    state="refused",
                    place=str(error.place or case.place),
                    message=f"{name}: {error.message}",
                    differences=(error.detail,) if error.detail else (),
                    hint=error.hint or "",
                )
            )
            return expected
        write = f"plainsql test --update {statement.name}"
        if expected is None:
            message = f"{name}: {shown} has no result of this case"
            self._report(
                "missing", str(case.place), message, statement, case=case.name, hint=f"write it: {write}"
            )
        else:
            count = f"{len(differences)} {'difference' if len(differences) == 1 else 'differences'}"
            self._report(
                "failed",
                str(case.place),
                f"{name}: {count} from {shown}",
                statement,
                case=case.name,
                differences=differences,
                hint=f"if the new result is right, write it: {write}",
            )
        return None

    def _leftovers(self, files: Sequence[Path]) -> None:
        projects = Project.load_all(self._project.root)
        others = [each.results_folder for each in projects if each.name != self._project.name]
        for file in self._folder.leftovers(files, others):
            shown = os.path.relpath(file)
            if self._update:
                self._folder.remove(file)
                self.written.append(f"removed {shown}: its query has no case")
            else:
                self._report(
                    "leftover", shown, "its query has no case", hint="remove it: plainsql test --update"
                )

    def _report(
        self,
        state: State,
        place: str,
        message: str,
        statement: Statement | None = None,
        *,
        case: str = "",
        differences: Sequence[str] = (),
        hint: str = "",
    ) -> None:
        self.reports.append(
            CaseReport(
                query=statement.name if statement is not None else "",
                case=case,
                state=state,
                place=place,
                message=message,
                differences=tuple(differences),
                hint=hint,
            )
        )


def _is_named(statement: Statement, names: set[str]) -> bool:
    return statement.name in names or any(
        Path(name).resolve() == Path(statement.path).resolve() for name in names if name.endswith(".sql")
    )


def _chosen(queries: Sequence[Statement], words: Sequence[str]) -> list[Statement]:
    """Return the queries that the words name, all without words.

    Raises ``SettingsError`` if a word names none.
    """
    chosen = [each for each in queries if not words]
    for word in words:
        found = [each for each in queries if _is_named(each, {word}) or fnmatchcase(each.name, word)]
        if not found:
            meant = close_match(word, [each.name for each in queries], _LIKENESS)
            raise SettingsError(
                f"there is no query {word!r}",
                hint=f"did you mean {meant}?"
                if meant
                else "give a query's name, its file, or a pattern such as 'shop.orders.*'",
            )
        chosen += [each for each in found if each not in chosen]
    return [each for each in queries if each in chosen]
