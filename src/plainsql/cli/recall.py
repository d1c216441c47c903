"""``plainsql recall``: the share of the exact answer that a vector search finds, and its time."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from plainsql.cli.assignments import read_assignments
from plainsql.cli.exit_codes import COULD_NOT_RUN, FINDINGS, FINE
from plainsql.cli.number_range import NumberRange
from plainsql.cli.run import find_statement
from plainsql.cli.tables import print_table
from plainsql.errors import BindError, ContractError, SettingsError
from plainsql.query_folder import make_query
from plainsql.settings import Project, resolve_database
from plainsql.statements import Statement
from plainsql.vector.recall_measurement import Progress
from plainsql.vector.recall_measurement import recall as measure
from plainsql.vector.recall_plot import draw, plot_format
from plainsql.vector.recall_report import RecallReport

__all__ = ["recall"]

_FLAG = Parameter(negative=(), show_default=False)
_SAMPLE: Final = NumberRange("an integer", 1, 100_000, "200")
_SHARE: Final = NumberRange("a number", 0, 1, "0.95", above_low=True)
_CANCELLED: Final = "57014"
"""The SQLSTATE of a statement that took longer than its time limit."""
_TIMEOUT: Final = NumberRange("seconds", 0, 2**31 // 1000 - 1, "60", above_low=True)


def recall(
    query: str,
    /,
    *parameters: Annotated[str, Parameter(allow_leading_hyphen=True)],
    sample: Annotated[int, Parameter(validator=_SAMPLE)] = 200,
    set: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    at_least: Annotated[float | None, Parameter(validator=_SHARE)] = None,
    filter: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    selectivity: str = "0.1,1,10",
    tenant: Annotated[str | None, Parameter(show_default=False)] = None,
    role: Annotated[str | None, Parameter(show_default=False)] = None,
    vectors: Annotated[Path | None, Parameter(show_default=False)] = None,
    vector: Annotated[str | None, Parameter(show_default=False)] = None,
    column: Annotated[str | None, Parameter(show_default=False)] = None,
    exact: Annotated[str | None, Parameter(show_default=False)] = None,
    database: str | None = None,
    timeout: Annotated[float, Parameter(validator=_TIMEOUT)] = 60.0,
    json: Annotated[bool, _FLAG] = False,
    plot: Annotated[Path | None, Parameter(show_default=False)] = None,
) -> int:
    """Measure the recall of a vector search: the share of the exact answer that it finds.

    Each search is compared with the exact answer: the same statement without index scans. All statements run
    in read-only transactions that are rolled back.

    Exits with 0, 1 if no settings reach the wanted recall in all cases or the server refuses the query, 2 if
    it could not run: usage, values, files, connection, time limit.

    Parameters
    ----------
    query
        The query's name, ``docs.search``, or its file.
    parameters
        ``name=text`` or ``name:=json`` for the other parameters, as for ``plainsql run``. The others have the
        values of the header's first example.
    sample
        The number of searches for each case and each setting.
    set
        The values of a setting to try: ``hnsw.ef_search=40,80,160``. Several settings are tried in all
        combinations.
    at_least
        The wanted recall, from 0 to 1.
    filter
        A case with these parameters: ``--filter 'kind=house rooms=3'``. Without it, values of each parameter
        that filters the table are taken from its column.
    selectivity
        The percentages of the table that the values from the column select; empty for no such case.
    tenant
        The tenants to search as: ``7,12``. By default the largest, the median and the smallest one, if
        policies of the table read the tenant's setting; empty for none.
    role
        The role to search as; by default one that row-level security applies to, if the table has it.
    vectors
        A file of vectors to search for: ``.npy`` of shape (n, dimensions), or a text file with a vector in
        each line. By default they are those of the column.
    vector
        The name of the vector parameter, if the query has several.
    column
        The column to take vectors from, as ``schema.table.column``, if the query does not show it.
    exact
        The query of the exact answers, with the same vector parameter and the same columns, if the query is
        approximate without an index as well: one that quantizes, or uses sub-vectors.
    database
        URL of the database; by default the configured one, else the embedded server.
    timeout
        The time limit of each statement, in seconds.
    json
        Print JSON and nothing else.
    plot
        Write a plot of recall against time to this file: ``.png`` or ``.svg``.
    """
    if plot is not None:
        plot_format(plot)
    project = Project.load()
    statement = find_statement(project, query)
    reference = None if exact is None else make_query(find_statement(project, exact))
    given = _arguments(statement, parameters)
    settings = _settings(set)
    filters = [_arguments(statement, words.split()) for words in filter]
    shares = _shares(selectivity)
    found_vectors = None if vectors is None else _read_vectors(vectors)
    try:
        with resolve_database(database) as url, _progress() as progress:
            report = measure(
                make_query(statement),
                url,
                parameters=given,
                vectors=found_vectors,
                vector=vector,
                column=column,
                exact=reference,
                sample=sample,
                settings=settings,
                filters=filters or None,
                selectivities=shares,
                tenants=None if tenant is None else [each for each in tenant.split(",") if each],
                role=role,
                at_least=at_least,
                timeout=timeout,
                progress=progress,
            )
    except ContractError as error:
        print(error, file=sys.stderr)
        return COULD_NOT_RUN if error.sqlstate == _CANCELLED else FINDINGS
    if plot is not None:
        draw(report, plot)
    if json:
        text = msgspec.json.encode(report)
        print((msgspec.json.format(text) if sys.stdout.isatty() else text).decode())
    else:
        _print(report)
    return FINE if report.is_reached else FINDINGS


def _arguments(statement: Statement, words: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, given in read_assignments(statement, words, "recall", complete=False).items():
        parameter = next((each for each in statement.parameters if each.name == name), None)
        if parameter is not None and parameter.encryption is not None:
            raise BindError(
                f"{statement.name}: {name} is encrypted, and recall has no key for it",
                hint="measure it from Python, where the query encrypts: plainsql.vector.recall",
            )
        value = given.value
        if parameter is not None and parameter.bounds is not None and isinstance(value, str):
            bounds = parameter.bounds
            value = value if bounds.low is None and bounds.high is None else Decimal(value)
        found[name] = value
    return found


def _settings(words: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word in words:
        name, equals, values = word.partition("=")
        listed = [each.strip() for each in values.split(",") if each.strip()]
        if not (name and equals and listed):
            raise SettingsError(
                f"--set: expected name=value,value, got {word[:80]!r}",
                hint="for example: --set hnsw.ef_search=40,80,160",
            )
        if name.strip() in found:
            raise SettingsError(f"--set: {name} is given twice", hint="list its values with commas")
        found[name.strip()] = listed
    return found


def _shares(text: str) -> list[float]:
    try:
        shares = [float(each) / 100 for each in text.split(",") if each.strip()]
    except ValueError:
        shares = [0.0]
    if not all(0 < each <= 1 for each in shares):
        raise SettingsError(
            f"--selectivity: expected percentages above 0, at most 100, got {text[:80]!r}",
            hint="for example: --selectivity 0.1,1,10",
        )
    return shares


def _read_vectors(path: Path) -> Sequence[Any]:
    """Return the vectors of a file. Raises ``BindError`` if it holds none that can be read."""
    if path.suffix.lower() != ".npy":
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            raise BindError(
                f"{path.name}: expected a vector in each line, got no text",
                hint="name an array of NumPy .npy",
            ) from None
        return [line.strip() for line in lines if line.strip()]
    try:
        import numpy as np
    except ModuleNotFoundError:
        raise SettingsError(
            f"{path.name}: NumPy, which reads it, is not installed", hint="pip install numpy"
        ) from None
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        raise BindError(
            f"{path.name}: expected an array of numbers, got no .npy file of one",
            hint="write it with numpy.save",
        ) from None
    if array.ndim != 2 or array.dtype.kind not in "fiub":
        raise BindError(
            f"{path.name}: expected an array of numbers of shape (n, dimensions), got {array.dtype} of shape"
            f" {array.shape}",
            hint="write one vector in each row",
        )
    return list(array)


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """Yield the function that shows the progress at a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with ProgressBar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(name: str, done: int, total: int) -> None:
            bar.update(task, description=name, completed=done, total=total)

        yield show


