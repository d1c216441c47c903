"""Golden files: statements, each followed by the answer of the analysis for one facet of it.

`python -m tests.analysis.golden URL` writes them again from a database with the shop's schema; read the
difference.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg

from plainsql.analysis import Analyser, Analysis, RefusedError, TableUse
from tests.analysis.schema import SCHEMA

FOLDER = Path(__file__).parent / "golden"


def _columns(analysis: Analysis) -> Iterator[str]:
    for column in analysis.columns:
        null = "null" if column.nullable else "not null"
        group = ""
        if column.nullable_group is not None:
            group = f" [{column.nullable_group}{', also alone' if column.nullable_in_group else ''}]"
        yield f"{column.name} {null}: {column.because}{group}"


def _rows(analysis: Analysis) -> Iterator[str]:
    yield f"{analysis.rows}: {analysis.rows_because}"


def _parameters(analysis: Analysis) -> Iterator[str]:
    for parameter in analysis.parameters:
        null = "null" if parameter.nullable else "not null"
        yield f"{parameter.name} {parameter.type} {null}: {parameter.because}"


def _use(use: TableUse) -> str:
    columns = f" ({', '.join(use.columns)})" if use.columns else ""
    bound = "".join(f" {column} = {parameter}" for column, parameter in use.bound)
    return (
        f"{use.action} {use}{columns}{' where' if bound else ''}{bound}{f' via {use.via}' if use.via else ''}"
    )


def _effects(analysis: Analysis) -> Iterator[str]:
    yield from map(_use, analysis.reads)
    yield from map(_use, analysis.writes)
    for trigger in analysis.triggers:
        yield f"trigger {trigger}"
    for table in analysis.row_security:
        yield f"row security {table}"
    for hidden in analysis.opaque:
        yield f"opaque: {hidden}"
    yield f"{analysis.volatility}"
    yield "read-only" if analysis.read_only else f"not read-only: {analysis.not_read_only}"
    yield "session-safe" if analysis.session_safe else f"not session-safe: {analysis.not_session_safe}"


def _findings(analysis: Analysis) -> Iterator[str]:
    for finding in analysis.findings:
        place = f" at {finding.position}" if finding.position else ""
        yield f"{finding.name}{place}: {finding.message} | {finding.hint}"


def _dependencies(analysis: Analysis) -> Iterator[str]:
    for dependency in analysis.dependencies:
        where = f" where {dependency.column} = {dependency.parameter}" if dependency.column else ""
        yield f"depends on {dependency.table}{where}"
    for change in analysis.changes:
        known = ", ".join(
            f"{column} = {name}" if source == "parameter" else f"{column} as returned in {name}"
            for column, source, name in change.known
        )
        yield f"changes {change.table}{f': {known}' if known else ''}"


def _caching(analysis: Analysis) -> Iterator[str]:
    for finding in analysis.caching:
        place = f" at {finding.position}" if finding.position else ""
        yield f"{finding.name}{place}: {finding.message} | {finding.hint}"


FACETS: dict[str, Callable[[Analysis], Iterator[str]]] = {
    "nullability": _columns,
    "rows": _rows,
    "parameters": _parameters,
    "effects": _effects,
    "findings": _findings,
    "dependencies": _dependencies,
    "caching": _caching,
}


def cases(facet: str) -> list[tuple[str, list[str]]]:
    """Return the statements of a golden file, each with the lines below it."""
    found: list[tuple[str, list[str]]] = []
    for line in (FOLDER / f"{facet}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("    "):
            found[-1][1].append(line.strip())
        elif line.strip():
            found.append((line, []))
    return found


def describe(analyser: Analyser, facet: str, sql: str) -> list[str]:
    """Return the current answer of the analysis."""
    try:
        return list(FACETS[facet](analyser.analyse(sql)))
    except RefusedError as error:
        return [f"refused: {error.message}"]


def main(url: str) -> None:
    """Write all golden files from the current answers of the analysis."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        with Analyser(connection) as analyser:
            for facet in FACETS:
                blocks = (
                    "\n".join([sql, *(f"    {line}" for line in describe(analyser, facet, sql))])
                    for sql, _ in cases(facet)
                )
                (FOLDER / f"{facet}.txt").write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
