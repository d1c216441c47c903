"""Nested rows that cannot be told from no match: every column of them may be null where one is found."""

from __future__ import annotations

from collections.abc import Iterator

from plainsql.analysis import Analysis
from plainsql.analysis.model import ColumnFact, Finding
from plainsql.statements import Statement

__all__ = ["nested_rows_without_key"]


def nested_rows_without_key(statement: Statement, analysis: Analysis) -> Iterator[Finding]:
    """The nested rows of an outer join without a column that is never null where the join finds a match."""
    if statement.returns.row is None:
        return
    nested: dict[str, list[ColumnFact]] = {}
    for column in analysis.columns:
        outer, dot, _ = column.name.partition(".")
        if dot:
            nested.setdefault(outer, []).append(column)
    for outer, columns in nested.items():
        group = columns[0].nullable_group
        together = group is not None and all(column.nullable_group == group for column in columns)
        if together and all(column.nullable_in_group for column in columns):
            yield Finding(
                "nested-without-key",
                f"{outer} is None also where a row was found, if all that is selected of it is null",
                columns[0].position,
                f'select its key as well, as "{outer}.id"',
            )