def _print(report: RecallReport) -> None:
    print(f"{report.query}  {report.file}")
    where = f"{report.table}.{report.column}" if report.table else "the given vectors"
    rows = f", {report.table_rows:,} rows" if report.table_rows is not None else ""
    print(f"{where}{rows}, compared by {report.compared_by}\n")
    lines: list[tuple[str, ...]] = []
    for case in report.cases:
        share = "" if case.selectivity is None else f"{case.selectivity * 100:.3g} %"
        exact = ("exact", "1.000", "", f"{case.exact_rows:.1f}", f"{case.exact_ms:.2f}", "", "")
        lines.append((case.name, share, *exact))
        lines += [
            (
                "",
                "",
                _shown(each.settings),
                f"{each.recall:.3f}",
                f"{each.lowest:.2f}",
                f"{each.rows:.1f}",
                f"{each.median_ms:.2f}",
                f"{each.p95_ms:.2f}",
                (", ".join(each.indexes) or "no vector index") + (", generic plan" if each.generic else ""),
            )
            for each in case.measurements
        ]
    headings = ("case", "selects", "settings", "recall", "lowest", "found", "median ms", "p95 ms", "plan")
    print_table(headings, lines)
    print()
    for note in report.notes:
        print(f"note: {note}")
    if report.at_least is None:
        return
    if report.reached_by is not None:
        print(f"{_shown(report.reached_by)}: recall of at least {report.at_least:g} in all cases")
        return
    print(f"no settings reach a recall of {report.at_least:g} in all cases")
    for case in report.cases:
        best = max(case.measurements, key=lambda each: each.recall)
        if best.recall < report.at_least:
            print(f"  {case.name}: {best.recall:.3f} at most, with {_shown(best.settings)}")


def _shown(settings: Mapping[str, str]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in settings.items()) or "the connection's settings"
