"""``plainsql test``: the cases of queries on seeded data, compared with committed files."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec
from cyclopts import Parameter

from plainsql import statements
from plainsql.check.problems import Problem
from plainsql.cli.case_runner import Case, CaseRunner, cases_of, needs_no_arguments, open_runner
from plainsql.cli.cases_since import cases_since
from plainsql.cli.check import annotation
from plainsql.cli.chosen_queries import WILDCARDS, choose_queries, is_named
from plainsql.cli.exit_codes import FINDINGS, FINE
from plainsql.cli.number_range import NumberRange
from plainsql.cli.project import load_project, repository_root
from plainsql.errors import Place, PlainsqlError, SettingsError, printable
from plainsql.result_tests.case_report import FAILURES, CaseReport, State, refused_case
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

__all__ = ["cases"]

_FLAG = Parameter(negative=(), show_default=False)
_TOLERANCE = NumberRange("a number", 0, 1, "1e-6")


def cases(
    *queries: str,
    update: Annotated[bool, _FLAG] = False,
    since: Annotated[str | None, Parameter(show_default=False)] = None,
    tolerance: Annotated[float, Parameter(validator=_TOLERANCE)] = TOLERANCE,
    format: Literal["text", "json", "github"] = "text",
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
    since
        Compare with the results before the migrations that this git ref does not have: a tag, a branch or a
        hash; REF... for the commit at which the current branch left REF. Its queries run on its schema and
        its seed, then the new migrations run on that data, and the queries of the work tree follow.
    tolerance
        The difference of two floats that counts as none: relative, and absolute for numbers below 1.
    format
        text for people, json for tools (one array with the state of each case), github for annotations of a
        pull request.
    """
    began = time.perf_counter()
    project = load_project()
    if since is not None and update:
        raise SettingsError(
            "--since and --update: expected one of them, got both", hint="--update writes, --since does not"
        )
    if since is None:
        run = _Run(project, update=update, tolerance=tolerance)
        run.run(queries)
        reports, lines, after = run.reports, run.written, ""
    else:
        reports, lines, after = cases_since(project, since, queries, tolerance)
    if format == "json":
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(reports)).decode() + "\n")
    else:
        for report in reports:
            if report.state in FAILURES:
                print(f"{printable(str(report))}\n" if format == "text" else _annotation(report))
        output = sys.stdout if format == "text" else sys.stderr
        for line in lines:
            print(printable(line), file=output)
        print(f"{_summary(reports)}{after}, {time.perf_counter() - began:.1f} s", file=output)
    return FINDINGS if any(each.state in FAILURES for each in reports) else FINE


def _annotation(report: CaseReport) -> str:
    detail = "\n".join(report.differences) or None
    problem = Problem(
        report.state, report.path, report.line, report.column, report.message, detail, report.hint or None
    )
    return annotation(problem, repository_root())


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
        chosen = choose_queries(catalog, words)
        named = {word for word in words if not any(mark in word for mark in WILDCARDS)}
        tested = [
            (each, cases)
            for each in chosen
            if (cases := self._cases(each, named=bool(named) and is_named(each, named)))
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
                problem = Place(shown, error.line, error.column)
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
                self._report("same", case.place, "", statement, case=case.name)
                return expected
            if self._update:
                paths = volatile_paths(found.result, runner.run(statement, case).result)
                paths |= placeholder_paths(expected) if expected is not None else set()
                state: State = "new" if expected is None else "changed"
                self._report(state, case.place, "", statement, case=case.name)
                return with_placeholders(found.result, paths)
        except PlainsqlError as error:
            self.reports.append(refused_case(statement.name, case.name, error, case.place))
            return expected
        write = f"plainsql test --update {statement.name}"
        if expected is None:
            message = f"{name}: {shown} has no result of this case"
            self._report("missing", case.place, message, statement, case=case.name, hint=f"write it: {write}")
        else:
            count = f"{len(differences)} {'difference' if len(differences) == 1 else 'differences'}"
            self._report(
                "failed",
                case.place,
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
        place: Place | str,
        message: str,
        statement: Statement | None = None,
        *,
        case: str = "",
        differences: Sequence[str] = (),
        hint: str = "",
    ) -> None:
        place = Place(place) if isinstance(place, str) else place
        self.reports.append(
            CaseReport(
                query=statement.name if statement is not None else "",
                case=case,
                state=state,
                path=place.path,
                line=place.line,
                column=place.column,
                message=message,
                differences=tuple(differences),
                hint=hint,
            )
        )
